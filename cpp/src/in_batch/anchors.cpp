// SPDX-License-Identifier: Apache-2.0
#include "in_batch/anchors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"
#include "row_norms.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kLanes = 8;
constexpr std::size_t kMostPerBlock = 64;
constexpr std::size_t kBlocksPerThread = 4;
constexpr std::size_t kChunkBytes = 16384;  // of candidates: half of a small first-level cache
constexpr std::size_t kMostCandidates = 0xffff'fffeu;

std::size_t rounded_up(std::size_t value, std::size_t unit) {
    return (value + unit - 1) / unit * unit;
}

// Elementwise maxima vectorise; a single running maximum does not.
constexpr std::uint32_t kStripes = 16;

float greatest(std::span<const float> values) {
    float stripes[kStripes];
    std::fill(stripes, stripes + kStripes, -std::numeric_limits<float>::infinity());
    std::size_t i = 0;
    for (; i + kStripes <= values.size(); i += kStripes)
        for (std::size_t k = 0; k < kStripes; ++k)
            stripes[k] = values[i + k] > stripes[k] ? values[i + k] : stripes[k];
    float found = *std::max_element(stripes, stripes + kStripes);
    for (; i < values.size(); ++i) found = std::max(found, values[i]);
    return found;
}

bool all_finite(std::span<const float> values) {
    float worst[kStripes] = {};  // 0 times what is not finite is NaN
    std::size_t i = 0;
    for (; i + kStripes <= values.size(); i += kStripes)
        for (std::size_t k = 0; k < kStripes; ++k) worst[k] += 0.0f * values[i + k];
    for (; i < values.size(); ++i) worst[0] += 0.0f * values[i];
    return std::none_of(worst, worst + kStripes, [](float w) { return std::isnan(w); });
}

}  // namespace

std::uint32_t Anchor::negative_at(std::uint64_t rank) const noexcept {
    for (const Columns columns : negatives) {
        const std::uint32_t count = columns.end - columns.begin;
        if (rank < count) return columns.begin + static_cast<std::uint32_t>(rank);
        rank -= count;
    }
    return 0;
}

std::uint32_t farthest_positive(const Anchor& anchor) noexcept {
    return *std::min_element(
        anchor.positives.begin(), anchor.positives.end(), [&](std::uint32_t a, std::uint32_t b) {
            return anchor.scores[a] < anchor.scores[b];
        });
}

std::uint32_t nearest_negative(const Anchor& anchor) noexcept {
    float best = -std::numeric_limits<float>::infinity();
    Columns where = anchor.negatives.front();
    for (const Columns columns : anchor.negatives) {
        const float found =
            greatest(anchor.scores.subspan(columns.begin, columns.end - columns.begin));
        if (found <= best) continue;
        best = found;
        where = columns;
    }
    std::uint32_t j = where.begin;
    while (anchor.scores[j] != best) ++j;
    return j;
}

Anchors::Anchors(const Batch& batch, const Execution& execution)
    : batch_(batch),
      execution_(execution),
      kernel_(kernels::active()),
      num_candidates_(batch.candidate_labels.size()) {
    require(num_candidates_ <= kMostCandidates, "ref_emb: more than 2^32 - 2 rows");
    require(!batch.among_themselves || num_candidates_ == size(),
            "ref_labels: expected one per row of embeddings");
    per_block_ = std::clamp<std::size_t>(
        size() / (kBlocksPerThread * resolve_threads(execution)), 1, kMostPerBlock);
    sort_labels();
    if (!batch.scores.empty()) {
        require(batch.scores.size() == size() * num_candidates_,
                "scores: expected one per anchor and candidate");
        return;
    }
    require(batch.anchors.rows == size(), "labels: expected one per row of embeddings");
    width_ = rounded_up(batch.anchors.cols, kLanes);
    anchors_ = prepare(batch.anchors, "embeddings");
    if (batch.among_themselves) return;
    require(batch.candidates.rows == num_candidates_,
            "ref_labels: expected one per row of ref_emb");
    require(batch.candidates.cols == batch.anchors.cols,
            "ref_emb: expected as many dimensions as embeddings have");
    others_ = prepare(batch.candidates, "ref_emb");
}

Anchors::Rows Anchors::prepare(MatrixView rows, const char* name) const {
    Rows prepared{AlignedBuffer<double>(rows.rows * width_), AlignedBuffer<double>(rows.rows)};
    root_norms(rows,
               RowCheck{name, batch_.metric == Metric::cosine},
               execution_.part(0, 0),
               prepared.norms.data());
    const auto& typed = kernel_.of_type[static_cast<std::size_t>(rows.type)];
    std::vector<float> elements(rows.cols);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        typed.to_float(rows.row(i), rows.cols, elements.data());
        double* out = prepared.elements.data() + i * width_;
        std::fill(std::copy(elements.begin(), elements.end(), out), out + width_, 0.0);
    }
    return prepared;
}

void Anchors::sort_labels() {
    const std::span<const std::int64_t> labels = batch_.candidate_labels;
    by_label_.resize(labels.size());
    std::iota(by_label_.begin(), by_label_.end(), 0u);
    std::stable_sort(by_label_.begin(), by_label_.end(), [&](std::uint32_t a, std::uint32_t b) {
        return labels[a] < labels[b];
    });
    sorted_labels_.resize(labels.size());
    std::transform(by_label_.begin(), by_label_.end(), sorted_labels_.begin(), [&](auto row) {
        return labels[row];
    });
}

void Anchors::score_block(std::size_t begin,
                          std::size_t end,
                          float* scores,
                          LowestError& errors) const {
    const Rows& candidates = batch_.among_themselves ? anchors_ : others_;
    const std::size_t per_chunk =
        rounded_up(std::clamp<std::size_t>(kChunkBytes / (width_ * sizeof(double)), 4, 64), 4);
    const auto sum = batch_.metric == Metric::l2 ? kernel_.pair_distances : kernel_.pair_products;
    std::vector<double> sums((end - begin) * per_chunk);
    for (std::size_t first = 0; first < num_candidates_; first += per_chunk) {
        const std::size_t count = std::min(per_chunk, num_candidates_ - first);
        sum({anchors_.elements.data() + begin * width_,
             end - begin,
             candidates.elements.data() + first * width_,
             count,
             width_,
             sums.data(),
             per_chunk});
        for (std::size_t i = begin; i < end; ++i) {
            double* of_anchor = sums.data() + (i - begin) * per_chunk;
            float* out = scores + (i - begin) * num_candidates_ + first;
            if (batch_.metric == Metric::cosine)
                for (std::size_t j = 0; j < count; ++j)
                    of_anchor[j] /= anchors_.norms[i] * candidates.norms[first + j];
            if (batch_.metric == Metric::l2)
                for (std::size_t j = 0; j < count; ++j) of_anchor[j] = -of_anchor[j];
            for (std::size_t j = 0; j < count; ++j)
                out[j] = static_cast<float>(of_anchor[j]) + 0.0f;
        }
    }
    for (std::size_t i = begin; i < end; ++i) {
        const std::span<const float> row(scores + (i - begin) * num_candidates_, num_candidates_);
        if (all_finite(row)) continue;
        const auto j =
            std::find_if(row.begin(), row.end(), [](float s) { return !std::isfinite(s); }) -
            row.begin();
        errors.note(i,
                    "the score of embeddings row " + std::to_string(i) + " and candidate " +
                        std::to_string(j) + " overflows float32; scale the embeddings down");
        return;
    }
}

void Anchors::visit_blocks(const std::function<Visit(std::size_t block)>& make) const {
    LowestError errors;
    run_parallel(num_blocks(), num_blocks(), execution_, [&](std::size_t block, TaskContext& job) {
        const std::size_t begin = block * per_block_;
        const std::size_t end = std::min(size(), begin + per_block_);
        AlignedBuffer<float> computed;
        const float* scores = batch_.scores.data() + begin * num_candidates_;
        if (batch_.scores.empty()) {
            computed = AlignedBuffer<float>((end - begin) * num_candidates_);
            score_block(begin, end, computed.data(), errors);
            scores = computed.data();
        }
        const Visit visit = make(block);
        std::vector<std::uint32_t> positives;
        std::vector<Columns> negatives;
        for (std::size_t i = begin; i < end; ++i) {
            positives.clear();
            negatives.clear();
            const auto [first, last] =
                std::equal_range(sorted_labels_.begin(), sorted_labels_.end(), batch_.labels[i]);
            std::uint32_t from = 0;
            const auto add_negatives = [&](std::uint32_t to) {
                if (from < to) negatives.push_back({from, to});
            };
            for (auto at = first - sorted_labels_.begin(); at < last - sorted_labels_.begin();
                 ++at) {
                const std::uint32_t j = by_label_[static_cast<std::size_t>(at)];
                add_negatives(j);
                from = j + 1;
                if (!batch_.among_themselves || j != i) positives.push_back(j);
            }
            add_negatives(static_cast<std::uint32_t>(num_candidates_));
            const auto num_same = static_cast<std::size_t>(last - first);
            visit({i,
                   {scores + (i - begin) * num_candidates_, num_candidates_},
                   positives,
                   negatives,
                   num_candidates_ - num_same});
            job.checkpoint();
        }
        job.checkpoint(1);
    });
    errors.raise();
}

}  // namespace nearmiss
