// SPDX-License-Identifier: Apache-2.0
// A block of queries, their reservoirs, and the way from what a tile found to them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "collect/reservoir.hpp"
#include "exact_scores.hpp"
#include "forms/form.hpp"
#include "parallel.hpp"
#include "query_block.hpp"
#include "search.hpp"

namespace nearmiss {

// Not thread-safe.
class Collector {
  public:
    // `form`: of search.corpus. Both must outlive the collector.
    Collector(const Search& search, const ScreeningForm& form)
        : search_(search),
          scorer_(search.corpus, search.kernel),
          block_(search, form) {}
    Collector(const Collector&) = delete;
    Collector& operator=(const Collector&) = delete;

    void start(std::span<const std::uint32_t> queries, Guess guess) {
        block_.prepare(queries);
        reservoirs_.reset(block_, search_.pool_size, guess);
    }

    // Takes what place `t` of a tile, which held query i of the block, found among the `lanes` of
    // the panel whose first row is at position `first`. `group`: that of all its rows; null
    // unless they are of one and groups play a part.
    void take(std::size_t i,
              const kernels::TileHit& hit,
              std::size_t t,
              std::size_t first,
              std::uint16_t lanes,
              const std::int64_t* group) {
        const auto passed = static_cast<std::uint16_t>(hit.passed[t] & lanes);
        const auto above = static_cast<std::uint16_t>(hit.above[t] & lanes);
        if (above != 0)
            reservoirs_.count_above(i, std::popcount(admissible(i, first, above, group)));
        if (passed != 0) add(i, first, admissible(i, first, passed, group), hit.scores[t]);
    }

    // Scores exactly what is left to be; nothing may be taken afterwards.
    void finish(TaskContext& context) { reservoirs_.finish(scorer_, context); }

    // After finish(), if query i was not given up.
    [[nodiscard]] Pool pool(std::size_t i) const noexcept {
        return {block_.query(i), reservoirs_.pool(i), reservoirs_.above(i)};
    }

    [[nodiscard]] QueryBlock& block() noexcept { return block_; }
    [[nodiscard]] Reservoirs& reservoirs() noexcept { return reservoirs_; }

  private:
    void add(std::size_t i, std::size_t first, std::uint16_t lanes, const float* scores) {
        reservoirs_.make_room(i, scorer_);
        for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
            reservoirs_.add(i, scores[lane], search_.corpus.row_at(first + lane));
        }
    }

    // Those of the lanes whose rows no limit but those on scores rules out for query i.
    [[nodiscard]] std::uint16_t admissible(std::size_t i,
                                           std::size_t first,
                                           std::uint16_t lanes,
                                           const std::int64_t* group) const {
        const Admission* admission = block_.admission(i);
        if (admission == nullptr) return lanes;
        const bool keeps_order = search_.corpus.row_of_position.empty();
        if (keeps_order && admission->clears_panel(static_cast<std::uint32_t>(first))) return lanes;
        if (group != nullptr && admission->wrong_group(*group)) return 0;
        for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
            const std::uint32_t row = search_.corpus.row_at(first + lane);
            const bool out =
                group != nullptr ? admission->ruled_out_in_group(row) : admission->ruled_out(row);
            if (out) lanes = static_cast<std::uint16_t>(lanes & ~(1u << lane));
        }
        return lanes;
    }

    const Search& search_;
    ExactScorer scorer_;
    QueryBlock block_;
    Reservoirs reservoirs_;
};

}  // namespace nearmiss
