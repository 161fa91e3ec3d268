// SPDX-License-Identifier: Apache-2.0
// How far candidates are, from their scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "nearmiss/error.hpp"
#include "nearmiss/in_batch.hpp"

namespace nearmiss {

// The greater the score the smaller the gap, exactly: IEEE arithmetic is monotonic.
class Gaps {
  public:
    Gaps(Metric metric, Gauge gauge) : unit_vectors_(metric == Metric::cosine), gauge_(gauge) {
        require(metric != Metric::ip || gauge == Gauge::score,
                "distance: inner products have no distances");
    }

    [[nodiscard]] double operator()(float score) const noexcept {
        const double s = static_cast<double>(score);
        if (gauge_ == Gauge::score) return -s;
        const double square = squared(s);
        return gauge_ == Gauge::distance ? std::sqrt(square) : square;
    }

    // Of all scores.
    void operator()(std::span<const float> scores, std::vector<double>& out) const {
        out.resize(scores.size());
        for (std::size_t j = 0; j < scores.size(); ++j) out[j] = -static_cast<double>(scores[j]);
        if (gauge_ == Gauge::score) return;
        for (double& gap : out) gap = squared(-gap);
        if (gauge_ == Gauge::distance)
            for (double& gap : out) gap = std::sqrt(gap);
    }

  private:
    [[nodiscard]] double squared(double s) const noexcept {
        const double square = unit_vectors_ ? 2.0 - 2.0 * s : -s;
        return square > 0.0 ? square : 0.0;
    }

    bool unit_vectors_;
    Gauge gauge_;
};

}  // namespace nearmiss
