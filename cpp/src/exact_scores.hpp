// SPDX-License-Identifier: Apache-2.0
// Scores by their one definition (promise 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

// A query ready to be scored: its elements in float32 and its root norm.
struct ExactQuery {
    const float* elements = nullptr;
    double root_norm = 0;
};

// Not thread-safe: one per task (it owns scratch memory).
class ExactScorer {
  public:
    ExactScorer(const PackedCorpus& corpus, const kernels::KernelTable& kernel)
        : corpus_(corpus),
          typed_(kernel.of_type[static_cast<std::size_t>(corpus.rows.type)]) {}

    // out[i] = score of (query, rows[i]); may be infinite where it overflows float32, never NaN or
    // -0. `num_next` rows follow these in memory, to be scored soon.
    void score(const ExactQuery& query,
               std::span<const std::uint32_t> rows,
               float* out,
               std::size_t num_next = 0);
    [[nodiscard]] float score(const ExactQuery& query, std::uint32_t row);

  private:
    const PackedCorpus& corpus_;
    const kernels::KernelTable::PerType& typed_;
    std::vector<double> sums_;
    std::vector<double> scratch_;  // of the kernel
};

}  // namespace nearmiss
