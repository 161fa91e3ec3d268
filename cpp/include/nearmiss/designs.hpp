// SPDX-License-Identifier: Apache-2.0
// Sampling designs of fixed size: exactly so many of a row's items, without replacement, and with
// inclusion probabilities that are known exactly.
//
// Rows are independent. A draw is a function of its key, that is (seed, epoch, query id), and of
// the row, so it does not depend on batches or threads.
// Everything is checked before any work; InvalidArgument names the argument and the first bad row.
// All functions may be called from several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/random.hpp"
#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// Inclusion probabilities proportional to size, of samples of sizes[i] items of row i: those that
// would exceed 1 are 1, and what is left is shared among the others in proportion (Särndal,
// Swensson & Wretman 1992, §3.6.2). `weights`: finite, >= 0; a weight of 0 gives 0. Every row needs
// at least sizes[i] >= 0 items of positive weight. Returns rows x cols.
[[nodiscard]] std::vector<double> inclusion_probabilities(TableView weights,
                                                          std::span<const std::int64_t> sizes,
                                                          const Execution& execution);

// ---- conditional Poisson sampling --------------------------------------------------------------
// Also called maximum entropy or rejective sampling (Hájek 1964): sets of sizes[i] items, each with
// probability proportional to the product of its items' weights. A log-weight of -infinity is
// never drawn, +infinity always. Every row needs at least sizes[i] items that can be drawn, and
// no more than that which must be.
//
// Time and memory per thread: cols * sizes[i].

struct ConditionalPoissonSample {
    // rows x max(sizes): columns, ascending, -1 padded.
    std::vector<std::int64_t> columns;
    // One per row: the natural logarithm of the probability of the set.
    std::vector<double> log_probabilities;
};

[[nodiscard]] ConditionalPoissonSample conditional_poisson(TableView log_weights,
                                                           std::span<const std::int64_t> sizes,
                                                           const DrawKey& key,
                                                           const Execution& execution);

// The probability of every item to be in the sample, rows x cols.
[[nodiscard]] std::vector<double> conditional_poisson_inclusion(TableView log_weights,
                                                                std::span<const std::int64_t> sizes,
                                                                const Execution& execution);

// Log-weights for which the design of size sum(inclusion[i]) has these inclusion probabilities:
// -infinity where one is 0, +infinity where it is 1, the others with mean 0 (a constant added to a
// row changes nothing). Rows must sum to an integer, up to 1e-6.
[[nodiscard]] std::vector<double> conditional_poisson_weights(TableView inclusion,
                                                              const Execution& execution);

// ---- pivotal sampling --------------------------------------------------------------------------
// Two items "fight": one takes as much of the probability of the other as it can, at random so that
// expectations stay; whoever reaches 0 or 1 is decided (Deville & Tillé 1998). Probabilities are
// rounded to multiples of 2^-62; fights are exact integer arithmetic.
//
// `inclusion`: from 0 to 1. A row whose sum is an integer, up to 1e-6, gets samples of just that
// size; another one of the integer below or above. Results are rows x width columns, ascending, -1
// padded, where width is the largest sample there can be.

struct PivotalSample {
    std::vector<std::int64_t> columns;
    std::size_t width = 0;
};

enum class PivotalOrder : std::uint8_t {
    given,   // as the columns are: neighbours in the row compete, so samples spread over it
    random,  // a new random order for every row
};

[[nodiscard]] PivotalSample pivotal(TableView inclusion,
                                    PivotalOrder order,
                                    const DrawKey& key,
                                    const Execution& execution);

// The local pivotal method (LPM2 of Grafström, Lundström & Schelin 2012): a random undecided item
// fights its nearest undecided neighbour, by Euclidean distance, ties to the lower column. So near
// items seldom appear together, and the sample spreads over the space.
//
// Column j of row i stands for vectors.row(places[i * cols + j]); -1, where inclusion is 0, for
// none. Distances are the sums of promise 1 in float64. Time per row: cols^2 * vectors.cols.
[[nodiscard]] PivotalSample local_pivotal(TableView inclusion,
                                          MatrixView vectors,
                                          std::span<const std::int64_t> places,
                                          const DrawKey& key,
                                          const Execution& execution);

// Leverage scores of each row's items: the diagonal of A (A'A)^+ A', where the rows of A are the
// vectors of the row's columns; from 0 to 1, and their sum is the rank of A. `places`, `cols` to a
// row, are as for local_pivotal; -1 gets 0. Sums of eight lanes in float64, so the bits are the
// same everywhere. Time per row: cols * vectors.cols * min(cols, vectors.cols).
[[nodiscard]] std::vector<double> leverage_scores(MatrixView vectors,
                                                  std::span<const std::int64_t> places,
                                                  std::size_t cols,
                                                  const Execution& execution);

}  // namespace nearmiss
