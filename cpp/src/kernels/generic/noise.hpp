// SPDX-License-Identifier: Apache-2.0
// Log-weights plus Gumbel noise, eight candidates at a time: Philox4x32-10 as in random.cpp, then
// two logarithms.
#pragma once

#include "kernels/generic/logarithms.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::NoiseTask;

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

// RandomStream::bits(query id, id) for eight ids.
NEARMISS_ALWAYS_INLINE inline U64x8 random_bits(const NoiseTask& task, U64x8 ids) {
    PhiloxWords words{{broadcast_u64(task.query_id),
                       broadcast_u64(task.query_id >> 32),
                       ids,
                       shift_right<32>(ids)}};
    unrolled<nearmiss::kernels::kPhiloxRounds>([&](auto round) NEARMISS_ALWAYS_INLINE {
        philox_round(words,
                     {broadcast_u64(task.keys[round][0]), broadcast_u64(task.keys[round][1])});
    });
    return bit_or(shift_left<32>(words.at[1]), bit_and(words.at[0], broadcast_u64(0xffffffff)));
}

// -log(-log(u)) with u = (b + 1/2) / 2^52, b the upper 52 of 64 bits: u is exact, and never 0 or 1.
NEARMISS_ALWAYS_INLINE inline F64x8 gumbel(U64x8 bits) {
    const U64x8 one_to_two = bit_or(shift_right<12>(bits), broadcast_u64(0x3ff0000000000000));
    const F64x8 u = add(subtract(as_f64(one_to_two), broadcast_f64(1)), broadcast_f64(0x1p-53));
    const F64x8 zero = zero_f64();
    const F64x8 exponential = subtract(zero, log_of_normal(u, zero));
    return subtract(zero, log_of_normal(exponential, zero));
}

// Where an id is negative, -infinity.
NEARMISS_ALWAYS_INLINE inline F64x8 noisy_key(const NoiseTask& task, F64x8 log_weights, U64x8 ids) {
    const F64x8 keys = add(log_weights, gumbel(random_bits(task, ids)));
    const U64x8 none = subtract(broadcast_u64(0), shift_right<63>(ids));
    return select(none, broadcast_f64(-kInfinity), keys);
}

NEARMISS_ALWAYS_INLINE inline U64x8 numbers_from(std::uint64_t first) {
    constexpr std::uint64_t kNumbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    return add(broadcast_u64(first), load_u64(kNumbers));
}

bool noisy_keys(const NoiseTask& task, double* keys) {
    U64x8 finite = broadcast_u64(~std::uint64_t{0});
    const F64x8 infinity = broadcast_f64(kInfinity);
    std::size_t i = 0;
    for (; i + 8 <= task.count; i += 8) {
        const U64x8 ids =
            task.ids != nullptr ? load_u64(task.ids + i) : numbers_from(task.first_id + i);
        const F64x8 eight = noisy_key(task, load_f64(task.log_weights + i), ids);
        finite = bit_and(finite, less_than(eight, infinity));
        store_f64(keys + i, eight);
    }
    if (i < task.count) {
        double weights[8] = {};
        std::uint64_t tail[8] = {};
        for (std::size_t j = 0; i + j < task.count; ++j) {
            weights[j] = task.log_weights[i + j];
            tail[j] = task.ids != nullptr ? task.ids[i + j] : task.first_id + i + j;
        }
        const F64x8 eight = noisy_key(task, load_f64(weights), load_u64(tail));
        finite = bit_and(finite, less_than(eight, infinity));
        store_f64(weights, eight);
        for (std::size_t j = 0; i + j < task.count; ++j) keys[i + j] = weights[j];
    }
    double lanes[8];
    store_f64(lanes, select(finite, zero_f64(), broadcast_f64(1)));
    double bad = 0;
    for (const double lane : lanes) bad += lane;
    return bad == 0;
}

}  // namespace
