// SPDX-License-Identifier: Apache-2.0
// Approximate search: which part of a corpus a query looks at, and how much that misses.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearmiss {

// Rows are kept in lists, one around each centre of a k-means; a query looks at those of the
// num_probes nearest centres (an inverted file: Sivic and Zisserman 2003; Jégou, Douze and Schmid
// 2011), and exactly there. One that finds fewer admissible rows there than it asks for looks at
// twice as many lists, and so on; where that would be more than a quarter of all lists, it is
// searched for exactly.
struct Probes {
    std::size_t num_probes =
        0;              // 0: the least that finds the part `recall` of what exact search finds
    double recall = 0;  // in (0, 1]
    std::size_t num_lists = 0;  // at most one per row; 0: about 4 sqrt(rows)
    std::uint64_t seed = 0;     // of clusters and samples
    // Queries that are searched for exactly too, to find out. If num_probes is 0 it is chosen by
    // the first half of them, and measured by the second.
    std::size_t sample = 64;
};

struct ProbeReport {
    std::size_t num_probes = 0;
    std::size_t num_lists = 0;  // that are not empty
    std::size_t widened = 0;    // queries that looked at more than num_probes lists
    std::size_t sampled = 0;    // queries that `expected` and `found` count rows of
    std::size_t expected = 0;   // rows in the pools of exact search
    std::size_t found = 0;      // of which in lists looked at: these are what the search found
    // Sums over the sample of the squares of both, and of their products: how far off it may be.
    std::size_t expected_squares = 0;
    std::size_t found_squares = 0;
    std::size_t products = 0;
};

}  // namespace nearmiss
