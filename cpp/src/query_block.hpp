// SPDX-License-Identifier: Apache-2.0
// A block of queries made ready for screening: packed into tiles, with their thresholds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "admission.hpp"
#include "aligned_buffer.hpp"
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
          packed_(form.make_queries(search.kernel)) {}

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
    // Null where every row is admissible.
    [[nodiscard]] const Admission* admission(std::size_t i) const noexcept {
        return admissions_.empty() ? nullptr : &admissions_[i];
    }

    // Calls the screening tile; thresholds of unused places never pass.
    [[nodiscard]] std::uint32_t screen(const PanelGroup& panels,
                                       TileRange tiles,
                                       kernels::TileHit* hits) const {
        return packed_->screen(panels, tiles, thresholds(), hits);
    }

    [[nodiscard]] const PackedQueries& packed() const noexcept { return *packed_; }
    // The thresholds as they are; `upper` is null without ceilings.
    [[nodiscard]] Thresholds thresholds() const noexcept {
        return {lower_.data(), has_ceiling_ ? upper_.data() : nullptr};
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
    };
    [[nodiscard]] TileRanges tiles_for_groups(std::int64_t lowest,
                                              std::int64_t highest,
                                              bool within_groups) const noexcept;

  private:
    void set_thresholds();

    const Search& search_;
    std::unique_ptr<PackedQueries> packed_;
    std::span<const std::uint32_t> queries_;
    AlignedBuffer<float> elements_;  // size() x dim, for rescoring, unless queries are float32
    std::vector<ExactQuery> exact_;
    std::vector<ScreenScale> scales_;
    std::vector<ScoreInterval> intervals_;
    std::vector<Admission> admissions_;
    std::vector<float> lower_;
    std::vector<float> upper_;
    bool has_ceiling_ = false;
};

}  // namespace nearmiss
