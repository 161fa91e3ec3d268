// SPDX-License-Identifier: Apache-2.0
// Exact scores in place of screened ones, for lists of keys of many queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/keys.hpp"
#include "exact_scores.hpp"

namespace nearmiss {

// Not thread-safe: one per task (it owns scratch memory).
class Rescorer {
  public:
    Rescorer(const PackedCorpus& corpus, const kernels::KernelTable& kernel)
        : dim_(corpus.rows.cols),
          scorer_(corpus, kernel) {}

    // `query` and `keys` must stay where they are until the next run().
    void add(const ExactQuery& query, std::span<Key> keys);
    // Replaces the scores of all keys added since the last run. Rows are fetched ahead from one
    // query to the next, and so are queries and keys: short lists are as fast as long ones.
    void run();

  private:
    struct Keys {
        const ExactQuery* query;
        std::span<Key> keys;
    };

    void fetch(const Keys& next) const noexcept;

    std::size_t dim_;
    ExactScorer scorer_;
    std::vector<Keys> added_;
    std::vector<std::uint32_t> rows_;  // of all that were added
    std::vector<float> scores_;
};

}  // namespace nearmiss
