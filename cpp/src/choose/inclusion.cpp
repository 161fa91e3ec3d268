// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <numeric>

#include "choose/designs.hpp"
#include "choose/row_tables.hpp"
#include "float_environment.hpp"

namespace nearmiss {
namespace {

std::size_t count_positive(std::span<const double> weights) {
    return static_cast<std::size_t>(
        std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0.0; }));
}

// `order`: scratch. Sets inclusion[j] for every j.
void include_in_proportion(std::span<const double> weights,
                           std::size_t size,
                           std::vector<std::uint32_t>& order,
                           double* inclusion) {
    order.resize(weights.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return weights[a] > weights[b];
    });
    std::fill_n(inclusion, weights.size(), 0.0);
    for (std::size_t certain = 0; certain < size; ++certain) {
        // Relative to the largest weight left nothing overflows, and what underflows is nothing
        // beside it, whatever the weights of items that are certain.
        const double unit = weights[order[certain]];
        double sum = 0.0;
        for (std::size_t i = order.size(); i-- > certain;) sum += weights[order[i]] / unit;
        const double left = static_cast<double>(size - certain);
        if (sum <= left) {
            inclusion[order[certain]] = 1.0;
            continue;
        }
        for (std::size_t i = certain; i < order.size(); ++i)
            inclusion[order[i]] = left * (weights[order[i]] / unit) / sum;
        return;
    }
}

}  // namespace

std::vector<double> inclusion_probabilities(TableView weights,
                                            std::span<const std::int64_t> sizes,
                                            const Execution& execution) {
    const FloatEnvironment environment;
    require_sizes(sizes, weights.rows);
    require_values(weights, "weights", "a finite number of at least 0", [](double w) {
        return w >= 0.0 && w <= std::numeric_limits<double>::max();
    });
    for (std::size_t i = 0; i < weights.rows; ++i) {
        const std::size_t positive = count_positive(weights.row(i));
        if (static_cast<std::size_t>(sizes[i]) > positive)
            throw InvalidArgument(
                "weights: row " + std::to_string(i) + " has " + std::to_string(positive) +
                " items of positive weight; expected at least n = " + std::to_string(sizes[i]));
    }
    std::vector<double> inclusion(weights.rows * weights.cols);
    for_row_blocks(
        weights.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            std::vector<std::uint32_t> order;
            for (std::size_t i = block.begin; i < block.end; ++i) {
                include_in_proportion(weights.row(i),
                                      static_cast<std::size_t>(sizes[i]),
                                      order,
                                      inclusion.data() + i * weights.cols);
                context.checkpoint();
            }
        });
    return inclusion;
}

}  // namespace nearmiss
