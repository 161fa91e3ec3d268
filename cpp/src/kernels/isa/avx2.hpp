// SPDX-License-Identifier: Apache-2.0
// Target "avx2": AVX2, FMA and F16C (Haswell 2013, Zen 2017, and later).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/always_inline.hpp"

namespace {

// ---- float32 vectors of the screening tile -------------------------------------------------------
constexpr std::size_t kLanes = 8;

using F32 = __m256;

inline F32 zero_f32() { return _mm256_setzero_ps(); }
inline F32 load_f32(const float* p) { return _mm256_loadu_ps(p); }
inline void store_f32(float* p, F32 v) { _mm256_storeu_ps(p, v); }
inline F32 broadcast_f32(const float* p) { return _mm256_broadcast_ss(p); }
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }

struct Mask {
    __m256 lanes;
};

inline Mask less_equal(F32 a, F32 b) { return {_mm256_cmp_ps(a, b, _CMP_LE_OQ)}; }
inline Mask less_than(F32 a, F32 b) { return {_mm256_cmp_ps(a, b, _CMP_LT_OQ)}; }
inline Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.lanes, b.lanes)}; }
inline std::uint32_t to_bits(Mask m) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(m.lanes));
}

// GCC 12 takes a call that only prefetches for one without effect, and drops it.
NEARMISS_ALWAYS_INLINE inline void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T0); }

// ---- eight float64 lanes of the score definition ---------------------------------------------------
struct F64x8 {
    __m256d low;   // lanes 0 to 3
    __m256d high;  // lanes 4 to 7
};

inline F64x8 zero_f64() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
inline F64x8 add(F64x8 a, F64x8 b) {
    return {_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}
inline F64x8 subtract(F64x8 a, F64x8 b) {
    return {_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)};
}
inline F64x8 multiply(F64x8 a, F64x8 b) {
    return {_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)};
}
inline F64x8 broadcast_f64(double value) { return {_mm256_set1_pd(value), _mm256_set1_pd(value)}; }

inline double sum_lanes(F64x8 v) {
    const __m256d fours = _mm256_add_pd(v.low, v.high);  // 0+4, 1+5, 2+6, 3+7
    const __m128d twos = _mm_add_pd(_mm256_castpd256_pd128(fours), _mm256_extractf128_pd(fours, 1));
    return _mm_cvtsd_f64(twos) + _mm_cvtsd_f64(_mm_unpackhi_pd(twos, twos));
}

inline void store_as_float(float* p, F64x8 v) {
    _mm_storeu_ps(p, _mm256_cvtpd_ps(v.low));
    _mm_storeu_ps(p + 4, _mm256_cvtpd_ps(v.high));
}

// ---- element types ---------------------------------------------------------------------------------
struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

inline F64x8 widen_f32(__m256 v) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)),
            _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}

inline F64x8 load_elements(const float* p) {
    return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
}
inline F64x8 load_elements(const Half* p) {
    return widen_f32(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline F64x8 load_elements(const BFloat16* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return widen_f32(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)));
}
inline F64x8 load_elements(const std::int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return widen_f32(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
}
inline F64x8 load_elements(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return widen_f32(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)));
}

}  // namespace
