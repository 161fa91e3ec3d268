// SPDX-License-Identifier: Apache-2.0
#include "collect/reservoir.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <numeric>

#include "collect/sort.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kLeastRoom = 64;
// Beyond twice the pool, which ceilings make use of: rows near them do not count as certain.
constexpr std::size_t kMostExtraRoom = 1000;
// Rows held in a sample, of the rank that thresholds follow, besides kLeastRoom.
constexpr std::size_t kRowsPerRank = 4;
// Screened scores are proven to be within `error`; guesses take them to be within this part of it.
// Real errors are about error / sqrt(d): with no slack at all a quarter of the guesses fail, with
// this much hardly any.
constexpr double kGuessedSlack = 0.125;
// Of a query, in one part of the final rescoring.
constexpr std::size_t kRowsPerPart = 32;

}  // namespace

std::size_t Reservoirs::capacity_for(std::size_t pool_size) noexcept {
    // More room means staler thresholds, hence more rows to look at; less means more selections.
    const std::size_t room = 2 * pool_size + std::min(pool_size, kMostExtraRoom);
    return pool_size + std::max(room, kLeastRoom) + kernels::kPanelRows;
}

void Reservoirs::reset(QueryBlock& block, std::size_t pool_size, Guess guess) {
    block_ = &block;
    guess_ = guess;
    pool_size_ = pool_size;
    rank_ = pool_size;
    allowance_ = std::numeric_limits<std::size_t>::max();
    num_given_up_ = 0;
    capacity_ = capacity_for(pool_size);
    keys_.reserve(block.size() * capacity_);
    counts_.assign(block.size(), 0);
    tighten_at_.resize(block.size());
    start_tightening_at(capacity_);
    exact_.assign(block.size(), 0);
    rescored_.assign(block.size(), 0);
    given_up_.assign(block.size(), false);
    above_.assign(block.size(), 0);
    guesses_.assign(block.size(), -std::numeric_limits<float>::infinity());
}

void Reservoirs::begin_sample(std::size_t rank) {
    rank_ = rank;
    // What thresholds follow is there long before a reservoir is full: to raise them early spares
    // looking at many. (Zen 4, d = 384: 4 % of a search for 1,000 rows, 6 % of one for 10,000.)
    start_tightening_at(kRowsPerRank * rank + kLeastRoom);
}

void Reservoirs::start_tightening_at(std::size_t rows) {
    least_tighten_at_ = rows;
    for (std::size_t i = 0; i < counts_.size(); ++i) set_tighten_at(i);
}

void Reservoirs::set_tighten_at(std::size_t i) noexcept {
    const std::size_t rows = std::max(least_tighten_at_, 2 * counts_[i] + kernels::kPanelRows);
    tighten_at_[i] = static_cast<std::uint32_t>(std::min(rows, capacity_));
}

void Reservoirs::tighten(std::size_t i, Rescorer& rescorer) {
    if (exact_[i] == 0) drop_screened(i);
    set_tighten_at(i);
    if (tighten_at_[i] < capacity_) return;
    // Not worth another round for little room.
    const std::size_t spare = capacity_ - counts_[i];
    if (spare >= kernels::kPanelRows + (capacity_ - pool_size_) / 4) return;
    if (rescored_[i] + (counts_[i] - exact_[i]) > allowance_)
        give_up(i);
    else
        rescore(i, rescorer);
}

void Reservoirs::give_up(std::size_t i) {
    counts_[i] = 0;
    exact_[i] = 0;
    given_up_[i] = true;
    ++num_given_up_;
    block_->retire(i);
}

std::optional<double> Reservoirs::certain_score(std::size_t i, double slack) {
    std::size_t rank = rank_;
    Key* const begin = keys_.data() + i * capacity_;
    Key* const end = begin + counts_[i];
    const ScreenScale& scale = block_->scale(i);
    const ScoreInterval& interval = block_->interval(i);
    if (interval.has_ceiling()) {
        // Rows this close to the ceiling may turn out above it and do not count. They screen best
        // of all, so it is enough to look that many places further down.
        const double sure = scale.screened(interval.ceiling) - slack;
        rank += static_cast<std::size_t>(std::count_if(
            begin, end, [sure](Key key) { return static_cast<double>(score_of(key)) > sure; }));
    }
    if (counts_[i] < rank) return {};
    select_best({begin, counts_[i]}, rank, scratch_);
    const double score = static_cast<double>(score_of(begin[rank - 1]));
    if (score < scale.screened(interval.floor) + slack) return {};
    return score;
}

void Reservoirs::drop_screened(std::size_t i) {
    const double error = block_->scale(i).error;
    const double slack = guess_ == Guess::yes ? kGuessedSlack * error : error;
    const std::optional<double> kth = certain_score(i, slack);
    if (!kth) return;
    block_->raise_lower(i, *kth - (error + slack));
    const float lower = block_->lower(i);
    if (guess_ == Guess::yes && lower > block_->initial_lower(i)) guesses_[i] = lower;
    Key* const keys = keys_.data() + i * capacity_;
    std::uint32_t kept = 0;
    for (std::uint32_t j = 0; j < counts_[i]; ++j) {
        keys[kept] = keys[j];
        kept += score_of(keys[j]) >= lower ? 1 : 0;
    }
    counts_[i] = kept;
}

double Reservoirs::end_sample() {
    std::size_t used = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        if (given_up_[i]) {
            used += allowance_;
            continue;
        }
        // Not after rescoring: then the threshold is as good as it gets.
        if (exact_[i] == 0) drop_screened(i);
        const std::size_t rows = rescored_[i] + counts_[i] - exact_[i];
        if (rows > allowance_) give_up(i);
        used += std::min(rows, allowance_);
    }
    rank_ = pool_size_;
    start_tightening_at(capacity_);
    return static_cast<double>(used) / static_cast<double>(counts_.size()) /
           static_cast<double>(allowance_);
}

double Reservoirs::part_given_up() const noexcept {
    return static_cast<double>(num_given_up_) / static_cast<double>(counts_.size());
}

std::size_t Reservoirs::num_rescored() const noexcept {
    return std::accumulate(rescored_.begin(), rescored_.end(), std::size_t{0});
}

bool Reservoirs::complete(std::size_t i) const noexcept {
    if (guesses_[i] == -std::numeric_limits<float>::infinity()) return true;
    if (counts_[i] < pool_size_) return false;
    const ScreenScale& scale = block_->scale(i);
    const Key last = keys_[i * capacity_ + (pool_size_ - 1)];
    const double kth = scale.screened(static_cast<double>(score_of(last)));
    return kth - scale.error >= static_cast<double>(guesses_[i]);
}

void Reservoirs::keep_pool(std::size_t i) {
    Key* const begin = keys_.data() + i * capacity_;
    const ScoreInterval& interval = block_->interval(i);
    Key* end = begin + exact_[i];
    for (const Key key : std::span(end, begin + counts_[i])) {
        if (static_cast<double>(score_of(key)) > interval.ceiling) ++above_[i];
        if (interval.contains(score_of(key))) *end++ = key;
    }
    if (static_cast<std::size_t>(end - begin) >= pool_size_) {
        select_best({begin, end}, pool_size_, scratch_);
        end = begin + pool_size_;
        const Key* const last = end - 1;
        const ScreenScale& scale = block_->scale(i);
        block_->raise_lower(i, scale.screened(static_cast<double>(score_of(*last))) - scale.error);
    }
    counts_[i] = static_cast<std::uint32_t>(end - begin);
    exact_[i] = counts_[i];
}

void Reservoirs::rescore(std::size_t i, Rescorer& rescorer) {
    rescored_[i] += counts_[i] - exact_[i];
    rescorer.add(block_->exact(i), screened_keys(i));
    rescorer.run();
    keep_pool(i);
}

void Reservoirs::finish(Rescorer& rescorer, TaskContext& context) {
    std::size_t rows_left = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        if (exact_[i] == 0) drop_screened(i);
        rescored_[i] += counts_[i] - exact_[i];
        rows_left += counts_[i] - exact_[i];
    }
    score_in_parts(rows_left / counts_.size(), rescorer, context);
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        keep_pool(i);
        sort_best_first({keys_.data() + i * capacity_, counts_[i]}, scratch_);
    }
}

// All queries meet a part of the corpus while it is in the cache.
void Reservoirs::score_in_parts(std::size_t per_query, Rescorer& rescorer, TaskContext& context) {
    const std::size_t num_rows = block_->num_rows();
    const auto shift =
        static_cast<unsigned>(std::bit_width(num_rows / (1 + per_query / kRowsPerPart)));
    const std::size_t parts = ((num_rows - 1) >> shift) + 1;
    ends_.resize(counts_.size() * parts);
    for (std::size_t i = 0; i < counts_.size(); ++i)
        group_by_rows(screened_keys(i), shift, {&ends_[i * parts], parts}, scratch_);
    for (std::size_t part = 0; part < parts; ++part) {
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            const std::uint32_t* const ends = &ends_[i * parts];
            const std::size_t begin = part == 0 ? 0 : ends[part - 1];
            rescorer.add(block_->exact(i), screened_keys(i).subspan(begin, ends[part] - begin));
        }
        rescorer.run();
        context.checkpoint();
    }
}

}  // namespace nearmiss
