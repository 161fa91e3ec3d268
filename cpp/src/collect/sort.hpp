// SPDX-License-Identifier: Apache-2.0
// Orders of keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/keys.hpp"

namespace nearmiss {

// Best first. Long lists are sorted digit by digit, which takes time proportional to their length.
// `scratch` grows to the size of `keys`.
void sort_best_first(std::span<Key> keys, std::vector<Key>& scratch);

// The best `count` first, in any order, and the worst of these last among them; `count` is 1 to the
// number of keys, which differ. `scratch` grows to their number.
void select_best(std::span<Key> keys, std::size_t count, std::vector<Key>& scratch);

// Those of the lowest 2^shift rows first, then those of the next as many, and so on, as many times
// as there are `ends`, which become where each ends; in the order they had within these.
void group_by_rows(std::span<Key> keys,
                   unsigned shift,
                   std::span<std::uint32_t> ends,
                   std::vector<Key>& scratch);

}  // namespace nearmiss
