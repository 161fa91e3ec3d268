// SPDX-License-Identifier: Apache-2.0
// The centres of a run of k-means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "exact_scores.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {

class MovingCenters {
  public:
    // Checks `first` and, under cosine, makes unit vectors of it.
    MovingCenters(const Points& points, MatrixView first, const Execution& execution);

    [[nodiscard]] std::size_t size() const noexcept { return centers_.size() / points_.dim(); }
    [[nodiscard]] MatrixView view() const noexcept;
    // By centre, whether the last move changed it; empty before the first.
    [[nodiscard]] std::span<const std::uint8_t> changed() const noexcept { return changed_; }

    // To the means of clusters (cosine: the directions of their sums), rounded to float32. A centre
    // without weight stays, as does one whose unit vectors cancel. Returns the sum of squared
    // shifts.
    double move(const ClusterSums& clusters);
    // The same with clusters of rows by their labels; `before`: the labels of the last move, empty
    // before the first. Scores become those of all rows with the centre of their cluster, as it is
    // then: where they are not that already, a cluster is read once for its mean and for these, if
    // it is not larger than the cache.
    double move(Assignment& clusters,
                std::span<const std::int32_t> before,
                const Execution& execution);

    [[nodiscard]] std::vector<float>&& take() && noexcept { return std::move(centers_); }

  private:
    // Moves one, returns its squared shift.
    double move(std::size_t center, std::span<const double> sum, double weight);
    [[nodiscard]] ExactQuery exact_center(std::size_t center) const;

    const Points& points_;
    std::vector<float> centers_;
    std::vector<std::uint8_t> changed_;
};

// The mean over the columns of their variance (cosine: of unit rows).
[[nodiscard]] double mean_variance(const Points& points, const Execution& execution);

}  // namespace nearmiss
