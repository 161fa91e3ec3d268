// SPDX-License-Identifier: Apache-2.0
#include "kmeans/moving_centers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {
namespace {

// The unit vector along `sum`, rounded to float32; false where there is none.
bool set_direction(std::span<const double> sum, float* center) {
    double squares = 0;
    for (const double element : sum) squares += element * element;
    const double norm = std::sqrt(squares);
    if (!(norm > 0)) return false;
    for (std::size_t j = 0; j < sum.size(); ++j) center[j] = static_cast<float>(sum[j] / norm);
    return true;
}

// By cluster, whether it has lost or gained rows.
std::vector<std::uint8_t> clusters_that_differ(std::span<const std::int32_t> before,
                                               std::span<const std::int32_t> labels,
                                               std::size_t num_clusters) {
    std::vector<std::uint8_t> differ(num_clusters, before.empty() ? 1 : 0);
    for (std::size_t row = 0; row < before.size(); ++row) {
        if (before[row] == labels[row]) continue;
        differ[static_cast<std::size_t>(before[row])] = 1;
        differ[static_cast<std::size_t>(labels[row])] = 1;
    }
    return differ;
}

}  // namespace

MovingCenters::MovingCenters(const Points& points, MatrixView first, const Execution& execution)
    : points_(points),
      centers_(first.rows * points.dim()) {
    require(first.cols == points.dim() && first.type == ElementType::float32,
            "init: expected float32 centres of as many dimensions as the rows");
    require(first.rows >= 1, "init: expected at least one centre");
    static_cast<void>(measure_rows(first, points.metric(), "init", execution));
    std::vector<double> wide(points.dim());
    for (std::size_t c = 0; c < first.rows; ++c) {
        float* const center = centers_.data() + c * points.dim();
        std::memcpy(center, first.row(c), first.row_bytes());
        if (points.metric() != Metric::cosine) continue;
        std::copy_n(center, points.dim(), wide.begin());
        set_direction(wide, center);
    }
}

MatrixView MovingCenters::view() const noexcept { return view_of_centers(centers_, points_.dim()); }

double MovingCenters::move(std::size_t center, std::span<const double> sum, double weight) {
    const std::size_t dim = points_.dim();
    float* const place = centers_.data() + center * dim;
    std::vector<float> moved(dim);
    changed_[center] = 0;
    if (weight == 0) return 0;
    if (points_.metric() == Metric::cosine) {
        if (!set_direction(sum, moved.data())) return 0;
    } else {
        for (std::size_t j = 0; j < dim; ++j) moved[j] = static_cast<float>(sum[j] / weight);
    }
    changed_[center] = std::memcmp(moved.data(), place, dim * sizeof(float)) != 0;
    double shift = 0;
    for (std::size_t j = 0; j < dim; ++j) {
        const double gap = static_cast<double>(moved[j]) - static_cast<double>(place[j]);
        shift += gap * gap;
        place[j] = moved[j];
    }
    return shift;
}

double MovingCenters::move(const ClusterSums& clusters) {
    const std::size_t dim = points_.dim();
    changed_.resize(size());
    double shift = 0;
    for (std::size_t c = 0; c < size(); ++c)
        shift += move(c, {clusters.sums.data() + c * dim, dim}, clusters.weights[c]);
    return shift;
}

double MovingCenters::move(Assignment& clusters,
                           std::span<const std::int32_t> before,
                           const Execution& execution) {
    const ClusterMembers members(clusters.labels, 0, points_.size(), size());
    const std::vector<std::uint8_t> differ = clusters_that_differ(before, clusters.labels, size());
    std::vector<double> shifts(size());
    changed_.assign(size(), 0);
    members.for_each(execution, [&](std::size_t c) {
        if (differ[c] == 0) return;
        const std::span<const std::uint32_t> rows = members.of(c);
        std::vector<double> sum(points_.dim());
        double weight = 0;
        add_rows(points_, rows, weight, sum.data());
        shifts[c] = move(c, sum, weight);
        std::vector<float> scores(rows.size());
        ExactScorer scorer(
            points_.rows(), points_.metric(), points_.root_norms(), kernels::active());
        scorer.score(exact_center(c), rows, scores.data());
        for (std::size_t i = 0; i < rows.size(); ++i) clusters.scores[rows[i]] = scores[i];
    });
    return std::accumulate(shifts.begin(), shifts.end(), 0.0);
}

ExactQuery MovingCenters::exact_center(std::size_t center) const {
    const float* const elements = centers_.data() + center * points_.dim();
    const auto& typed = kernels::active().of_type[static_cast<std::size_t>(ElementType::float32)];
    return {elements, std::sqrt(typed.squared_norm(elements, points_.dim()))};
}

double mean_variance(const Points& points, const Execution& execution) {
    const std::vector<std::int32_t> together(points.size(), 0);
    const ClusterSums all = sum_clusters(points, together, 1, execution.at(0));
    double squares = 0;
    for (std::size_t row = 0; row < points.size(); ++row) {
        const double norm = points.metric() == Metric::cosine ? 1.0 : points.root_norms()[row];
        squares += points.weight(row) * (norm * norm);
    }
    double square_of_mean = 0;
    for (const double sum : all.sums) {
        const double mean = sum / all.weights[0];
        square_of_mean += mean * mean;
    }
    const double variance = squares / all.weights[0] - square_of_mean;
    return std::max(variance, 0.0) / static_cast<double>(points.dim());
}

}  // namespace nearmiss
