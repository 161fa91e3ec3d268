// SPDX-License-Identifier: Apache-2.0
// Rank windows gathered into blocks for a law that is decided elsewhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "choose/choose.hpp"
#include "nearmiss/mine.hpp"

namespace nearmiss {

[[nodiscard]] inline PoolBlock empty_block(std::size_t first_query,
                                           std::size_t num_queries,
                                           std::size_t width) {
    PoolBlock block{first_query, num_queries, width, {}, {}, {}, {}};
    block.scores.assign(num_queries * width, std::numeric_limits<float>::quiet_NaN());
    block.rows.assign(num_queries * width, -1);
    block.admissible.assign(num_queries * width, 0);
    block.positive_scores.assign(num_queries, std::numeric_limits<float>::quiet_NaN());
    return block;
}

// Windows of different queries may be written from different threads.
inline void write_window(PoolBlock& block, std::size_t query, const RankWindow& window) {
    const std::size_t i = query - block.first_query;
    block.positive_scores[i] = window.reference;
    for (std::size_t place = 0; place < window.keys.size(); ++place) {
        const std::size_t at = i * block.width + place;
        block.scores[at] = score_of(window.keys[place]);
        block.rows[at] = row_of(window.keys[place]);
        block.admissible[at] = window.may_be_negative(place);
    }
}

// For each block in turn: fill(block, part of the execution) writes its windows, the sink gets it.
// `last_rank`: the first rank no longer in any window.
template <class Fill>
void for_each_block(std::size_t num_queries,
                    std::size_t first_rank,
                    std::size_t last_rank,
                    const Execution& execution,
                    const PoolSink& sink,
                    const Fill& fill) {
    constexpr std::size_t kRowsPerBlock = std::size_t{1} << 21;  // so that a search is worth while
    const std::size_t width = last_rank - std::min(first_rank, last_rank);
    const std::size_t step =
        std::max<std::size_t>(1, kRowsPerBlock / std::max<std::size_t>(1, width));
    const auto share = [&](std::size_t query) {
        return static_cast<double>(query) / static_cast<double>(num_queries);
    };
    for (std::size_t first = 0; first < num_queries; first += step) {
        PoolBlock block = empty_block(first, std::min(step, num_queries - first), width);
        fill(block, execution.part(share(first), share(first + block.num_queries)));
        sink(std::move(block));
    }
}

}  // namespace nearmiss
