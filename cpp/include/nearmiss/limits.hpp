// SPDX-License-Identifier: Apache-2.0
// Who may be a negative. Data only; every view outlives the call that uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "nearmiss/views.hpp"

namespace nearmiss {

enum class MarginReference : std::uint8_t { min, max, mean };

// Spans are empty where a limit is absent; otherwise they hold one entry per query unless said.
struct Limits {
    ListsView positives;
    ListsView exclude;
    std::span<const std::int64_t> self_rows;  // the corpus row that is the query itself, -1: none
    bool exclude_duplicates = true;           // rows bit-identical to a positive are positives

    std::span<const std::int64_t> query_groups;   // -1: in no group
    std::span<const std::int64_t> corpus_groups;  // one per corpus row; empty: the corpus's own
    bool within_groups = false;  // only the query's own group, instead of all but it

    std::span<const double> corpus_values;  // one per corpus row, finite; for the next two
    std::span<const double> min_value;      // closed
    std::span<const double> max_value;      // open

    std::span<const double> min_score;  // closed
    std::span<const double> max_score;  // closed
    std::optional<double> absolute_margin;
    std::optional<double> relative_margin;
    MarginReference margin_reference = MarginReference::min;
    std::span<const float> positive_scores;  // given s+; NaN where a query has none

    // Half-open window of ranks among the admissible (or, with raw_ranks, among all rows).
    std::size_t range_min = 0;
    std::size_t range_max = std::numeric_limits<std::size_t>::max();
    bool raw_ranks = false;
};

}  // namespace nearmiss
