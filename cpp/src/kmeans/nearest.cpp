// SPDX-License-Identifier: Apache-2.0
#include "kmeans/nearest.hpp"

#include <algorithm>
#include <bit>

namespace nearmiss {

using kernels::kPanelRows;
using kernels::kTileQueries;

namespace {

constexpr std::size_t kTileBytesPerBlock = std::size_t{400} << 10;
constexpr std::size_t kMinTilesPerBlock = 8;
constexpr std::size_t kMaxTilesPerBlock = 64;
// Where rows tie there are very many; they are then settled as they come.
constexpr std::size_t kMostCandidates = std::size_t{1} << 18;
constexpr Key kNone = 0;  // worse than every row

}  // namespace

NearestScan::NearestScan(const Search& search, const ScreeningForm& form)
    : search_(search),
      scorer_(search.corpus, search.kernel),
      block_(search, form) {}

std::size_t NearestScan::block_size(const ScreeningForm& form) noexcept {
    return kTileQueries * std::clamp(kTileBytesPerBlock / form.bytes_per_tile(),
                                     kMinTilesPerBlock,
                                     kMaxTilesPerBlock);
}

std::size_t NearestScan::run(std::span<const std::uint32_t> queries,
                             std::span<const std::int32_t> guesses,
                             std::span<Key> best,
                             TaskContext& context) {
    block_.prepare(queries);
    hits_.resize(block_.num_tiles());
    best_ = best;
    num_scored_ = 0;
    std::fill(best.begin(), best.end(), kNone);
    for (std::size_t i = 0; i < guesses.size(); ++i) {
        const auto row = static_cast<std::uint32_t>(guesses[i]);
        take(i, row, scorer_.score(block_.exact(i), row));
    }
    for (std::size_t panel = 0; panel < search_.corpus.num_panels(); ++panel) {
        const std::uint32_t count = block_.screen(panel, {0, block_.num_tiles()}, hits_.data());
        for (std::uint32_t h = 0; h < count; ++h) collect(hits_[h], panel);
        if (candidates_.size() >= kMostCandidates) settle();
        if (panel % 16 == 0) context.checkpoint();
    }
    settle();
    return num_scored_;
}

// An exact score.
void NearestScan::take(std::size_t i, std::uint32_t row, float score) {
    const Key key = make_key(score, row);
    if (key <= best_[i]) return;
    best_[i] = key;
    const ScreenScale& scale = block_.scale(i);
    block_.raise_lower(i, scale.screened(static_cast<double>(score)) - scale.error);
}

void NearestScan::collect(const kernels::TileHit& hit, std::size_t panel) {
    const std::size_t first = panel * kPanelRows;
    const std::size_t lanes = std::min(kPanelRows, search_.corpus.num_rows() - first);
    const std::uint32_t used = (1u << lanes) - 1u;
    for (std::size_t t = 0; t < kTileQueries; ++t) {
        const std::size_t i = hit.tile * kTileQueries + t;
        if (i >= block_.size()) return;
        std::uint32_t passed = hit.passed[t] & used;
        if (passed == 0) continue;
        const std::size_t known = best_[i] == kNone ? kPanelRows : row_of(best_[i]) - first;
        if (known < kPanelRows) passed &= ~(1u << known);
        float highest = block_.lower(i);
        for (; passed != 0; passed &= passed - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(passed));
            const float screened = hit.scores[t][lane];
            highest = std::max(highest, screened);
            candidates_.push_back({static_cast<std::uint32_t>(i),
                                   static_cast<std::uint32_t>(first + lane),
                                   screened});
        }
        // A row that screens so has a score of at least (highest - error), and a better one screens
        // above that less error.
        block_.raise_lower(i, static_cast<double>(highest) - 2 * block_.scale(i).error);
    }
}

void NearestScan::settle() {
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
        return a.query != b.query ? a.query < b.query : a.row < b.row;
    });
    for (auto next = candidates_.begin(); next != candidates_.end();) {
        const std::uint32_t i = next->query;
        rows_.clear();
        for (; next != candidates_.end() && next->query == i; ++next)
            if (next->screened >= block_.lower(i)) rows_.push_back(next->row);
        scores_.resize(rows_.size());
        scorer_.score(block_.exact(i), rows_, scores_.data());
        for (std::size_t j = 0; j < rows_.size(); ++j) take(i, rows_[j], scores_[j]);
        num_scored_ += rows_.size();
    }
    candidates_.clear();
}

}  // namespace nearmiss
