// SPDX-License-Identifier: Apache-2.0
// What samplers of whole tables share: the result, row by row, and the loop over rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "nearmiss/error.hpp"
#include "nearmiss/sampling.hpp"
#include "parallel.hpp"

namespace nearmiss {

[[nodiscard]] inline std::uint64_t row_query_id(const DrawKey& key, std::size_t row) noexcept {
    return key.query_ids.empty() ? row : static_cast<std::uint64_t>(key.query_ids[row]);
}

inline void require_one_id_per_row(const DrawKey& key, std::size_t num_rows) {
    require(key.query_ids.empty() || key.query_ids.size() == num_rows,
            "query_ids: expected one per row");
}

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

struct RowBlock {
    std::size_t begin;
    std::size_t end;
};

// f(block, context) for blocks of `per_block` rows, in parallel.
template <class F>
void for_row_blocks(std::size_t num_rows,
                    std::size_t per_block,
                    const Execution& execution,
                    const F& f) {
    const std::size_t blocks = (num_rows + per_block - 1) / per_block;
    run_parallel(blocks, num_rows, execution, [&](std::size_t block, TaskContext& context) {
        const std::size_t begin = block * per_block;
        const std::size_t end = std::min(num_rows, begin + per_block);
        f(RowBlock{begin, end}, context);
        context.checkpoint(end - begin);
    });
}

}  // namespace nearmiss
