// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/truncation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>

#include "choose/portable_math.hpp"
#include "choose/row_tables.hpp"
#include "float_environment.hpp"

namespace nearmiss {
namespace {

using portable::kInfinity;

class RowTruncation {
  public:
    RowTruncation(const TruncationRule& rule, bool weights)
        : rule_(rule),
          log_limit_(portable::log(rule.limit)),
          given_weights_(weights) {}

    void apply(std::span<const double> values, std::span<double> out) {
        read(values);
        if (order_.empty()) {
            std::fill(out.begin(), out.end(), -kInfinity);
            return;
        }
        select();
        for (std::size_t j = 0; j < values.size(); ++j) {
            const double log_weight = given_weights_ ? portable::log(values[j]) : values[j];
            out[j] = kept_[j] ? log_weight : -kInfinity;
        }
    }

  private:
    // Finds the items of the row and their weights, of which the greatest is about 1. Weights as
    // given are divided by a power of two only, so that what is equal stays so.
    void read(std::span<const double> values) {
        values_ = values;
        order_.clear();
        kept_.assign(values.size(), 0);
        weights_.assign(values.size(), 0.0);
        const double none = given_weights_ ? 0.0 : -kInfinity;
        for (std::size_t j = 0; j < values.size(); ++j)
            if (values[j] > none) order_.push_back(static_cast<std::uint32_t>(j));
        if (order_.empty()) return;
        greatest_ = *std::max_element(values.begin(), values.end());
        int exponent = 0;
        if (given_weights_) static_cast<void>(std::frexp(greatest_, &exponent));
        for (const std::uint32_t j : order_)
            weights_[j] = given_weights_ ? std::ldexp(values[j], -exponent)
                                         : portable::exp(values[j] - greatest_);
        unit_ = given_weights_ ? std::ldexp(greatest_, -exponent) : 1.0;
    }

    void select() {
        switch (rule_.kind) {
        case Truncation::min_p:
            keep_near_greatest();
            break;
        case Truncation::top_p:
            keep_nucleus();
            break;
        case Truncation::epsilon:
            keep_from(rule_.limit * sum_of_weights());
            break;
        case Truncation::eta:
            keep_from(eta_limit());
            break;
        }
        // Every rule keeps the likeliest first: only rows with too few lack some of these.
        const auto least = static_cast<std::ptrdiff_t>(std::min(rule_.min_keep, order_.size()));
        if (std::count(kept_.begin(), kept_.end(), 1) >= least) return;
        sort_likeliest_first();
        for (auto j = order_.begin(); j != order_.begin() + least; ++j) kept_[*j] = 1;
    }

    void keep_near_greatest() {
        for (const std::uint32_t j : order_)
            kept_[j] = given_weights_ ? weights_[j] >= rule_.limit * unit_
                                      : values_[j] - greatest_ >= log_limit_;
    }

    void keep_nucleus() {
        sort_likeliest_first();
        const double wanted = rule_.limit * sum_of_weights();
        double sum = 0.0;
        for (const std::uint32_t j : order_) {
            // Beside greater ones small weights vanish from the sum; a limit of 1 cuts none.
            if (sum >= wanted && rule_.limit < 1.0) return;
            kept_[j] = 1;
            sum += weights_[j];
        }
    }

    void keep_from(double least_weight) {
        for (const std::uint32_t j : order_) kept_[j] = weights_[j] >= least_weight;
    }

    // In the order of order_, which sorting changes: the partial sums of a nucleus then end with
    // it.
    [[nodiscard]] double sum_of_weights() const {
        double sum = 0.0;
        for (const std::uint32_t j : order_) sum += weights_[j];
        return sum;
    }

    // As a weight. With v the weights relative to the greatest, of sum V, the entropy is
    // log V - sum (v log v) / V, and p >= limit means v >= limit V. Equal weights have v = 1 and
    // logarithms of 0, exactly, so that none is cut.
    [[nodiscard]] double eta_limit() const {
        double sum = 0.0;
        double sum_of_logs = 0.0;
        for (const std::uint32_t j : order_) {
            const double v = weights_[j] / unit_;
            sum += v;
            if (v > 0.0)
                sum_of_logs += v * (given_weights_ ? portable::log(v) : values_[j] - greatest_);
        }
        const double by_entropy = std::sqrt(rule_.limit) * portable::exp(sum_of_logs / sum);
        return std::min(rule_.limit * sum, by_entropy) * unit_;
    }

    void sort_likeliest_first() {
        std::stable_sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
            return values_[a] > values_[b];
        });
    }

    const TruncationRule& rule_;
    double log_limit_;
    bool given_weights_;
    std::span<const double> values_;
    double greatest_ = 0.0;             // of values_
    double unit_ = 1.0;                 // of weights_
    std::vector<std::uint32_t> order_;  // the columns of items
    std::vector<double> weights_;
    std::vector<char> kept_;
};

}  // namespace

std::vector<double> truncate(TableView values,
                             bool weights,
                             const TruncationRule& rule,
                             const Execution& execution) {
    const FloatEnvironment environment;
    require(rule.limit >= 0.0 && rule.limit <= 1.0, "limit: expected a number from 0 to 1");
    if (weights)
        require_values(values, "weights", "a finite number of at least 0", [](double w) {
            return w >= 0.0 && w <= std::numeric_limits<double>::max();
        });
    else
        require_values(values, "log_weights", "a finite number or -inf", [](double x) {
            return x <= std::numeric_limits<double>::max();
        });
    std::vector<double> log_weights(values.rows * values.cols);
    for_row_blocks(
        values.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            RowTruncation row(rule, weights);
            for (std::size_t i = block.begin; i < block.end; ++i) {
                row.apply(values.row(i), {log_weights.data() + i * values.cols, values.cols});
                context.checkpoint();
            }
        });
    return log_weights;
}

}  // namespace nearmiss
