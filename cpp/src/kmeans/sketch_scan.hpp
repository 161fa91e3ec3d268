// SPDX-License-Identifier: Apache-2.0
// The nearest centre of rows of which a near one is known: sketches say which others could be
// nearer, and those are scored exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "kmeans/nearest.hpp"
#include "kmeans/row_reader.hpp"
#include "kmeans/sketch.hpp"
#include "parallel.hpp"
#include "query_block.hpp"
#include "search.hpp"

namespace nearmiss {

// Centres in an order that puts similar ones next to each other, and their sketches.
class SketchedCenters {
  public:
    // `centers` (root norms measured) and `map` must outlive it.
    SketchedCenters(const SketchMap& map, const PackedCorpus& centers, const Execution& execution);

    [[nodiscard]] const PackedCorpus& sketches() const noexcept { return packed_->packed(); }
    // The centre at a place among the sketches, and the other way round.
    [[nodiscard]] std::uint32_t center_at(std::size_t place) const noexcept {
        return center_at_[place];
    }
    [[nodiscard]] std::uint32_t place_of(std::uint32_t center) const noexcept {
        return place_of_[center];
    }
    [[nodiscard]] double rounding() const noexcept { return rounding_; }
    [[nodiscard]] double greatest_norm() const noexcept { return greatest_norm_; }

  private:
    std::vector<std::uint32_t> center_at_;
    std::vector<std::uint32_t> place_of_;
    AlignedBuffer<float> elements_;
    std::unique_ptr<Corpus> packed_;
    double rounding_;
    double greatest_norm_;
};

// Not thread-safe.
class SketchScan final : public CenterScan {
  public:
    // `search`: rows as queries, centres as the corpus. `sketches`: of rows as queries, of centres
    // as the corpus, which is that of `centers`. `form`: of the latter. All must outlive the scan.
    SketchScan(const Search& search,
               const Search& sketches,
               const SketchedCenters& centers,
               const ScreeningForm& form,
               CenterNumbers numbers);

    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<Key> best,
                    TaskContext& context) override;

  private:
    struct Candidate {
        std::uint32_t center;  // of the corpus of centres
        float screened;
        std::uint32_t before;  // the candidate before it of the same query, or kFirst
    };
    static constexpr std::uint32_t kFirst = 0xffff'ffff;

    void raise_threshold(std::size_t i);
    void collect(const kernels::TileHit& hit, std::size_t panel);
    void settle();
    void settle(std::size_t i);
    void score(const ExactQuery& query, std::size_t i);

    const Search& search_;
    const Search& sketches_;
    const SketchedCenters& centers_;
    const CenterNumbers numbers_;
    RowReader reader_;
    ExactScorer scorer_;
    QueryBlock block_;
    std::vector<kernels::TileHit> hits_;
    std::span<Key> best_;
    std::vector<std::uint32_t> known_;  // places of the centres known
    std::vector<Candidate> candidates_;
    std::vector<std::uint32_t> last_;  // candidate of each query, or kFirst
    std::size_t num_scored_ = 0;
    std::vector<std::uint32_t> rows_;  // scratch of settle()
    std::vector<float> scores_;
};

}  // namespace nearmiss
