// SPDX-License-Identifier: Apache-2.0
// Support truncation: which items of a row are likely enough to be drawn at all. Rows are
// independent, and decided with + - * / and the portable exponential and logarithm, so results are
// the same on every machine and for any number of threads. May be called from several threads.
#pragma once

#include <cstddef>
#include <vector>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// With w the weights of a row, T their sum and p = w / T:
enum class Truncation {
    min_p,    // keeps w >= limit * max w (Nguyen et al., "Min-p sampling", 2024)
    top_p,    // keeps the likeliest items whose p add up to `limit` or more (Holtzman et al. 2020)
    epsilon,  // keeps p >= limit (Hewitt, Manning & Liang 2022)
    eta,      // keeps p >= min(limit, sqrt(limit) * exp(-entropy of p)) (ibid.)
};

struct TruncationRule {
    Truncation kind = Truncation::min_p;
    double limit = 0.0;        // 0 to 1
    std::size_t min_keep = 1;  // so many of the likeliest are kept in any case, ties to the left
};

// The log-weights of a rows x cols table, with -infinity for items that are cut. `values` are
// log-weights (-infinity: no item) or, if `weights`, weights >= 0 (0: no item), which are neither
// nan nor infinite otherwise: InvalidArgument, before any work. A row without an item stays as it
// is.
[[nodiscard]] std::vector<double> truncate(TableView values,
                                           bool weights,
                                           const TruncationRule& rule,
                                           const Execution& execution);

}  // namespace nearmiss
