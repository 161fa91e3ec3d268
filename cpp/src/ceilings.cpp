// SPDX-License-Identifier: Apache-2.0
#include "ceilings.hpp"

#include <bit>
#include <cmath>

namespace nearmiss {

using kernels::kPanelRows;
using kernels::kTileQueries;

namespace {

// Of a crowd that is just affordable so many rows are expected among those looked at. Nearer than
// a third to what is affordable, either way costs about the same.
constexpr double kTellingRows = 8;
// Where more than one panel in so many would have to be looked at, scanning tells as cheaply.
constexpr std::size_t kLeastSampling = 16;

// One panel in so many is looked at, a power of two; 0: none.
std::size_t sampling_for(double affordable, std::size_t num_panels) {
    const double panels = std::ceil(kTellingRows / affordable / static_cast<double>(kPanelRows));
    const auto one_in = static_cast<std::size_t>(static_cast<double>(num_panels) / panels);
    return one_in < kLeastSampling ? 0 : std::bit_floor(one_in);
}

}  // namespace

std::vector<bool> Ceilings::in_crowd(std::span<const std::uint32_t> queries,
                                     double affordable,
                                     TaskContext& context) {
    std::vector<bool> result(queries.size(), false);
    const std::size_t sampling = sampling_for(affordable, search_.corpus.num_panels());
    if (sampling == 0 || search_.intervals.empty()) return result;
    block_.prepare(queries);
    if (block_.thresholds().upper == nullptr) return result;
    for (std::size_t i = 0; i < block_.size(); ++i) {
        const ScoreInterval& interval = block_.interval(i);
        const ScreenScale& scale = block_.scale(i);
        if (interval.has_ceiling())
            block_.raise_lower(i, scale.screened(interval.ceiling) - scale.error);
        else
            block_.retire(i);
    }
    num_near_.assign(block_.size(), 0);
    hits_.resize(block_.max_hits());
    std::size_t num_panels = 0;
    PanelGroups groups(0,
                       search_.corpus.num_panels(),
                       block_.panels_at_once(),
                       [=](std::size_t panel) { return sampled(panel, sampling); });
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
    const std::uint32_t num_hits = block_.screen(panels, {0, block_.num_tiles()}, hits_.data());
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
