// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/thresholds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "choose/row_tables.hpp"
#include "float_environment.hpp"

namespace nearmiss {
namespace {

double mean_of(std::span<const double> values) {
    // Of differences to one of them: equal scores have themselves as mean, whatever the rounding.
    double sum = 0.0;
    for (const double s : values) sum += s - values[0];
    return values[0] + sum / static_cast<double>(values.size());
}

double standard_deviation(std::span<const double> values, double mean, std::size_t lost_degrees) {
    if (values.size() <= lost_degrees) return 0.0;
    double squares = 0.0;
    for (const double s : values) squares += (s - mean) * (s - mean);
    return std::sqrt(squares / static_cast<double>(values.size() - lost_degrees));
}

double mean_plus_sd_of(std::span<double> values, double factor, std::size_t lost_degrees) {
    double largest = 0.0;
    for (const double s : values) largest = std::max(largest, std::abs(s));
    // Scaled by a power of two such that neither squares nor differences overflow or vanish.
    int exponent = 0;
    static_cast<void>(std::frexp(largest, &exponent));
    for (double& s : values) s = std::ldexp(s, -exponent);
    const double mean = mean_of(values);
    const double sd = standard_deviation(values, mean, lost_degrees);
    return std::ldexp(mean + factor * sd, exponent);
}

// `sorted`: ascending, not empty.
double quantile_of(std::span<const double> sorted, double q, QuantileMethod method) {
    const std::size_t last = sorted.size() - 1;
    if (method == QuantileMethod::inverted)
        return sorted[std::min(last, static_cast<std::size_t>(q * static_cast<double>(last + 1)))];
    const double place = q * static_cast<double>(last);
    const auto below = static_cast<std::size_t>(place);
    if (below == last) return sorted[last];
    const double part = place - static_cast<double>(below);
    const double step = sorted[below + 1] - sorted[below];
    if (std::isinf(step)) return (1.0 - part) * sorted[below] + part * sorted[below + 1];
    return std::min(sorted[below] + part * step, sorted[below + 1]);
}

// threshold(scores) for every row that has a score.
template <class Threshold>
std::vector<double> threshold_rows(TableView scores,
                                   const Execution& execution,
                                   const Threshold& threshold) {
    const FloatEnvironment environment;
    require_values(scores, "scores", "a finite number, or nan for no score", [](double s) {
        return !std::isinf(s);
    });
    std::vector<double> thresholds(scores.rows, std::numeric_limits<double>::quiet_NaN());
    for_row_blocks(
        scores.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            std::vector<double> present;
            for (std::size_t i = block.begin; i < block.end; ++i) {
                present.clear();
                // + 0.0 leaves one zero only: a sorted row has an order of its bits too.
                for (const double s : scores.row(i))
                    if (!std::isnan(s)) present.push_back(s + 0.0);
                if (!present.empty()) thresholds[i] = threshold(present);
                context.checkpoint();
            }
        });
    return thresholds;
}

}  // namespace

std::vector<double> mean_plus_sd(TableView scores,
                                 double factor,
                                 std::size_t lost_degrees,
                                 const Execution& execution) {
    return threshold_rows(scores, execution, [&](std::span<double> values) {
        return mean_plus_sd_of(values, factor, lost_degrees);
    });
}

std::vector<double> quantile(TableView scores,
                             double q,
                             QuantileMethod method,
                             const Execution& execution) {
    require(q >= 0.0 && q <= 1.0, "q: expected a number from 0 to 1");
    return threshold_rows(scores, execution, [&](std::span<double> values) {
        std::sort(values.begin(), values.end());
        return quantile_of(values, q, method);
    });
}

std::vector<double> whisker(TableView scores,
                            double factor,
                            Whisker side,
                            QuantileMethod method,
                            const Execution& execution) {
    return threshold_rows(scores, execution, [&](std::span<double> values) {
        std::sort(values.begin(), values.end());
        const double first = quantile_of(values, 0.25, method);
        const double third = quantile_of(values, 0.75, method);
        const double range = third - first;
        const double reach = std::isinf(range) ? factor * third - factor * first : factor * range;
        return side == Whisker::upper ? third + reach : first - reach;
    });
}

}  // namespace nearmiss
