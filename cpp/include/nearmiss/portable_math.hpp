// SPDX-License-Identifier: Apache-2.0
// Natural logarithm and exponential with the same bits on every machine and SIMD target: IEEE
// + - * / alone, no C library, nothing fused. Whatever decides a draw uses these.
//
// log: less than 1 unit in the last place off; -infinity for 0 and -0, NaN below zero.
// exp: at most 1.1 units off, 1.6 where the result is subnormal; 0 from -745.14 down, infinity
// from 709.79 up. Both: infinity for infinity, NaN for NaN (of which only the sign may vary).
#pragma once

#include <span>

namespace nearmiss {

// out[i] = log x[i]; as many elements, which may be the same.
void portable_log(std::span<const double> x, std::span<double> out);
void portable_exp(std::span<const double> x, std::span<double> out);

[[nodiscard]] double portable_log(double x);
[[nodiscard]] double portable_exp(double x);

}  // namespace nearmiss
