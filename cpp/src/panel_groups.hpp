// SPDX-License-Identifier: Apache-2.0
// Panels of the corpus that meet the queries together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/kernels.hpp"

namespace nearmiss {

// A bit for every lane of a panel that holds one of `num_rows` rows.
[[nodiscard]] constexpr std::uint16_t used_lanes(std::size_t panel, std::size_t num_rows) noexcept {
    const std::size_t lanes = std::min(kernels::kPanelRows, num_rows - panel * kernels::kPanelRows);
    return static_cast<std::uint16_t>((1u << lanes) - 1u);
}

// A bit for every query of a tile that a hit says something of. Most hits are of one.
[[nodiscard]] constexpr std::uint32_t queries_with_lanes(const kernels::TileHit& hit) noexcept {
    std::uint32_t queries = 0;
    for (std::size_t t = 0; t < kernels::kTileQueries; ++t)
        queries |= std::uint32_t{(hit.passed[t] | hit.above[t]) != 0} << t;
    return queries;
}

// Whether the panel is one of a sample of one in `sampling`, a power of two. Panels are taken at
// irregular places, so that no period in the corpus can fool the sample. A sample contains those
// of fewer panels.
[[nodiscard]] constexpr bool sampled(std::size_t panel, std::size_t sampling) noexcept {
    const std::uint64_t mixed = (panel / 16 + 1) * 0x9E3779B97F4A7C15u;
    return (panel ^ (mixed >> 32)) % sampling == 0;
}

struct PanelGroup {
    std::size_t count = 0;
    std::size_t at[kernels::kMaxPanels] = {};    // ascending
    std::size_t next[kernels::kMaxPanels] = {};  // to be fetched ahead; panels at hand will do
};

// The panels of [begin, end) that are wanted, in groups of `at_once`.
template <class Wanted>
class PanelGroups {
  public:
    PanelGroups(std::size_t begin, std::size_t end, std::size_t at_once, Wanted wanted)
        : panel_(begin),
          end_(end),
          at_once_(at_once),
          wanted_(std::move(wanted)),
          ahead_(gather()) {}

    // An empty group after the last.
    PanelGroup take() {
        PanelGroup group = ahead_;
        ahead_ = gather();
        for (std::size_t p = 0; p < group.count; ++p)
            group.next[p] = p < ahead_.count ? ahead_.at[p] : group.at[p];
        return group;
    }

  private:
    PanelGroup gather() {
        PanelGroup group;
        for (; panel_ < end_ && group.count < at_once_; ++panel_)
            if (wanted_(panel_)) group.at[group.count++] = panel_;
        return group;
    }

    std::size_t panel_;  // not looked at yet
    std::size_t end_;
    std::size_t at_once_;
    Wanted wanted_;
    PanelGroup ahead_;
};

}  // namespace nearmiss
