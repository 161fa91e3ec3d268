// SPDX-License-Identifier: Apache-2.0
// Exponentials and logarithms that decide something, one by one: IEEE + - * / and bits only, in a
// fixed order, so that they have the same bits on every machine (promise 6), which those of the C
// library do not; and the same as the kernels' (generic/logarithms.hpp). log is less than one unit
// in the last place off, exp at most 1.1 (among subnormals 1.6), log1p and softplus two and a half;
// tests/cpp/test_portable_math.cpp measures it. Pure functions; usable in constant expressions.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/generic/log_exp_terms.hpp"

namespace nearmiss::portable {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

namespace detail {

using namespace kernels;  // the numbers of log_exp_terms.hpp

template <std::size_t kCount>
[[nodiscard]] constexpr double polynomial(double x, const double (&coefficients)[kCount]) noexcept {
    double sum = coefficients[kCount - 1];
    for (std::size_t i = kCount - 1; i-- > 0;) sum = sum * x + coefficients[i];
    return sum;
}

// 2^k for integers k in [-1022, 1023].
[[nodiscard]] constexpr double power_of_two(double k) noexcept {
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(k + kExponentMaker) << 52);
}

[[nodiscard]] constexpr double rounded(double x) noexcept { return (x + kRounder) - kRounder; }

// log(x) - shift * log 2 for x positive and normal. With x = 2^k m, m in [√½, √2), f = m - 1 and
// s = f / (2 + f): log m = 2 artanh(s), and 2 s = f - s f = f - f²/2 + s f²/2, of which f is exact.
[[nodiscard]] constexpr double log_of_normal(double x, double shift) noexcept {
    constexpr std::uint64_t kOne = 0x3ff0000000000000;
    constexpr std::uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
    constexpr std::uint64_t kMantissa = 0x000fffffffffffff;
    const std::uint64_t moved = std::bit_cast<std::uint64_t>(x) + (kOne - kRootHalf);
    const double k = static_cast<double>(moved >> 52) - 1023 - shift;
    const double f = std::bit_cast<double>((moved & kMantissa) + kRootHalf) - 1;
    const double s = f / (f + 2);
    const double z = s * s;
    const double rest = z * polynomial(z, kLogTerms);
    const double half_square = 0.5 * (f * f);
    const double small = s * (half_square + rest) + k * kLog2Low;
    return k * kLog2High + (f - (half_square - small));
}

}  // namespace detail

// e^x; 0 below about -745.13, infinite above about 709.78.
[[nodiscard]] constexpr double exp(double x) noexcept {
    using namespace detail;
    if (x != x) return x;
    x = x < -746.0 ? -746.0 : x > 710.0 ? 710.0 : x;
    const double k = rounded(x * kLog2E);
    const double r = (x - k * kLog2High) - k * kLog2Low;
    const double mantissa = 1 + (r + (r * r) * polynomial(r, kExpTerms));
    const double half = rounded(k * 0.5);  // in two steps, since 2^k need not be a normal number
    return mantissa * power_of_two(half) * power_of_two(k - half);
}

// The natural logarithm; -infinity for 0, nan below.
[[nodiscard]] constexpr double log(double x) noexcept {
    if (!(x > 0.0)) return x == 0.0 ? -kInfinity : std::numeric_limits<double>::quiet_NaN();
    if (x == kInfinity) return x;
    const bool tiny = x < std::numeric_limits<double>::min();
    return detail::log_of_normal(tiny ? x * 0x1p54 : x, tiny ? 54 : 0);
}

// log(1 + x), for x >= 0, accurate where x is small: the logarithm of the rounded 1 + x, and to
// first order what the rounding left out.
[[nodiscard]] constexpr double log1p(double x) noexcept {
    const double sum = 1.0 + x;
    if (sum == kInfinity) return sum;
    return log(sum) + (x < 1.0 ? x - (sum - 1.0) : 1.0 - (sum - x)) / sum;
}

// log(1 + e^x), which is -log of the probability 1 / (1 + e^x).
[[nodiscard]] constexpr double softplus(double x) noexcept {
    return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

}  // namespace nearmiss::portable
