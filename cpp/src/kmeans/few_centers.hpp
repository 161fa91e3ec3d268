// SPDX-License-Identifier: Apache-2.0
// The nearest of a few centres: float32 sums with all of them, of rows as they lie in memory. What
// a search prepares for each row, its tile and thresholds, would cost more than the sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned_buffer.hpp"
#include "exact_scores.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/kmeans.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

class FewCenters {
  public:
    // Whether rows and centres are such.
    [[nodiscard]] static bool serve(const Points& points, std::size_t num_centers) noexcept;

    // Both must outlive it.
    FewCenters(const Points& points, const PackedCorpus& centers);

    // Labels and scores of the rows [begin, end). From any thread.
    void assign(std::size_t begin, std::size_t end, Assignment& assignment) const;

  private:
    // How far below the greatest sum of a row that of its nearest centre may be.
    [[nodiscard]] float slack(std::size_t begin, std::size_t end) const noexcept;

    const Points& points_;
    const PackedCorpus& centers_;
    AlignedBuffer<float> panels_;
    std::vector<float> starts_;
};

}  // namespace nearmiss
