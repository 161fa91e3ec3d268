// SPDX-License-Identifier: Apache-2.0
// What the targets of x86 share: element types, eight at a time in 256 bits, and the transposition
// of packing. Needs AVX2 and F16C.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

inline __m256 load_as_floats(const Half* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline __m256 load_as_floats(const BFloat16* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline __m256 load_as_floats(const std::int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
inline __m256 load_as_floats(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

// lines[j][at + r] = block[r][j] for r, j < 8
inline void store_transposed(const float (*block)[8], float* const* lines, std::size_t at) {
    __m256 pairs[8];  // of rows r and r + 4, so that what follows stays within 128 bits
    for (std::size_t r = 0; r < 4; ++r) {
        pairs[r] = _mm256_insertf128_ps(
            _mm256_castps128_ps256(_mm_loadu_ps(block[r])), _mm_loadu_ps(block[r + 4]), 1);
        pairs[r + 4] = _mm256_insertf128_ps(
            _mm256_castps128_ps256(_mm_loadu_ps(block[r] + 4)), _mm_loadu_ps(block[r + 4] + 4), 1);
    }
    for (std::size_t half = 0; half < 8; half += 4) {
        const __m256 low01 = _mm256_unpacklo_ps(pairs[half], pairs[half + 1]);
        const __m256 high01 = _mm256_unpackhi_ps(pairs[half], pairs[half + 1]);
        const __m256 low23 = _mm256_unpacklo_ps(pairs[half + 2], pairs[half + 3]);
        const __m256 high23 = _mm256_unpackhi_ps(pairs[half + 2], pairs[half + 3]);
        _mm256_storeu_ps(lines[half] + at, _mm256_shuffle_ps(low01, low23, 0x44));
        _mm256_storeu_ps(lines[half + 1] + at, _mm256_shuffle_ps(low01, low23, 0xee));
        _mm256_storeu_ps(lines[half + 2] + at, _mm256_shuffle_ps(high01, high23, 0x44));
        _mm256_storeu_ps(lines[half + 3] + at, _mm256_shuffle_ps(high01, high23, 0xee));
    }
}

}  // namespace
