// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>
#include <vector>

#include "collect/keys.hpp"
#include "in_batch/anchors.hpp"
#include "in_batch/found.hpp"

namespace nearmiss {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// The best key seen for every anchor, 0 for none; from any thread, in any order.
class BestKeys {
  public:
    explicit BestKeys(std::size_t num_anchors) : keys_(num_anchors) {}

    [[nodiscard]] Key at(std::size_t anchor) const noexcept {
        return keys_[anchor].load(std::memory_order_relaxed);
    }
    void raise(std::size_t anchor, Key key) noexcept {
        Key best = at(anchor);
        while (best < key &&
               !keys_[anchor].compare_exchange_weak(best, key, std::memory_order_relaxed)) {
        }
    }

  private:
    std::vector<std::atomic<Key>> keys_;
};

// Batch-hard of rows among themselves: each score is computed once and serves both rows.
class SymmetricBatchHard {
  public:
    SymmetricBatchHard(const Anchors& anchors, const Batch& batch)
        : anchors_(anchors),
          batch_(batch),
          nearest_(anchors.size()),
          farthest_(anchors.size()) {}

    // Overwrites scores of positives.
    void look_at(Tile& tile) {
        for (std::uint32_t i = tile.rows.begin; i < tile.rows.end; ++i) take_positives(tile, i);
        for (std::uint32_t i = tile.rows.begin; i < tile.rows.end; ++i) look_along(tile, i);
        if (!tile.on_diagonal()) look_across(tile);
    }

    [[nodiscard]] Found found() const {
        Found all;
        for (std::size_t i = 0; i < anchors_.size(); ++i)
            if (nearest_.at(i) != 0 && farthest_.at(i) != 0)
                all.add(i, row_of(farthest_.at(i)), row_of(nearest_.at(i)));
        return all;
    }

  private:
    void take_positives(Tile& tile, std::uint32_t i) {
        const std::span<const std::uint32_t> same = anchors_.labelled(batch_.labels[i]);
        const std::span<float> scores = tile.row(i);
        for (auto at = std::lower_bound(same.begin(), same.end(), tile.columns.begin);
             at != same.end() && *at < tile.columns.end;
             ++at) {
            const std::uint32_t j = *at;
            const float score = std::exchange(scores[j - tile.columns.begin], kNone);
            if (i == j) continue;
            farthest_.raise(i, make_key(0.0f - score, j));
            if (!tile.on_diagonal()) farthest_.raise(j, make_key(0.0f - score, i));
        }
    }

    void look_along(const Tile& tile, std::uint32_t i) {
        const std::span<const float> scores = tile.row(i);
        const float best = greatest(scores);
        if (best == kNone || make_key(best, tile.columns.begin) <= nearest_.at(i)) return;
        const auto j = std::find(scores.begin(), scores.end(), best) - scores.begin();
        nearest_.raise(i, make_key(best, tile.columns.begin + static_cast<std::uint32_t>(j)));
    }

    void look_across(const Tile& tile) {
        const std::span<const float> first = tile.row(tile.rows.begin);
        std::vector<float> best(first.begin(), first.end());
        for (std::uint32_t i = tile.rows.begin + 1; i < tile.rows.end; ++i) {
            const std::span<const float> scores = tile.row(i);
            for (std::size_t k = 0; k < best.size(); ++k)
                best[k] = scores[k] > best[k] ? scores[k] : best[k];
        }
        for (std::size_t k = 0; k < best.size(); ++k) {
            const std::size_t j = tile.columns.begin + k;
            if (best[k] == kNone || make_key(best[k], tile.rows.begin) <= nearest_.at(j)) continue;
            std::uint32_t i = tile.rows.begin;
            while (tile.row(i)[k] != best[k]) ++i;
            nearest_.raise(j, make_key(best[k], i));
        }
    }

    const Anchors& anchors_;
    const Batch& batch_;
    BestKeys nearest_;
    BestKeys farthest_;  // keys of -score
};

}  // namespace

Triplets batch_hard(const Batch& batch, const Execution& execution) {
    const Anchors anchors(batch, execution);
    if (anchors.symmetric()) {
        SymmetricBatchHard hard(anchors, batch);
        anchors.for_each_tile([&](Tile& tile) { hard.look_at(tile); });
        std::vector<Found> all;
        all.push_back(hard.found());
        return join_triplets(std::move(all), execution);
    }
    std::vector<Found> blocks(anchors.num_blocks());
    anchors.for_each_block([&](std::size_t block) {
        return [out = &blocks[block]](const Anchor& anchor) {
            if (!anchor.positives.empty() && anchor.num_negatives > 0)
                out->add(anchor.row, farthest_positive(anchor), nearest_negative(anchor));
        };
    });
    return join_triplets(std::move(blocks), execution);
}

}  // namespace nearmiss
