// SPDX-License-Identifier: Apache-2.0
// The nearest centre of rows of which a near one is known: codes of sketches say which others could
// be nearer, codes of whole vectors leave few of them, and those are scored exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "exact_scores.hpp"
#include "kernels/kernels.hpp"
#include "kmeans/nearest.hpp"
#include "kmeans/row_reader.hpp"
#include "kmeans/sketch.hpp"
#include "search.hpp"

namespace nearmiss {

// Codes of points and of their sketches, which serve all iterations of a run. They are made for one
// SIMD target, that of their making, and only it may screen them.
class SketchedPoints {
  public:
    // `points` must outlive it.
    SketchedPoints(const Points& points, const Execution& execution);

    [[nodiscard]] const kernels::KernelTable& kernel() const noexcept { return kernel_; }
    [[nodiscard]] const SketchMap& map() const noexcept { return map_; }
    // Of the sketches: sums of codes may have to be cut.
    [[nodiscard]] std::size_t segment_steps() const noexcept { return segment_steps_; }

  private:
    friend class SketchScan;

    void code_panel(VectorCoder& coder, std::size_t first, std::size_t count);
    void place_sketch(std::size_t row, const std::uint8_t* codes);

    const Points& points_;
    const kernels::KernelTable& kernel_;
    const SketchMap map_;
    const std::size_t segment_steps_;
    AlignedBuffer<std::int8_t> codes_;  // of whole rows
    std::vector<CodedVector> rows_;
    AlignedBuffer<std::int8_t> tiles_;  // of sketches
    std::vector<CodedVector> sketches_;
    std::vector<kernels::CodeStart> starts_;
    std::vector<float> scales_;  // of sketches, a place for every one of the tiles
};

// Codes of centres and of their sketches. Those that changed come first; within each part similar
// ones are next to each other.
class SketchedCenters {
  public:
    // Whether all centres can be coded beside these points.
    [[nodiscard]] static bool serves(const SketchMap& map, std::span<const double> root_norms);

    // `changed`: by centre. `points` and `centers` must outlive it.
    SketchedCenters(const SketchedPoints& points,
                    const PackedCorpus& centers,
                    std::span<const std::uint8_t> changed,
                    const Execution& execution);

    [[nodiscard]] std::size_t num_panels() const noexcept { return num_panels_of(order_.size()); }
    // The first so many panels have all that changed.
    [[nodiscard]] std::size_t num_changed_panels() const noexcept {
        return num_panels_of(num_changed_);
    }

  private:
    friend class SketchScan;

    // As a scan compares them.
    struct Coded {
        double step = 0;  // one code
        double squared_norm = 0;
        double residual = 0;
    };

    [[nodiscard]] static std::size_t num_panels_of(std::size_t count) noexcept {
        return (count + kernels::kPanelRows - 1) / kernels::kPanelRows;
    }
    void code_wholes(const Execution& execution);
    void code_sketches();
    void gather(std::size_t panel, float* lanes, double* errors) const;

    const SketchedPoints& points_;
    const PackedCorpus& centers_;
    std::size_t num_changed_ = 0;
    AlignedBuffer<std::int8_t> codes_;  // of whole centres
    std::vector<Coded> wholes_;
    AlignedBuffer<float> elements_;  // of rotated sketches, by centre
    std::vector<double> errors_;
    std::vector<float> peaks_;
    std::vector<float> leads_;          // of sketches as they were, by centre
    std::vector<std::uint32_t> order_;  // the centre at every place of the panels
    AlignedBuffer<std::uint8_t> panels_;
    AlignedBuffer<float> row_terms_;
    float scale_ = 1;  // of sketches
    double greatest_norm_ = 0;
    double greatest_residual_ = 0;
};

// best[i] is never kNone.
class SketchScan final : public CenterScan {
  public:
    // `search`: rows as queries, centres as the corpus; `points` and `centers` are of these.
    // `num_panels`: of the centres, from the first. All must outlive the scan.
    SketchScan(const Search& search,
               const SketchedPoints& points,
               const SketchedCenters& centers,
               std::size_t num_panels);

    static constexpr std::size_t kQueries = 64 * kernels::kTileQueries;

    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<Key> best,
                    TaskContext& context) override;

  private:
    // A row whose centre is sought.
    struct Query {
        const std::int8_t* codes = nullptr;
        double step = 0;
        double squared_norm = 0;
        double reach = 0;  // how far a centre's codes may be from the row's, less what they miss
        std::uint32_t best = 0;
    };
    // A query with lanes of a panel that pass.
    struct Passing {
        std::uint32_t query;
        std::uint32_t panel;
        std::uint32_t lanes;
    };
    struct Candidate {
        std::uint32_t query;
        std::uint32_t center;
    };

    void take(std::span<const std::uint32_t> queries);
    void gather();
    void set_threshold(std::size_t i);
    void screen(std::size_t first_panel, std::size_t count, std::size_t next_panel);
    void collect(std::span<const kernels::TilePass> passes, std::size_t first_panel);
    // By the codes of whole vectors, those that sketches left.
    void compare();
    void settle();

    const Search& search_;
    const SketchedPoints& points_;
    const SketchedCenters& centers_;
    const std::size_t num_panels_;
    RowReader reader_;
    ExactScorer scorer_;
    std::span<const std::uint32_t> rows_;
    std::span<Key> best_;
    std::vector<Query> queries_;
    // The tiles of these rows: those of the points, or gathered.
    std::size_t first_place_ = 0;
    const std::int8_t* tiles_ = nullptr;
    const kernels::CodeStart* starts_ = nullptr;
    const float* scales_ = nullptr;
    AlignedBuffer<std::int8_t> gathered_tiles_;
    std::vector<kernels::CodeStart> gathered_starts_;
    std::vector<float> gathered_scales_;
    std::vector<float> lower_;
    std::vector<kernels::TilePass> passes_;
    std::vector<Passing> passing_;       // scratch
    std::vector<Candidate> to_compare_;  // the first so many, and room for those of a screening
    std::size_t num_to_compare_ = 0;
    std::vector<kernels::CodePair> pairs_;
    std::vector<std::int32_t> products_;
    std::vector<Candidate> candidates_;
    std::vector<std::uint32_t> centers_to_score_;
    std::vector<float> scores_;
    std::size_t num_compared_ = 0;
    std::size_t num_scored_ = 0;
};

}  // namespace nearmiss
