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
    // `root_norms`: of the rows; they must outlive the scorer.
    ExactScorer(MatrixView rows,
                Metric metric,
                std::span<const double> root_norms,
                const kernels::KernelTable& kernel)
        : rows_(rows),
          metric_(metric),
          root_norms_(root_norms),
          typed_(kernel.of_type[static_cast<std::size_t>(rows.type)]) {}

    ExactScorer(const PackedCorpus& corpus, const kernels::KernelTable& kernel)
        : ExactScorer(corpus.rows, corpus.metric, corpus.root_norms.view(), kernel) {}

    // out[i] = score of (query, rows[i]); may be infinite where it overflows float32, never NaN or
    // -0. `num_next` rows follow these in memory, to be scored soon.
    void score(const ExactQuery& query,
               std::span<const std::uint32_t> rows,
               float* out,
               std::size_t num_next = 0);
    [[nodiscard]] float score(const ExactQuery& query, std::uint32_t row);

  private:
    const MatrixView rows_;
    const Metric metric_;
    const std::span<const double> root_norms_;
    const kernels::KernelTable::PerType& typed_;
    std::vector<double> sums_;
    std::vector<double> scratch_;  // of the kernel
};

}  // namespace nearmiss
