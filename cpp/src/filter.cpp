// SPDX-License-Identifier: Apache-2.0
#include "filter.hpp"

namespace nearmiss {

std::vector<std::uint8_t> flag_admissible(std::span<const Key> keys,
                                          const Admission& admission,
                                          const ScoreInterval& interval,
                                          CauseCounts& counts) {
    std::vector<std::uint8_t> flags(keys.size(), 0);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (admission.count_row(row_of(keys[i]), counts)) continue;
        const float score = score_of(keys[i]);
        if (static_cast<double>(score) > interval.ceiling)
            ++counts[static_cast<std::size_t>(Cause::max_score)];
        flags[i] = interval.contains(score);
    }
    return flags;
}

void keep_flagged(std::vector<Key>& keys, std::span<const std::uint8_t> flags) {
    if (flags.empty()) return;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < keys.size(); ++i)
        if (flags[i] != 0) keys[kept++] = keys[i];
    keys.resize(kept);
}

}  // namespace nearmiss
