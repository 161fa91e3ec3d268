// SPDX-License-Identifier: Apache-2.0
// Target "neon_i8mm": NEON with USMMLA (Neoverse V1 and N2 2020, Apple M2, and later).
//
// It multiplies two rows by two queries, eight codes each. In memory they lie four by four, as for
// every target, so that all can use the same corpus; two steps are brought together in registers.
// (For the codes of a tile and a panel that makes 24 multiplications and 11 permutations where
// SDOT takes 48 multiplications and 8 flips of the offset's bit.)
#pragma once

#include "kernels/isa/neon_vectors.hpp"

namespace {

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = true;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 2;
constexpr std::size_t kCodeStepsAtOnce = 2;
// How the tile of codes runs, compared with the float32 tile: by the number of instructions.
constexpr float kCodeSpeed = 5;

// Of rows 0 and 1, and of rows 2 and 3: each row with the first query, then with the second.
struct CodeSums {
    int32x4_t low, high;
};
struct RowCodes {
    uint8x16_t low, high;  // 2 rows x 8 codes each, with their offset
};
struct QueryCodes {
    int8x16_t codes;  // 2 queries x 8 codes
};

inline CodeSums start_sums(const nearmiss::kernels::CodeStart* starts) {
    const int32x2_t both = vset_lane_s32(starts[1].sum, vdup_n_s32(starts[0].sum), 1);
    const int32x4_t sums = vcombine_s32(both, both);
    return {sums, sums};
}
inline RowCodes load_row_codes(const std::uint8_t* p) {
    const uint32x4_t now = vreinterpretq_u32_u8(vld1q_u8(p));
    const uint32x4_t next = vreinterpretq_u32_u8(vld1q_u8(p + nearmiss::kernels::kPanelStepBytes));
    return {vreinterpretq_u8_u32(vzip1q_u32(now, next)),
            vreinterpretq_u8_u32(vzip2q_u32(now, next))};
}
// Eight codes below eight zeros.
inline int32x4_t load_half(const std::int8_t* p) {
    return vreinterpretq_s32_s8(vcombine_s8(vld1_s8(p), vdup_n_s8(0)));
}
inline QueryCodes load_query_codes(const std::int8_t* p) {
    const int32x4_t now = load_half(p);
    const int32x4_t next = load_half(p + nearmiss::kernels::kTileStepBytes);
    return {vreinterpretq_s8_s32(vzip1q_s32(now, next))};
}
// sums + the eight products of every row's codes with each query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes queries) {
    return {vusmmlaq_s32(sums.low, rows.low, queries.codes),
            vusmmlaq_s32(sums.high, rows.high, queries.codes)};
}
// Those of the first or the second query.
inline I32 widen_sums(CodeSums sums, std::size_t query) {
    return {query == 0 ? vuzp1q_s32(sums.low, sums.high) : vuzp2q_s32(sums.low, sums.high)};
}

}  // namespace
