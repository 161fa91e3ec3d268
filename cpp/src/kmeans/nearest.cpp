// SPDX-License-Identifier: Apache-2.0
#include "kmeans/nearest.hpp"

#include <algorithm>
#include <bit>

#include "panel_groups.hpp"

namespace nearmiss {

using kernels::kPanelRows;
using kernels::kTileQueries;

namespace {

constexpr std::size_t kTileBytesPerBlock = std::size_t{400} << 10;
constexpr std::size_t kMinTilesPerBlock = 8;
constexpr std::size_t kMaxTilesPerBlock = 64;
// Where rows tie there are very many; they are then settled as they come.
constexpr std::size_t kMostCandidates = std::size_t{1} << 18;
constexpr std::size_t kPanelsPerCheckpoint = 16;

}  // namespace

std::size_t queries_per_scan(const ScreeningForm& form) noexcept {
    return kTileQueries * std::clamp(kTileBytesPerBlock / form.bytes_per_tile(),
                                     kMinTilesPerBlock,
                                     kMaxTilesPerBlock);
}

NearestScan::NearestScan(const Search& search, const ScreeningForm& form, CenterNumbers numbers)
    : search_(search),
      numbers_(numbers),
      block_(search, form),
      scorer_(search.corpus, search.kernel) {}

std::size_t NearestScan::run(std::span<const std::uint32_t> queries,
                             std::span<Key> best,
                             TaskContext& context) {
    block_.prepare(queries);
    hits_.resize(block_.max_hits());
    last_.assign(block_.size(), kFirst);
    candidates_.clear();  // a run may have been stopped
    best_ = best;
    num_scored_ = 0;
    for (std::size_t i = 0; i < block_.size(); ++i) raise_threshold(i);
    PanelGroups groups(
        0, search_.corpus.num_panels(), block_.panels_at_once(), [](std::size_t) { return true; });
    for (PanelGroup group = groups.take(); group.count != 0; group = groups.take()) {
        const std::uint32_t count = block_.screen(group, {0, block_.num_tiles()}, hits_.data());
        for (std::uint32_t h = 0; h < count; ++h) collect(hits_[h], group.at[hits_[h].panel]);
        if (candidates_.size() >= kMostCandidates) settle();
        if (group.at[0] % kPanelsPerCheckpoint == 0) context.checkpoint();
    }
    settle();
    return num_scored_;
}

void NearestScan::collect(const kernels::TileHit& hit, std::size_t panel) {
    const std::size_t first = panel * kPanelRows;
    const std::uint32_t used = used_lanes(panel, search_.corpus.num_rows());
    for (std::uint32_t rest = queries_with_lanes(hit); rest != 0; rest &= rest - 1) {
        const auto t = static_cast<std::size_t>(std::countr_zero(rest));
        const std::size_t i = hit.tile * kTileQueries + t;
        std::uint32_t passed = hit.passed[t] & used;
        if (passed == 0) continue;
        if (best_[i] != kNone) {
            const std::size_t known = numbers_.place_of(row_of(best_[i])) - first;
            if (known < kPanelRows) passed &= ~(1u << known);
        }
        float highest = block_.lower(i);
        for (; passed != 0; passed &= passed - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(passed));
            const float screened = hit.scores[t][lane];
            highest = std::max(highest, screened);
            candidates_.push_back({static_cast<std::uint32_t>(first + lane), screened, last_[i]});
            last_[i] = static_cast<std::uint32_t>(candidates_.size() - 1);
        }
        // A row that screens so has a score of at least (highest - error), and a better one screens
        // above that less error.
        block_.raise_lower(i, static_cast<double>(highest) - 2 * block_.scale(i).error);
    }
}

void NearestScan::settle() {
    for (std::size_t i = 0; i < block_.size(); ++i)
        if (last_[i] != kFirst) settle(i);
    last_.assign(block_.size(), kFirst);
    candidates_.clear();
}

void NearestScan::raise_threshold(std::size_t i) {
    if (best_[i] == kNone) return;
    const ScreenScale& scale = block_.scale(i);
    const auto score = static_cast<double>(score_of(best_[i]));
    block_.raise_lower(i, scale.screened(score) - scale.error);
}

void NearestScan::settle(std::size_t i) {
    rows_.clear();
    for (std::uint32_t at = last_[i]; at != kFirst; at = candidates_[at].before)
        if (candidates_[at].screened >= block_.lower(i)) rows_.push_back(candidates_[at].place);
    if (rows_.empty()) return;
    scores_.resize(rows_.size());
    scorer_.score(block_.exact(i), rows_, scores_.data());
    const Key before = best_[i];
    for (std::size_t j = 0; j < rows_.size(); ++j)
        best_[i] = std::max(best_[i], make_key(scores_[j], numbers_.at(rows_[j])));
    if (best_[i] != before) raise_threshold(i);
    num_scored_ += rows_.size();
}

}  // namespace nearmiss
