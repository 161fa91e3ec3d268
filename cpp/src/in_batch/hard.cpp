// SPDX-License-Identifier: Apache-2.0
// Miners that take everything their rule names: nothing is drawn but which triplets are too many.
#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "collect/keys.hpp"
#include "in_batch/anchors.hpp"
#include "in_batch/found.hpp"
#include "in_batch/gaps.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {
namespace {

bool has_both(const Anchor& anchor) {
    return !anchor.positives.empty() && anchor.num_negatives > 0;
}

// The negatives of a pair that a margin rule names. Not thread-safe.
class MarginNegatives {
  public:
    explicit MarginNegatives(const MarginRule& rule, Metric metric)
        : rule_(rule),
          gaps_(metric, rule.gauge) {}

    void look_at(const Anchor& anchor) { gaps_(anchor.scores, gaps_of_row_); }

    // Ascending; valid until the next call.
    std::span<const std::uint32_t> of_pair(const Anchor& anchor, std::uint32_t positive) {
        const double reference = gaps_of_row_[positive];
        negatives_.resize(anchor.scores.size());
        std::size_t count = 0;
        // Without branches: every negative is written, and counted if it is one.
        anchor.for_each_negative([&](std::uint32_t j) {
            const double margin = gaps_of_row_[j] - reference;
            negatives_[count] = j;
            count += static_cast<std::size_t>((margin > rule_.above) & (margin <= rule_.most));
        });
        return {negatives_.data(), count};
    }

  private:
    const MarginRule& rule_;
    Gaps gaps_;
    std::vector<double> gaps_of_row_;
    std::vector<std::uint32_t> negatives_;
};

// f(position among all triplets of the anchor, positive, negatives) for every positive.
template <class F>
void for_each_pair(const Anchor& anchor, MarginNegatives& rule, const F& f) {
    if (!has_both(anchor)) return;
    rule.look_at(anchor);
    for (const std::uint32_t positive : anchor.positives)
        f(positive, rule.of_pair(anchor, positive));
}

Triplets some_margin_triplets(const Anchors& anchors,
                              const Batch& batch,
                              const MarginRule& rule,
                              std::size_t max_triplets,
                              const BatchDraw& draw,
                              const Execution& execution) {
    // Where the triplets of each anchor begin among all.
    std::vector<std::uint64_t> starts(anchors.size() + 1, 0);
    anchors.for_each_block([&](std::size_t) {
        return [&, negatives = MarginNegatives(rule, batch.metric)](const Anchor& anchor) mutable {
            std::uint64_t count = 0;
            for_each_pair(anchor, negatives, [&](auto, auto found) { count += found.size(); });
            starts[anchor.row + 1] = count;
        };
    });
    for (std::size_t i = 0; i < anchors.size(); ++i) starts[i + 1] += starts[i];
    const std::vector<std::uint64_t> kept = draw_triplets(starts.back(), max_triplets, draw);
    std::vector<Found> blocks(anchors.num_blocks());
    anchors.for_each_block([&](std::size_t block) {
        return [&, negatives = MarginNegatives(rule, batch.metric), out = &blocks[block]](
                   const Anchor& anchor) mutable {
            std::uint64_t start = starts[anchor.row];
            auto next = std::lower_bound(kept.begin(), kept.end(), start);
            if (next == kept.end() || *next >= starts[anchor.row + 1]) return;
            for_each_pair(anchor, negatives, [&](std::uint32_t positive, auto found) {
                for (; next != kept.end() && *next < start + found.size(); ++next)
                    out->add(anchor.row, positive, found[*next - start]);
                start += found.size();
            });
        };
    });
    return join_triplets(std::move(blocks), execution);
}

// The k nearest negatives of anchor after anchor. Not thread-safe.
class NearestNegatives {
  public:
    explicit NearestNegatives(std::size_t k) : k_(k) {}

    // Best first; valid until the next call.
    std::span<const Key> of(const Anchor& anchor) {
        kept_.clear();
        threshold_ = -std::numeric_limits<float>::infinity();
        anchor.for_each_negative([&](std::uint32_t j) {
            if (anchor.scores[j] < threshold_) return;
            kept_.push_back(make_key(anchor.scores[j], j));
            if (kept_.size() >= 2 * k_ + kFew) prune();
        });
        if (kept_.size() > k_) prune();
        std::sort(kept_.begin(), kept_.end(), std::greater<>());
        return kept_;
    }

  private:
    static constexpr std::size_t kFew = 64;

    void prune() {
        const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(kept_.begin(), last, kept_.end(), std::greater<>());
        threshold_ = score_of(*last);
        kept_.resize(k_);
    }

    std::size_t k_;
    float threshold_ = 0;
    std::vector<Key> kept_;
};

}  // namespace

Triplets margin_triplets(const Batch& batch,
                         const MarginRule& rule,
                         std::optional<std::size_t> max_triplets,
                         const BatchDraw& draw,
                         const Execution& execution) {
    const Anchors anchors(batch, execution);
    if (max_triplets)
        return some_margin_triplets(anchors, batch, rule, *max_triplets, draw, execution);
    std::vector<Found> blocks(anchors.num_blocks());
    anchors.for_each_block([&](std::size_t block) {
        return [negatives = MarginNegatives(rule, batch.metric),
                out = &blocks[block]](const Anchor& anchor) mutable {
            for_each_pair(anchor, negatives, [&](std::uint32_t positive, auto found) {
                out->add(anchor.row, positive, found);
            });
        };
    });
    return join_triplets(std::move(blocks), execution);
}

MinedPairs multi_similarity(const Batch& batch,
                            Gauge gauge,
                            double epsilon,
                            const Execution& execution) {
    const Gaps gaps(batch.metric, gauge);
    const Anchors anchors(batch, execution);
    std::vector<Found> positives(anchors.num_blocks());
    std::vector<Found> negatives(anchors.num_blocks());
    anchors.for_each_block([&](std::size_t block) {
        return
            [&, near = &positives[block], far = &negatives[block], of_row = std::vector<double>()](
                const Anchor& anchor) mutable {
                if (!has_both(anchor)) return;
                gaps(anchor.scores, of_row);
                const double nearest = of_row[nearest_negative(anchor)];
                const double farthest = of_row[farthest_positive(anchor)];
                for (const std::uint32_t j : anchor.positives)
                    if (of_row[j] + epsilon > nearest) near->add(anchor.row, j);
                anchor.for_each_negative([&](std::uint32_t j) {
                    if (of_row[j] - epsilon < farthest) far->add(anchor.row, j);
                });
            };
    });
    Pairs of_positives = join_pairs(std::move(positives), execution);
    return {std::move(of_positives), join_pairs(std::move(negatives), execution)};
}

MinedPairs nearest_negatives(const Batch& batch, std::size_t k, const Execution& execution) {
    require(k >= 1, "k: expected at least 1");
    const Anchors anchors(batch, execution);
    std::vector<Found> positives(anchors.num_blocks());
    std::vector<Found> negatives(anchors.num_blocks());
    anchors.for_each_block([&](std::size_t block) {
        return [near = &positives[block], far = &negatives[block], nearest = NearestNegatives(k)](
                   const Anchor& anchor) mutable {
            for (const std::uint32_t j : anchor.positives) near->add(anchor.row, j);
            for (const Key key : nearest.of(anchor)) far->add(anchor.row, row_of(key));
        };
    });
    Pairs of_positives = join_pairs(std::move(positives), execution);
    return {std::move(of_positives), join_pairs(std::move(negatives), execution)};
}

}  // namespace nearmiss
