// SPDX-License-Identifier: Apache-2.0
// Ceilings in crowds: where many rows score about as much as a query's negatives may at most, codes
// cannot tell on which side of the ceiling they are, and all of them would have to be scored
// exactly. Some of the rows tell beforehand for which queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.hpp"
#include "panel_groups.hpp"
#include "parallel.hpp"
#include "query_block.hpp"
#include "search.hpp"

namespace nearmiss {

// Not thread-safe.
class Ceilings {
  public:
    // `block`: of this search. Both must outlive the object. in_crowd() prepares the block and
    // moves its thresholds.
    Ceilings(const Search& search, QueryBlock& block) : search_(search), block_(block) {}

    // For each of the queries, whether an estimated part of more than `affordable` of all rows is
    // admissible and within the form's error of the ceiling. None where the corpus is too small for
    // looking to pay. The corpus must not be empty.
    [[nodiscard]] std::vector<bool> in_crowd(std::span<const std::uint32_t> queries,
                                             double affordable,
                                             TaskContext& context);

  private:
    // Adds the admissible rows of some panels that are near a ceiling.
    void count(const PanelGroup& panels);

    const Search& search_;
    QueryBlock& block_;
    std::vector<std::uint32_t> num_near_;  // by query of the block
    std::vector<kernels::TileHit> hits_;
};

}  // namespace nearmiss
