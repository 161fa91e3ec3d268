// SPDX-License-Identifier: Apache-2.0
#include "kmeans/moving_centers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

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

double MovingCenters::move(const ClusterSums& clusters) {
    const std::size_t dim = points_.dim();
    std::vector<float> center(dim);
    changed_.assign(size(), 0);
    double shift = 0;
    for (std::size_t c = 0; c < size(); ++c) {
        const std::span<const double> sum(clusters.sums.data() + c * dim, dim);
        const double weight = clusters.weights[c];
        if (weight == 0) continue;
        if (points_.metric() == Metric::cosine) {
            if (!set_direction(sum, center.data())) continue;
        } else {
            for (std::size_t j = 0; j < dim; ++j) center[j] = static_cast<float>(sum[j] / weight);
        }
        float* const place = centers_.data() + c * dim;
        changed_[c] = std::memcmp(center.data(), place, dim * sizeof(float)) != 0;
        for (std::size_t j = 0; j < dim; ++j) {
            const double gap = static_cast<double>(center[j]) - static_cast<double>(place[j]);
            shift += gap * gap;
            place[j] = center[j];
        }
    }
    return shift;
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
