// SPDX-License-Identifier: Apache-2.0
#include "ceilings.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace nearmiss {

using kernels::kPanelRows;
using kernels::kTileQueries;

namespace {

// Of a crowd that is just affordable so many rows are expected among those looked at. Nearer than
// a third to what is affordable, either way costs about the same.
constexpr double kTellingRows = 8;
// Where more than one panel in so many would have to be looked at, scanning tells as cheaply.
constexpr std::size_t kLeastStride = 16;

// Of every so many panels one is looked at; 0: none.
std::size_t stride_for(double affordable, std::size_t num_panels) {
    const double panels = std::ceil(kTellingRows / affordable / static_cast<double>(kPanelRows));
    const double stride = static_cast<double>(num_panels) / panels;
    return stride < static_cast<double>(kLeastStride) ? 0 : static_cast<std::size_t>(stride);
}

// One of every `stride` panels, at irregular places.
bool looked_at(std::size_t panel, std::size_t stride) {
    const std::uint64_t mixed = (panel / stride + 1) * 0x9E3779B97F4A7C15u;
    return panel % stride == (mixed >> 32) % stride;
}

}  // namespace

std::vector<bool> Ceilings::in_crowd(std::span<const std::uint32_t> queries,
                                     double affordable,
                                     TaskContext& context) {
    std::vector<bool> result(queries.size(), false);
    const std::size_t stride = stride_for(affordable, search_.corpus.num_panels());
    if (stride == 0 || search_.intervals.empty()) return result;
    block_.prepare(queries);
    if (block_.thresholds().upper == nullptr) return result;
    lower_.assign(block_.num_tiles() * kTileQueries, std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < block_.size(); ++i) {
        const ScoreInterval& interval = block_.interval(i);
        if (!interval.has_ceiling()) continue;
        const ScreenScale& scale = block_.scale(i);
        const double near = scale.screened(interval.ceiling) - scale.error;
        lower_[i] = std::max(block_.initial_lower(i), round_down(near));
    }
    num_above_.assign(lower_.size(), 0);
    num_near_.assign(block_.size(), 0);
    hits_.resize(block_.max_hits());
    std::size_t num_panels = 0;
    PanelGroups groups(0,
                       search_.corpus.num_panels(),
                       block_.panels_at_once(),
                       [=](std::size_t panel) { return looked_at(panel, stride); });
    for (PanelGroup panels = groups.take(); panels.count != 0; panels = groups.take()) {
        count(panels);
        num_panels += panels.count;
        context.checkpoint();
    }
    const double most = affordable * static_cast<double>(num_panels * kPanelRows);
    for (std::size_t i = 0; i < queries.size(); ++i)
        result[i] = static_cast<double>(num_near_[i]) > most;
    return result;
}

void Ceilings::count(const PanelGroup& panels) {
    Thresholds at = block_.thresholds();
    at.lower = lower_.data();
    at.num_above = num_above_.data();
    const std::uint32_t num_hits =
        block_.packed().screen(panels, {0, block_.num_tiles()}, at, hits_.data());
    for (const kernels::TileHit& hit : std::span(hits_).first(num_hits)) {
        const std::size_t panel = panels.at[hit.panel];
        const std::uint16_t used = used_lanes(panel, search_.corpus.num_rows());
        for (std::uint32_t rest = queries_with_lanes(hit); rest != 0; rest &= rest - 1) {
            const auto t = static_cast<std::size_t>(std::countr_zero(rest));
            const std::size_t i = hit.tile * kTileQueries + t;
            const auto near = static_cast<std::uint16_t>(hit.passed[t] & used);
            num_near_[i] += static_cast<std::uint32_t>(
                std::popcount(block_.admission().admissible(i, panel, near, {})));
        }
    }
}

}  // namespace nearmiss
