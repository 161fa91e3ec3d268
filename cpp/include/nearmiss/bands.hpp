// SPDX-License-Identifier: Apache-2.0
// Stratified choice: a quota from each of several bands of a query's rank window. Data only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nearmiss {

// What the ends of bands are measured in.
enum class BandScale : std::uint8_t {
    rank,      // 0 is the nearest row, whatever the window
    score,     // of the row
    margin,    // s+ minus the row's score; a query without s+ has no row in any band
    quantile,  // place in the window divided by its length, 0 for the nearest row
};

// Where the part of a quota goes that a band is too short for.
enum class Spill : std::uint8_t { none, farther, nearer };  // … to the next band in that direction

// The half-open [low, high).
struct Band {
    double low = 0;
    double high = 0;
    std::size_t quota = 1;  // at least 1
    bool nearest = false;   // its nearest rows instead of uniform draws without replacement
};

struct Bands {
    std::span<const Band> list;  // not overlapping, in any order
    BandScale scale = BandScale::rank;
    Spill spill = Spill::none;
};

}  // namespace nearmiss
