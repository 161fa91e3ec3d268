// SPDX-License-Identifier: Apache-2.0
// The nearest centre of rows of which a near one is known: sketches say which others could be
// nearer, and those are scored exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "aligned_buffer.hpp"
#include "kmeans/nearest.hpp"
#include "kmeans/row_reader.hpp"
#include "kmeans/sketch.hpp"
#include "nearmiss/corpus.hpp"
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

// best[i] is never kNone. Not thread-safe.
class SketchScan final : public CenterScan {
  public:
    // `search`: rows as queries, centres as the corpus. `sketches`: of rows as queries, of centres
    // as the corpus, which is that of `centers`. `form`: of the latter. All must outlive the scan.
    SketchScan(const Search& search,
               const Search& sketches,
               const SketchedCenters& centers,
               const ScreeningForm& form,
               CenterNumbers numbers);

  private:
    void raise_threshold(std::size_t i) override;
    [[nodiscard]] std::uint32_t place_of_best(std::size_t i) const override;
    void settle(std::size_t i) override;

    const SketchedCenters& centers_;
    RowReader reader_;
};

}  // namespace nearmiss
