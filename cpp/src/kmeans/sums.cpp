// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "parallel.hpp"

namespace nearmiss {

ClusterMembers::ClusterMembers(std::span<const std::int32_t> labels,
                               std::size_t begin,
                               std::size_t end,
                               std::size_t num_clusters)
    : order_(end - begin),
      starts_(num_clusters + 1, 0) {
    for (std::size_t row = begin; row < end; ++row)
        ++starts_[static_cast<std::size_t>(labels[row]) + 1];
    for (std::size_t c = 0; c < num_clusters; ++c) starts_[c + 1] += starts_[c];
    std::vector<std::uint32_t> next(starts_.begin(), starts_.end() - 1);
    for (std::size_t row = begin; row < end; ++row)
        order_[next[static_cast<std::size_t>(labels[row])]++] = static_cast<std::uint32_t>(row);
}

void ClusterMembers::for_each(const Execution& execution,
                              const std::function<void(std::size_t)>& f) const {
    constexpr std::size_t kRowsPerTask = 1024;
    const std::size_t num_clusters = starts_.size() - 1;
    std::vector<std::size_t> bounds{0};
    for (std::size_t c = 0; c < num_clusters; ++c)
        if (starts_[c + 1] - starts_[bounds.back()] >= kRowsPerTask || c + 1 == num_clusters)
            bounds.push_back(c + 1);
    run_parallel(
        bounds.size() - 1, 1, execution.at(1), [&](std::size_t task, TaskContext& context) {
            for (std::size_t c = bounds[task]; c < bounds[task + 1]; ++c) {
                f(c);
                context.checkpoint();
            }
        });
}

void add_rows(const Points& points,
              std::span<const std::uint32_t> rows,
              double& weight,
              double* sum) {
    if (rows.empty()) return;
    std::vector<double> multipliers(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        multipliers[i] = points.multiplier(rows[i]);
        weight += points.weight(rows[i]);
    }
    const MatrixView all = points.rows();
    kernels::active().of_type[static_cast<std::size_t>(all.type)].add_rows(
        {reinterpret_cast<const char*>(all.data),
         all.row_stride,
         rows.data(),
         rows.size(),
         all.cols},
        multipliers.data(),
        sum);
}

Summation::Summation(const Points& points, std::size_t num_clusters)
    : points_(points),
      sums_{std::vector<double>(num_clusters * points.dim()), std::vector<double>(num_clusters)} {}

void Summation::add(std::size_t begin,
                    std::size_t end,
                    std::span<const std::int32_t> labels,
                    const Execution& execution) {
    const ClusterMembers members(labels, begin, end, sums_.weights.size());
    members.for_each(execution, [&](std::size_t c) {
        add_rows(points_, members.of(c), sums_.weights[c], sums_.sums.data() + c * points_.dim());
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
