// SPDX-License-Identifier: Apache-2.0
// A block of queries, their reservoirs, and the way from what a tile found to them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "collect/rescorer.hpp"
#include "collect/reservoir.hpp"
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
          rescorer_(search.corpus, search.kernel),
          block_(search, form) {}
    Collector(const Collector&) = delete;
    Collector& operator=(const Collector&) = delete;

    void start(std::span<const std::uint32_t> queries, Guess guess) {
        block_.prepare(queries);
        reservoirs_.reset(block_, search_.pool_size, guess);
    }

    // Takes what place `t` of a tile, which held query i of the block, found among the `lanes` of
    // a panel.
    void take(std::size_t i,
              const kernels::TileHit& hit,
              std::size_t t,
              std::size_t panel,
              std::uint16_t lanes,
              GroupsOfPanel groups = {}) {
        const auto passed = static_cast<std::uint16_t>(hit.passed[t] & lanes);
        const auto above = static_cast<std::uint16_t>(hit.above[t] & lanes);
        const auto admissible = [&](std::uint16_t some) {
            return block_.admission().admissible(i, panel, some, groups);
        };
        if (above != 0) reservoirs_.count_above(i, std::popcount(admissible(above)));
        if (passed != 0) add(i, panel, admissible(passed), hit.scores[t]);
    }

    // Scores exactly what is left to be; nothing may be taken afterwards.
    void finish(TaskContext& context) {
        for (std::size_t i = 0; i < block_.size(); ++i)
            reservoirs_.count_above(i, block_.num_above(i));
        reservoirs_.finish(rescorer_, context);
    }

    // After finish(), if query i was not given up.
    [[nodiscard]] Pool pool(std::size_t i) const noexcept {
        return {block_.query(i), reservoirs_.pool(i), reservoirs_.above(i)};
    }

    [[nodiscard]] QueryBlock& block() noexcept { return block_; }
    [[nodiscard]] Reservoirs& reservoirs() noexcept { return reservoirs_; }

  private:
    void add(std::size_t i, std::size_t panel, std::uint16_t lanes, const float* scores) {
        const std::size_t first = panel * kernels::kPanelRows;
        reservoirs_.make_room(i, rescorer_);
        for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
            reservoirs_.add(i, scores[lane], search_.corpus.row_at(first + lane));
        }
    }

    const Search& search_;
    Rescorer rescorer_;
    QueryBlock block_;
    Reservoirs reservoirs_;
};

}  // namespace nearmiss
