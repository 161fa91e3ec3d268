// SPDX-License-Identifier: Apache-2.0
// The closed score interval a negative of a query must lie in (promise 5).
#pragma once

#include <cstddef>
#include <limits>
#include <span>

#include "nearmiss/limits.hpp"

namespace nearmiss {

struct ScoreInterval {
    double floor = -std::numeric_limits<double>::infinity();
    double ceiling = std::numeric_limits<double>::infinity();

    [[nodiscard]] bool contains(float score) const noexcept {
        return static_cast<double>(score) >= floor && static_cast<double>(score) <= ceiling;
    }
    [[nodiscard]] bool has_ceiling() const noexcept {
        return ceiling < std::numeric_limits<double>::infinity();
    }
};

// s+ from the scores of a query's positives; NaN if there are none.
[[nodiscard]] float reference_score(std::span<const float> positive_scores,
                                    MarginReference reference) noexcept;

// `reference` is s+, NaN without a positive: then margins do not apply.
[[nodiscard]] ScoreInterval score_interval(const Limits& limits,
                                           std::size_t query,
                                           float reference) noexcept;

}  // namespace nearmiss
