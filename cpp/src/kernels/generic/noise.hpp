// SPDX-License-Identifier: Apache-2.0
// Log-weights plus Gumbel noise, eight candidates at a time: Philox4x32-10 as in random.cpp, then
// two logarithms.
#pragma once

#include "kernels/generic/logarithms.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kCountForFewRanks;
using nearmiss::kernels::kCountForSomeRanks;
using nearmiss::kernels::kFewRanks;
using nearmiss::kernels::kMostCounted;
using nearmiss::kernels::kSomeRanks;
using nearmiss::kernels::NoiseTask;
using nearmiss::kernels::QueryStream;

// Eight blocks of Philox; of every lane only the lower half counts, the upper one holds anything.
struct PhiloxWords {
    U64x8 at[4];
};

constexpr std::uint64_t kPhiloxMultipliers[2] = {0xD2511F53, 0xCD9E8D57};

NEARMISS_ALWAYS_INLINE inline void philox_round(PhiloxWords& words, const U64x8 (&keys)[2]) {
    const U64x8 first = multiply_words(words.at[0], broadcast_u64(kPhiloxMultipliers[0]));
    const U64x8 second = multiply_words(words.at[2], broadcast_u64(kPhiloxMultipliers[1]));
    words = {{bit_xor(bit_xor(shift_right<32>(second), words.at[1]), keys[0]),
              second,
              bit_xor(bit_xor(shift_right<32>(first), words.at[3]), keys[1]),
              first}};
}

// How many times eight ids meet Philox together: one is a chain of operations so long that the
// processor waits for it, and some have no registers for more.
constexpr std::size_t kChains = kTilesAtOnce > 1 ? 4 : 1;

template <std::size_t kCount>
struct U64Vectors {
    U64x8 at[kCount];
};

template <std::size_t kCount>
struct PhiloxChains {
    PhiloxWords at[kCount];
};

// The words after `kRounds` rounds.
template <std::size_t kRounds, std::size_t kCount>
NEARMISS_ALWAYS_INLINE inline PhiloxChains<kCount> words_of(const QueryStream& stream,
                                                            const U64Vectors<kCount>& ids) {
    PhiloxChains<kCount> words;
    unrolled<kCount>([&](auto i) NEARMISS_ALWAYS_INLINE {
        words.at[i] = {{broadcast_u64(stream.query_id),
                        broadcast_u64(stream.query_id >> 32),
                        ids.at[i],
                        shift_right<32>(ids.at[i])}};
    });
    unrolled<kRounds>([&](auto round) NEARMISS_ALWAYS_INLINE {
        unrolled<kCount>([&](auto i) NEARMISS_ALWAYS_INLINE {
            philox_round(
                words.at[i],
                {broadcast_u64(stream.keys[round][0]), broadcast_u64(stream.keys[round][1])});
        });
    });
    return words;
}

// RandomStream::bits(query id, id).
template <std::size_t kCount>
NEARMISS_ALWAYS_INLINE inline U64Vectors<kCount> bits_of(const QueryStream& stream,
                                                         const U64Vectors<kCount>& ids) {
    const PhiloxChains<kCount> words = words_of<nearmiss::kernels::kPhiloxRounds>(stream, ids);
    U64Vectors<kCount> bits;
    unrolled<kCount>([&](auto i) NEARMISS_ALWAYS_INLINE {
        const PhiloxWords& two = words.at[i];
        bits.at[i] =
            bit_or(shift_left<32>(two.at[1]), bit_and(two.at[0], broadcast_u64(0xffffffff)));
    });
    return bits;
}

// Their upper halves alone, in the lower half of every lane; the other holds anything.
template <std::size_t kCount>
NEARMISS_ALWAYS_INLINE inline U64Vectors<kCount> upper_bits_of(const QueryStream& stream,
                                                               const U64Vectors<kCount>& ids) {
    const PhiloxChains<kCount> words = words_of<nearmiss::kernels::kPhiloxRounds - 1>(stream, ids);
    U64Vectors<kCount> bits;
    unrolled<kCount>([&](auto i) NEARMISS_ALWAYS_INLINE {
        bits.at[i] = multiply_words(words.at[i].at[2], broadcast_u64(kPhiloxMultipliers[1]));
    });
    return bits;
}

// f(begin, Index<n>) for whole steps of 8 n elements from `begin` on, n = kChains or 1. Returns
// where less than eight are left.
template <class F>
NEARMISS_ALWAYS_INLINE inline std::size_t for_chains(std::size_t count, const F& f) {
    std::size_t i = 0;
    for (; i + 8 * kChains <= count; i += 8 * kChains) f(i, Index<kChains>{});
    if constexpr (kChains > 1)
        for (; i + 8 <= count; i += 8) f(i, Index<1>{});
    return i;
}

void random_bits(const QueryStream& stream,
                 std::uint64_t first,
                 std::size_t count,
                 std::uint64_t* bits) {
    constexpr std::uint64_t kNumbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const U64x8 numbers = add(broadcast_u64(first), load_u64(kNumbers));
    const std::size_t i = for_chains(
        count, [&]<std::size_t kCount>(std::size_t begin, Index<kCount>) NEARMISS_ALWAYS_INLINE {
            U64Vectors<kCount> ids;
            unrolled<kCount>([&](auto v) NEARMISS_ALWAYS_INLINE {
                ids.at[v] = add(numbers, broadcast_u64(begin + 8 * v));
            });
            const U64Vectors<kCount> found = bits_of(stream, ids);
            unrolled<kCount>([&](auto v) NEARMISS_ALWAYS_INLINE {
                store_u64(bits + begin + 8 * v, found.at[v]);
            });
        });
    if (i == count) return;
    std::uint64_t tail[8];
    store_u64(tail, bits_of<1>(stream, {{add(numbers, broadcast_u64(i))}}).at[0]);
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
    const std::size_t padded = (count + 7) / 8 * 8;
    for_chains(padded,
               [&]<std::size_t kCount>(std::size_t begin, Index<kCount>) NEARMISS_ALWAYS_INLINE {
                   U64Vectors<kCount> ids;
                   unrolled<kCount>([&](auto v) NEARMISS_ALWAYS_INLINE {
                       ids.at[v] = load_u64(b.ids + begin + 8 * v);
                   });
                   const U64Vectors<kCount> bits = bits_of(task.stream, ids);
                   unrolled<kCount>([&](auto v) NEARMISS_ALWAYS_INLINE {
                       store_f64(b.values + begin + 8 * v, uniform(bits.at[v]));
                   });
               });
    const F64x8 zero = zero_f64();
    for (std::size_t i = 0; i < count; i += 8)
        store_f64(b.values + i, subtract(zero, log_of_normal(load_f64(b.values + i), zero)));
}

// All bits of the lanes where there is no candidate.
NEARMISS_ALWAYS_INLINE inline U64x8 none_of(U64x8 ids) {
    return subtract(broadcast_u64(0), shift_right<63>(ids));
}

// log weight - log(exponential), -infinity where there is no candidate.
NEARMISS_ALWAYS_INLINE inline F64x8 noisy_key(F64x8 log_weights, F64x8 exponentials, U64x8 ids) {
    const F64x8 keys = subtract(log_weights, log_of_normal(exponentials, zero_f64()));
    return select(none_of(ids), broadcast_f64(-kInfinity), keys);
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

// ---- what keys cannot exceed -----------------------------------------------------------------------

// Not above the logarithm of noisy_key. With x the 32 upper bits' complement, 1 - u >= v = x /
// 2^32; -log(1 - v) >= v + v^2 / 2; and log2(2^k m) >= k + (m - 1) for m in [1, 2], which is what
// the bits of a float64 say, read as an integer. Of it 40 bits behind the point are kept, less a
// few units for all that is rounded here and in noisy_key, which is below 2^-45.
NEARMISS_ALWAYS_INLINE inline F64x8 log_exponential_floor(U64x8 upper_bits) {
    constexpr std::uint64_t kTwo52 = 0x4330000000000000;
    constexpr double kUnitsPerOctave = 0x1p40;
    constexpr double kSlack = 4;
    const U64x8 complement =
        bit_xor(bit_and(upper_bits, broadcast_u64(0xffffffff)), broadcast_u64(0xffffffff));
    const F64x8 x =
        subtract(as_f64(bit_or(complement, broadcast_u64(kTwo52))), broadcast_f64(0x1p52));
    const F64x8 scaled =
        multiply(x, add(broadcast_f64(1), multiply(x, broadcast_f64(0x1p-33))));  // 2^32 times
    const F64x8 units = as_f64(bit_or(shift_right<12>(as_u64(scaled)), broadcast_u64(kTwo52)));
    return multiply(subtract(units, broadcast_f64(0x1p52 + (1023 + 32) * kUnitsPerOctave + kSlack)),
                    broadcast_f64(0x1.62e42fefa39efp-1 / kUnitsPerOctave));
}

// For a multiple of eight candidates, with ids; whether all are below infinity.
template <bool kWithIds>
NEARMISS_ALWAYS_INLINE inline bool write_bounds(const NoiseTask& task, double* bounds) {
    constexpr std::uint64_t kNumbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const QueryStream stream = task.stream;
    const U64x8 numbers = add(broadcast_u64(task.first_id), load_u64(kNumbers));
    const F64x8 infinity = broadcast_f64(kInfinity);
    U64x8 finite = broadcast_u64(~std::uint64_t{0});
    for_chains(task.count,
               [&]<std::size_t kCount>(std::size_t begin, Index<kCount>) NEARMISS_ALWAYS_INLINE {
                   U64Vectors<kCount> ids;
                   unrolled<kCount>([&](auto v) NEARMISS_ALWAYS_INLINE {
                       if constexpr (kWithIds)
                           ids.at[v] = load_u64(task.ids + begin + 8 * v);
                       else
                           ids.at[v] = add(numbers, broadcast_u64(begin + 8 * v));
                   });
                   const U64Vectors<kCount> bits = upper_bits_of(stream, ids);
                   unrolled<kCount>([&](auto v) NEARMISS_ALWAYS_INLINE {
                       F64x8 eight = subtract(load_f64(task.log_weights + begin + 8 * v),
                                              log_exponential_floor(bits.at[v]));
                       if constexpr (kWithIds)
                           eight = select(none_of(ids.at[v]), broadcast_f64(-kInfinity), eight);
                       finite = bit_and(finite, less_than(eight, infinity));
                       store_f64(bounds + begin + 8 * v, eight);
                   });
               });
    return to_bits(finite) == 0xff;
}

bool key_bounds(const NoiseTask& task, double* bounds) {
    NoiseTask whole = task;
    whole.count = task.count / 8 * 8;
    const bool finite = task.ids != nullptr ? write_bounds<true>(whole, bounds)
                                            : write_bounds<false>(whole, bounds);
    if (whole.count == task.count) return finite;
    double tail[8] = {};
    std::uint64_t ids[8] = {};
    const std::size_t rest = task.count - whole.count;
    for (std::size_t j = 0; j < rest; ++j) {
        tail[j] = task.log_weights[whole.count + j];
        ids[j] = task.ids != nullptr ? task.ids[whole.count + j] : task.first_id + whole.count + j;
    }
    const bool tail_finite = write_bounds<true>({tail, ids, 0, 8, task.stream}, tail);
    for (std::size_t j = 0; j < rest; ++j) bounds[whole.count + j] = tail[j];
    return finite && tail_finite;
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
    if (rank <= kFewRanks && count >= kCountForFewRanks) return group_floor<4>(keys, count, rank);
    if (rank <= kSomeRanks && count >= kCountForSomeRanks) return group_floor<8>(keys, count, rank);
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

template <std::size_t kVectors>
inline void count_greater_of(const double* keys, std::size_t count, std::uint64_t* greater) {
    double padded[8 * kVectors];
    for (std::size_t i = 0; i < 8 * kVectors; ++i) padded[i] = i < count ? keys[i] : -kInfinity;
    F64x8 all[kVectors];
    U64x8 counts[kVectors];
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        all[v] = load_f64(padded + 8 * v);
        counts[v] = broadcast_u64(0);
    });
    for (std::size_t i = 0; i < count; ++i) {
        const F64x8 one = broadcast_f64(keys[i]);
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            counts[v] = subtract(counts[v], less_than(all[v], one));
        });
    }
    std::uint64_t results[8 * kVectors];
    unrolled<kVectors>([&](auto v)
                           NEARMISS_ALWAYS_INLINE { store_u64(results + 8 * v, counts[v]); });
    for (std::size_t i = 0; i < count; ++i) greater[i] = results[i];
}

// Without branches that nobody could foresee.
void count_greater(const double* keys, std::size_t count, std::uint64_t* greater) {
    if (count <= 24) return count_greater_of<3>(keys, count, greater);
    if (count <= 32) return count_greater_of<4>(keys, count, greater);
    return count_greater_of<kMostCounted / 8>(keys, count, greater);
}

}  // namespace
