// SPDX-License-Identifier: Apache-2.0
// Natural logarithm and exponential by IEEE + - * / alone, eight at a time: the same bits on every
// target, whatever the C library does, as portable::log and portable::exp give one by one.
// tests/test_random.py measures the bounds below.
#pragma once

#include "kernels/generic/log_exp_terms.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kExponentMaker;
using nearmiss::kernels::kExpTerms;
using nearmiss::kernels::kLog2E;
using nearmiss::kernels::kLog2High;
using nearmiss::kernels::kLog2Low;
using nearmiss::kernels::kLogTerms;
using nearmiss::kernels::kRounder;

constexpr double kInfinity = __builtin_huge_val();

NEARMISS_ALWAYS_INLINE inline F64x8 select(U64x8 mask, F64x8 where_set, F64x8 elsewhere) {
    const U64x8 other = as_u64(elsewhere);
    return as_f64(bit_xor(other, bit_and(bit_xor(as_u64(where_set), other), mask)));
}

template <std::size_t kCount>
NEARMISS_ALWAYS_INLINE inline F64x8 polynomial(F64x8 x, const double (&coefficients)[kCount]) {
    F64x8 sum = broadcast_f64(coefficients[kCount - 1]);
    unrolled<kCount - 1>([&](auto i) NEARMISS_ALWAYS_INLINE {
        sum = add(multiply(sum, x), broadcast_f64(coefficients[kCount - 2 - i]));
    });
    return sum;
}

// log(x) - shift * log 2 for x positive and normal, less than one unit in the last place off.
// With x = 2^k m, m in [√½, √2), f = m - 1 and s = f / (2 + f): log m = 2 artanh(s), and
// 2 s = f - s f = f - f²/2 + s f²/2, of which f is exact.
NEARMISS_ALWAYS_INLINE inline F64x8 log_of_normal(F64x8 x, F64x8 shift) {
    constexpr std::uint64_t kOne = 0x3ff0000000000000;
    constexpr std::uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
    constexpr std::uint64_t kMantissa = 0x000fffffffffffff;
    constexpr std::uint64_t kTwo52 = 0x4330000000000000;
    const U64x8 moved = add(as_u64(x), broadcast_u64(kOne - kRootHalf));
    const U64x8 exponent = shift_right<52>(moved);
    const F64x8 k = subtract(
        subtract(as_f64(bit_or(exponent, broadcast_u64(kTwo52))), broadcast_f64(kExponentMaker)),
        shift);
    const F64x8 m = as_f64(add(bit_and(moved, broadcast_u64(kMantissa)), broadcast_u64(kRootHalf)));
    const F64x8 f = subtract(m, broadcast_f64(1));
    const F64x8 s = divide(f, add(f, broadcast_f64(2)));
    const F64x8 z = multiply(s, s);
    const F64x8 rest = multiply(z, polynomial(z, kLogTerms));
    const F64x8 half_square = multiply(broadcast_f64(0.5), multiply(f, f));
    const F64x8 small =
        add(multiply(s, add(half_square, rest)), multiply(k, broadcast_f64(kLog2Low)));
    return add(multiply(k, broadcast_f64(kLog2High)), subtract(f, subtract(half_square, small)));
}

// Any x: -infinity for either zero, NaN below zero and for NaN, infinity for infinity.
NEARMISS_ALWAYS_INLINE inline F64x8 log_of_any(F64x8 x) {
    const F64x8 zero = zero_f64();
    const U64x8 tiny = less_than(x, broadcast_f64(0x1p-1022));
    const F64x8 normal = select(tiny, multiply(x, broadcast_f64(0x1p54)), x);
    F64x8 result = log_of_normal(normal, select(tiny, broadcast_f64(54), zero));
    result = select(less_than(zero, x), result, broadcast_f64(-kInfinity));
    result = select(less_than(x, zero), broadcast_f64(__builtin_nan("")), result);
    return select(less_than(x, broadcast_f64(kInfinity)), result, x);
}

// 2^k for integers k in [-1022, 1023].
NEARMISS_ALWAYS_INLINE inline F64x8 power_of_two(F64x8 k) {
    return as_f64(shift_left<52>(as_u64(add(k, broadcast_f64(kExponentMaker)))));
}

// Any x, at most 1.1 units in the last place off (among subnormals 1.6): 0 for -infinity, infinity
// for infinity, NaN for NaN.
NEARMISS_ALWAYS_INLINE inline F64x8 exp_of_any(F64x8 x) {
    // Beyond these the result is 0 or infinity. minimum and maximum keep a NaN that comes second.
    x = maximum(broadcast_f64(-746), minimum(broadcast_f64(710), x));
    const F64x8 rounder = broadcast_f64(kRounder);
    const F64x8 k = subtract(add(multiply(x, broadcast_f64(kLog2E)), rounder), rounder);
    const F64x8 r = subtract(subtract(x, multiply(k, broadcast_f64(kLog2High))),
                             multiply(k, broadcast_f64(kLog2Low)));
    const F64x8 tail = multiply(multiply(r, r), polynomial(r, kExpTerms));
    const F64x8 mantissa = add(broadcast_f64(1), add(r, tail));
    // In two steps, since 2^k need not be a normal number.
    const F64x8 half = subtract(add(multiply(k, broadcast_f64(0.5)), rounder), rounder);
    return multiply(multiply(mantissa, power_of_two(half)), power_of_two(subtract(k, half)));
}

template <class F>
NEARMISS_ALWAYS_INLINE inline void for_eights(const double* x,
                                              std::size_t count,
                                              double* out,
                                              const F& f) {
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) store_f64(out + i, f(load_f64(x + i)));
    if (i == count) return;
    double padded[8] = {};
    for (std::size_t j = 0; i + j < count; ++j) padded[j] = x[i + j];
    store_f64(padded, f(load_f64(padded)));
    for (std::size_t j = 0; i + j < count; ++j) out[i + j] = padded[j];
}

void logarithms(const double* x, std::size_t count, double* out) {
    for_eights(x, count, out, [](F64x8 v) NEARMISS_ALWAYS_INLINE { return log_of_any(v); });
}

void exponentials(const double* x, std::size_t count, double* out) {
    for_eights(x, count, out, [](F64x8 v) NEARMISS_ALWAYS_INLINE { return exp_of_any(v); });
}

}  // namespace
