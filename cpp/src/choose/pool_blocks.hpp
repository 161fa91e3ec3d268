// SPDX-License-Identifier: Apache-2.0
// Rank windows gathered into blocks for a law that is decided elsewhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

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

// How many queries a block has: some million rows, so that a search is worth while.
[[nodiscard]] inline std::size_t queries_per_block(std::size_t width) {
    constexpr std::size_t kRowsPerBlock = std::size_t{1} << 21;
    return std::max<std::size_t>(1, kRowsPerBlock / std::max<std::size_t>(1, width));
}

}  // namespace nearmiss
