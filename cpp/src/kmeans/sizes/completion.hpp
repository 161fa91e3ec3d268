// SPDX-License-Identifier: Apache-2.0
// Sizes within limits where the candidates do not lead there.
#pragma once

#include <cstdint>
#include <vector>

#include "kmeans/sizes/candidates.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {

// Where more rows have the same few candidates than may go to these, or hardly a row has a cluster
// among them, nothing that only looks at candidates keeps sizes within limits. This moves rows out
// of clusters that have too many, and into those that have too few, the cheapest moves first; a
// cluster that is not among a row's candidates takes the place of the last. So the candidates then
// allow an assignment within limits, which better ones may be looked for from.
//
// `columns`: by row, of its candidate. num_clusters * least <= rows <= num_clusters * most.
void complete_sizes(const Points& points,
                    MatrixView centers,
                    SizeLimits limits,
                    NearCenters& candidates,
                    std::vector<std::uint32_t>& columns,
                    const Execution& execution);

}  // namespace nearmiss
