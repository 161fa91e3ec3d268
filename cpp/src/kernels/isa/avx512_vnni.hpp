// SPDX-License-Identifier: Apache-2.0
// Target "avx512_vnni": AVX-512 with VPDPBUSD (Cascade Lake 2019, Zen 4 2022, and later).
#pragma once

#include "kernels/isa/avx512_vectors.hpp"

namespace {

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = true;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 1;
constexpr std::size_t kCodeStepsAtOnce = 1;
// How the tile of codes runs, compared with the float32 tile.
constexpr float kCodeSpeed = 4;

// Sixteen rows. GCC 12 keeps such sums twice, and spills, unless their type is the instruction's.
#if defined(__GNUC__)
struct CodeSums {
    __v16si lanes;
};
inline CodeSums from_i32(__m512i lanes) { return {reinterpret_cast<__v16si>(lanes)}; }
inline __m512i to_i32(CodeSums sums) { return reinterpret_cast<__m512i>(sums.lanes); }
#else
struct CodeSums {
    __m512i lanes;
};
inline CodeSums from_i32(__m512i lanes) { return {lanes}; }
inline __m512i to_i32(CodeSums sums) { return sums.lanes; }
#endif

inline CodeSums start_sums(const nearmiss::kernels::CodeStart* start) {
    return from_i32(_mm512_set1_epi32(start->sum));
}
// sums + the four products of every row's codes with the query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes query) {
    return from_i32(_mm512_dpbusd_epi32(to_i32(sums), rows, query));
}
inline I32 widen_sums(CodeSums sums, std::size_t) { return {to_i32(sums)}; }

// How the tile of int16 codes runs, compared with the float32 tile.
constexpr float kInt16Speed = 2;

using Int16Sums = CodeSums;  // sixteen rows

inline Int16Sums start_int16_sums(const nearmiss::kernels::CodeStart& start) {
    return start_sums(&start);
}
// sums + the two products of every row's codes with the query's.
inline Int16Sums multiply_add_int16_codes(Int16Sums sums,
                                          Int16RowCodes rows,
                                          Int16QueryCodes query) {
    return from_i32(_mm512_dpwssd_epi32(to_i32(sums), rows, query));
}
inline I32 int16_sums_of(Int16Sums sums) { return {to_i32(sums)}; }

// How many codes add_products takes.
constexpr std::size_t kProductCodes = 64;
// sums + the products of two vectors' codes, any of them in any lane. One is taken as unsigned.
inline I32 add_products(I32 sums, const std::int8_t* a, const std::int8_t* b) {
    const __m512i offset = _mm512_set1_epi8(-128);
    const __m512i other = _mm512_loadu_si512(b);
    const __m512i above = _mm512_xor_si512(_mm512_loadu_si512(a), offset);
    const __m512i excess = _mm512_dpbusd_epi32(_mm512_setzero_si512(), offset, other);
    return {_mm512_sub_epi32(_mm512_dpbusd_epi32(sums.lanes, above, other), excess)};
}

}  // namespace
