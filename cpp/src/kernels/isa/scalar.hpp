// SPDX-License-Identifier: Apache-2.0
// Target "scalar": portable C++, the reference every other target must match bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/always_inline.hpp"
#include "kernels/kernels.hpp"

namespace {

// ---- float32 vectors of the screening tile -------------------------------------------------------
constexpr std::size_t kLanes = 4;
// Panels and query tiles that meet together.
constexpr std::size_t kPanelsAtOnce = 1;
constexpr std::uint32_t kTilesAtOnce = 1;
constexpr bool kBitsAreCheap = false;

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

inline F32 add(F32 a, F32 b) {
    for (std::size_t i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
    return a;
}
inline F32 subtract(F32 a, F32 b) {
    for (std::size_t i = 0; i < kLanes; ++i) a.lane[i] -= b.lane[i];
    return a;
}
inline F32 multiply(F32 a, F32 b) {
    for (std::size_t i = 0; i < kLanes; ++i) a.lane[i] *= b.lane[i];
    return a;
}
// b where either is NaN.
inline F32 minimum(F32 a, F32 b) {
    for (std::size_t i = 0; i < kLanes; ++i)
        b.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return b;
}
inline F32 maximum(F32 a, F32 b) {
    for (std::size_t i = 0; i < kLanes; ++i)
        b.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return b;
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

// ---- int32 vectors and int8 codes -----------------------------------------------------------------
struct I32 {
    std::int32_t lane[kLanes];
};

inline I32 zero_i32() { return {}; }
inline I32 broadcast_i32(std::int32_t value) {
    I32 v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = value;
    return v;
}
inline I32 load_i32(const std::int32_t* p) {
    I32 v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = p[i];
    return v;
}
inline void store_i32(std::int32_t* p, I32 v) {
    for (std::size_t i = 0; i < kLanes; ++i) p[i] = v.lane[i];
}
// The bytes of every lane, lowest first.
inline void store_bytes(std::uint8_t* p, I32 v) {
    for (std::size_t i = 0; i < kLanes; ++i)
        for (std::size_t j = 0; j < 4; ++j)
            p[4 * i + j] =
                static_cast<std::uint8_t>(static_cast<std::uint32_t>(v.lane[i]) >> (8 * j));
}
inline I32 add(I32 a, I32 b) {
    for (std::size_t i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
    return a;
}
inline I32 bit_and(I32 a, I32 b) {
    for (std::size_t i = 0; i < kLanes; ++i) a.lane[i] &= b.lane[i];
    return a;
}
inline I32 bit_or(I32 a, I32 b) {
    for (std::size_t i = 0; i < kLanes; ++i) a.lane[i] |= b.lane[i];
    return a;
}
template <int kBits>
inline I32 shift_left(I32 a) {
    for (std::size_t i = 0; i < kLanes; ++i)
        a.lane[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) << kBits);
    return a;
}
inline F32 to_f32(I32 a) {
    F32 v;
    for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = static_cast<float>(a.lane[i]);
    return v;
}
// To the nearest integer; |v| < 2^22.
inline I32 round_to_i32(F32 v) {
    I32 r;
    // Adding 1.5 * 2^23 leaves no bits for a fraction.
    for (std::size_t i = 0; i < kLanes; ++i)
        r.lane[i] = static_cast<std::int32_t>((v.lane[i] + 12582912.0f) - 12582912.0f);
    return r;
}

// Whether CodeSums hold 32 bits.
constexpr bool kCodeSumsAreWide = true;
// Of how many queries CodeSums are, and how many steps they take at a time.
constexpr std::size_t kCodeQueries = 1;
constexpr std::size_t kCodeStepsAtOnce = 1;
// How the tile of codes runs, compared with the float32 tile.
constexpr float kCodeSpeed = 1;

using CodeSums = I32;  // kLanes rows

struct RowCodes {
    std::uint8_t at[kLanes][4];
};
struct QueryCodes {
    std::int8_t at[4];
};

inline CodeSums start_sums(const nearmiss::kernels::CodeStart* start) {
    return broadcast_i32(start->sum);
}
inline RowCodes load_row_codes(const std::uint8_t* p) {
    RowCodes codes;
    for (std::size_t i = 0; i < kLanes; ++i)
        for (std::size_t j = 0; j < 4; ++j) codes.at[i][j] = p[4 * i + j];
    return codes;
}
inline QueryCodes load_query_codes(const std::int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
// sums + the four products of every row's codes with the query's.
inline CodeSums multiply_add_codes(CodeSums sums, RowCodes rows, QueryCodes query) {
    for (std::size_t i = 0; i < kLanes; ++i)
        for (std::size_t j = 0; j < 4; ++j)
            sums.lane[i] += static_cast<std::int32_t>(rows.at[i][j]) * query.at[j];
    return sums;
}
inline I32 widen_sums(CodeSums sums, std::size_t) { return sums; }

// How the tile of int16 codes runs, compared with the float32 tile.
constexpr float kInt16Speed = 1;

using Int16Sums = I32;  // kLanes rows

struct Int16RowCodes {
    std::int16_t at[kLanes][2];
};
struct Int16QueryCodes {
    std::int16_t at[2];
};

// Lowest byte first, as store_bytes() wrote it.
inline std::int16_t load_i16(const std::uint8_t* p) {
    return static_cast<std::int16_t>(static_cast<std::uint16_t>(p[0] | p[1] << 8));
}
inline Int16Sums start_int16_sums(const nearmiss::kernels::CodeStart& start) {
    return broadcast_i32(start.sum);
}
inline Int16RowCodes load_int16_row_codes(const std::uint8_t* p) {
    Int16RowCodes codes;
    for (std::size_t i = 0; i < kLanes; ++i)
        for (std::size_t j = 0; j < 2; ++j) codes.at[i][j] = load_i16(p + 4 * i + 2 * j);
    return codes;
}
inline Int16QueryCodes broadcast_int16_query_codes(const std::int8_t* p) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(p);
    return {{load_i16(bytes), load_i16(bytes + 2)}};
}
// sums + the two products of every row's codes with the query's.
inline Int16Sums multiply_add_int16_codes(Int16Sums sums,
                                          Int16RowCodes rows,
                                          Int16QueryCodes query) {
    for (std::size_t i = 0; i < kLanes; ++i)
        for (std::size_t j = 0; j < 2; ++j)
            sums.lane[i] += static_cast<std::int32_t>(rows.at[i][j]) * query.at[j];
    return sums;
}
inline I32 int16_sums_of(Int16Sums sums) { return sums; }

// Into the L2 cache, which keeps track of more lines at once than L1 does. (Zen 4: rows from all
// over memory take 0.75 of the time that fetching into L1 takes, a single query's search 0.65.)
//
// GCC 12 takes a call that only prefetches for one without effect, and drops it.
NEARMISS_ALWAYS_INLINE inline void prefetch([[maybe_unused]] const char* p) {
#if defined(__GNUC__)
    constexpr int kToRead = 0;
    constexpr int kL2 = 2;
    __builtin_prefetch(p, kToRead, kL2);
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

// a * b + c for products that are exact in float64: fused or not makes no difference.
inline F64x8 multiply_add(F64x8 a, F64x8 b, F64x8 c) { return add(c, multiply(a, b)); }
inline F64x8 load_f64(const double* p) {
    F64x8 v;
    for (std::size_t i = 0; i < 8; ++i) v.lane[i] = p[i];
    return v;
}
inline void store_f64(double* p, F64x8 v) {
    for (std::size_t i = 0; i < 8; ++i) p[i] = v.lane[i];
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

// lines[j][at + r] = block[r][j] for r, j < 8
inline void store_transposed(const float (*block)[8], float* const* lines, std::size_t at) {
    for (std::size_t j = 0; j < 8; ++j)
        for (std::size_t r = 0; r < 8; ++r) lines[j][at + r] = block[r][j];
}

// ---- eight 64-bit integers, and float64 arithmetic for logarithms and exponentials -----------------
struct U64x8 {
    std::uint64_t lane[8];
};

inline U64x8 load_u64(const std::uint64_t* p) {
    U64x8 v;
    for (std::size_t i = 0; i < 8; ++i) v.lane[i] = p[i];
    return v;
}
inline void store_u64(std::uint64_t* p, U64x8 v) {
    for (std::size_t i = 0; i < 8; ++i) p[i] = v.lane[i];
}
inline U64x8 broadcast_u64(std::uint64_t value) {
    U64x8 v;
    for (std::uint64_t& lane : v.lane) lane = value;
    return v;
}
inline U64x8 add(U64x8 a, U64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] += b.lane[i];
    return a;
}
inline U64x8 subtract(U64x8 a, U64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] -= b.lane[i];
    return a;
}
inline U64x8 bit_and(U64x8 a, U64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] &= b.lane[i];
    return a;
}
inline U64x8 bit_or(U64x8 a, U64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] |= b.lane[i];
    return a;
}
inline U64x8 bit_xor(U64x8 a, U64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] ^= b.lane[i];
    return a;
}
template <int kBits>
inline U64x8 shift_left(U64x8 a) {
    for (std::uint64_t& lane : a.lane) lane <<= kBits;
    return a;
}
template <int kBits>
inline U64x8 shift_right(U64x8 a) {
    for (std::uint64_t& lane : a.lane) lane >>= kBits;
    return a;
}
// The product of the lower halves of each lane.
inline U64x8 multiply_words(U64x8 a, U64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] = (a.lane[i] & 0xffffffffu) * (b.lane[i] & 0xffffffffu);
    return a;
}

// Lane by lane: where a whole struct is cast, GCC 12 for ARM moves reads of its memory before the
// writes.
inline F64x8 as_f64(U64x8 a) {
    F64x8 v;
    for (int i = 0; i < 8; ++i) v.lane[i] = __builtin_bit_cast(double, a.lane[i]);
    return v;
}
inline U64x8 as_u64(F64x8 a) {
    U64x8 v;
    for (int i = 0; i < 8; ++i) v.lane[i] = __builtin_bit_cast(std::uint64_t, a.lane[i]);
    return v;
}

inline F64x8 divide(F64x8 a, F64x8 b) {
    for (int i = 0; i < 8; ++i) a.lane[i] /= b.lane[i];
    return a;
}
// b where either is NaN.
inline F64x8 minimum(F64x8 a, F64x8 b) {
    for (int i = 0; i < 8; ++i) b.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return b;
}
inline F64x8 maximum(F64x8 a, F64x8 b) {
    for (int i = 0; i < 8; ++i) b.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return b;
}
// All bits of a lane where a < b, else none.
inline U64x8 less_than(F64x8 a, F64x8 b) {
    U64x8 v;
    for (int i = 0; i < 8; ++i) v.lane[i] = a.lane[i] < b.lane[i] ? ~std::uint64_t{0} : 0;
    return v;
}
// Bit i: the highest bit of lane i.
inline std::uint32_t to_bits(U64x8 a) {
    std::uint32_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= static_cast<std::uint32_t>(a.lane[i] >> 63) << i;
    return bits;
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
inline double widen(double v) { return v; }
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

// How many codes add_products takes.
constexpr std::size_t kProductCodes = kLanes;
// sums + the products of two vectors' codes, any of them in any lane.
inline I32 add_products(I32 sums, const std::int8_t* a, const std::int8_t* b) {
    for (std::size_t i = 0; i < kLanes; ++i)
        sums.lane[i] += static_cast<std::int32_t>(a[i]) * static_cast<std::int32_t>(b[i]);
    return sums;
}

}  // namespace
