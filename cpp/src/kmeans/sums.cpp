// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "parallel.hpp"

namespace nearmiss {

Summation::Summation(const Points& points, std::size_t num_clusters)
    : points_(points),
      sums_{std::vector<double>(num_clusters * points.dim()), std::vector<double>(num_clusters)} {}

void Summation::sort_by_label(std::size_t begin,
                              std::size_t end,
                              std::span<const std::int32_t> labels) {
    const std::size_t num_clusters = sums_.weights.size();
    starts_.assign(num_clusters + 1, 0);
    for (std::size_t row = begin; row < end; ++row)
        ++starts_[static_cast<std::size_t>(labels[row]) + 1];
    for (std::size_t c = 0; c < num_clusters; ++c) starts_[c + 1] += starts_[c];
    order_.resize(end - begin);
    std::vector<std::uint32_t> next(starts_.begin(), starts_.end() - 1);
    for (std::size_t row = begin; row < end; ++row)
        order_[next[static_cast<std::size_t>(labels[row])]++] = static_cast<std::uint32_t>(row);
}

void Summation::add_cluster(std::size_t cluster, std::vector<double>& multipliers) {
    const MatrixView rows = points_.rows();
    const std::span<const std::uint32_t> members(order_.data() + starts_[cluster],
                                                 order_.data() + starts_[cluster + 1]);
    if (members.empty()) return;
    multipliers.resize(members.size());
    for (std::size_t i = 0; i < members.size(); ++i) {
        multipliers[i] = points_.multiplier(members[i]);
        sums_.weights[cluster] += points_.weight(members[i]);
    }
    kernels::active().of_type[static_cast<std::size_t>(rows.type)].add_rows(
        {reinterpret_cast<const char*>(rows.data),
         rows.row_stride,
         members.data(),
         members.size(),
         rows.cols},
        multipliers.data(),
        sums_.sums.data() + cluster * rows.cols);
}

void Summation::add(std::size_t begin,
                    std::size_t end,
                    std::span<const std::int32_t> labels,
                    const Execution& execution) {
    sort_by_label(begin, end, labels);
    // A cluster is summed up by one task; tasks get about as many rows each.
    constexpr std::size_t kRowsPerTask = 1024;
    const std::size_t num_clusters = sums_.weights.size();
    std::vector<std::size_t> bounds{0};
    for (std::size_t c = 0; c < num_clusters; ++c)
        if (starts_[c + 1] - starts_[bounds.back()] >= kRowsPerTask || c + 1 == num_clusters)
            bounds.push_back(c + 1);
    run_parallel(
        bounds.size() - 1, 1, execution.at(1), [&](std::size_t task, TaskContext& context) {
            std::vector<double> scratch;
            for (std::size_t c = bounds[task]; c < bounds[task + 1]; ++c) {
                add_cluster(c, scratch);
                context.checkpoint();
            }
        });
}

ClusterSums sum_clusters(const Points& points,
                         std::span<const std::int32_t> labels,
                         std::size_t num_clusters,
                         const Execution& execution) {
    const FloatEnvironment environment;
    Summation summation(points, num_clusters);
    for_blocks(points.size(), 0, 1, execution, [&](auto begin, auto end, const Execution& part) {
        summation.add(begin, end, labels, part);
    });
    return std::move(summation).take();
}

}  // namespace nearmiss
