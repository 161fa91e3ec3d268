// SPDX-License-Identifier: Apache-2.0
// Miners inside a batch: which rows to compare with which, by their labels and their scores.
//
// An anchor's positives are the candidates with its label, its negatives all others. Scores are
// those of promise 1; order is that of promise 3. Results list anchors in ascending order. They
// depend on nothing but the batch and what is said here: not on threads, not on SIMD targets.
// Memory beyond the result: the rows in float64, a block of scores per thread, and half of the
// result once more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nearmiss/corpus.hpp"
#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

struct Batch {
    MatrixView anchors;
    MatrixView candidates;  // not looked at if the anchors are the candidates
    Metric metric = Metric::cosine;
    std::span<const std::int64_t> labels;            // one per anchor
    std::span<const std::int64_t> candidate_labels;  // one per candidate
    // The anchors are the candidates too, and nothing is paired with itself.
    bool among_themselves = true;
    // anchors x candidates: the scores, computed by promise 1 elsewhere; then rows are not looked
    // at. Empty: to be computed.
    std::span<const float> scores;
};

// What margins are measured in: how far a candidate is. Under cosine, distances are those of
// vectors of unit length, sqrt(max(0, 2 - 2 s)); under l2 sqrt(-s); under ip there are none.
enum class Gauge : std::uint8_t {
    score,  // -s
    distance,
    squared_distance,
};

// What decides draws besides the batch.
struct BatchDraw {
    std::uint64_t seed = 0;
    std::uint64_t step = 0;
};

// Position i of all three belongs together.
struct Triplets {
    std::vector<std::int64_t> anchors;
    std::vector<std::int64_t> positives;
    std::vector<std::int64_t> negatives;
};

struct Pairs {
    std::vector<std::int64_t> anchors;
    std::vector<std::int64_t> candidates;
};

struct MinedPairs {
    Pairs positives;
    Pairs negatives;
};

// All functions throw InvalidArgument for sizes that do not match, NaN or infinite elements, zero
// rows under cosine, a score that overflows float32 and distances under ip. A batch may be empty.

// For every anchor that has both: its farthest positive and its nearest negative, ties to the lower
// candidate.
[[nodiscard]] Triplets batch_hard(const Batch& batch, const Execution& execution);

// All triplets with above < gap(negative) - gap(positive) <= most, in float64, ordered by anchor,
// positive, negative. With `max_triplets` at most so many of them, uniform without replacement.
struct MarginRule {
    Gauge gauge = Gauge::distance;
    double above = 0;
    double most = 0;
};
[[nodiscard]] Triplets margin_triplets(const Batch& batch,
                                       const MarginRule& rule,
                                       std::optional<std::size_t> max_triplets,
                                       const BatchDraw& draw,
                                       const Execution& execution);

// For every pair of an anchor and a positive at most one negative with
// gap(positive) < gap(negative) < gap(positive) + margin.
struct SemiHardRule {
    Gauge gauge = Gauge::distance;
    double margin = 0.2;           // may be infinite
    bool nearest = false;          // the nearest of them; otherwise any, uniformly
    bool or_any_negative = false;  // where there is none, any negative, uniformly
};
[[nodiscard]] Triplets semi_hard(const Batch& batch,
                                 const SemiHardRule& rule,
                                 std::optional<std::size_t> max_triplets,
                                 const BatchDraw& draw,
                                 const Execution& execution);

// For every anchor one of the positives farther than its nearest negative, and one of the negatives
// nearer than its farthest positive, uniformly. Where there are none: no triplet, or, with
// `or_any`, any positive and any negative.
[[nodiscard]] Triplets soft_hard(const Batch& batch,
                                 bool or_any,
                                 const BatchDraw& draw,
                                 const Execution& execution);

// For every pair of an anchor and a positive one negative, drawn with weights
//   log w = (2 - D) log d - (D - 3)/2 log(1 - d^2/4),
// where D is the number of dimensions and d the distance of unit vectors, raised to `nearest` where
// it is less, of negatives with d < farthest; none where there is no such negative. Cosine only.
struct DistanceWeights {
    double dimensions = 0;
    double nearest = 0.5;   // above 0
    double farthest = 1.4;  // above `nearest`, at most 2
};
[[nodiscard]] Triplets distance_weighted(const Batch& batch,
                                         const DistanceWeights& weights,
                                         std::optional<std::size_t> max_triplets,
                                         const BatchDraw& draw,
                                         const Execution& execution);

// Of anchors that have both: the positives with gap + epsilon > that of the nearest negative, and
// the negatives with gap - epsilon < that of the farthest positive.
[[nodiscard]] MinedPairs multi_similarity(const Batch& batch,
                                          Gauge gauge,
                                          double epsilon,
                                          const Execution& execution);

// Every positive, and the k nearest negatives, best first.
[[nodiscard]] MinedPairs nearest_negatives(const Batch& batch,
                                           std::size_t k,
                                           const Execution& execution);

// Natural logarithms of the weights of distance_weighted, one per distance; -infinity where there
// is no weight.
[[nodiscard]] std::vector<double> log_distance_weights(std::span<const double> distances,
                                                       const DistanceWeights& weights);

}  // namespace nearmiss
