// SPDX-License-Identifier: Apache-2.0
// A block of queries made ready for screening: packed into tiles, with their thresholds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "block_admission.hpp"
#include "exact_scores.hpp"
#include "forms/form.hpp"
#include "search.hpp"

namespace nearmiss {

// Not thread-safe.
class QueryBlock {
  public:
    // `form`: of search.corpus; must outlive the block.
    QueryBlock(const Search& search, const ScreeningForm& form)
        : search_(search),
          packed_(form.make_queries(search.kernel)),
          admission_(search.rules, search.corpus) {}

    // `queries`: indices into search.queries; ordered by group if the corpus is.
    void prepare(std::span<const std::uint32_t> queries);

    [[nodiscard]] std::size_t size() const noexcept { return queries_.size(); }
    // How many panels are fastest together.
    [[nodiscard]] std::size_t panels_at_once() const noexcept {
        return search_.kernel.panels_at_once;
    }
    // The most hits of a call of screen().
    [[nodiscard]] std::size_t max_hits() const noexcept { return num_tiles() * panels_at_once(); }
    [[nodiscard]] std::uint32_t num_tiles() const noexcept {
        return static_cast<std::uint32_t>((size() + kernels::kTileQueries - 1) /
                                          kernels::kTileQueries);
    }
    // Of the corpus.
    [[nodiscard]] std::size_t num_rows() const noexcept { return search_.corpus.num_rows(); }
    [[nodiscard]] std::size_t query(std::size_t i) const noexcept { return queries_[i]; }
    [[nodiscard]] const ExactQuery& exact(std::size_t i) const noexcept { return exact_[i]; }
    [[nodiscard]] const ScreenScale& scale(std::size_t i) const noexcept { return scales_[i]; }
    [[nodiscard]] const ScoreInterval& interval(std::size_t i) const noexcept {
        return intervals_[i];
    }
    [[nodiscard]] const BlockAdmission& admission() const noexcept { return admission_; }

    // Calls the screening tile; thresholds of unused places never pass. Where all that hits could
    // tell of rows above a ceiling is how many they are, these are counted instead.
    // `groups_are_right`: no group rules any row of the panels out for any query of the block.
    [[nodiscard]] std::uint32_t screen(const PanelGroup& panels,
                                       TileRange tiles,
                                       kernels::TileHit* hits,
                                       bool groups_are_right = false) {
        Thresholds at = thresholds();
        if (has_ceiling_ && all_count(panels, groups_are_right)) at.num_above = num_above_.data();
        return packed_->screen(panels, tiles, at, hits);
    }
    // Rows above the ceiling of query i that were counted, all of them admissible.
    [[nodiscard]] std::uint32_t num_above(std::size_t i) const noexcept { return num_above_[i]; }

    [[nodiscard]] const PackedQueries& packed() const noexcept { return *packed_; }
    // The thresholds as they are; `upper` is null without ceilings, and nothing is counted.
    [[nodiscard]] Thresholds thresholds() const noexcept {
        return {lower_.data(), has_ceiling_ ? upper_.data() : nullptr, nullptr};
    }

    // The lower thresholds, in screening units: they only rise while a block is scanned, from
    // initial_lower on.
    [[nodiscard]] float lower(std::size_t i) const noexcept { return lower_[i]; }
    void raise_lower(std::size_t i, double threshold) noexcept;
    [[nodiscard]] float initial_lower(std::size_t i) const noexcept;
    // No row passes for query i any more.
    void retire(std::size_t i) noexcept;

    // The tiles that can have a negative in a panel whose rows all have groups in
    // [lowest, highest]; the corpus must be ordered by group.
    struct TileRanges {
        TileRange at[2];
        std::size_t count;
        bool groups_are_right;  // for all queries of the block and all rows of the panel
    };
    [[nodiscard]] TileRanges tiles_for_groups(std::int64_t lowest,
                                              std::int64_t highest,
                                              bool within_groups) const noexcept;

  private:
    void set_thresholds();
    // Whether every lane of the panels has a row that is admissible for all queries.
    [[nodiscard]] bool all_count(const PanelGroup& panels, bool groups_are_right) const noexcept;

    const Search& search_;
    std::unique_ptr<PackedQueries> packed_;
    std::span<const std::uint32_t> queries_;
    AlignedBuffer<float> elements_;  // size() x dim, for rescoring, unless queries are float32
    std::vector<ExactQuery> exact_;
    std::vector<ScreenScale> scales_;
    std::vector<ScoreInterval> intervals_;
    BlockAdmission admission_;
    std::vector<float> lower_;
    std::vector<float> upper_;
    std::vector<std::uint32_t> num_above_;
    bool has_ceiling_ = false;
};

}  // namespace nearmiss
