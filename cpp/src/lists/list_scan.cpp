// SPDX-License-Identifier: Apache-2.0
#include "lists/list_scan.hpp"

#include <algorithm>
#include <bit>

#include "panel_groups.hpp"

namespace nearmiss {
namespace {

using kernels::kPanelRows;
using kernels::kTileQueries;

// Their tiles stay in the L2 cache while a list meets them.
constexpr std::size_t kMostMembers = 64 * kTileQueries;

}  // namespace

ListScan::ListScan(const Search& search, const InvertedLists& lists, const ScreeningForm& form)
    : lists_(lists),
      collector_(search, form),
      group_(collector_.block(), form, search.kernel),
      hits_(kMostMembers / kTileQueries * collector_.block().panels_at_once()) {}

void ListScan::run(std::span<const std::uint32_t> queries,
                   std::span<const std::uint32_t> nearest,
                   std::size_t width,
                   Guess guess,
                   TaskContext& context) {
    collector_.start(queries, guess);
    // The nearest list of every query first: thresholds are then high for all others.
    sort_by_list(nearest, width, 0, 1);
    scan_lists(context);
    sort_by_list(nearest, width, 1, width);
    scan_lists(context);
    collector_.finish(context);
}

// Members of the lists are the queries that have it as one of their lists [first, last).
void ListScan::sort_by_list(std::span<const std::uint32_t> nearest,
                            std::size_t width,
                            std::size_t first,
                            std::size_t last) {
    const std::size_t num_queries = nearest.size() / width;
    std::vector<std::uint32_t>& next = ends_;
    next.assign(lists_.size() + 1, 0);
    for (std::size_t i = 0; i < num_queries; ++i)
        for (std::size_t r = first; r < last; ++r) ++next[nearest[i * width + r] + 1];
    for (std::size_t list = 0; list < lists_.size(); ++list) next[list + 1] += next[list];
    members_.resize(num_queries * (last - first));
    for (std::size_t i = 0; i < num_queries; ++i)
        for (std::size_t r = first; r < last; ++r)
            members_[next[nearest[i * width + r]]++] = static_cast<std::uint32_t>(i);
    // Where the members of a list began, now they end.
}

void ListScan::scan_lists(TaskContext& context) {
    std::size_t begin = 0;
    for (std::size_t list = 0; list < lists_.size(); ++list) {
        const std::size_t end = ends_[list];
        for (; begin < end; begin += std::min(kMostMembers, end - begin)) {
            group_.gather(std::span(members_).subspan(begin, std::min(kMostMembers, end - begin)));
            scan(lists_.range(list));
            context.checkpoint();
        }
    }
}

void ListScan::scan(InvertedLists::Range range) {
    const std::size_t end = (range.end + kPanelRows - 1) / kPanelRows;
    PanelGroups groups(range.begin / kPanelRows,
                       end,
                       collector_.block().panels_at_once(),
                       [](std::size_t) { return true; });
    for (PanelGroup panels = groups.take(); panels.count != 0; panels = groups.take()) {
        const std::uint32_t count = group_.screen(panels, hits_.data());
        for (std::uint32_t h = 0; h < count; ++h)
            collect(hits_[h], panels.at[hits_[h].panel], range);
    }
}

void ListScan::collect(const kernels::TileHit& hit, std::size_t panel, InvertedLists::Range range) {
    const std::size_t first = panel * kPanelRows;
    // Panels at its ends are shared with other lists.
    const std::uint32_t below = (1u << std::min(kPanelRows, range.end - first)) - 1;
    const std::uint32_t before = first < range.begin ? (1u << (range.begin - first)) - 1 : 0;
    const auto lanes = static_cast<std::uint16_t>(below & ~before);
    for (std::uint32_t rest = queries_with_lanes(hit); rest != 0; rest &= rest - 1) {
        const auto t = static_cast<std::size_t>(std::countr_zero(rest));
        const std::size_t place = hit.tile * kTileQueries + t;
        collector_.take(group_.members()[place], hit, t, panel, lanes);
        group_.refresh(place);
    }
}

}  // namespace nearmiss
