// SPDX-License-Identifier: Apache-2.0
// Log-weights plus Gumbel noise, eight candidates at a time: Philox4x32-10 as in random.cpp, then
// two logarithms.
#pragma once

#include "kernels/generic/logarithms.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::NoiseTask;
using nearmiss::kernels::QueryStream;

// Eight blocks of Philox; of every lane only the lower half counts, the upper one holds anything.
struct PhiloxWords {
    U64x8 at[4];
};

NEARMISS_ALWAYS_INLINE inline void philox_round(PhiloxWords& words, const U64x8 (&keys)[2]) {
    const U64x8 first = multiply_words(words.at[0], broadcast_u64(0xD2511F53));
    const U64x8 second = multiply_words(words.at[2], broadcast_u64(0xCD9E8D57));
    words = {{bit_xor(bit_xor(shift_right<32>(second), words.at[1]), keys[0]),
              second,
              bit_xor(bit_xor(shift_right<32>(first), words.at[3]), keys[1]),
              first}};
}

// RandomStream::bits(query id, id), for eight ids.
NEARMISS_ALWAYS_INLINE inline U64x8 bits_of(const QueryStream& stream, U64x8 ids) {
    PhiloxWords words{{broadcast_u64(stream.query_id),
                       broadcast_u64(stream.query_id >> 32),
                       ids,
                       shift_right<32>(ids)}};
    unrolled<nearmiss::kernels::kPhiloxRounds>([&](auto round) NEARMISS_ALWAYS_INLINE {
        philox_round(words,
                     {broadcast_u64(stream.keys[round][0]), broadcast_u64(stream.keys[round][1])});
    });
    return bit_or(shift_left<32>(words.at[1]), bit_and(words.at[0], broadcast_u64(0xffffffff)));
}

void random_bits(const QueryStream& stream,
                 std::uint64_t first,
                 std::size_t count,
                 std::uint64_t* bits) {
    constexpr std::uint64_t kNumbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const U64x8 numbers = add(broadcast_u64(first), load_u64(kNumbers));
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8)
        store_u64(bits + i, bits_of(stream, add(numbers, broadcast_u64(i))));
    if (i == count) return;
    std::uint64_t tail[8];
    store_u64(tail, bits_of(stream, add(numbers, broadcast_u64(i))));
    for (std::size_t j = 0; i + j < count; ++j) bits[i + j] = tail[j];
}

// (b + 1/2) / 2^52, b the upper 52 of 64 bits: exact, and never 0 or 1.
NEARMISS_ALWAYS_INLINE inline F64x8 uniform(U64x8 bits) {
    const U64x8 one_to_two = bit_or(shift_right<12>(bits), broadcast_u64(0x3ff0000000000000));
    return add(subtract(as_f64(one_to_two), broadcast_f64(1)), broadcast_f64(0x1p-53));
}

// Steps of eight are taken one kind of work after the other: all of it at once is a chain of
// operations so long that the processor cannot begin the next eight meanwhile. (Zen 3: 11 ns per
// candidate at once, 5 so.)
constexpr std::size_t kNoiseBlock = 64;

// A block's ids and weights, padded to whole steps.
struct NoiseBlock {
    std::uint64_t ids[kNoiseBlock];
    double values[kNoiseBlock];  // uniform numbers, then exponential ones
};

inline void fill_ids(const NoiseTask& task, std::size_t begin, std::size_t count, NoiseBlock& b) {
    for (std::size_t i = 0; i < count; ++i)
        b.ids[i] = task.ids != nullptr ? task.ids[begin + i] : task.first_id + begin + i;
    for (std::size_t i = count; i % 8 != 0; ++i) b.ids[i] = 0;
}

inline void fill_exponentials(const NoiseTask& task, std::size_t count, NoiseBlock& b) {
    for (std::size_t i = 0; i < count; i += 8)
        store_f64(b.values + i, uniform(bits_of(task.stream, load_u64(b.ids + i))));
    const F64x8 zero = zero_f64();
    for (std::size_t i = 0; i < count; i += 8)
        store_f64(b.values + i, subtract(zero, log_of_normal(load_f64(b.values + i), zero)));
}

// log weight - log(exponential), -infinity where there is no candidate.
NEARMISS_ALWAYS_INLINE inline F64x8 noisy_key(F64x8 log_weights, F64x8 exponentials, U64x8 ids) {
    const F64x8 keys = subtract(log_weights, log_of_normal(exponentials, zero_f64()));
    const U64x8 none = subtract(broadcast_u64(0), shift_right<63>(ids));
    return select(none, broadcast_f64(-kInfinity), keys);
}

bool noisy_keys(const NoiseTask& task, double* keys) {
    U64x8 finite = broadcast_u64(~std::uint64_t{0});
    const F64x8 infinity = broadcast_f64(kInfinity);
    for (std::size_t begin = 0; begin < task.count; begin += kNoiseBlock) {
        const std::size_t rest = task.count - begin;
        const std::size_t count = rest < kNoiseBlock ? rest : kNoiseBlock;
        NoiseBlock block;
        fill_ids(task, begin, count, block);
        fill_exponentials(task, count, block);
        const double* weights = task.log_weights + begin;
        std::size_t i = 0;
        for (; i + 8 <= count; i += 8) {
            const F64x8 eight = noisy_key(
                load_f64(weights + i), load_f64(block.values + i), load_u64(block.ids + i));
            finite = bit_and(finite, less_than(eight, infinity));
            store_f64(keys + begin + i, eight);
        }
        if (i == count) continue;
        double tail[8] = {};
        for (std::size_t j = 0; i + j < count; ++j) tail[j] = weights[i + j];
        const F64x8 eight =
            noisy_key(load_f64(tail), load_f64(block.values + i), load_u64(block.ids + i));
        finite = bit_and(finite, less_than(eight, infinity));
        store_f64(tail, eight);
        for (std::size_t j = 0; i + j < count; ++j) keys[begin + i + j] = tail[j];
    }
    return to_bits(finite) == 0xff;
}

// ---- which keys may be among the greatest ---------------------------------------------------------

// The greatest keys of 8 * kVectors groups: every so many keys belong together.
template <std::size_t kVectors>
struct GroupMaxima {
    F64x8 at[kVectors];
};

template <std::size_t kVectors>
NEARMISS_ALWAYS_INLINE inline GroupMaxima<kVectors> group_maxima(const double* keys,
                                                                 std::size_t count) {
    GroupMaxima<kVectors> maxima;
    unrolled<kVectors>([&](auto v)
                           NEARMISS_ALWAYS_INLINE { maxima.at[v] = load_f64(keys + 8 * v); });
    for (std::size_t i = 8 * kVectors; i + 8 * kVectors <= count; i += 8 * kVectors)
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            maxima.at[v] = maximum(load_f64(keys + i + 8 * v), maxima.at[v]);
        });
    return maxima;
}

// The `rank`-th greatest key of the groups' greatest, found by counting how many are greater than
// each: no branches that nobody could foresee.
template <std::size_t kVectors>
inline double group_floor(const double* keys, std::size_t count, std::size_t rank) {
    const GroupMaxima<kVectors> maxima = group_maxima<kVectors>(keys, count);
    double all[8 * kVectors];
    U64x8 greater[kVectors];
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        store_f64(all + 8 * v, maxima.at[v]);
        greater[v] = broadcast_u64(0);
    });
    for (const double one : all) {
        const F64x8 value = broadcast_f64(one);
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            greater[v] = subtract(greater[v], less_than(maxima.at[v], value));
        });
    }
    F64x8 least = broadcast_f64(kInfinity);
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        const U64x8 below_rank = shift_right<63>(subtract(greater[v], broadcast_u64(rank)));
        const U64x8 mask = subtract(broadcast_u64(0), below_rank);
        least = minimum(select(mask, maxima.at[v], broadcast_f64(kInfinity)), least);
    });
    double lanes[8];
    store_f64(lanes, least);
    double result = kInfinity;
    for (const double lane : lanes) result = lane < result ? lane : result;
    return result;
}

double rank_floor(const double* keys, std::size_t count, std::size_t rank) {
    // With a third more groups than wanted, some four thirds of those wanted get past.
    if (rank <= 24 && count >= 128) return group_floor<4>(keys, count, rank);
    if (rank <= 48 && count >= 256) return group_floor<8>(keys, count, rank);
    return -kInfinity;
}

void keys_from(const double* keys, std::size_t count, double least, std::uint64_t* bits) {
    const F64x8 bound = broadcast_f64(least);
    const auto bits_of = [&](const double* eight) NEARMISS_ALWAYS_INLINE {
        return std::uint64_t{to_bits(less_than(load_f64(eight), bound)) ^ 0xffu};
    };
    for (std::size_t begin = 0; begin < count; begin += 64) {
        const std::size_t rest = count - begin;
        const std::size_t end = begin + (rest < 64 ? rest : 64);
        std::uint64_t word = 0;
        std::size_t i = begin;
        for (; i + 8 <= end; i += 8) word |= bits_of(keys + i) << (i - begin);
        if (i < end) {
            double tail[8];
            for (std::size_t j = 0; j < 8; ++j) tail[j] = i + j < end ? keys[i + j] : -kInfinity;
            word |= bits_of(tail) << (i - begin);
        }
        bits[begin / 64] = word;
    }
}

}  // namespace
