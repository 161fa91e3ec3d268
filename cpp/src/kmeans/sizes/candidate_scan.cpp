// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/candidate_scan.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "panel_groups.hpp"

namespace nearmiss {

using kernels::kCountForFewRanks;
using kernels::kPanelRows;
using kernels::kTileQueries;

namespace {

// Of a list. Usually half as much passes.
constexpr std::size_t kRoom = 256;
// How many lanes of a query pass cannot be foreseen. So many are written to its list at once, some
// of them in vain.
constexpr std::size_t kAddedAtOnce = 2;
constexpr std::size_t kMostAdded = kPanelRows + kAddedAtOnce - 1;
constexpr std::uint32_t kLastLane = 1u << (kPanelRows - 1);
// Thresholds rise after so many panels, and whenever as many have been met again as before.
constexpr std::size_t kFirstPanels = 4;
constexpr std::size_t kPanelsPerCheckpoint = 16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// The kernel looks at whole groups of so many.
constexpr std::size_t kRankedAtOnce = 32;

// In place of the last of keys in descending order, if it is greater.
void insert(Key key, std::span<Key> keys) {
    if (key <= keys.back()) return;
    std::size_t place = keys.size() - 1;
    for (; place > 0 && keys[place - 1] < key; --place) keys[place] = keys[place - 1];
    keys[place] = key;
}

}  // namespace

CandidateScan::CandidateScan(const Search& search, const ScreeningForm& form)
    : search_(search),
      block_(search, form),
      scorer_(search.corpus, search.kernel) {}

std::size_t CandidateScan::run(std::span<const std::uint32_t> queries,
                               std::span<Key> best,
                               TaskContext& context) {
    start(queries, best);
    std::size_t raise_at = kFirstPanels;
    std::size_t checked = 0;
    PanelGroups groups(
        0, search_.corpus.num_panels(), block_.panels_at_once(), [](std::size_t) { return true; });
    for (PanelGroup group = groups.take(); group.count != 0; group = groups.take()) {
        const std::uint32_t count = block_.screen(group, {0, block_.num_tiles()}, hits_.data());
        for (std::uint32_t h = 0; h < count; ++h) collect(hits_[h], group.at[hits_[h].panel]);
        const std::size_t met = group.at[group.count - 1] + 1;
        if (met >= raise_at) {
            for (std::size_t i = 0; i < block_.size(); ++i) raise_by_listed(i);
            raise_at = 2 * met;
        }
        if (met - checked < kPanelsPerCheckpoint) continue;
        checked = met;
        context.checkpoint();
    }
    settle(0, block_.size());
    return num_scored_;
}

void CandidateScan::start(std::span<const std::uint32_t> queries, std::span<Key> best) {
    block_.prepare(queries);
    hits_.resize(block_.max_hits());
    screened_.reserve(block_.size() * kRoom);
    listed_.reserve(block_.size() * kRoom);
    counts_.assign(block_.size(), 0);
    likely_.resize(block_.size());
    best_ = best;
    num_scored_ = 0;
    num_panels_ = search_.corpus.num_panels();
    known_lanes_.assign(block_.size() * num_panels_, 0);
    known_.assign(best.size(), -kInfinity);
    for (std::size_t i = 0; i < block_.size(); ++i) {
        const ScreenScale& scale = block_.scale(i);
        for (std::size_t j = 0; j < width(); ++j) {
            const Key key = best_of(i)[j];
            if (key == kNone) break;
            const std::size_t center = row_of(key);
            known_lanes_[i * num_panels_ + center / kPanelRows] |=
                static_cast<std::uint16_t>(1u << center % kPanelRows);
            known_[i * width() + j] =
                scale.screened(static_cast<double>(score_of(key))) + scale.error;
        }
        raise_by_best(i);
    }
}

void CandidateScan::collect(const kernels::TileHit& hit, std::size_t panel) {
    const std::size_t first = panel * kPanelRows;
    const std::uint32_t used = used_lanes(panel, search_.corpus.num_rows());
    for (std::uint32_t rest = queries_with_lanes(hit); rest != 0; rest &= rest - 1) {
        const auto t = static_cast<std::size_t>(std::countr_zero(rest));
        const std::size_t i = hit.tile * kTileQueries + t;
        if (counts_[i] + kMostAdded > kRoom) settle(i, i + 1);
        std::uint32_t passed = hit.passed[t] & used;
        passed &= ~std::uint32_t{known_lanes_[i * num_panels_ + panel]};
        std::size_t at = i * kRoom + counts_[i];
        do {
            for (std::size_t j = 0; j < kAddedAtOnce; ++j, ++at, passed &= passed - 1) {
                const auto lane = static_cast<std::size_t>(std::countr_zero(passed | kLastLane));
                screened_[at] = hit.scores[t][lane];
                listed_[at] = static_cast<std::uint32_t>(first + lane);
                counts_[i] += static_cast<std::uint32_t>(passed != 0);
            }
        } while (passed != 0);
    }
}

void CandidateScan::raise_by_best(std::size_t i) {
    const Key last = best_of(i).back();
    if (last == kNone) return;
    const ScreenScale& scale = block_.scale(i);
    block_.raise_lower(i, scale.screened(static_cast<double>(score_of(last))) - scale.error);
}

double CandidateScan::raise_by_listed(std::size_t i) {
    const std::size_t count = counts_[i];
    if (count == 0) return -kInfinity;
    const std::size_t total = std::max(width() + count, kCountForFewRanks);
    ranked_.assign((total + kRankedAtOnce - 1) / kRankedAtOnce * kRankedAtOnce, -kInfinity);
    std::copy_n(screened_.data() + i * kRoom, count, ranked_.begin());
    std::copy_n(known_.data() + i * width(), width(), ranked_.begin() + count);
    const double floor = search_.kernel.rank_floor(ranked_.data(), ranked_.size(), width());
    // As many centres score at least floor - error, and one that is as good screens above that less
    // error.
    block_.raise_lower(i, floor - 2 * block_.scale(i).error);
    return floor;
}

void CandidateScan::settle(std::size_t begin, std::size_t end) {
    // The likeliest first: their scores raise the thresholds for the others.
    for (std::size_t i = begin; i < end; ++i) likely_[i] = raise_by_listed(i);
    chosen_.clear();
    ends_.clear();
    for (std::size_t i = begin; i < end; ++i) choose(i, likely_[i], kInfinity);
    score_chosen(begin, end);
    chosen_.clear();
    ends_.clear();
    for (std::size_t i = begin; i < end; ++i) {
        choose(i, -kInfinity, likely_[i]);
        counts_[i] = 0;
    }
    score_chosen(begin, end);
}

void CandidateScan::choose(std::size_t i, double from, double below) {
    const double least = std::max(from, static_cast<double>(block_.lower(i)));
    std::size_t size = chosen_.size();
    chosen_.resize(size + counts_[i]);
    for (std::size_t at = i * kRoom, end = at + counts_[i]; at < end; ++at) {
        const auto screened = static_cast<double>(screened_[at]);
        chosen_[size] = listed_[at];
        size += static_cast<std::size_t>(screened >= least) &
                static_cast<std::size_t>(screened < below);
    }
    chosen_.resize(size);
    ends_.push_back(size);
}

void CandidateScan::score_chosen(std::size_t begin, std::size_t end) {
    scores_.resize(chosen_.size());
    std::size_t first = 0;
    for (std::size_t i = begin; i < end; ++i) {
        const std::size_t last = ends_[i - begin];
        const auto centers = std::span<const std::uint32_t>(chosen_).subspan(first, last - first);
        scorer_.score(block_.exact(i), centers, scores_.data(), chosen_.size() - last);
        for (std::size_t j = 0; j < centers.size(); ++j)
            insert(make_key(scores_[j], centers[j]), best_of(i));
        if (!centers.empty()) raise_by_best(i);
        first = last;
    }
    num_scored_ += chosen_.size();
}

}  // namespace nearmiss
