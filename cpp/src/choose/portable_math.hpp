// SPDX-License-Identifier: Apache-2.0
// Exponentials and logarithms that decide something: IEEE + - * / and bits only, in a fixed order,
// so that they have the same bits on every machine (promise 6), which those of the C library do
// not. exp and log are within one unit in the last place of the true value for normal results,
// log1p and softplus within two and a half; tests/cpp/test_portable_math.cpp measures it. Pure
// functions; usable in constant expressions.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace nearmiss::portable {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

namespace detail {

// ln 2 in two parts; the first has 31 bits, so that its product with an exponent is exact.
inline constexpr double kLn2High = 0x1.62e42feep-1;
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
inline constexpr double kLog2E = 0x1.71547652b82fep+0;
inline constexpr int kMantissaBits = 52;
inline constexpr int kBias = 1023;

// 2^exponent, for the exponents of normal numbers: -1022 to 1023.
[[nodiscard]] constexpr double power_of_two(int exponent) noexcept {
    return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + kBias) << kMantissaBits);
}

// The Taylor polynomial (e^r - 1 - r) / r^2; |r| <= ln(2) / 2 leaves out less than 2^-57 of e^r.
[[nodiscard]] constexpr double exp_rest(double r) noexcept {
    constexpr double kReciprocalFactorials[] = {
        1.0 / 6227020800,
        1.0 / 479001600,
        1.0 / 39916800,
        1.0 / 3628800,
        1.0 / 362880,
        1.0 / 40320,
        1.0 / 5040,
        1.0 / 720,
        1.0 / 120,
        1.0 / 24,
        1.0 / 6,
        1.0 / 2,
    };
    double sum = 0.0;
    for (const double coefficient : kReciprocalFactorials) sum = sum * r + coefficient;
    return sum;
}

// (2 atanh(s) - 2 s) / s for |s| <= 0.1716, by its series up to s^22: off by less than 2^-63.
[[nodiscard]] constexpr double atanh_rest(double s) noexcept {
    constexpr double kTwoOverOdd[] = {
        2.0 / 23,
        2.0 / 21,
        2.0 / 19,
        2.0 / 17,
        2.0 / 15,
        2.0 / 13,
        2.0 / 11,
        2.0 / 9,
        2.0 / 7,
        2.0 / 5,
        2.0 / 3,
    };
    const double square = s * s;
    double sum = 0.0;
    for (const double coefficient : kTwoOverOdd) sum = sum * square + coefficient;
    return sum * square;
}

}  // namespace detail

// e^x; 0 below about -745.13, infinite above about 709.78.
[[nodiscard]] constexpr double exp(double x) noexcept {
    using namespace detail;
    if (!(x >= -746.0)) return x != x ? x : 0.0;
    if (x > 710.0) return kInfinity;
    const auto k = static_cast<int>(x * kLog2E + (x < 0.0 ? -0.5 : 0.5));
    const double high = x - k * kLn2High;  // exact
    const double low = k * kLn2Low;
    const double r = high - low;
    const double lost = (high - r) - low;
    const double mantissa = 1.0 + (r + (r * r * exp_rest(r) + lost));
    if (k > kBias) return mantissa * power_of_two(kBias) * power_of_two(k - kBias);
    if (k > -kBias) return mantissa * power_of_two(k);
    constexpr int kLift = 100;  // one rounding, the last, where the result is subnormal
    return mantissa * power_of_two(k + kLift) * power_of_two(-kLift);
}

// The natural logarithm; -infinity for 0, nan below.
[[nodiscard]] constexpr double log(double x) noexcept {
    using namespace detail;
    if (!(x > 0.0)) return x == 0.0 ? -kInfinity : std::numeric_limits<double>::quiet_NaN();
    if (x == kInfinity) return x;
    int exponent = 0;
    if (x < std::numeric_limits<double>::min()) {
        x *= power_of_two(kMantissaBits);
        exponent = -kMantissaBits;
    }
    // x = 2^exponent (1 + f) with 1 + f between sqrt(1/2) and sqrt(2).
    constexpr std::uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
    constexpr std::uint64_t kMantissa = (std::uint64_t{1} << kMantissaBits) - 1;
    const std::uint64_t offset = std::bit_cast<std::uint64_t>(x) - kRootHalf;
    exponent += static_cast<int>(static_cast<std::int64_t>(offset) >> kMantissaBits);
    const double f = std::bit_cast<double>((offset & kMantissa) + kRootHalf) - 1.0;
    // log(1 + f) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + rest)), as 2 s = f - s f and
    // s f = f^2/2 - s f^2/2: what is rounded is small beside f.
    const double s = f / (2.0 + f);
    const double half_square = 0.5 * f * f;
    const double correction = s * (half_square + atanh_rest(s)) + exponent * kLn2Low;
    return exponent * kLn2High - ((half_square - correction) - f);
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
