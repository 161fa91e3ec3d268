// SPDX-License-Identifier: Apache-2.0
// Target "scalar": portable C++, the reference every other target must match bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/always_inline.hpp"

namespace {

// ---- float32 vectors of the screening tile -------------------------------------------------------
constexpr std::size_t kLanes = 4;

struct F32 {
    float lane[kLanes];
};

inline F32 zero_f32() { return {}; }

inline F32 load_f32(const float* p) {
    F32 v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = p[i];
    return v;
}

inline void store_f32(float* p, F32 v) {
    for (std::size_t i = 0; i < kLanes; ++i) p[i] = v.lane[i];
}

inline F32 broadcast_f32(const float* p) {
    F32 v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = *p;
    return v;
}

// a * b + c, with one rounding or two.
inline F32 multiply_add(F32 a, F32 b, F32 c) {
    for (std::size_t i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
}

// A lane mask: bit i is set where a <= b.
struct Mask {
    std::uint32_t bits;
};

inline Mask less_equal(F32 a, F32 b) {
    Mask m{0};
    for (std::size_t i = 0; i < kLanes; ++i) m.bits |= std::uint32_t{a.lane[i] <= b.lane[i]} << i;
    return m;
}

inline Mask less_than(F32 a, F32 b) {
    Mask m{0};
    for (std::size_t i = 0; i < kLanes; ++i) m.bits |= std::uint32_t{a.lane[i] < b.lane[i]} << i;
    return m;
}

inline Mask operator|(Mask a, Mask b) { return {a.bits | b.bits}; }
inline std::uint32_t to_bits(Mask m) { return m.bits; }

// GCC 12 takes a call that only prefetches for one without effect, and drops it.
NEARMISS_ALWAYS_INLINE inline void prefetch([[maybe_unused]] const char* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p);
#endif
}

// ---- eight float64 lanes of the score definition ---------------------------------------------------
struct F64x8 {
    double lane[8];
};

inline F64x8 zero_f64() { return {}; }

inline F64x8 add(F64x8 a, F64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] += b.lane[i];
    return a;
}

inline F64x8 subtract(F64x8 a, F64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] -= b.lane[i];
    return a;
}

inline F64x8 multiply(F64x8 a, F64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] *= b.lane[i];
    return a;
}

inline F64x8 broadcast_f64(double value) {
    F64x8 v;
    for (double& lane : v.lane) lane = value;
    return v;
}

// ((0+4)+(2+6)) + ((1+5)+(3+7))
inline double sum_lanes(F64x8 v) {
    const double* s = v.lane;
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

// Rounds each lane to float32.
inline void store_as_float(float* p, F64x8 v) {
    for (int i = 0; i < 8; ++i) p[i] = static_cast<float>(v.lane[i]);
}

// ---- element types ---------------------------------------------------------------------------------
struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

inline float from_bits(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

inline float widen(float v) { return v; }
inline float widen(BFloat16 v) { return from_bits(std::uint32_t{v.bits} << 16); }
inline float widen(std::int8_t v) { return static_cast<float>(v); }
inline float widen(std::uint8_t v) { return static_cast<float>(v); }

inline float widen(Half v) {
    const std::uint32_t sign = (v.bits & 0x8000u) << 16;
    const std::uint32_t magnitude = v.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return from_bits(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x0400u) {  // zero or subnormal: magnitude * 2^-24
        const float value = static_cast<float>(magnitude) * 0x1p-24f;
        return sign ? -value : value;
    }
    return from_bits(sign | ((magnitude << 13) + (112u << 23)));
}

template <class T>
inline F64x8 load_elements(const T* p) {
    F64x8 v;
    for (int i = 0; i < 8; ++i) v.lane[i] = static_cast<double>(widen(p[i]));
    return v;
}

}  // namespace
