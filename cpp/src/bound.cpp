// SPDX-License-Identifier: Apache-2.0
#include "bound.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nearmiss {
namespace {

constexpr double kUnit32 = 0x1p-24;
constexpr double kUnit64 = 0x1p-53;
constexpr double kTiny32 = 0x1p-149;    // spacing of float32 subnormals
constexpr double kSlack = 1 + 0x1p-20;  // covers every rounding in this file and in stored norms

// Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
double gamma(double operations, double unit) { return operations * unit / (1 - operations * unit); }

// exponent with 2^exponent > value >= 2^(exponent - 1)
int exponent_above(double value) { return value > 0 ? std::ilogb(value) + 1 : 0; }

}  // namespace

QueryScale query_scale(Metric metric,
                       std::size_t dim,
                       double root_norm,
                       int corpus_exponent,
                       double corpus_max_norm) noexcept {
    const double d = static_cast<double>(dim);
    const double tile = gamma(d + 1, kUnit32);
    const double rescoring = gamma(d + 8, kUnit64);
    QueryScale scale;

    if (metric == Metric::cosine) {
        scale.multiplier = 1.0 / root_norm;
        // Packing rounds every element of both sides once, the score itself is rounded once.
        const double relative = tile + 4 * kUnit32 + 4 * rescoring;
        scale.screen.error = (relative + 2 * (d + 2) * kTiny32) * kSlack;
        return scale;
    }

    int exponent = exponent_above(root_norm);
    if (metric == Metric::l2) exponent = std::max(exponent, corpus_exponent);
    scale.multiplier = std::ldexp(1.0, -exponent);
    const double query_norm = std::ldexp(root_norm, -exponent) * kSlack;  // at most about 1
    const int both = exponent + corpus_exponent;
    const double underflow =
        (d + 2) * kTiny32 * (2 + query_norm + corpus_max_norm * (1 + corpus_max_norm)) +
        std::ldexp(kTiny32, -both);

    if (metric == Metric::ip) {
        scale.screen.factor = std::ldexp(1.0, -both);
        const double relative = tile + kUnit32 + rescoring;
        scale.screen.error = (relative * query_norm * corpus_max_norm + underflow) * kSlack;
        return scale;
    }

    // l2: s = -|q - x|^2, and q.x - |x|^2 / 2 = (s + |q|^2) / 2.
    const double ratio = std::ldexp(1.0, corpus_exponent - exponent);  // at most 1
    scale.l2_element = static_cast<float>(ratio);
    scale.screen.offset = root_norm * root_norm;
    scale.screen.factor = std::ldexp(0.5, -both);
    const double half_square = 0.5 * ratio * corpus_max_norm * corpus_max_norm;
    const double reach = root_norm + std::ldexp(corpus_max_norm, corpus_exponent);
    const double distance_rounding =
        (kUnit32 + 4 * rescoring) * reach * reach * scale.screen.factor;
    scale.screen.error = (tile * (query_norm * corpus_max_norm + half_square) +
                          2 * kUnit32 * half_square + distance_rounding + underflow) *
                         kSlack;
    return scale;
}

float round_down(double value) noexcept {
    if (value > std::numeric_limits<float>::max()) {
        return std::isinf(value) ? std::numeric_limits<float>::infinity()
                                 : std::numeric_limits<float>::max();
    }
    if (value < std::numeric_limits<float>::lowest())
        return -std::numeric_limits<float>::infinity();
    const float nearest = static_cast<float>(value);
    if (static_cast<double>(nearest) <= value) return nearest;
    return std::nextafter(nearest, -std::numeric_limits<float>::infinity());
}

float round_up(double value) noexcept { return -round_down(-value); }

}  // namespace nearmiss
