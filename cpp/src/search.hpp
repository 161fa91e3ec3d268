// SPDX-License-Identifier: Apache-2.0
// Screen -> rescore -> pool: the exact best rows of every query, limits applied inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "admission.hpp"
#include "collect/keys.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/mine.hpp"
#include "nearmiss/runtime.hpp"
#include "packed_corpus.hpp"
#include "score_limits.hpp"

namespace nearmiss {

// What one call searches for; read-only and shared by all its tasks.
struct Search {
    const PackedCorpus& corpus;
    const kernels::KernelTable& kernel;
    MatrixView queries;
    std::span<const double> query_norms;       // root norms
    std::size_t pool_size = 0;                 // 1 <= pool_size <= rows
    const AdmissionRules* rules = nullptr;     // null: every row is admissible
    std::span<const ScoreInterval> intervals;  // one per query, or empty: any score
    Precision precision = Precision::automatic;
    std::optional<std::span<const std::uint32_t>> only{};  // these queries, each once; none: all
};

// The queries searched for, ascending.
[[nodiscard]] std::vector<std::uint32_t> queries_of(const Search& search);

// The best pool_size admissible rows of a query, best first; fewer if there are no more. `above`:
// how many otherwise admissible rows lie above the query's ceiling.
struct Pool {
    std::size_t query;
    std::span<const Key> keys;
    std::int64_t above;
};

// Calls sink once per query searched for, from worker threads, in no particular order.
SearchWork search_pools(const Search& search,
                        const Execution& execution,
                        const std::function<void(const Pool& pool)>& sink);

}  // namespace nearmiss
