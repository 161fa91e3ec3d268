// SPDX-License-Identifier: Apache-2.0
// Target "neon_dotprod": NEON with SDOT (Cortex-A76 and Neoverse N1 2019, Apple M1, and later).
#pragma once

#include "kernels/isa/neon_codes.hpp"

namespace {

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = true;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 1;
constexpr std::size_t kCodeStepsAtOnce = 1;
// How the tile of codes runs, compared with the float32 tile.
constexpr float kCodeSpeed = 3.5f;

using CodeSums = I32;  // four rows

inline CodeSums start_sums(const nearmiss::kernels::CodeStart*) { return zero_i32(); }
// sums + the four products of every row's codes with the query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes query) {
    return {vdotq_s32(sums.lanes, rows.codes, query.codes)};
}
inline I32 widen_sums(CodeSums sums, std::size_t) { return sums; }

}  // namespace
