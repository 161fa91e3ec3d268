// SPDX-License-Identifier: Apache-2.0
// A block of queries made ready for screening: packed into tiles, with their thresholds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "admission.hpp"
#include "aligned_buffer.hpp"
#include "bound.hpp"
#include "exact_scores.hpp"
#include "search.hpp"

namespace nearmiss {

// Tiles [begin, end) of a block.
struct TileRange {
    std::uint32_t begin;
    std::uint32_t end;
};

// Not thread-safe.
class QueryBlock {
  public:
    // `queries`: indices into search.queries; ordered by group if the corpus is.
    void prepare(const Search& search, std::span<const std::uint32_t> queries);

    [[nodiscard]] std::size_t size() const noexcept { return queries_.size(); }
    [[nodiscard]] std::uint32_t num_tiles() const noexcept {
        return static_cast<std::uint32_t>((size() + kernels::kTileQueries - 1) /
                                          kernels::kTileQueries);
    }
    [[nodiscard]] std::size_t query(std::size_t i) const noexcept { return queries_[i]; }
    [[nodiscard]] ExactQuery exact(std::size_t i) const noexcept {
        return {elements_.data() + i * dim_, norms_[i]};
    }
    [[nodiscard]] const ScreenScale& scale(std::size_t i) const noexcept { return scales_[i]; }
    [[nodiscard]] const ScoreInterval& interval(std::size_t i) const noexcept {
        return intervals_[i];
    }
    // Null where every row is admissible.
    [[nodiscard]] const Admission* admission(std::size_t i) const noexcept {
        return admissions_.empty() ? nullptr : &admissions_[i];
    }

    [[nodiscard]] const float* tiles() const noexcept { return tiles_.data(); }
    // Screening thresholds in screening units, num_tiles() x kTileQueries. Those of unused places
    // never pass. lower only rises while a block is scanned, from initial_lower on; early is lower
    // less the most that elements from early_depth on can add.
    [[nodiscard]] const float* lower() const noexcept { return lower_.data(); }
    [[nodiscard]] const float* early() const noexcept { return early_.data(); }
    void raise_lower(std::size_t i, double threshold) noexcept;
    [[nodiscard]] float initial_lower(std::size_t i) const noexcept;
    [[nodiscard]] const float* upper() const noexcept {
        return has_ceiling_ ? upper_.data() : nullptr;
    }

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
    void pack_tiles(const Search& search, std::span<const QueryScale> scales);
    void set_thresholds();
    // The most that elements of query i from early_depth on add to a screened score.
    [[nodiscard]] double rest_of(const Search& search, std::size_t i) const noexcept;

    std::size_t dim_ = 0;
    std::span<const std::uint32_t> queries_;
    AlignedBuffer<float> tiles_;
    AlignedBuffer<float> elements_;  // size() x dim, float32, for rescoring
    std::vector<double> norms_;
    std::vector<ScreenScale> scales_;
    std::vector<ScoreInterval> intervals_;
    std::vector<Admission> admissions_;
    std::vector<double> rests_;
    std::vector<float> lower_;
    std::vector<float> early_;
    std::vector<float> upper_;
    bool has_ceiling_ = false;
};

}  // namespace nearmiss
