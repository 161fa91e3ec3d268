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

bool all_finite(std::span<const float> values) {
    float worst[kStripes] = {};  // 0 times what is not finite is NaN
    std::size_t i = 0;
    for (; i + kStripes <= values.size(); i += kStripes)
        for (std::size_t k = 0; k < kStripes; ++k) worst[k] += 0.0f * values[i + k];
    for (; i < values.size(); ++i) worst[0] += 0.0f * values[i];
    return std::none_of(worst, worst + kStripes, [](float w) { return std::isnan(w); });
}

}  // namespace

float greatest(std::span<const float> values) noexcept {
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

void Anchors::score(Columns rows, Columns columns, float* scores, LowestError& errors) const {
    const Rows& candidates = batch_.among_themselves ? anchors_ : others_;
    const std::uint32_t per_chunk = static_cast<std::uint32_t>(
        rounded_up(std::clamp<std::size_t>(kChunkBytes / (width_ * sizeof(double)), 4, 64), 4));
    const auto sum = batch_.metric == Metric::l2 ? kernel_.pair_distances : kernel_.pair_products;
    const std::size_t num_rows = rows.end - rows.begin;
    const std::size_t num_columns = columns.end - columns.begin;
    std::vector<double> sums(num_rows * per_chunk);
    for (std::uint32_t first = columns.begin; first < columns.end; first += per_chunk) {
        const std::size_t count = std::min(per_chunk, columns.end - first);
        sum({anchors_.elements.data() + rows.begin * width_,
             num_rows,
             candidates.elements.data() + first * width_,
             count,
             width_,
             sums.data(),
             per_chunk});
        for (std::size_t i = 0; i < num_rows; ++i) {
            double* of_row = sums.data() + i * per_chunk;
            float* out = scores + i * num_columns + (first - columns.begin);
            if (batch_.metric == Metric::cosine)
                for (std::size_t j = 0; j < count; ++j)
                    of_row[j] /= anchors_.norms[rows.begin + i] * candidates.norms[first + j];
            if (batch_.metric == Metric::l2)
                for (std::size_t j = 0; j < count; ++j) of_row[j] = -of_row[j];
            for (std::size_t j = 0; j < count; ++j) out[j] = static_cast<float>(of_row[j]) + 0.0f;
        }
    }
    for (std::size_t i = 0; i < num_rows; ++i) {
        const std::span<const float> row(scores + i * num_columns, num_columns);
        if (all_finite(row)) continue;
        const auto bad =
            std::find_if(row.begin(), row.end(), [](float s) { return !std::isfinite(s); });
        const std::size_t anchor = rows.begin + i;
        const std::size_t candidate = columns.begin + static_cast<std::size_t>(bad - row.begin());
        errors.note(anchor * num_candidates_ + candidate,
                    "the score of embeddings row " + std::to_string(anchor) + " and candidate " +
                        std::to_string(candidate) +
                        " overflows float32; scale the embeddings down");
        return;
    }
}

std::span<const std::uint32_t> Anchors::labelled(std::int64_t label) const {
    const auto [first, last] =
        std::equal_range(sorted_labels_.begin(), sorted_labels_.end(), label);
    return {by_label_.data() + (first - sorted_labels_.begin()),
            static_cast<std::size_t>(last - first)};
}

void Anchors::for_each_tile(const std::function<void(Tile& tile)>& visit) const {
    const std::size_t side = kMostPerBlock;
    const std::size_t per_way = (size() + side - 1) / side;
    std::vector<Tile> tiles;
    const auto range = [&](std::size_t block) {
        return Columns{static_cast<std::uint32_t>(block * side),
                       static_cast<std::uint32_t>(std::min(size(), (block + 1) * side))};
    };
    for (std::size_t i = 0; i < per_way; ++i)
        for (std::size_t j = i; j < per_way; ++j) tiles.push_back({range(i), range(j), nullptr});
    LowestError errors;
    run_parallel(tiles.size(), tiles.size(), execution_, [&](std::size_t t, TaskContext& job) {
        AlignedBuffer<float> scores(side * side);
        Tile tile = tiles[t];
        tile.scores = scores.data();
        score(tile.rows, tile.columns, tile.scores, errors);
        visit(tile);
        job.checkpoint(1);
    });
    errors.raise();
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
            score({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)},
                  {0, static_cast<std::uint32_t>(num_candidates_)},
                  computed.data(),
                  errors);
            scores = computed.data();
        }
        const Visit visit = make(block);
        std::vector<std::uint32_t> positives;
        std::vector<Columns> negatives;
        for (std::size_t i = begin; i < end; ++i) {
            positives.clear();
            negatives.clear();
            const std::span<const std::uint32_t> same = labelled(batch_.labels[i]);
            std::uint32_t from = 0;
            const auto add_negatives = [&](std::uint32_t to) {
                if (from < to) negatives.push_back({from, to});
            };
            for (const std::uint32_t j : same) {
                add_negatives(j);
                from = j + 1;
                if (!batch_.among_themselves || j != i) positives.push_back(j);
            }
            add_negatives(static_cast<std::uint32_t>(num_candidates_));
            visit({i,
                   {scores + (i - begin) * num_candidates_, num_candidates_},
                   positives,
                   negatives,
                   num_candidates_ - same.size()});
            job.checkpoint();
        }
        job.checkpoint(1);
    });
    errors.raise();
}

}  // namespace nearmiss
