// SPDX-License-Identifier: Apache-2.0
// Target "avx512": AVX-512 F, BW, DQ and VL (Skylake-X 2017, Zen 4 2022, and later).
#pragma once

#include "kernels/isa/avx512_vectors.hpp"

namespace {

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = false;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 1;
constexpr std::size_t kCodeStepsAtOnce = 1;
// How the tile of codes runs, compared with the float32 tile.
constexpr float kCodeSpeed = 3;

// Sixteen rows, each with the sums over even and over odd pairs of codes, modulo 2^16.
struct CodeSums {
    __m512i pairs;
};

inline CodeSums start_sums(const nearmiss::kernels::CodeStart* start) {
    return {broadcast_four_bytes(&start->even)};
}
// sums + the four products of every row's codes with the query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes query) {
    return {_mm512_add_epi16(sums.pairs, _mm512_maddubs_epi16(rows, query))};
}
inline I32 widen_sums(CodeSums sums, std::size_t) {
    return {_mm512_madd_epi16(sums.pairs, _mm512_set1_epi16(1))};
}

// How the tile of int16 codes runs, compared with the float32 tile.
constexpr float kInt16Speed = 1.7f;

using Int16Sums = I32;  // sixteen rows

inline Int16Sums start_int16_sums(const nearmiss::kernels::CodeStart& start) {
    return broadcast_i32(start.sum);
}
// sums + the two products of every row's codes with the query's.
inline Int16Sums multiply_add_int16_codes(Int16Sums sums,
                                          Int16RowCodes rows,
                                          Int16QueryCodes query) {
    return add(sums, I32{_mm512_madd_epi16(rows, query)});
}
inline I32 int16_sums_of(Int16Sums sums) { return sums; }

// How many codes add_products takes.
constexpr std::size_t kProductCodes = 32;
// sums + the products of two vectors' codes, any of them in any lane.
inline I32 add_products(I32 sums, const std::int8_t* a, const std::int8_t* b) {
    const auto widened = [](const std::int8_t* p) NEARMISS_ALWAYS_INLINE {
        return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    };
    return add(sums, I32{_mm512_madd_epi16(widened(a), widened(b))});
}

}  // namespace
