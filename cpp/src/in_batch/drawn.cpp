// SPDX-License-Identifier: Apache-2.0
// Miners that draw. The draws of an anchor are successive numbers of its own stream, in the order
// of its positives.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "choose/masses.hpp"
#include "in_batch/anchors.hpp"
#include "in_batch/found.hpp"
#include "in_batch/gaps.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/portable_math.hpp"
#include "nearmiss/random.hpp"

namespace nearmiss {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Runs add(anchor, draws, found) for every anchor that has positives and negatives; `make` makes an
// `add` for each block.
template <class MakeAdd>
Triplets draw_for_anchors(const Batch& batch,
                          const BatchDraw& draw,
                          const Execution& execution,
                          const MakeAdd& make) {
    const Anchors anchors(batch, execution);
    const RandomStream stream(draw.seed, Stream::in_batch, draw.step);
    std::vector<Found> blocks(anchors.num_blocks());
    anchors.for_each_block([&](std::size_t block) {
        return [&, add = make(), out = &blocks[block]](const Anchor& anchor) mutable {
            if (anchor.positives.empty() || anchor.num_negatives == 0) return;
            DrawSequence draws(stream, anchor.row);
            add(anchor, draws, *out);
        };
    });
    return join_triplets(std::move(blocks), execution);
}

// Not thread-safe.
class SemiHard {
  public:
    SemiHard(const SemiHardRule& rule, Metric metric) : rule_(rule), gaps_(metric, rule.gauge) {}

    void operator()(const Anchor& anchor, DrawSequence& draws, Found& out) {
        gaps_(anchor.scores, gaps_of_row_);
        for (const std::uint32_t positive : anchor.positives) {
            find_eligible(anchor, gaps_of_row_[positive]);
            if (eligible_.empty() && !rule_.or_any_negative) continue;
            const std::uint32_t negative =
                eligible_.empty() ? anchor.negative_at(draws.below(anchor.num_negatives))
                : rule_.nearest   ? nearest()
                                  : eligible_[draws.below(eligible_.size())];
            out.add(anchor.row, positive, negative);
        }
    }

  private:
    void find_eligible(const Anchor& anchor, double reference) {
        const double most = reference + rule_.margin;
        eligible_.resize(anchor.scores.size());
        std::size_t count = 0;
        anchor.for_each_negative([&](std::uint32_t j) {
            const double gap = gaps_of_row_[j];
            eligible_[count] = j;
            count += static_cast<std::size_t>((gap > reference) & (gap < most));
        });
        eligible_.resize(count);
    }

    [[nodiscard]] std::uint32_t nearest() const {
        return *std::min_element(
            eligible_.begin(), eligible_.end(), [&](std::uint32_t a, std::uint32_t b) {
                return gaps_of_row_[a] < gaps_of_row_[b];
            });
    }

    const SemiHardRule& rule_;
    Gaps gaps_;
    std::vector<double> gaps_of_row_;
    std::vector<std::uint32_t> eligible_;
};

// Not thread-safe.
class SoftHard {
  public:
    explicit SoftHard(bool or_any) : or_any_(or_any) {}

    void operator()(const Anchor& anchor, DrawSequence& draws, Found& out) {
        const float nearest = anchor.scores[nearest_negative(anchor)];
        const float farthest = anchor.scores[farthest_positive(anchor)];
        // Either both have some or none has.
        if (nearest <= farthest) {
            if (!or_any_) return;
            const std::uint32_t positive = anchor.positives[draws.below(anchor.positives.size())];
            out.add(anchor.row, positive, anchor.negative_at(draws.below(anchor.num_negatives)));
            return;
        }
        hard_.clear();
        for (const std::uint32_t j : anchor.positives)
            if (anchor.scores[j] < nearest) hard_.push_back(j);
        const std::uint32_t positive = hard_[draws.below(hard_.size())];
        hard_.clear();
        anchor.for_each_negative([&](std::uint32_t j) {
            if (anchor.scores[j] > farthest) hard_.push_back(j);
        });
        out.add(anchor.row, positive, hard_[draws.below(hard_.size())]);
    }

  private:
    bool or_any_;
    std::vector<std::uint32_t> hard_;
};

void check(const DistanceWeights& weights) {
    require(weights.nearest > 0 && weights.nearest < weights.farthest,
            "cutoff: expected a number between 0 and nonzero_loss_cutoff");
    require(weights.farthest <= 2, "nonzero_loss_cutoff: unit vectors are at most 2 apart");
}

// From squared distances to log weights, in place. All below farthest^2.
void to_log_weights(std::vector<double>& squares,
                    std::vector<double>& scratch,
                    const DistanceWeights& weights) {
    const double least = weights.nearest * weights.nearest;
    scratch.resize(squares.size());
    for (std::size_t i = 0; i < squares.size(); ++i) {
        squares[i] = std::max(squares[i], least);
        scratch[i] = 1.0 - 0.25 * squares[i];
    }
    portable_log(squares, squares);
    portable_log(scratch, scratch);
    const double of_distance = 0.5 * (2.0 - weights.dimensions);
    const double of_rest = 0.5 * (weights.dimensions - 3.0);
    for (std::size_t i = 0; i < squares.size(); ++i)
        squares[i] = of_distance * squares[i] - of_rest * scratch[i];
}

// Not thread-safe.
class DistanceWeighted {
  public:
    explicit DistanceWeighted(const DistanceWeights& weights)
        : weights_(weights),
          squared_(Metric::cosine, Gauge::squared_distance) {}

    void operator()(const Anchor& anchor, DrawSequence& draws, Found& out) {
        find_near(anchor);
        if (near_.empty()) return;
        to_log_weights(numbers_, scratch_, weights_);
        const double greatest = *std::max_element(numbers_.begin(), numbers_.end());
        for (double& number : numbers_) number -= greatest;
        portable_exp(numbers_, numbers_);
        std::vector<std::uint64_t> sums = integer_masses(numbers_);
        for (std::size_t i = 1; i < sums.size(); ++i) sums[i] += sums[i - 1];
        for (const std::uint32_t positive : anchor.positives) {
            const std::uint64_t at = draws.below(sums.back());
            const auto drawn = std::upper_bound(sums.begin(), sums.end(), at) - sums.begin();
            out.add(anchor.row, positive, near_[static_cast<std::size_t>(drawn)]);
        }
    }

  private:
    // Negatives that may be drawn, and their squared distances.
    void find_near(const Anchor& anchor) {
        near_.clear();
        numbers_.clear();
        anchor.for_each_negative([&](std::uint32_t j) {
            const double square = squared_(anchor.scores[j]);
            if (std::sqrt(square) >= weights_.farthest) return;
            near_.push_back(j);
            numbers_.push_back(square);
        });
    }

    const DistanceWeights& weights_;
    Gaps squared_;
    std::vector<std::uint32_t> near_;
    std::vector<double> numbers_;
    std::vector<double> scratch_;
};

}  // namespace

Triplets semi_hard(const Batch& batch,
                   const SemiHardRule& rule,
                   std::optional<std::size_t> max_triplets,
                   const BatchDraw& draw,
                   const Execution& execution) {
    return keep_some(
        draw_for_anchors(batch, draw, execution, [&] { return SemiHard(rule, batch.metric); }),
        max_triplets,
        draw);
}

Triplets soft_hard(const Batch& batch,
                   bool or_any,
                   const BatchDraw& draw,
                   const Execution& execution) {
    return draw_for_anchors(batch, draw, execution, [&] { return SoftHard(or_any); });
}

Triplets distance_weighted(const Batch& batch,
                           const DistanceWeights& weights,
                           std::optional<std::size_t> max_triplets,
                           const BatchDraw& draw,
                           const Execution& execution) {
    check(weights);
    require(batch.metric == Metric::cosine, "distance: expected that of normalised vectors");
    return keep_some(
        draw_for_anchors(batch, draw, execution, [&] { return DistanceWeighted(weights); }),
        max_triplets,
        draw);
}

std::vector<double> log_distance_weights(std::span<const double> distances,
                                         const DistanceWeights& weights) {
    check(weights);
    std::vector<double> logs(distances.begin(), distances.end());
    std::vector<double> scratch;
    for (double& distance : logs) distance = std::min(distance * distance, 4.0);
    to_log_weights(logs, scratch, weights);
    for (std::size_t i = 0; i < logs.size(); ++i)
        if (!(distances[i] < weights.farthest)) logs[i] = -kInfinity;
    return logs;
}

}  // namespace nearmiss
