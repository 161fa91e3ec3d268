// SPDX-License-Identifier: Apache-2.0
// Codes as the targets "neon" and "neon_dotprod" multiply them: of one query at a time, all signed.
#pragma once

#include "kernels/isa/neon_vectors.hpp"

namespace {

struct RowCodes {
    int8x16_t codes;  // 4 rows x 4 codes, without their offset
};
struct QueryCodes {
    int8x16_t codes;  // 4 times the same 4 codes
};

// Flipping the highest bit takes the offset off, so there is nothing to undo at the start.
inline RowCodes load_row_codes(const std::uint8_t* p) {
    static_assert(nearmiss::kernels::kCodeOffset == 0x80);
    return {vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)))};
}
inline QueryCodes load_query_codes(const std::int8_t* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return {vreinterpretq_s8_s32(vdupq_n_s32(four))};
}

}  // namespace
