// SPDX-License-Identifier: Apache-2.0
#include "query_block.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nearmiss {

using kernels::kTileQueries;

void QueryBlock::prepare(std::span<const std::uint32_t> queries) {
    queries_ = queries;
    const std::size_t dim = search_.corpus.rows.cols;
    exact_.resize(size());
    scales_.resize(size());
    intervals_.assign(size(), {});
    const bool as_they_are = search_.queries.type == ElementType::float32;
    if (!as_they_are) elements_.reserve(size() * dim);
    const auto& typed = search_.kernel.of_type[static_cast<std::size_t>(search_.queries.type)];
    for (std::size_t i = 0; i < size(); ++i) {
        const std::uint32_t q = queries[i];
        if (as_they_are) {
            const auto* row = reinterpret_cast<const float*>(search_.queries.row(q));
            exact_[i] = {row, search_.query_norms[q]};
        } else {
            float* elements = elements_.data() + i * dim;
            typed.to_float(search_.queries.row(q), dim, elements);
            exact_[i] = {elements, search_.query_norms[q]};
        }
        if (!search_.intervals.empty()) intervals_[i] = search_.intervals[q];
    }
    admission_.prepare(queries);
    packed_->pack(exact_, scales_);
    set_thresholds();
}

void QueryBlock::raise_lower(std::size_t i, double threshold) noexcept {
    if (threshold <= static_cast<double>(lower_[i])) return;
    lower_[i] = std::max(lower_[i], round_down(threshold));
}

float QueryBlock::initial_lower(std::size_t i) const noexcept {
    // Where the ceiling is below the floor nothing is admissible, but rows above it are counted.
    const double floor = std::min(intervals_[i].floor, intervals_[i].ceiling);
    return std::max(std::numeric_limits<float>::lowest(),
                    round_down(scales_[i].screened(floor) - scales_[i].error));
}

void QueryBlock::retire(std::size_t i) noexcept {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    lower_[i] = upper_[i] = kInfinity;
}

void QueryBlock::set_thresholds() {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    lower_.assign(num_tiles() * kTileQueries, kInfinity);
    upper_.assign(num_tiles() * kTileQueries, kInfinity);
    num_above_.assign(num_tiles() * kTileQueries, 0);
    has_ceiling_ = false;
    for (std::size_t i = 0; i < size(); ++i) {
        const ScreenScale& scale = scales_[i];
        const ScoreInterval& interval = intervals_[i];
        lower_[i] = initial_lower(i);
        if (!interval.has_ceiling()) continue;
        upper_[i] = round_up(scale.screened(interval.ceiling) + scale.error);
        has_ceiling_ = true;
    }
}

bool QueryBlock::all_count(const PanelGroup& panels, bool groups_are_right) const noexcept {
    for (std::size_t p = 0; p < panels.count; ++p)
        if ((panels.at[p] + 1) * kernels::kPanelRows > num_rows() ||
            !admission_.admits_all(panels.at[p], groups_are_right))
            return false;
    return true;
}

QueryBlock::TileRanges QueryBlock::tiles_for_groups(std::int64_t lowest,
                                                    std::int64_t highest,
                                                    bool within_groups) const noexcept {
    const auto [begin, end] = admission_.of_groups(lowest, highest);
    const std::uint32_t all = num_tiles();
    if (within_groups) {
        if (begin == end || highest < 0) return {{}, 0, false};
        return {{{static_cast<std::uint32_t>(begin / kTileQueries),
                  static_cast<std::uint32_t>((end - 1) / kTileQueries + 1)}},
                1,
                false};
    }
    const bool groups_are_right = begin == end;
    if (lowest != highest || lowest < 0) return {{{0, all}}, 1, groups_are_right};
    // Skip the tiles all of whose queries are of the panel's group.
    const std::size_t first_inside = (begin + kTileQueries - 1) / kTileQueries;
    const std::size_t last_inside = end == size() ? num_tiles() : end / kTileQueries;
    if (first_inside >= last_inside) return {{{0, all}}, 1, groups_are_right};
    return {{{0, static_cast<std::uint32_t>(first_inside)},
             {static_cast<std::uint32_t>(last_inside), all}},
            2,
            false};
}

}  // namespace nearmiss
