// SPDX-License-Identifier: Apache-2.0
// Keeps, per query of a block, every row that can still be among its best pool_size, and raises the
// screening thresholds as better rows come in.
//
// A reservoir first holds screened scores a, each within `error` of the truth. If the k-th best
// among the *certainly admissible* ones is a_k, then k admissible rows score at least a_k - error,
// and a row screened below a_k - 2 error cannot be in the pool: that is the proven threshold. When
// a reservoir is full of rows that cannot be told apart that way (ties, near-duplicates), it is
// rescored exactly, which leaves at most k of them.
//
// A guessed threshold is higher: it follows a sample of the corpus first, and counts on errors
// being far smaller than they could be. Whether it lost anything shows at the end, when the exact
// k-th score is known.
//
// A query that would need too many rows scored exactly can be given up: it then takes no more rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "collect/keys.hpp"
#include "collect/rescorer.hpp"
#include "parallel.hpp"
#include "query_block.hpp"

namespace nearmiss {

enum class Guess { yes, no };

class Reservoirs {
  public:
    // Room for one panel's worth of rows is always left, so that add() never overflows between
    // two calls of make_room().
    [[nodiscard]] static std::size_t capacity_for(std::size_t pool_size) noexcept;

    void reset(QueryBlock& block, std::size_t pool_size, Guess guess);

    // Call before adding up to kPanelRows rows to query i.
    void make_room(std::size_t i, Rescorer& rescorer) {
        if (counts_[i] + kernels::kPanelRows > tighten_at_[i]) tighten(i, rescorer);
    }
    void add(std::size_t i, float screened, std::uint32_t row) noexcept {
        keys_[i * capacity_ + counts_[i]++] = make_key(screened, row);
    }
    void count_above(std::size_t i, std::int64_t rows) noexcept { above_[i] += rows; }

    // Only when guessing. Between these two, thresholds follow the rank-th best row seen, a guess
    // at what the k-th best of all rows will need.
    void begin_sample(std::size_t rank);
    // The end gives up queries that hold more rows than allowed, and returns how much of all
    // allowances will be used up if it goes on so; queries given up use up theirs.
    double end_sample();

    // A query is given up rather than score more than `rows` rows exactly for it. No limit after a
    // reset.
    void set_allowance(std::size_t rows) noexcept { allowance_ = rows; }
    [[nodiscard]] bool given_up(std::size_t i) const noexcept { return given_up_[i]; }
    // How many of all queries.
    [[nodiscard]] double part_given_up() const noexcept;

    // Scores everything exactly; nothing may be added afterwards.
    void finish(Rescorer& rescorer, TaskContext& context);
    // After finish: the pool of query i, which was not given up, best first; valid until the next
    // reset.
    [[nodiscard]] std::span<const Key> pool(std::size_t i) const noexcept {
        return {keys_.data() + i * capacity_, counts_[i]};
    }
    // After finish: false if a guessed threshold may have kept rows out of the pool.
    [[nodiscard]] bool complete(std::size_t i) const noexcept;
    // Rows scored exactly since the last reset, over all queries.
    [[nodiscard]] std::size_t num_rescored() const noexcept;
    // After finish: admissible rows above the ceiling, those found when rescoring included.
    [[nodiscard]] std::int64_t above(std::size_t i) const noexcept { return above_[i]; }

  private:
    void tighten(std::size_t i, Rescorer& rescorer);
    void give_up(std::size_t i);
    void drop_screened(std::size_t i);
    // All reservoirs, once they hold so many rows, or twice as many as were left last, or are full.
    void start_tightening_at(std::size_t rows);
    void set_tighten_at(std::size_t i) noexcept;
    // The rank_-th best screened score among the rows certain to be admissible, if screened scores
    // are off by `slack` at most; none if there are not as many.
    [[nodiscard]] std::optional<double> certain_score(std::size_t i, double slack);
    void rescore(std::size_t i, Rescorer& rescorer);
    // Everything left, of which there is so much per query.
    void score_in_parts(std::size_t per_query, Rescorer& rescorer, TaskContext& context);
    // Those not scored exactly yet.
    [[nodiscard]] std::span<Key> screened_keys(std::size_t i) noexcept {
        return {keys_.data() + i * capacity_ + exact_[i], counts_[i] - exact_[i]};
    }
    // Once these are.
    void keep_pool(std::size_t i);

    QueryBlock* block_ = nullptr;
    std::size_t pool_size_ = 0;
    Guess guess_ = Guess::no;
    std::size_t rank_ = 0;  // of the certain row that thresholds follow
    std::size_t allowance_ = 0;
    std::size_t num_given_up_ = 0;
    std::size_t capacity_ = 0;
    std::size_t least_tighten_at_ = 0;
    AlignedBuffer<Key> keys_;                // size() x capacity: first exact, then screened keys
    std::vector<std::uint32_t> counts_;      // keys held
    std::vector<std::uint32_t> exact_;       // of which exact
    std::vector<std::uint32_t> tighten_at_;  // counts_ that call for it, capacity_ at most
    std::vector<std::uint32_t> rescored_;    // rows scored exactly since the last reset
    std::vector<bool> given_up_;
    std::vector<std::int64_t> above_;
    std::vector<float> guesses_;       // the highest guessed threshold, -infinity if none
    std::vector<std::uint32_t> ends_;  // scratch: of every query's keys, part by part
    std::vector<Key> scratch_;
};

}  // namespace nearmiss
