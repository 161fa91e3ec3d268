// SPDX-License-Identifier: Apache-2.0
// Limits applied to a list of rows whose exact scores are known.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "admission.hpp"
#include "collect/keys.hpp"
#include "score_limits.hpp"

namespace nearmiss {

// Which of the keys may be negatives (1 or 0). Adds to `counts` why not.
[[nodiscard]] std::vector<std::uint8_t> flag_admissible(std::span<const Key> keys,
                                                        const Admission& admission,
                                                        const ScoreInterval& interval,
                                                        CauseCounts& counts);

// Keeps those flagged, in their order. No flags: all of them.
void keep_flagged(std::vector<Key>& keys, std::span<const std::uint8_t> flags);

}  // namespace nearmiss
