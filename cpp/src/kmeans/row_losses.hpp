// SPDX-License-Identifier: Apache-2.0
// Losses of rows to each other, by the one definition of a score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "exact_scores.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/kmeans.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

// The points as something to score against. Thread-safe.
class PointCorpus {
  public:
    explicit PointCorpus(const Points& points);

    [[nodiscard]] const Points& points() const noexcept { return points_; }
    [[nodiscard]] const PackedCorpus& packed() const noexcept { return packed_; }
    [[nodiscard]] const kernels::KernelTable& kernel() const noexcept { return kernel_; }

  private:
    const Points& points_;
    const kernels::KernelTable& kernel_;
    PackedCorpus packed_;
};

// Not thread-safe: one per task.
class RowLosses {
  public:
    explicit RowLosses(const PointCorpus& corpus);

    // From here on losses are to this row, or to a vector that must outlive that.
    void aim_at(std::size_t row);
    void aim_at(const float* vector, double root_norm);

    [[nodiscard]] double loss(std::size_t row);
    // out[i] = loss of row begin + i
    void losses(std::size_t begin, std::size_t end, double* out);
    // The least loss to any of `others`; once it is known to be at most `enough`, something no
    // greater than that.
    [[nodiscard]] double least_loss(std::span<const std::uint32_t> others, double enough);

  private:
    const PointCorpus& corpus_;
    ExactScorer scorer_;
    std::vector<float> elements_;
    ExactQuery target_;
    std::vector<std::uint32_t> rows_;
    std::vector<float> scores_;
};

}  // namespace nearmiss
