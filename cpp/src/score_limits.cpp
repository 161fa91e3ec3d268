// SPDX-License-Identifier: Apache-2.0
#include "score_limits.hpp"

#include <algorithm>
#include <cmath>

namespace nearmiss {

float reference_score(std::span<const float> positive_scores, MarginReference reference) noexcept {
    if (positive_scores.empty()) return std::numeric_limits<float>::quiet_NaN();
    switch (reference) {
    case MarginReference::min:
        return *std::min_element(positive_scores.begin(), positive_scores.end());
    case MarginReference::max:
        return *std::max_element(positive_scores.begin(), positive_scores.end());
    case MarginReference::mean:
        break;
    }
    double sum = 0;
    for (const float score : positive_scores) sum += static_cast<double>(score);
    return static_cast<float>(sum / static_cast<double>(positive_scores.size()));
}

ScoreInterval score_interval(const Limits& limits, std::size_t query, float reference) noexcept {
    ScoreInterval interval;
    if (!limits.min_score.empty()) interval.floor = limits.min_score[query];
    if (!limits.max_score.empty()) interval.ceiling = limits.max_score[query];
    if (std::isnan(reference)) return interval;
    const double positive = static_cast<double>(reference);
    if (limits.absolute_margin)
        interval.ceiling = std::min(interval.ceiling, positive - *limits.absolute_margin);
    if (limits.relative_margin) {
        const double margin = *limits.relative_margin * std::abs(positive);
        interval.ceiling = std::min(interval.ceiling, positive - margin);
    }
    return interval;
}

}  // namespace nearmiss
