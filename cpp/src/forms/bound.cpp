// SPDX-License-Identifier: Apache-2.0
#include "forms/bound.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
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

double underflow(const ScaledRows& rows, const ScaledQuery& query) {
    return (static_cast<double>(rows.dim) + 2) * kTiny32 *
               (2 + query.norm + rows.max_norm * (1 + rows.max_norm)) +
           std::ldexp(kTiny32, -(rows.exponent + query.exponent));
}

// The rounding of the score itself, scaled.
double score_rounding(const ScaledRows& rows, const ScaledQuery& query) {
    const double sums = gamma(static_cast<double>(rows.dim) + 8, kUnit64);
    if (rows.metric == Metric::cosine) return kUnit32 + 4 * sums;
    if (rows.metric == Metric::ip) return (kUnit32 + sums) * query.norm * rows.max_norm;
    const double reach = query.root_norm + std::ldexp(rows.max_norm, rows.exponent);
    return (kUnit32 + 4 * sums) * reach * reach *
           std::ldexp(0.5, -(rows.exponent + query.exponent));
}

}  // namespace

ScaledQuery scale_query(const ScaledRows& rows, double root_norm) noexcept {
    ScaledQuery query;
    query.root_norm = root_norm;
    if (rows.metric == Metric::cosine) {
        query.multiplier = 1.0 / root_norm;
        query.norm = kSlack;
        return query;
    }
    query.exponent = exponent_above(root_norm);
    if (rows.metric == Metric::l2) query.exponent = std::max(query.exponent, rows.exponent);
    query.multiplier = std::ldexp(1.0, -query.exponent);
    query.norm = std::ldexp(root_norm, -query.exponent) * kSlack;
    query.ratio = std::ldexp(1.0, rows.exponent - query.exponent);
    return query;
}

ScreenScale float32_scale(const ScaledRows& rows, const ScaledQuery& query) noexcept {
    const double tile = gamma(static_cast<double>(rows.dim) + 1, kUnit32);
    double error = score_rounding(rows, query) + underflow(rows, query);
    ScreenScale scale;
    if (rows.metric == Metric::cosine) {
        error += tile + 3 * kUnit32;  // packing rounds every element of both sides once
        scale.error = error * kSlack;
        return scale;
    }
    error += tile * query.norm * rows.max_norm;
    scale.factor = std::ldexp(1.0, -(rows.exponent + query.exponent));
    if (rows.metric == Metric::l2) {
        // s = -|q - x|^2, and q.x - |x|^2 / 2 = (s + |q|^2) / 2.
        error += (tile + 2 * kUnit32) * 0.5 * query.ratio * rows.max_norm * rows.max_norm;
        scale.offset = query.root_norm * query.root_norm;
        scale.factor *= 0.5;
    }
    scale.error = error * kSlack;
    return scale;
}

ScreenScale coded_scale(const ScaledRows& rows,
                        const ScaledQuery& query,
                        const CodedRows& coded_rows,
                        const CodedQuery& coded_query) noexcept {
    const double factor = std::abs(coded_query.centre_factor);
    const double centre = coded_rows.centre_norm;
    // What float32 arithmetic before the rounding to codes is off by, relative to its inputs.
    const double encoding = static_cast<double>(coded_rows.rotation_roundings + 8) * kUnit32;
    const double row_rounding = encoding * (rows.max_norm + centre);
    const double query_rounding = encoding * (query.norm + factor * centre);
    const double row_residual = coded_rows.max_residual + row_rounding;
    const double row_norm = coded_rows.max_norm + row_rounding;
    const double query_residual = coded_query.residual + query_rounding;
    const double query_norm = coded_query.norm + query_rounding;
    double error = query_residual * row_norm + (query_norm + query_residual) * row_residual;

    // Row terms: under l2 -|x - centre|^2 / 2, otherwise centre . x.
    const bool l2 = rows.metric == Metric::l2;
    const double far = rows.max_norm + centre;
    const double term = factor * (l2 ? far * far : centre * rows.max_norm);
    error += gamma(static_cast<double>(rows.dim) + 8, kUnit32) * term;
    // The last conversion, product and sum in float32.
    error += 4 * kUnit32 * (term + (query_norm + query_residual) * (row_norm + row_residual));
    error += gamma(static_cast<double>(rows.dim) + 8, kUnit64) * query.norm * centre;
    error += score_rounding(rows, query) + 2 * underflow(rows, query);

    const double unit = coded_rows.scale * coded_query.scale;
    const double scores = std::ldexp(l2 ? 0.5 : 1.0, -(rows.exponent + query.exponent));
    ScreenScale scale;
    scale.offset = l2 ? coded_query.constant : -coded_query.constant / scores;
    scale.factor = scores * unit;
    scale.error = error * kSlack * unit;
    return scale;
}

double norm_from_float_sum(double sum, std::size_t terms) noexcept {
    const double t = static_cast<double>(terms);
    return std::sqrt(sum * (1 + (t + 2) * 2 * kUnit32) + t * 0x1p-140);
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
    // The float32 below: bits of numbers of one sign are in their order.
    if (nearest == 0) return -std::numeric_limits<float>::denorm_min();
    const auto bits = std::bit_cast<std::uint32_t>(nearest);
    return std::bit_cast<float>(nearest > 0 ? bits - 1 : bits + 1);
}

float round_up(double value) noexcept { return -round_down(-value); }

}  // namespace nearmiss
