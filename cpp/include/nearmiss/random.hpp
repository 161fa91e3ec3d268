// SPDX-License-Identifier: Apache-2.0
// Counter-based randomness (rng_scheme 1): every draw is a function of
// (seed, stream, epoch, query id, counter), so it does not depend on batches, threads or order.
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Words are
// little end first: a 64-bit value v fills two words, (v mod 2^32, v div 2^32).
//   stream key = philox(counter = (stream, 0, epoch), key = seed), its first two words
//   draw       = philox(counter = (query id, counter), key = stream key), its first two words
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nearmiss {

enum class Stream : std::uint32_t {
    pool_noise = 1,        // counter: corpus row or candidate id
    uniform_rows = 2,      // counter: draw number
    table_columns = 3,     // counter: draw number
    complement_items = 4,  // counter: draw number
    alias_draws = 5,       // counter: draw number
    // 32 and on: designs of fixed size
    conditional_poisson = 32,  // counter: column
    pivotal = 33,              // counter: draw number
    local_pivotal = 34,        // counter: draw number
    // 64 and on: seeding of k-means; the query id is the seed's number
    kmeans_rows = 64,       // counter: row
    kmeans_first = 65,      // counter: 0
    kmeans_plus_plus = 66,  // counter: trial
    kmeans_rejection = 67,  // counter: 2 * draw number, + 1 for whether to keep it
    kmeans_chain = 68,      // counter: 2 * step, + 1 for whether to move
    // 96 and on: batches. What stands for the query id is named first.
    batch_rows = 96,      // row; counter: 0
    batch_order = 97,     // batch; counter: 0
    batch_clusters = 98,  // batch, counter: draw number; or cluster, counter: 0
    batch_members = 99,   // batch; counter: row
    batch_far = 100,      // row; counter: column of its neighbours
    batch_tuples = 101,   // tuple; counter: draw number
    two_means = 102,      // node of the tree; counter: draw number
    // 128 and on: miners inside a batch, whose step is the epoch and whose anchors are the queries
    in_batch = 128,           // counter: draw number
    in_batch_triplets = 129,  // query 0, counter: draw number
    // 160 and on: mixtures. Query (or anchor, or class); counter: number of the mixture, plus
    // attempt * 2^32 for parents, and 3 * number + 0, 1, 2 for a Beta(2, 2) share.
    mix_pair_parents = 160,
    mix_pair_shares = 161,
    mix_query_parents = 162,
    mix_query_shares = 163,
    mix_same_label_parents = 164,  // class
    mix_same_label_shares = 165,   // class
    mix_different_label_parents = 166,
    mix_different_label_shares = 167,
    // 200 and on: tables that are drawn from while they are refreshed
    epoch_window = 200,  // epoch 0, counter: column
    // 216 and on: approximate search. Query 0.
    list_training = 216,  // counter: row
    recall_sample = 217,  // counter: query
};

using PhiloxBlock = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// What is added to the key from round to round.
inline constexpr PhiloxKey kPhiloxSteps{0x9E3779B9u, 0xBB67AE85u};

[[nodiscard]] PhiloxBlock philox4x32(PhiloxBlock counter, PhiloxKey key) noexcept;

// What besides the data decides the draws of a table's rows.
struct DrawKey {
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    std::span<const std::int64_t> query_ids;  // one per row; empty: 0, 1, 2, …

    [[nodiscard]] std::uint64_t query_id(std::size_t row) const noexcept {
        return query_ids.empty() ? row : static_cast<std::uint64_t>(query_ids[row]);
    }
};

class RandomStream {
  public:
    RandomStream(std::uint64_t seed, std::uint32_t stream, std::uint64_t epoch) noexcept;
    RandomStream(std::uint64_t seed, Stream stream, std::uint64_t epoch) noexcept
        : RandomStream(seed, static_cast<std::uint32_t>(stream), epoch) {}

    // 64 uniform bits.
    [[nodiscard]] std::uint64_t bits(std::uint64_t query_id, std::uint64_t counter) const noexcept;

    // Uniform on the multiples of 2^-53 in [0, 1).
    [[nodiscard]] double unit(std::uint64_t query_id, std::uint64_t counter) const noexcept {
        return static_cast<double>(bits(query_id, counter) >> 11) * 0x1p-53;
    }

    // out[i] = bits(query_id, counter + i), faster than one by one.
    void fill(std::uint64_t query_id, std::uint64_t counter, std::span<std::uint64_t> out) const;

    [[nodiscard]] PhiloxKey key() const noexcept { return key_; }

  private:
    PhiloxKey key_;
};

// Successive uniform integers of one query; each below() takes as many draws as it needs.
class DrawSequence {
  public:
    DrawSequence(const RandomStream& stream, std::uint64_t query_id) noexcept
        : stream_(stream),
          query_id_(query_id) {}

    // Uniform on [0, bound), exactly (Lemire, "Fast random integer generation in an interval",
    // ACM TOMACS 29(1), 2019). bound >= 1.
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) {
        const WideProduct product = multiply(next_bits(), bound);
        return product.low >= bound ? product.high : below_slowly(product, bound);
    }

  private:
    struct WideProduct {
        std::uint64_t high;
        std::uint64_t low;
    };

    static constexpr WideProduct multiply(std::uint64_t a, std::uint64_t b) {
        const std::uint64_t low_low = (a & 0xffffffffu) * (b & 0xffffffffu);
        const std::uint64_t high_low = (a >> 32) * (b & 0xffffffffu);
        const std::uint64_t low_high = (a & 0xffffffffu) * (b >> 32);
        const std::uint64_t middle = (low_low >> 32) + (high_low & 0xffffffffu) + low_high;
        return {(a >> 32) * (b >> 32) + (high_low >> 32) + (middle >> 32),
                (middle << 32) | (low_low & 0xffffffffu)};
    }

    [[nodiscard]] std::uint64_t next_bits() {
        if (used_ == num_made_) make_more();
        return made_[used_++];
    }
    void make_more();
    [[nodiscard]] std::uint64_t below_slowly(WideProduct product, std::uint64_t bound);

    // Numbers are made ahead, few at first: many sequences are short.
    static constexpr std::size_t kFirst = 8;
    static constexpr std::size_t kMost = 64;

    const RandomStream& stream_;
    std::uint64_t query_id_;
    std::uint64_t counter_ = 0;  // of the first number not made
    std::array<std::uint64_t, kMost> made_;
    std::size_t num_made_ = 0;
    std::size_t used_ = 0;
};

}  // namespace nearmiss
