// SPDX-License-Identifier: Apache-2.0
// Rows packed into batches, no two of which may conflict.
//
// Nothing here is random: the caller brings the order. Everything is checked before any work;
// InvalidArgument names the argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// Row i brings some keys into its batch and refuses some keys that others bring. Two rows conflict
// if one of them brings what the other refuses; a row never conflicts with itself. A key that a row
// both brings and refuses is *held*: no two rows that hold it fit together.
struct Conflicts {
    ListsView brings;   // lists of keys below num_keys; empty: none
    ListsView refuses;  // likewise
    std::size_t num_keys = 0;
};

// Rows wanted in the batch of another: `columns` for every row, -1 for none.
struct WantedRows {
    std::span<const std::int64_t> rows;
    std::size_t columns = 0;
    bool onward = false;  // whether rows that came in this way bring theirs in turn
};

struct PackedBatches {
    std::vector<std::int64_t> indptr;    // batch b is indices[indptr[b]] to indices[indptr[b + 1]]
    std::vector<std::int64_t> indices;   // rows, each at most once
    std::vector<std::int64_t> unplaced;  // the other rows of `order`, as they stand there
};

// Fills num_batches batches of at most batch_size rows one after the other, greedily: first a row
// of each held key that has as many rows left as there are batches, then rows that were turned away
// before, then rows in the order given. Each row that comes in so is followed by those it wants.
//
// A row stays unplaced only if it conflicts with every batch that is not full. If rows hold one key
// at most, and bring and refuse nothing else, no packing places more of them.
//
// `order`: rows, each once; row i has list i of the conflicts.
[[nodiscard]] PackedBatches pack_batches(std::span<const std::int64_t> order,
                                         const Conflicts& conflicts,
                                         const WantedRows& wanted,
                                         std::size_t batch_size,
                                         std::size_t num_batches,
                                         const Execution& execution);

}  // namespace nearmiss
