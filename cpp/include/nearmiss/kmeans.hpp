// SPDX-License-Identifier: Apache-2.0
// k-means: exact Lloyd iterations over rows of any type, and the seeding that starts them.
//
// The *loss* of a row and a centre is -score under l2 (the squared distance) and 1 - score under
// cosine (spherical k-means), in float64 from the float32 score. A row belongs to the centre of the
// highest score, ties to the lower centre. Everything that is summed up is summed in float64 in one
// order: rows ascending. So results have the same bits for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/corpus.hpp"
#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// The rows to cluster, checked and measured once. Refers to the caller's arrays, which must stay
// alive and unchanged; they may be mapped from files larger than memory: every walk over more than
// 2 GiB of them is in ascending blocks.
class Points {
  public:
    // `metric`: l2 or cosine. `weights`: one per row, finite, not negative, some of them positive;
    // empty: all are 1. Throws InvalidArgument naming the row for NaN or infinite elements, for
    // zero rows under cosine, and under l2 for rows so large that distances overflow float32.
    Points(MatrixView rows,
           Metric metric,
           std::span<const double> weights,
           const Execution& execution);

    [[nodiscard]] MatrixView rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t size() const noexcept { return rows_.rows; }
    [[nodiscard]] std::size_t dim() const noexcept { return rows_.cols; }
    [[nodiscard]] Metric metric() const noexcept { return metric_; }
    [[nodiscard]] std::span<const double> root_norms() const noexcept { return root_norms_; }
    [[nodiscard]] bool weighted() const noexcept { return !weights_.empty(); }
    [[nodiscard]] double weight(std::size_t row) const noexcept {
        return weights_.empty() ? 1.0 : weights_[row];
    }
    // What a row is multiplied by where rows are added up: its weight, under cosine over its norm.
    [[nodiscard]] double multiplier(std::size_t row) const noexcept {
        return metric_ == Metric::cosine ? weight(row) / root_norms_[row] : weight(row);
    }
    [[nodiscard]] double loss(float score) const noexcept {
        const auto wide = static_cast<double>(score);
        return metric_ == Metric::cosine ? 1.0 - wide : -wide;
    }

  private:
    MatrixView rows_;
    Metric metric_;
    std::span<const double> weights_;
    std::vector<double> root_norms_;
};

// ---- seeding -----------------------------------------------------------------------------------

enum class SeedingLaw : std::uint8_t {
    // Without replacement, each draw in proportion to weight.
    random_rows,
    // The first row in proportion to weight, each further one in proportion to weight times the
    // loss to the nearest row chosen so far ("the D^2 law"; Arthur and Vassilvitskii 2007).
    plus_plus,
    // As plus_plus, but the best of `trials` draws: the one that leaves the least total loss.
    greedy_plus_plus,
    // The D^2 law by rejection from a proposal that needs no look at the other rows. trials = 0:
    // exactly plus_plus's law. Otherwise after so many rejected draws a row is taken in proportion
    // to weight.
    rejection,
    // A Markov chain of `trials` >= 1 steps per row towards the D^2 law (Bachem, Lucic, Hassani and
    // Krause 2016). Where one ends on a row without loss, that row and all to come are drawn by the
    // D^2 law itself.
    afk_mc2,
};

struct Seeding {
    SeedingLaw law = SeedingLaw::plus_plus;
    std::size_t trials = 0;
    std::uint64_t seed = 0;
    std::uint64_t run = 0;  // the epoch of the draws
};

// num_clusters rows. Where no row is left whose loss is positive, the lowest rows of positive
// weight not chosen yet follow. Throws InvalidArgument if fewer rows than that have weight.
[[nodiscard]] std::vector<std::int64_t> seed_rows(const Points& points,
                                                  std::size_t num_clusters,
                                                  const Seeding& seeding,
                                                  const Execution& execution);

// ---- assignment and sums -----------------------------------------------------------------------

struct Assignment {
    std::vector<std::int32_t> labels;
    std::vector<float> scores;
};

// `centers`: float32, k x dim. Throws InvalidArgument as Points does, naming "centers".
[[nodiscard]] Assignment assign(const Points& points,
                                MatrixView centers,
                                const Execution& execution);

// sum of weight * loss, rows ascending.
[[nodiscard]] double total_loss(const Points& points, std::span<const float> scores);

struct ClusterSums {
    std::vector<double> sums;     // k x dim, of multiplier * row
    std::vector<double> weights;  // k
};

// `labels`: one per row, in [0, num_clusters).
[[nodiscard]] ClusterSums sum_clusters(const Points& points,
                                       std::span<const std::int32_t> labels,
                                       std::size_t num_clusters,
                                       const Execution& execution);

// ---- Lloyd -------------------------------------------------------------------------------------

struct Stopping {
    std::size_t max_iter = 300;  // >= 1
    // Stop once the squared shifts of all centres sum up to no more than tol times the mean
    // variance of the columns (of unit rows under cosine).
    double tol = 0;
};

struct Clustering {
    std::vector<float> centers;           // k x dim
    std::vector<std::int32_t> labels;     // to these centres
    double loss = 0;                      // the same
    double free_loss = 0;                 // to the nearest of these centres
    std::vector<double> losses;           // by iteration: to the centres it began with
    std::vector<double> cluster_weights;  // k, to these centres
};

// One iteration assigns every row, then moves every centre to the mean of its rows (cosine: to the
// direction of the sum of their unit vectors), rounded to float32 once. Stops when no label
// changes, by `stopping.tol`, or after max_iter.
//
// Empty clusters, in ascending order, are each given the row of the greatest loss (ties to the
// lower row) among those of positive weight and loss that are not alone in their cluster nor equal
// to a row given away in this iteration; it leaves its cluster. Where there is none the centre
// stays, as it does where unit vectors cancel.
[[nodiscard]] Clustering lloyd(const Points& points,
                               MatrixView centers,
                               const Stopping& stopping,
                               const Execution& execution);

// ---- clusters of limited size ----------------------------------------------------------------

struct SizeLimits {
    std::size_t least = 1;  // rows of every cluster
    std::size_t most = 1;
};

// As lloyd(), but rows are assigned at the least total loss among all assignments that keep the
// sizes of clusters within limits; each row to one of its nearest centres (all of them if they are
// few), or, where that leaves a cluster short, to one that is short. Among many centres, iterations
// that still lower the loss may take one above the least: by up to 1.4 % in the first of those
// seen, and by more where rows crowd around too few centres; what is returned is at the least. Rows
// are not weighted. Throws InvalidArgument unless k * least <= rows <= k * most.
[[nodiscard]] Clustering limited_lloyd(const Points& points,
                                       MatrixView centers,
                                       SizeLimits limits,
                                       const Stopping& stopping,
                                       const Execution& execution);

}  // namespace nearmiss
