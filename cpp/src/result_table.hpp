// SPDX-License-Identifier: Apache-2.0
// Filling a MineResult; rows of different queries may be written from different threads.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include "admission.hpp"
#include "collect/keys.hpp"
#include "nearmiss/mine.hpp"
#include "positive_scores.hpp"

namespace nearmiss {

[[nodiscard]] inline MineResult empty_result(std::size_t num_queries, std::size_t num_negatives) {
    MineResult result;
    result.num_queries = num_queries;
    result.num_negatives = num_negatives;
    result.indices.assign(num_queries * num_negatives, -1);
    result.scores.assign(num_queries * num_negatives, std::numeric_limits<float>::quiet_NaN());
    result.counts.assign(num_queries, 0);
    result.skipped.assign(num_queries * kNumCauses, 0);
    return result;
}

// `chosen`: at most num_negatives, in the order they are to appear.
inline void write_row(MineResult& result, std::size_t query, std::span<const Key> chosen) {
    result.counts[query] = static_cast<std::int64_t>(chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        result.indices[query * result.num_negatives + i] = row_of(chosen[i]);
        result.scores[query * result.num_negatives + i] = score_of(chosen[i]);
    }
}

// Call when every row is written: which pair an error names must not depend on the threads.
inline void require_finite_scores(const MineResult& result) {
    for (std::size_t i = 0; i < result.indices.size(); ++i)
        if (result.indices[i] >= 0)
            require_finite(result.scores[i], i / result.num_negatives, result.indices[i]);
}

inline void write_skipped(MineResult& result, std::size_t query, const CauseCounts& counts) {
    std::copy(counts.begin(),
              counts.end(),
              result.skipped.begin() + static_cast<std::ptrdiff_t>(query * kNumCauses));
}

[[nodiscard]] inline std::uint64_t query_id(const Choice& choice, std::size_t query) noexcept {
    return choice.query_ids.empty() ? query : static_cast<std::uint64_t>(choice.query_ids[query]);
}

}  // namespace nearmiss
