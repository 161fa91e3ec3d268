// SPDX-License-Identifier: Apache-2.0
// What the targets with NEON share: everything but the tile of codes. Part of every 64-bit ARM.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "kernels/always_inline.hpp"
#include "kernels/kernels.hpp"

namespace {

// ---- float32 vectors of the screening tile -------------------------------------------------------
constexpr std::size_t kLanes = 4;
// Panels and query tiles that meet together: one of each fills 24 of 32 registers.
constexpr std::size_t kPanelsAtOnce = 1;
constexpr std::uint32_t kTilesAtOnce = 1;
constexpr bool kBitsAreCheap = false;

// A struct, because some compilers have one type for all vectors.
struct F32 {
    float32x4_t lanes;
};

inline F32 zero_f32() { return {vdupq_n_f32(0)}; }
inline F32 load_f32(const float* p) { return {vld1q_f32(p)}; }
inline void store_f32(float* p, F32 v) { vst1q_f32(p, v.lanes); }
inline F32 broadcast_f32(const float* p) { return {vld1q_dup_f32(p)}; }
inline F32 multiply_add(F32 a, F32 b, F32 c) { return {vfmaq_f32(c.lanes, a.lanes, b.lanes)}; }

inline F32 add(F32 a, F32 b) { return {vaddq_f32(a.lanes, b.lanes)}; }
inline F32 subtract(F32 a, F32 b) { return {vsubq_f32(a.lanes, b.lanes)}; }
inline F32 multiply(F32 a, F32 b) { return {vmulq_f32(a.lanes, b.lanes)}; }
// b where either is NaN, which NEON's own minimum and maximum would return.
inline F32 minimum(F32 a, F32 b) {
    return {vbslq_f32(vcltq_f32(a.lanes, b.lanes), a.lanes, b.lanes)};
}
inline F32 maximum(F32 a, F32 b) {
    return {vbslq_f32(vcgtq_f32(a.lanes, b.lanes), a.lanes, b.lanes)};
}

struct Mask {
    uint32x4_t lanes;
};

inline Mask less_equal(F32 a, F32 b) { return {vcleq_f32(a.lanes, b.lanes)}; }
inline Mask less_than(F32 a, F32 b) { return {vcltq_f32(a.lanes, b.lanes)}; }
inline Mask operator|(Mask a, Mask b) { return {vorrq_u32(a.lanes, b.lanes)}; }
inline std::uint32_t to_bits(Mask m) {
    constexpr std::uint32_t kBits[kLanes] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(m.lanes, vld1q_u32(kBits)));
}

// ---- int32 vectors ---------------------------------------------------------------------------------
struct I32 {
    int32x4_t lanes;
};

inline I32 zero_i32() { return {vdupq_n_s32(0)}; }
inline I32 broadcast_i32(std::int32_t value) { return {vdupq_n_s32(value)}; }
inline I32 load_i32(const std::int32_t* p) { return {vld1q_s32(p)}; }
inline void store_i32(std::int32_t* p, I32 v) { vst1q_s32(p, v.lanes); }
// The bytes of every lane, lowest first.
inline void store_bytes(std::uint8_t* p, I32 v) { vst1q_u8(p, vreinterpretq_u8_s32(v.lanes)); }
inline I32 add(I32 a, I32 b) { return {vaddq_s32(a.lanes, b.lanes)}; }
inline I32 bit_and(I32 a, I32 b) { return {vandq_s32(a.lanes, b.lanes)}; }
inline I32 bit_or(I32 a, I32 b) { return {vorrq_s32(a.lanes, b.lanes)}; }
template <int kBits>
inline I32 shift_left(I32 a) {
    return {vshlq_n_s32(a.lanes, kBits)};
}
inline F32 to_f32(I32 a) { return {vcvtq_f32_s32(a.lanes)}; }
// To the nearest integer; |v| < 2^22.
inline I32 round_to_i32(F32 v) { return {vcvtnq_s32_f32(v.lanes)}; }

// ---- int16 codes -----------------------------------------------------------------------------------
// How their tile runs, compared with the float32 tile: four instructions for what that does in two.
constexpr float kInt16Speed = 0.5f;

using Int16Sums = I32;  // four rows
struct Int16RowCodes {
    int16x8_t codes;  // 4 rows x 2 codes
};
struct Int16QueryCodes {
    int16x8_t codes;  // 4 times the same 2 codes
};

inline Int16Sums start_int16_sums(const nearmiss::kernels::CodeStart&) { return zero_i32(); }
inline Int16RowCodes load_int16_row_codes(const std::uint8_t* p) {
    return {vreinterpretq_s16_u8(vld1q_u8(p))};
}
inline Int16QueryCodes broadcast_int16_query_codes(const std::int8_t* p) {
    std::int32_t two;
    __builtin_memcpy(&two, p, sizeof two);
    return {vreinterpretq_s16_s32(vdupq_n_s32(two))};
}
// sums + the two products of every row's codes with the query's.
inline Int16Sums multiply_add_int16_codes(Int16Sums sums,
                                          Int16RowCodes rows,
                                          Int16QueryCodes query) {
    const int32x4_t low = vmull_s16(vget_low_s16(rows.codes), vget_low_s16(query.codes));
    const int32x4_t high = vmull_high_s16(rows.codes, query.codes);
    return {vaddq_s32(sums.lanes, vpaddq_s32(low, high))};
}
inline I32 int16_sums_of(Int16Sums sums) { return sums; }

// GCC 12 takes a call that only prefetches for one without effect, and drops it.
NEARMISS_ALWAYS_INLINE inline void prefetch([[maybe_unused]] const char* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 0, 2);
#endif
}

// ---- eight float64 lanes of the score definition ---------------------------------------------------
struct F64x8 {
    float64x2_t at[4];  // lanes 2i and 2i + 1
};

inline F64x8 broadcast_f64(double value) {
    const float64x2_t v = vdupq_n_f64(value);
    return {{v, v, v, v}};
}
inline F64x8 zero_f64() { return broadcast_f64(0); }
inline F64x8 add(F64x8 a, F64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vaddq_f64(a.at[i], b.at[i]);
    return a;
}
inline F64x8 subtract(F64x8 a, F64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vsubq_f64(a.at[i], b.at[i]);
    return a;
}
inline F64x8 multiply(F64x8 a, F64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vmulq_f64(a.at[i], b.at[i]);
    return a;
}
// a * b + c for products that are exact in float64: fused or not makes no difference.
inline F64x8 multiply_add(F64x8 a, F64x8 b, F64x8 c) {
    for (int i = 0; i < 4; ++i) c.at[i] = vfmaq_f64(c.at[i], a.at[i], b.at[i]);
    return c;
}
inline F64x8 load_f64(const double* p) {
    return {{vld1q_f64(p), vld1q_f64(p + 2), vld1q_f64(p + 4), vld1q_f64(p + 6)}};
}
inline void store_f64(double* p, F64x8 v) {
    for (int i = 0; i < 4; ++i) vst1q_f64(p + 2 * i, v.at[i]);
}

inline double sum_lanes(F64x8 v) {
    const float64x2_t low = vaddq_f64(v.at[0], v.at[2]);   // 0+4, 1+5
    const float64x2_t high = vaddq_f64(v.at[1], v.at[3]);  // 2+6, 3+7
    const float64x2_t both = vaddq_f64(low, high);
    return vgetq_lane_f64(both, 0) + vgetq_lane_f64(both, 1);
}

inline void store_as_float(float* p, F64x8 v) {
    for (int i = 0; i < 4; ++i) vst1_f32(p + 2 * i, vcvt_f32_f64(v.at[i]));
}

// lines[i][at + r] = block[r][i] for r < 4 and the four i from j on
inline void store_transposed_4x4(const float (*block)[8],
                                 std::size_t j,
                                 float* const* lines,
                                 std::size_t at) {
    const float32x4_t a = vld1q_f32(block[0] + j);
    const float32x4_t b = vld1q_f32(block[1] + j);
    const float32x4_t c = vld1q_f32(block[2] + j);
    const float32x4_t d = vld1q_f32(block[3] + j);
    const float32x4_t even_ab = vtrn1q_f32(a, b);  // a0 b0 a2 b2
    const float32x4_t odd_ab = vtrn2q_f32(a, b);
    const float32x4_t even_cd = vtrn1q_f32(c, d);
    const float32x4_t odd_cd = vtrn2q_f32(c, d);
    vst1q_f32(lines[j] + at, vcombine_f32(vget_low_f32(even_ab), vget_low_f32(even_cd)));
    vst1q_f32(lines[j + 1] + at, vcombine_f32(vget_low_f32(odd_ab), vget_low_f32(odd_cd)));
    vst1q_f32(lines[j + 2] + at, vcombine_f32(vget_high_f32(even_ab), vget_high_f32(even_cd)));
    vst1q_f32(lines[j + 3] + at, vcombine_f32(vget_high_f32(odd_ab), vget_high_f32(odd_cd)));
}

// lines[j][at + r] = block[r][j] for r, j < 8
inline void store_transposed(const float (*block)[8], float* const* lines, std::size_t at) {
    for (std::size_t r = 0; r < 8; r += 4)
        for (std::size_t j = 0; j < 8; j += 4) store_transposed_4x4(block + r, j, lines, at + r);
}

// ---- eight 64-bit integers, and float64 arithmetic for logarithms and exponentials -----------------
struct U64x8 {
    uint64x2_t at[4];  // lanes 2i and 2i + 1
};

inline U64x8 load_u64(const std::uint64_t* p) {
    return {{vld1q_u64(p), vld1q_u64(p + 2), vld1q_u64(p + 4), vld1q_u64(p + 6)}};
}
inline void store_u64(std::uint64_t* p, U64x8 v) {
    for (int i = 0; i < 4; ++i) vst1q_u64(p + 2 * i, v.at[i]);
}
inline U64x8 broadcast_u64(std::uint64_t value) {
    const uint64x2_t v = vdupq_n_u64(value);
    return {{v, v, v, v}};
}
inline U64x8 add(U64x8 a, U64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vaddq_u64(a.at[i], b.at[i]);
    return a;
}
inline U64x8 subtract(U64x8 a, U64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vsubq_u64(a.at[i], b.at[i]);
    return a;
}
inline U64x8 bit_and(U64x8 a, U64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vandq_u64(a.at[i], b.at[i]);
    return a;
}
inline U64x8 bit_or(U64x8 a, U64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vorrq_u64(a.at[i], b.at[i]);
    return a;
}
inline U64x8 bit_xor(U64x8 a, U64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = veorq_u64(a.at[i], b.at[i]);
    return a;
}
template <int kBits>
inline U64x8 shift_left(U64x8 a) {
    for (uint64x2_t& pair : a.at) pair = vshlq_n_u64(pair, kBits);
    return a;
}
template <int kBits>
inline U64x8 shift_right(U64x8 a) {
    for (uint64x2_t& pair : a.at) pair = vshrq_n_u64(pair, kBits);
    return a;
}
// The product of the lower halves of each lane.
inline U64x8 multiply_words(U64x8 a, U64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vmull_u32(vmovn_u64(a.at[i]), vmovn_u64(b.at[i]));
    return a;
}

inline F64x8 as_f64(U64x8 a) {
    F64x8 v;
    for (int i = 0; i < 4; ++i) v.at[i] = vreinterpretq_f64_u64(a.at[i]);
    return v;
}
inline U64x8 as_u64(F64x8 a) {
    U64x8 v;
    for (int i = 0; i < 4; ++i) v.at[i] = vreinterpretq_u64_f64(a.at[i]);
    return v;
}

inline F64x8 divide(F64x8 a, F64x8 b) {
    for (int i = 0; i < 4; ++i) a.at[i] = vdivq_f64(a.at[i], b.at[i]);
    return a;
}
// b where either is NaN, which NEON's own minimum and maximum would return.
inline F64x8 minimum(F64x8 a, F64x8 b) {
    for (int i = 0; i < 4; ++i) b.at[i] = vbslq_f64(vcltq_f64(a.at[i], b.at[i]), a.at[i], b.at[i]);
    return b;
}
inline F64x8 maximum(F64x8 a, F64x8 b) {
    for (int i = 0; i < 4; ++i) b.at[i] = vbslq_f64(vcgtq_f64(a.at[i], b.at[i]), a.at[i], b.at[i]);
    return b;
}
// All bits of a lane where a < b, else none.
inline U64x8 less_than(F64x8 a, F64x8 b) {
    U64x8 v;
    for (int i = 0; i < 4; ++i) v.at[i] = vcltq_f64(a.at[i], b.at[i]);
    return v;
}
// Bit i: the highest bit of lane i.
inline std::uint32_t to_bits(U64x8 a) {
    std::uint64_t bits = 0;
    for (int i = 0; i < 4; ++i) {
        const uint64x2_t signs = vshrq_n_u64(a.at[i], 63);
        bits |= (vgetq_lane_u64(signs, 0) | vgetq_lane_u64(signs, 1) << 1) << (2 * i);
    }
    return static_cast<std::uint32_t>(bits);
}

// ---- element types ---------------------------------------------------------------------------------
struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

inline F64x8 widen_f32(float32x4_t low, float32x4_t high) {
    return {{vcvt_f64_f32(vget_low_f32(low)),
             vcvt_high_f64_f32(low),
             vcvt_f64_f32(vget_low_f32(high)),
             vcvt_high_f64_f32(high)}};
}

inline F64x8 load_elements(const double* p) { return load_f64(p); }
inline F64x8 load_elements(const float* p) { return widen_f32(vld1q_f32(p), vld1q_f32(p + 4)); }
inline F64x8 load_elements(const Half* p) {
    const uint16x8_t bits = vld1q_u16(&p->bits);
    return widen_f32(vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(bits))),
                     vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(bits))));
}
inline F64x8 load_elements(const BFloat16* p) {
    const uint16x8_t bits = vld1q_u16(&p->bits);
    return widen_f32(vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16)),
                     vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(bits), 16)));
}
inline F64x8 load_elements(const std::int8_t* p) {
    const int16x8_t wide = vmovl_s8(vld1_s8(p));
    return widen_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))),
                     vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide))));
}
inline F64x8 load_elements(const std::uint8_t* p) {
    const uint16x8_t wide = vmovl_u8(vld1_u8(p));
    return widen_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))),
                     vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide))));
}

// How many codes add_products takes.
constexpr std::size_t kProductCodes = 16;
// sums + the products of two vectors' codes, any of them in any lane. Two of 127 * 127 fit 16 bits.
inline I32 add_products(I32 sums, const std::int8_t* a, const std::int8_t* b) {
    const int8x16_t left = vld1q_s8(a);
    const int8x16_t right = vld1q_s8(b);
    const int16x8_t low = vmull_s8(vget_low_s8(left), vget_low_s8(right));
    return {vpadalq_s16(sums.lanes, vmlal_s8(low, vget_high_s8(left), vget_high_s8(right)))};
}

}  // namespace
