// SPDX-License-Identifier: Apache-2.0
// The numbers that define the portable logarithm and exponential. They are computed in two ways
// with the same bits: one by one in choose/portable_math.hpp, eight at a time in
// generic/logarithms.hpp.
#pragma once

namespace nearmiss::kernels {

// log 2 in two parts: the first has 31 bits, so that its product with an exponent is exact.
inline constexpr double kLog2High = 0x1.62e42feep-1;
inline constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
inline constexpr double kLog2E = 0x1.71547652b82fep+0;  // 1 / log 2

// Adding it to |x| < 2^51 rounds x to an integer, which is then in the lowest bits.
inline constexpr double kRounder = 0x1.8p+52;
// Adding it to an integer k in [-1023, 2^52) leaves k + 1023, an exponent, in the lowest bits.
inline constexpr double kExponentMaker = 0x1p+52 + 1023;

// (2 artanh(s) / s - 2) / s^2 as a polynomial in s^2, for s^2 <= ((√2 - 1) / (√2 + 1))^2: off by
// less than 5e-16 of itself (interpolated in Chebyshev's nodes).
inline constexpr double kLogTerms[] = {
    0x1.5555555555558p-1,
    0x1.99999999952d7p-2,
    0x1.2492492df281ap-2,
    0x1.c71c62e3f11e6p-3,
    0x1.7462b51cb66b1p-3,
    0x1.39fe51a7c18f9p-3,
    0x1.2b5900de53b32p-3,
};

// (e^r - 1 - r) / r^2 as a polynomial in r, for |r| <= log(2) / 2: off by less than 4e-19 of e^r
// (interpolated in Chebyshev's nodes).
inline constexpr double kExpTerms[] = {
    0x1.0000000000000p-1,
    0x1.5555555555557p-3,
    0x1.5555555555556p-5,
    0x1.11111111100dcp-7,
    0x1.6c16c16c162d4p-10,
    0x1.a01a01abe7fe1p-13,
    0x1.a01a01a6d889cp-16,
    0x1.71de0231960ebp-19,
    0x1.27e4db646b17ep-22,
    0x1.af4de97ca4194p-26,
    0x1.1f730349868cep-29,
};

}  // namespace nearmiss::kernels
