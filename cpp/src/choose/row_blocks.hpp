// SPDX-License-Identifier: Apache-2.0
// The loop over the rows of a table that samplers share.
#pragma once

#include <algorithm>
#include <cstddef>

#include "nearmiss/error.hpp"
#include "nearmiss/random.hpp"
#include "parallel.hpp"

namespace nearmiss {

inline void require_one_id_per_row(const DrawKey& key, std::size_t num_rows) {
    require(key.query_ids.empty() || key.query_ids.size() == num_rows,
            "query_ids: expected one per row");
}

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
