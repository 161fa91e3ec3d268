// SPDX-License-Identifier: Apache-2.0
// The result of samplers of whole tables, row by row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "choose/row_blocks.hpp"
#include "nearmiss/sampling.hpp"

namespace nearmiss {

[[nodiscard]] inline Draws empty_draws(std::size_t num_rows,
                                       std::size_t num_drawn,
                                       const DrawKey& key,
                                       bool with_log_probs) {
    require_one_id_per_row(key, num_rows);
    Draws draws;
    draws.indices.assign(num_rows * num_drawn, -1);
    draws.counts.assign(num_rows, 0);
    if (with_log_probs)
        draws.log_probs.assign(num_rows * num_drawn, std::numeric_limits<double>::quiet_NaN());
    return draws;
}

// One row of a table of draws, to be filled from the left.
class DrawnRow {
  public:
    DrawnRow(Draws& draws, std::size_t row)
        : draws_(draws),
          row_(row),
          width_(draws.indices.size() / draws.counts.size()) {}

    [[nodiscard]] std::size_t room() const noexcept { return width_ - count(); }
    void add(std::span<const std::uint64_t> indices) {
        std::copy(indices.begin(), indices.end(), draws_.indices.data() + row_ * width_ + count());
        draws_.counts[row_] += static_cast<std::int64_t>(indices.size());
    }
    [[nodiscard]] std::span<double> log_probs() {
        return std::span(draws_.log_probs).subspan(row_ * width_, width_);
    }

  private:
    [[nodiscard]] std::size_t count() const noexcept {
        return static_cast<std::size_t>(draws_.counts[row_]);
    }

    Draws& draws_;
    std::size_t row_;
    std::size_t width_;
};

}  // namespace nearmiss
