// SPDX-License-Identifier: Apache-2.0
// Support truncation and row thresholds from C++: worked numbers, odd sizes, extreme values.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "nearmiss/random.hpp"
#include "nearmiss/thresholds.hpp"
#include "nearmiss/truncation.hpp"

using nearmiss::Execution;
using nearmiss::mean_plus_sd;
using nearmiss::quantile;
using nearmiss::QuantileMethod;
using nearmiss::RandomStream;
using nearmiss::TableView;
using nearmiss::truncate;
using nearmiss::Truncation;
using nearmiss::Whisker;
using nearmiss::whisker;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const Execution kTwoThreads{2, {}};

}  // namespace

TEST(truncation_keeps_the_likeliest_and_changes_no_log_weight) {
    const RandomStream random(12, 97u, 0);
    for (const std::size_t cols : {1u, 2u, 7u, 33u}) {
        std::vector<double> values(37 * cols);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double u = random.unit(cols, i);
            values[i] = u < 0.1 ? -kInfinity : std::round(u * 9) * (i % 2 == 0 ? 0.3 : 1e307);
        }
        const TableView table{values.data(), 37, cols};
        for (const Truncation kind :
             {Truncation::min_p, Truncation::top_p, Truncation::epsilon, Truncation::eta}) {
            for (const double limit : {0.0, 0.2, 1.0}) {
                const auto kept = truncate(table, false, {kind, limit, 1}, kTwoThreads);
                for (std::size_t i = 0; i < 37; ++i) {
                    double greatest = -kInfinity;
                    double greatest_kept = -kInfinity;
                    for (std::size_t j = i * cols; j < (i + 1) * cols; ++j) {
                        CHECK(kept[j] == values[j] || kept[j] == -kInfinity);
                        greatest = std::max(greatest, values[j]);
                        greatest_kept = std::max(greatest_kept, kept[j]);
                    }
                    CHECK(greatest == greatest_kept);
                }
            }
        }
    }
}

TEST(thresholds_of_worked_rows) {
    const std::vector<double> scores{0.1,
                                     0.2,
                                     kNan,
                                     0.3,
                                     0.6,
                                     0.8,  //
                                     kNan,
                                     kNan,
                                     kNan,
                                     kNan,
                                     kNan,
                                     kNan,
                                     7,
                                     7,
                                     7,
                                     7,
                                     7,
                                     7};
    const TableView table{scores.data(), 3, 6};
    const auto positive = mean_plus_sd(table, 1.0, 1, kTwoThreads);
    CHECK(std::abs(positive[0] - 0.691548) < 1e-6);
    CHECK(std::isnan(positive[1]) && positive[2] == 7);
    const auto median = quantile(table, 0.5, QuantileMethod::linear, kTwoThreads);
    CHECK(median[0] == 0.3 && std::isnan(median[1]) && median[2] == 7);
    const auto fence = whisker(table, 1.0, Whisker::lower, QuantileMethod::inverted, kTwoThreads);
    CHECK(std::abs(fence[0] - (0.2 - 0.4)) < 1e-15 && std::isnan(fence[1]) && fence[2] == 7);
}
