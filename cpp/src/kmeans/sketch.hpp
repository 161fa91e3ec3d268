// SPDX-License-Identifier: Apache-2.0
// Sketches: short vectors that are never farther from each other than what they are sketches of.
//
// A sketch holds the coordinates of a vector, less the mean of some rows, along orthonormal axes,
// and last the norm of what these leave out. By Pythagoras and the triangle inequality
//   |sketch(x) - sketch(y)|^2 = |P(x - y)|^2 + (|x - Px| - |y - Py|)^2 <= |x - y|^2,
// P being the projection. The axes are about the leading principal ones, found by subspace
// iteration (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011,
// algorithm 4.4); how good they are changes the time of a search, never its answer. Under cosine
// vectors are made unit vectors first.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "exact_scores.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {

// Sketches of rows, and their root norms.
struct Sketches {
    AlignedBuffer<float> elements;
    std::vector<double> root_norms;

    [[nodiscard]] MatrixView view() const noexcept;
};

class SketchMap {
  public:
    static constexpr std::size_t kWidth = 128;

    // Whether sketches of such rows are much shorter than these, and all of them small enough to
    // be kept.
    [[nodiscard]] static bool serves(const Points& points) noexcept;

    // Axes for the points, from some of them.
    explicit SketchMap(const Points& points);

    // `root_norms`: one per row. `rows` may be of another type than the points, but not of another
    // width.
    [[nodiscard]] Sketches sketch(MatrixView rows,
                                  std::span<const double> root_norms,
                                  const Execution& execution) const;

    // How much farther than their vectors are sketches can be by rounding, over the sum of the
    // sketches' norms.
    [[nodiscard]] double rounding() const noexcept;

  private:
    class Writer;

    // Less the mean, in float64.
    void centre(const ExactQuery& row, double* out) const noexcept;

    const Metric metric_;
    const std::size_t dim_;
    const std::size_t width_;  // dim_, padded for the kernels
    std::vector<double> mean_;
    AlignedBuffer<double> axes_;  // kWidth - 1 of them, each of width_
};

}  // namespace nearmiss
