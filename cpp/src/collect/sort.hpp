// SPDX-License-Identifier: Apache-2.0
// Sorting keys by some of their bits. Long lists are sorted digit by digit, which takes time
// proportional to their length.
#pragma once

#include <span>
#include <vector>

#include "collect/keys.hpp"

namespace nearmiss {

// Best first. `scratch` grows to the size of `keys`.
void sort_best_first(std::span<Key> keys, std::vector<Key>& scratch);

// Lowest row first.
void sort_by_row(std::span<Key> keys, std::vector<Key>& scratch);

}  // namespace nearmiss
