// SPDX-License-Identifier: Apache-2.0
// What the targets with AVX-512 (F, BW, DQ, VL) share: everything but the tile of codes.
#pragma once

// GCC 12 takes what its own intrinsics leave undefined on purpose for a mistake (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>

#include "kernels/always_inline.hpp"
#include "kernels/isa/x86_elements.hpp"
#include "kernels/kernels.hpp"

namespace {

// ---- float32 vectors of the screening tile -------------------------------------------------------
constexpr std::size_t kLanes = 16;
// Panels and query tiles that meet together: 24 accumulators of 32 registers.
constexpr std::size_t kPanelsAtOnce = 2;
constexpr std::uint32_t kTilesAtOnce = 2;
constexpr bool kBitsAreCheap = true;

using F32 = __m512;

inline F32 zero_f32() { return _mm512_setzero_ps(); }
inline F32 load_f32(const float* p) { return _mm512_loadu_ps(p); }
inline void store_f32(float* p, F32 v) { _mm512_storeu_ps(p, v); }
inline F32 broadcast_f32(const float* p) { return _mm512_set1_ps(*p); }
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }

inline F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
inline F32 subtract(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
inline F32 multiply(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
// b where either is NaN.
inline F32 minimum(F32 a, F32 b) { return _mm512_min_ps(a, b); }
inline F32 maximum(F32 a, F32 b) { return _mm512_max_ps(a, b); }

struct Mask {
    __mmask16 lanes;
};

inline Mask less_equal(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)}; }
inline Mask less_than(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)}; }
inline Mask operator|(Mask a, Mask b) { return {_mm512_kor(a.lanes, b.lanes)}; }
inline std::uint32_t to_bits(Mask m) { return m.lanes; }

// ---- int32 vectors ---------------------------------------------------------------------------------
// A struct, because __m512i is also what codes are held in.
struct I32 {
    __m512i lanes;
};

inline I32 zero_i32() { return {_mm512_setzero_si512()}; }
inline I32 broadcast_i32(std::int32_t value) { return {_mm512_set1_epi32(value)}; }
inline I32 load_i32(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_i32(std::int32_t* p, I32 v) { _mm512_storeu_si512(p, v.lanes); }
// The bytes of every lane, lowest first.
inline void store_bytes(std::uint8_t* p, I32 v) { _mm512_storeu_si512(p, v.lanes); }
inline I32 add(I32 a, I32 b) { return {_mm512_add_epi32(a.lanes, b.lanes)}; }
inline I32 bit_and(I32 a, I32 b) { return {_mm512_and_si512(a.lanes, b.lanes)}; }
inline I32 bit_or(I32 a, I32 b) { return {_mm512_or_si512(a.lanes, b.lanes)}; }
template <int kBits>
inline I32 shift_left(I32 a) {
    return {_mm512_slli_epi32(a.lanes, static_cast<unsigned>(kBits))};
}
inline F32 to_f32(I32 a) { return _mm512_cvtepi32_ps(a.lanes); }
// To the nearest integer; |v| < 2^22.
inline I32 round_to_i32(F32 v) { return {_mm512_cvtps_epi32(v)}; }

// ---- codes -----------------------------------------------------------------------------------------
using RowCodes = __m512i;         // 16 rows x 4 codes
using QueryCodes = __m512i;       // 16 times the same 4 codes
using Int16RowCodes = __m512i;    // 16 rows x 2 int16 codes
using Int16QueryCodes = __m512i;  // 16 times the same 2 int16 codes

inline __m512i broadcast_four_bytes(const void* p) {
    return _mm512_broadcastd_epi32(_mm_loadu_si32(p));
}
inline RowCodes load_row_codes(const std::uint8_t* p) { return _mm512_load_si512(p); }
inline QueryCodes load_query_codes(const std::int8_t* p) { return broadcast_four_bytes(p); }
inline Int16RowCodes load_int16_row_codes(const std::uint8_t* p) { return load_row_codes(p); }
inline Int16QueryCodes broadcast_int16_query_codes(const std::int8_t* p) {
    return broadcast_four_bytes(p);
}

// GCC 12 takes a call that only prefetches for one without effect, and drops it.
NEARMISS_ALWAYS_INLINE inline void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }

// ---- eight float64 lanes of the score definition ---------------------------------------------------
struct F64x8 {
    __m512d lanes;
};

inline F64x8 zero_f64() { return {_mm512_setzero_pd()}; }
inline F64x8 add(F64x8 a, F64x8 b) { return {_mm512_add_pd(a.lanes, b.lanes)}; }
inline F64x8 subtract(F64x8 a, F64x8 b) { return {_mm512_sub_pd(a.lanes, b.lanes)}; }
inline F64x8 multiply(F64x8 a, F64x8 b) { return {_mm512_mul_pd(a.lanes, b.lanes)}; }
// a * b + c for products that are exact in float64: fused or not makes no difference.
inline F64x8 multiply_add(F64x8 a, F64x8 b, F64x8 c) {
    return {_mm512_fmadd_pd(a.lanes, b.lanes, c.lanes)};
}
inline F64x8 load_f64(const double* p) { return {_mm512_loadu_pd(p)}; }
inline void store_f64(double* p, F64x8 v) { _mm512_storeu_pd(p, v.lanes); }
inline F64x8 broadcast_f64(double value) { return {_mm512_set1_pd(value)}; }

inline double sum_lanes(F64x8 v) {
    const __m256d fours =  // 0+4, 1+5, 2+6, 3+7
        _mm256_add_pd(_mm512_castpd512_pd256(v.lanes), _mm512_extractf64x4_pd(v.lanes, 1));
    const __m128d twos = _mm_add_pd(_mm256_castpd256_pd128(fours), _mm256_extractf128_pd(fours, 1));
    return _mm_cvtsd_f64(twos) + _mm_cvtsd_f64(_mm_unpackhi_pd(twos, twos));
}

inline void store_as_float(float* p, F64x8 v) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(v.lanes)); }

// ---- eight 64-bit integers, and float64 arithmetic for logarithms and exponentials -----------------
struct U64x8 {
    __m512i lanes;
};

inline U64x8 load_u64(const std::uint64_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_u64(std::uint64_t* p, U64x8 v) { _mm512_storeu_si512(p, v.lanes); }
inline U64x8 broadcast_u64(std::uint64_t value) {
    return {_mm512_set1_epi64(static_cast<long long>(value))};
}
inline U64x8 add(U64x8 a, U64x8 b) { return {_mm512_add_epi64(a.lanes, b.lanes)}; }
inline U64x8 subtract(U64x8 a, U64x8 b) { return {_mm512_sub_epi64(a.lanes, b.lanes)}; }
inline U64x8 bit_and(U64x8 a, U64x8 b) { return {_mm512_and_si512(a.lanes, b.lanes)}; }
inline U64x8 bit_or(U64x8 a, U64x8 b) { return {_mm512_or_si512(a.lanes, b.lanes)}; }
inline U64x8 bit_xor(U64x8 a, U64x8 b) { return {_mm512_xor_si512(a.lanes, b.lanes)}; }
template <int kBits>
inline U64x8 shift_left(U64x8 a) {
    return {_mm512_slli_epi64(a.lanes, static_cast<unsigned>(kBits))};
}
template <int kBits>
inline U64x8 shift_right(U64x8 a) {
    return {_mm512_srli_epi64(a.lanes, static_cast<unsigned>(kBits))};
}
// The product of the lower halves of each lane.
inline U64x8 multiply_words(U64x8 a, U64x8 b) { return {_mm512_mul_epu32(a.lanes, b.lanes)}; }

inline F64x8 as_f64(U64x8 a) { return {_mm512_castsi512_pd(a.lanes)}; }
inline U64x8 as_u64(F64x8 a) { return {_mm512_castpd_si512(a.lanes)}; }

inline F64x8 divide(F64x8 a, F64x8 b) { return {_mm512_div_pd(a.lanes, b.lanes)}; }
// b where either is NaN.
inline F64x8 minimum(F64x8 a, F64x8 b) { return {_mm512_min_pd(a.lanes, b.lanes)}; }
inline F64x8 maximum(F64x8 a, F64x8 b) { return {_mm512_max_pd(a.lanes, b.lanes)}; }
// All bits of a lane where a < b, else none.
inline U64x8 less_than(F64x8 a, F64x8 b) {
    return {_mm512_movm_epi64(_mm512_cmp_pd_mask(a.lanes, b.lanes, _CMP_LT_OQ))};
}
// Bit i: the highest bit of lane i.
inline std::uint32_t to_bits(U64x8 a) { return _mm512_movepi64_mask(a.lanes); }

inline F64x8 load_elements(const double* p) { return load_f64(p); }
inline F64x8 load_elements(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
template <class T>
inline F64x8 load_elements(const T* p) {
    return {_mm512_cvtps_pd(load_as_floats(p))};
}

}  // namespace
