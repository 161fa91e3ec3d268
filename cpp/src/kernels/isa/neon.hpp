// SPDX-License-Identifier: Apache-2.0
// Target "neon": what every 64-bit ARM has.
#pragma once

#include "kernels/isa/neon_codes.hpp"

namespace {

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = false;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 1;
constexpr std::size_t kCodeStepsAtOnce = 1;
// How the tile of codes runs, compared with the float32 tile: four instructions either way.
constexpr float kCodeSpeed = 1;

// Four rows, each with the sums over even and over odd pairs of codes, modulo 2^16.
struct CodeSums {
    int16x8_t pairs;
};

inline CodeSums start_sums(const nearmiss::kernels::CodeStart*) { return {vdupq_n_s16(0)}; }
// sums + the four products of every row's codes with the query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes query) {
    const int16x8_t low = vmull_s8(vget_low_s8(rows.codes), vget_low_s8(query.codes));
    const int16x8_t high = vmull_high_s8(rows.codes, query.codes);
    return {vaddq_s16(sums.pairs, vpaddq_s16(low, high))};
}
inline I32 widen_sums(CodeSums sums, std::size_t) { return {vpaddlq_s16(sums.pairs)}; }

}  // namespace
