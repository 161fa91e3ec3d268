// SPDX-License-Identifier: Apache-2.0
// One threshold per row of scores, from the scores of that row. nan is no score, wherever it
// stands; a row without a score has the threshold nan. Infinite scores: InvalidArgument, before any
// work. Float64 in a fixed order: the same bits on every machine and for any number of threads.
// May be called from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// mean + factor * sd, with sd^2 = sum (s - mean)^2 / (count - lost_degrees), or sd = 0 where the
// count is not greater. Scores that are all equal have themselves as mean, exactly.
[[nodiscard]] std::vector<double> mean_plus_sd(TableView scores,
                                               double factor,
                                               std::size_t lost_degrees,
                                               const Execution& execution);

enum class QuantileMethod : std::uint8_t {
    linear,    // between the two scores around place q (count - 1) (Hyndman & Fan 1996, type 7)
    inverted,  // the score at place floor(q count), the last for q = 1: no interpolation
};

// q: 0 to 1.
[[nodiscard]] std::vector<double> quantile(TableView scores,
                                           double q,
                                           QuantileMethod method,
                                           const Execution& execution);

enum class Whisker : std::uint8_t { lower, upper };

// Where Tukey's whisker may end: q1 - factor * (q3 - q1) or q3 + factor * (q3 - q1), with q1 and q3
// the quantiles of 1/4 and 3/4.
[[nodiscard]] std::vector<double> whisker(TableView scores,
                                          double factor,
                                          Whisker side,
                                          QuantileMethod method,
                                          const Execution& execution);

}  // namespace nearmiss
