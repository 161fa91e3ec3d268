// SPDX-License-Identifier: Apache-2.0
// Which centres each row may go to, and what that costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aligned_buffer.hpp"
#include "fetch_ahead.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {

using Cost = std::int64_t;

// Some centres of every row and the scores with them. All rows have as many.
struct NearCenters {
    std::size_t width = 0;
    std::size_t num_different = 0;         // the first so many; further ones may repeat these
    AlignedBuffer<std::uint32_t> centers;  // rows x width
    AlignedBuffer<float> scores;           // the same shape

    NearCenters() = default;
    NearCenters(std::size_t num_rows, std::size_t columns)
        : width(columns),
          num_different(columns),
          centers(num_rows * columns),
          scores(num_rows * columns) {}

    [[nodiscard]] std::size_t num_rows() const noexcept { return centers.size() / width; }
    [[nodiscard]] std::span<const std::uint32_t> centers_of(std::size_t row) const noexcept {
        return centers.view().subspan(row * width, width);
    }
    [[nodiscard]] std::span<const float> scores_of(std::size_t row) const noexcept {
        return scores.view().subspan(row * width, width);
    }
};

// The `width` best centres of every row, best first. `known`: the scores of every row with some of
// them, the first `width` different; or nothing. The better they are, the faster.
[[nodiscard]] NearCenters nearest_candidates(const Points& points,
                                             MatrixView centers,
                                             std::size_t width,
                                             const NearCenters& known,
                                             const Execution& execution);

// The same among some of the centres: all of them, if there are no more than `most`.
[[nodiscard]] NearCenters nearest_among(const Points& points,
                                        MatrixView centers,
                                        std::span<const std::uint32_t> some,
                                        std::size_t most,
                                        const Execution& execution);

// Computes the scores with these centres anew.
void score_candidates(const Points& points,
                      MatrixView centers,
                      NearCenters& candidates,
                      const Execution& execution);

// Costs are minus scores, rounded to 2^-40 of the greatest magnitude among them or finer, as
// integers: what is added up and compared is exact. Refers to the candidates.
class Costs {
  public:
    explicit Costs(const NearCenters& candidates);

    [[nodiscard]] std::size_t num_rows() const noexcept { return candidates_.num_rows(); }
    [[nodiscard]] std::size_t width() const noexcept { return candidates_.width; }
    // place = row * width() + column
    [[nodiscard]] std::uint32_t center(std::size_t place) const noexcept {
        return candidates_.centers[place];
    }
    [[nodiscard]] Cost operator[](std::size_t place) const noexcept {
        return static_cast<Cost>(static_cast<double>(candidates_.scores[place]) * -scale_);
    }
    [[nodiscard]] const NearCenters& candidates() const noexcept { return candidates_; }
    // For a row that is to be looked at soon: rows come in any order, and most of the time goes
    // into waiting for them. The first line of each will do.
    void fetch_ahead(std::size_t row) const noexcept {
        nearmiss::fetch_ahead(candidates_.centers_of(row).data());
        nearmiss::fetch_ahead(candidates_.scores_of(row).data());
    }
    // A power of two.
    [[nodiscard]] double scale() const noexcept { return scale_; }

  private:
    const NearCenters& candidates_;
    double scale_ = 1;
};

}  // namespace nearmiss
