// SPDX-License-Identifier: Apache-2.0
// The anchors of a batch one by one, each with the scores of all candidates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "choose/lowest_error.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/in_batch.hpp"
#include "parallel.hpp"

namespace nearmiss {

struct Columns {
    std::uint32_t begin;
    std::uint32_t end;
};

struct Anchor {
    std::size_t row;
    std::span<const float> scores;             // one per candidate
    std::span<const std::uint32_t> positives;  // ascending
    std::span<const Columns> negatives;        // ascending, none empty
    std::size_t num_negatives;

    // f(column) for every negative, ascending.
    template <class F>
    void for_each_negative(const F& f) const {
        for (const Columns columns : negatives)
            for (std::uint32_t j = columns.begin; j < columns.end; ++j) f(j);
    }
    // The negative with so many before it.
    [[nodiscard]] std::uint32_t negative_at(std::uint64_t rank) const noexcept;
};

// The positive with the lowest score, the lower of equals; there is one.
[[nodiscard]] std::uint32_t farthest_positive(const Anchor& anchor) noexcept;
// The negative with the highest score, the lower of equals; there is one.
[[nodiscard]] std::uint32_t nearest_negative(const Anchor& anchor) noexcept;

// Scores of anchors and candidates that are rows of one set: all columns are at or after all rows,
// or both are the same.
struct Tile {
    Columns rows;
    Columns columns;
    float* scores;  // may be overwritten

    [[nodiscard]] bool on_diagonal() const noexcept { return rows.begin == columns.begin; }
    [[nodiscard]] std::span<float> row(std::uint32_t i) const noexcept {
        const std::size_t width = columns.end - columns.begin;
        return {scores + (i - rows.begin) * width, width};
    }
};

// The greatest of them, -infinity of none.
[[nodiscard]] float greatest(std::span<const float> values) noexcept;

// Checked and made ready for scoring.
class Anchors {
  public:
    // `batch` must stay alive.
    Anchors(const Batch& batch, const Execution& execution);

    [[nodiscard]] std::size_t size() const noexcept { return batch_.labels.size(); }
    [[nodiscard]] std::size_t num_candidates() const noexcept { return num_candidates_; }
    [[nodiscard]] std::size_t num_blocks() const noexcept {
        return (size() + per_block_ - 1) / per_block_;
    }

    // Whether scores are the same both ways, so that one of both need not be computed.
    [[nodiscard]] bool symmetric() const noexcept {
        return batch_.among_themselves && batch_.scores.empty();
    }
    // Candidates with this label, ascending.
    [[nodiscard]] std::span<const std::uint32_t> labelled(std::int64_t label) const;
    // visit(tile) for tiles that hold each pair of rows at least one way round, on any thread.
    // Requires symmetric().
    void for_each_tile(const std::function<void(Tile& tile)>& visit) const;

    // One worker is made for every block of successive anchors, by make(block), and called with
    // each of them in turn, on any thread.
    template <class MakeWorker>
    void for_each_block(const MakeWorker& make) const {
        visit_blocks([&](std::size_t block) {
            return [worker = make(block)](const Anchor& anchor) mutable { worker(anchor); };
        });
    }

  private:
    using Visit = std::function<void(const Anchor&)>;

    struct Rows {
        AlignedBuffer<double> elements;  // rows x width_
        AlignedBuffer<double> norms;     // of cosine
    };

    void visit_blocks(const std::function<Visit(std::size_t block)>& make) const;
    [[nodiscard]] Rows prepare(MatrixView rows, const char* name) const;
    void sort_labels();
    // Row after row, as many as there are columns.
    void score(Columns rows, Columns columns, float* scores, LowestError& errors) const;

    const Batch& batch_;
    const Execution& execution_;
    const kernels::KernelTable& kernel_;
    std::size_t num_candidates_;
    std::size_t width_ = 0;  // dimensions, rounded up to whole groups of lanes
    std::size_t per_block_;
    Rows anchors_;
    Rows others_;                          // candidates that are not the anchors
    std::vector<std::uint32_t> by_label_;  // candidates ordered by label, then row
    std::vector<std::int64_t> sorted_labels_;
};

}  // namespace nearmiss
