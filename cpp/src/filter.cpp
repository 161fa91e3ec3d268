// SPDX-License-Identifier: Apache-2.0
#include "filter.hpp"

namespace nearmiss {

void drop_inadmissible(std::vector<Key>& keys,
                       const Admission& admission,
                       const ScoreInterval& interval,
                       CauseCounts& counts) {
    std::erase_if(keys, [&](Key key) {
        if (admission.count_row(row_of(key), counts)) return true;
        if (static_cast<double>(score_of(key)) > interval.ceiling)
            ++counts[static_cast<std::size_t>(Cause::max_score)];
        return !interval.contains(score_of(key));
    });
}

}  // namespace nearmiss
