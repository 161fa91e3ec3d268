// SPDX-License-Identifier: Apache-2.0
// Target "avx2": AVX2, FMA and F16C (Haswell 2013, Zen 2017, and later).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/always_inline.hpp"
#include "kernels/isa/x86_elements.hpp"
#include "kernels/kernels.hpp"

namespace {

// ---- float32 vectors of the screening tile -------------------------------------------------------
constexpr std::size_t kLanes = 8;
// Panels and query tiles that meet together.
constexpr std::size_t kPanelsAtOnce = 1;
constexpr std::uint32_t kTilesAtOnce = 1;
constexpr bool kBitsAreCheap = true;

using F32 = __m256;

inline F32 zero_f32() { return _mm256_setzero_ps(); }
inline F32 load_f32(const float* p) { return _mm256_loadu_ps(p); }
inline void store_f32(float* p, F32 v) { _mm256_storeu_ps(p, v); }
inline F32 broadcast_f32(const float* p) { return _mm256_broadcast_ss(p); }
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }

inline F32 add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
inline F32 subtract(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
inline F32 multiply(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
// b where either is NaN.
inline F32 minimum(F32 a, F32 b) { return _mm256_min_ps(a, b); }
inline F32 maximum(F32 a, F32 b) { return _mm256_max_ps(a, b); }

struct Mask {
    __m256 lanes;
};

inline Mask less_equal(F32 a, F32 b) { return {_mm256_cmp_ps(a, b, _CMP_LE_OQ)}; }
inline Mask less_than(F32 a, F32 b) { return {_mm256_cmp_ps(a, b, _CMP_LT_OQ)}; }
inline Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.lanes, b.lanes)}; }
inline std::uint32_t to_bits(Mask m) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(m.lanes));
}

// ---- int32 vectors and int8 codes -----------------------------------------------------------------
// A struct, because __m256i is also what codes are held in.
struct I32 {
    __m256i lanes;
};

inline I32 zero_i32() { return {_mm256_setzero_si256()}; }
inline I32 broadcast_i32(std::int32_t value) { return {_mm256_set1_epi32(value)}; }
inline I32 load_i32(const std::int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline void store_i32(std::int32_t* p, I32 v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.lanes);
}
// The bytes of every lane, lowest first.
inline void store_bytes(std::uint8_t* p, I32 v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.lanes);
}
inline I32 add(I32 a, I32 b) { return {_mm256_add_epi32(a.lanes, b.lanes)}; }
inline I32 bit_and(I32 a, I32 b) { return {_mm256_and_si256(a.lanes, b.lanes)}; }
inline I32 bit_or(I32 a, I32 b) { return {_mm256_or_si256(a.lanes, b.lanes)}; }
template <int kBits>
inline I32 shift_left(I32 a) {
    return {_mm256_slli_epi32(a.lanes, kBits)};
}
inline F32 to_f32(I32 a) { return _mm256_cvtepi32_ps(a.lanes); }
// To the nearest integer; |v| < 2^22.
inline I32 round_to_i32(F32 v) { return {_mm256_cvtps_epi32(v)}; }

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = false;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 1;
constexpr std::size_t kCodeStepsAtOnce = 1;
// How the tile of codes runs, compared with the float32 tile.
constexpr float kCodeSpeed = 3;

// Eight rows, each with the sums over even and over odd pairs of codes, modulo 2^16.
struct CodeSums {
    __m256i pairs;
};
using RowCodes = __m256i;    // 8 rows x 4 codes
using QueryCodes = __m256i;  // 8 times the same 4 codes

inline __m256i broadcast_four_bytes(const void* p) {
    return _mm256_broadcastd_epi32(_mm_loadu_si32(p));
}
inline CodeSums start_sums(const nearmiss::kernels::CodeStart* start) {
    return {broadcast_four_bytes(&start->even)};
}
inline RowCodes load_row_codes(const std::uint8_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
inline QueryCodes load_query_codes(const std::int8_t* p) { return broadcast_four_bytes(p); }
// sums + the four products of every row's codes with the query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes query) {
    return {_mm256_add_epi16(sums.pairs, _mm256_maddubs_epi16(rows, query))};
}
inline I32 widen_sums(CodeSums sums, std::size_t) {
    return {_mm256_madd_epi16(sums.pairs, _mm256_set1_epi16(1))};
}

// How the tile of int16 codes runs, compared with the float32 tile (Zen 5).
constexpr float kInt16Speed = 1.6f;

// Eight rows. GCC 12 copies such sums, some through memory, unless their type is the addition's.
#if defined(__GNUC__)
struct Int16Sums {
    __v8su lanes;
};
inline Int16Sums from_i32(__m256i lanes) { return {reinterpret_cast<__v8su>(lanes)}; }
inline __m256i to_i32(Int16Sums sums) { return reinterpret_cast<__m256i>(sums.lanes); }
#else
struct Int16Sums {
    __m256i lanes;
};
inline Int16Sums from_i32(__m256i lanes) { return {lanes}; }
inline __m256i to_i32(Int16Sums sums) { return sums.lanes; }
#endif
using Int16RowCodes = __m256i;    // 8 rows x 2 codes
using Int16QueryCodes = __m256i;  // 8 times the same 2 codes

inline Int16Sums start_int16_sums(const nearmiss::kernels::CodeStart& start) {
    return from_i32(_mm256_set1_epi32(start.sum));
}
inline Int16RowCodes load_int16_row_codes(const std::uint8_t* p) { return load_row_codes(p); }
inline Int16QueryCodes broadcast_int16_query_codes(const std::int8_t* p) {
    return broadcast_four_bytes(p);
}
// sums + the two products of every row's codes with the query's.
inline Int16Sums multiply_add_int16_codes(Int16Sums sums,
                                          Int16RowCodes rows,
                                          Int16QueryCodes query) {
    return from_i32(_mm256_add_epi32(to_i32(sums), _mm256_madd_epi16(rows, query)));
}
inline I32 int16_sums_of(Int16Sums sums) { return {to_i32(sums)}; }

// GCC 12 takes a call that only prefetches for one without effect, and drops it.
NEARMISS_ALWAYS_INLINE inline void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }

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
// a * b + c for products that are exact in float64: fused or not makes no difference.
inline F64x8 multiply_add(F64x8 a, F64x8 b, F64x8 c) {
    return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
inline F64x8 load_f64(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
inline F64x8 load_elements(const double* p) { return load_f64(p); }
inline void store_f64(double* p, F64x8 v) {
    _mm256_storeu_pd(p, v.low);
    _mm256_storeu_pd(p + 4, v.high);
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

// ---- eight 64-bit integers, and float64 arithmetic for logarithms and exponentials -----------------
struct U64x8 {
    __m256i low;   // lanes 0 to 3
    __m256i high;  // lanes 4 to 7
};

inline U64x8 load_u64(const std::uint64_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 4))};
}
inline void store_u64(std::uint64_t* p, U64x8 v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 4), v.high);
}
inline U64x8 broadcast_u64(std::uint64_t value) {
    const __m256i v = _mm256_set1_epi64x(static_cast<long long>(value));
    return {v, v};
}
inline U64x8 add(U64x8 a, U64x8 b) {
    return {_mm256_add_epi64(a.low, b.low), _mm256_add_epi64(a.high, b.high)};
}
inline U64x8 subtract(U64x8 a, U64x8 b) {
    return {_mm256_sub_epi64(a.low, b.low), _mm256_sub_epi64(a.high, b.high)};
}
inline U64x8 bit_and(U64x8 a, U64x8 b) {
    return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
inline U64x8 bit_or(U64x8 a, U64x8 b) {
    return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
inline U64x8 bit_xor(U64x8 a, U64x8 b) {
    return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
template <int kBits>
inline U64x8 shift_left(U64x8 a) {
    return {_mm256_slli_epi64(a.low, kBits), _mm256_slli_epi64(a.high, kBits)};
}
template <int kBits>
inline U64x8 shift_right(U64x8 a) {
    return {_mm256_srli_epi64(a.low, kBits), _mm256_srli_epi64(a.high, kBits)};
}
// The product of the lower halves of each lane.
inline U64x8 multiply_words(U64x8 a, U64x8 b) {
    return {_mm256_mul_epu32(a.low, b.low), _mm256_mul_epu32(a.high, b.high)};
}

inline F64x8 as_f64(U64x8 a) { return {_mm256_castsi256_pd(a.low), _mm256_castsi256_pd(a.high)}; }
inline U64x8 as_u64(F64x8 a) { return {_mm256_castpd_si256(a.low), _mm256_castpd_si256(a.high)}; }

inline F64x8 divide(F64x8 a, F64x8 b) {
    return {_mm256_div_pd(a.low, b.low), _mm256_div_pd(a.high, b.high)};
}
// b where either is NaN.
inline F64x8 minimum(F64x8 a, F64x8 b) {
    return {_mm256_min_pd(a.low, b.low), _mm256_min_pd(a.high, b.high)};
}
inline F64x8 maximum(F64x8 a, F64x8 b) {
    return {_mm256_max_pd(a.low, b.low), _mm256_max_pd(a.high, b.high)};
}
// All bits of a lane where a < b, else none.
inline U64x8 less_than(F64x8 a, F64x8 b) {
    return as_u64(
        F64x8{_mm256_cmp_pd(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_pd(a.high, b.high, _CMP_LT_OQ)});
}
// Bit i: the highest bit of lane i.
inline std::uint32_t to_bits(U64x8 a) {
    const F64x8 signs = as_f64(a);
    return static_cast<std::uint32_t>(_mm256_movemask_pd(signs.low) | _mm256_movemask_pd(signs.high)
                                                                          << 4);
}

// ---- element types ---------------------------------------------------------------------------------
inline F64x8 load_elements(const float* p) {
    return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
}
template <class T>
inline F64x8 load_elements(const T* p) {
    const __m256 v = load_as_floats(p);
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)),
            _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}

// How many codes add_products takes.
constexpr std::size_t kProductCodes = 16;
// sums + the products of two vectors' codes, any of them in any lane.
inline I32 add_products(I32 sums, const std::int8_t* a, const std::int8_t* b) {
    const auto widened = [](const std::int8_t* p) NEARMISS_ALWAYS_INLINE {
        return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    };
    return add(sums, I32{_mm256_madd_epi16(widened(a), widened(b))});
}

}  // namespace
