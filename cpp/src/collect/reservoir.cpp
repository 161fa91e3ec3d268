// SPDX-License-Identifier: Apache-2.0
#include "collect/reservoir.hpp"

#include <algorithm>
#include <functional>

namespace nearmiss {
namespace {

// Twice to four times the pool: larger means staler thresholds, smaller more selections.
constexpr std::size_t kSmallestSlack = 3 * 128;

}  // namespace

std::size_t Reservoirs::capacity_for(std::size_t pool_size) noexcept {
    return pool_size + std::max(pool_size, std::min(3 * pool_size, kSmallestSlack)) +
           2 * kernels::kPanelRows;
}

void Reservoirs::reset(QueryBlock& block, std::size_t pool_size) {
    block_ = &block;
    pool_size_ = pool_size;
    capacity_ = capacity_for(pool_size);
    keys_.reserve(block.size() * capacity_);
    counts_.assign(block.size(), 0);
    exact_.assign(block.size(), 0);
    above_.assign(block.size(), 0);
}

void Reservoirs::raise(std::size_t i, double threshold) {
    float& lower = block_->lower()[i];
    lower = std::max(lower, round_down(threshold));
}

void Reservoirs::tighten(std::size_t i, ExactScorer& scorer) {
    if (exact_[i] == 0) drop_screened(i);
    // Not worth another round for little room.
    const std::size_t spare = capacity_ - counts_[i];
    if (spare < kernels::kPanelRows + (capacity_ - pool_size_) / 4) rescore(i, scorer);
}

void Reservoirs::drop_screened(std::size_t i) {
    Key* const begin = keys_.data() + i * capacity_;
    Key* end = begin + counts_[i];
    const ScreenScale& scale = block_->scale(i);
    const ScoreInterval& interval = block_->interval(i);
    // Rows this close to the ceiling may turn out above it: they do not count towards the k. They
    // screen best of all, so it is enough to look that many places further down.
    const double sure_high = scale.screened(interval.ceiling) - scale.error;
    const auto unsure = std::count_if(begin, end, [&](Key key) {
        return static_cast<double>(score_of(key)) > sure_high;
    });
    const std::size_t rank = pool_size_ + static_cast<std::size_t>(unsure);
    if (static_cast<std::size_t>(end - begin) <= rank) return;
    Key* const pivot = begin + (rank - 1);
    std::nth_element(begin, pivot, end, std::greater<>());
    const double kth = static_cast<double>(score_of(*pivot));
    if (kth < scale.screened(interval.floor) + scale.error) return;
    raise(i, kth - 2 * scale.error);
    const float lower = block_->lower()[i];
    end = std::partition(begin, end, [&](Key key) { return score_of(key) >= lower; });
    counts_[i] = static_cast<std::uint32_t>(end - begin);
}

void Reservoirs::rescore(std::size_t i, ExactScorer& scorer) {
    Key* const begin = keys_.data() + i * capacity_;
    Key* end = begin + exact_[i];
    const std::size_t screened = counts_[i] - exact_[i];
    rows_.resize(screened);
    scores_.resize(screened);
    for (std::size_t j = 0; j < screened; ++j) rows_[j] = row_of(end[j]);
    scorer.score(block_->exact(i), rows_, scores_.data());
    const ScoreInterval& interval = block_->interval(i);
    for (std::size_t j = 0; j < screened; ++j) {
        if (static_cast<double>(scores_[j]) > interval.ceiling) ++above_[i];
        if (interval.contains(scores_[j])) *end++ = make_key(scores_[j], rows_[j]);
    }
    if (static_cast<std::size_t>(end - begin) >= pool_size_) {
        Key* const last = begin + (pool_size_ - 1);
        std::nth_element(begin, last, end, std::greater<>());
        end = last + 1;
        const ScreenScale& scale = block_->scale(i);
        raise(i, scale.screened(static_cast<double>(score_of(*last))) - scale.error);
    }
    counts_[i] = static_cast<std::uint32_t>(end - begin);
    exact_[i] = counts_[i];
}

std::span<const Key> Reservoirs::finish(std::size_t i, ExactScorer& scorer) {
    if (exact_[i] == 0) drop_screened(i);
    rescore(i, scorer);
    Key* const begin = keys_.data() + i * capacity_;
    std::sort(begin, begin + counts_[i], std::greater<>());
    return {begin, counts_[i]};
}

}  // namespace nearmiss
