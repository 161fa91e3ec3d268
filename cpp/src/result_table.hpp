// SPDX-License-Identifier: Apache-2.0
// Filling a MineResult; rows of different queries may be written from different threads.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include "admission.hpp"
#include "choose/choose.hpp"
#include "collect/keys.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/mine.hpp"

namespace nearmiss {

// num_queries x num_negatives entries must be addressable.
inline void require_table_size(std::size_t num_queries, std::size_t num_negatives) {
    constexpr std::size_t kMaxEntries = std::numeric_limits<std::ptrdiff_t>::max() / 16;
    require(num_queries == 0 || num_negatives <= kMaxEntries / num_queries,
            "num_negatives: the table would not fit in memory");
}

[[nodiscard]] inline MineResult empty_result(std::size_t num_queries, std::size_t num_negatives) {
    require_table_size(num_queries, num_negatives);
    MineResult result;
    result.num_queries = num_queries;
    result.num_negatives = num_negatives;
    result.indices.assign(num_queries * num_negatives, -1);
    result.scores.assign(num_queries * num_negatives, std::numeric_limits<float>::quiet_NaN());
    result.counts.assign(num_queries, 0);
    result.skipped.assign(num_queries * kNumCauses, 0);
    return result;
}

// From here on rows are written with their strata.
inline void add_strata(MineResult& result) { result.strata.assign(result.indices.size(), -1); }

// `chosen`: at most num_negatives, in the order they are to appear.
inline void write_row(MineResult& result, std::size_t query, const Stratified& chosen) {
    const std::size_t first = query * result.num_negatives;
    result.counts[query] = static_cast<std::int64_t>(chosen.keys.size());
    for (std::size_t i = 0; i < chosen.keys.size(); ++i) {
        result.indices[first + i] = row_of(chosen.keys[i]);
        result.scores[first + i] = score_of(chosen.keys[i]);
    }
    std::copy(chosen.strata.begin(),
              chosen.strata.end(),
              result.strata.begin() + static_cast<std::ptrdiff_t>(first));
}

inline void write_skipped(MineResult& result, std::size_t query, const CauseCounts& counts) {
    std::copy(counts.begin(),
              counts.end(),
              result.skipped.begin() + static_cast<std::ptrdiff_t>(query * kNumCauses));
}

}  // namespace nearmiss
