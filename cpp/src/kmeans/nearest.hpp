// SPDX-License-Identifier: Apache-2.0
// Kernel 1 for k = 1: the nearest row of a small corpus for very many queries. In place of the
// reservoirs of a search there is one threshold per query, that of the best row so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "parallel.hpp"
#include "query_block.hpp"
#include "search.hpp"

namespace nearmiss {

// Not thread-safe.
class NearestScan {
  public:
    // `form`: of search.corpus. Both must outlive the scan.
    NearestScan(const Search& search, const ScreeningForm& form);

    // The most queries for which their tiles stay in the cache.
    [[nodiscard]] static std::size_t block_size(const ScreeningForm& form) noexcept;

    // best[i]: the nearest row of queries[i]. `guesses`: any row for each, the nearer the faster;
    // or empty. Returns how many rows were scored exactly besides these.
    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<const std::int32_t> guesses,
                    std::span<Key> best,
                    TaskContext& context);

  private:
    struct Candidate {
        std::uint32_t query;  // of the block
        std::uint32_t row;
        float screened;
    };

    void take(std::size_t i, std::uint32_t row, float score);
    void collect(const kernels::TileHit& hit, std::size_t panel);
    void settle();

    const Search& search_;
    ExactScorer scorer_;
    QueryBlock block_;
    std::vector<kernels::TileHit> hits_;
    std::span<Key> best_;
    std::vector<Candidate> candidates_;  // that may be better than best_
    std::size_t num_scored_ = 0;
    std::vector<std::uint32_t> rows_;  // scratch of settle()
    std::vector<float> scores_;
};

}  // namespace nearmiss
