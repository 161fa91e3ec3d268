// SPDX-License-Identifier: Apache-2.0
// What batches are built with: packing without conflicts, and trees whose leaves are near rows.
//
// Everything is checked before any work; InvalidArgument names the argument. Functions may be
// called from several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// ---- packing; nothing of it is random, the caller brings the order ------------------------------

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

// ---- trees -------------------------------------------------------------------------------------

// The leaf of each row, in the order of the tree, in a balanced binary tree of so many levels of
// splits. A node is split by 2-means on directions (vectors of unit length): centres are two
// different rows, drawn by (seed, node); the half of the rows nearest to either centre goes to it,
// halves differing by one row at most; centres become the directions of the halves' sums; until the
// mean similarity of rows to their centre grows by less than 1e-4. (Dahiya et al., "NGAME", WSDM
// 2023, as in the authors' code.)
//
// `vectors`: finite, none zero; at least 2^depth of them. The result depends on nothing else: sums
// are those of promise 1 or in ascending order of rows.
[[nodiscard]] std::vector<std::int64_t> balanced_two_means(MatrixView vectors,
                                                           std::size_t depth,
                                                           std::uint64_t seed,
                                                           const Execution& execution);

}  // namespace nearmiss
