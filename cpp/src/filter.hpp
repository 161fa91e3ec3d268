// SPDX-License-Identifier: Apache-2.0
// Limits applied to a list of rows whose exact scores are known.
#pragma once

#include <vector>

#include "admission.hpp"
#include "collect/keys.hpp"
#include "score_limits.hpp"

namespace nearmiss {

// Drops what may not be a negative and adds to `counts` why; keeps the order.
void drop_inadmissible(std::vector<Key>& keys,
                       const Admission& admission,
                       const ScoreInterval& interval,
                       CauseCounts& counts);

}  // namespace nearmiss
