// SPDX-License-Identifier: Apache-2.0
// Sketches: short vectors that are never farther from each other than what they are sketches of;
// and int8 codes of both, with what these miss.
//
// A sketch holds the coordinates of a vector, less a centre, along orthonormal axes, and last the
// norm of what these leave out. By Pythagoras and the triangle inequality
//   |sketch(x) - sketch(y)|^2 = |P(x - y)|^2 + (|x - Px| - |y - Py|)^2 <= |x - y|^2,
// P being the projection. The axes are about the leading principal ones, found by subspace
// iteration (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011,
// algorithm 4.4); how good they are changes the time of a search, never its answer.
//
// Vectors are *scaled* first: under cosine to unit norm, under l2 by a power of two that takes the
// points to norms of at most 1. Then they are centred and rotated. See cpp/README.md for proofs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "exact_scores.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {

// codes / scale is no farther than `residual` from a vector.
struct CodedVector {
    float scale = 1;
    float residual = 0;
    std::int32_t squared_norm = 0;  // of the codes
};

class SketchMap {
  public:
    static constexpr std::size_t kWidth = 112;
    // Of scaled vectors.
    static constexpr double kMostNorm = 0x1p20;

    // Whether sketches of such rows are much shorter than these, and their codes small enough to be
    // kept.
    [[nodiscard]] static bool serves(const Points& points) noexcept;

    // Axes for the points, from some of them.
    SketchMap(const Points& points, const Execution& execution);

    // The int8 codes of a whole vector.
    [[nodiscard]] std::size_t num_codes() const noexcept { return steps_ * kernels::kCodesPerStep; }
    // A vector of such a norm is scaled by it.
    [[nodiscard]] double multiplier(double root_norm) const noexcept {
        return metric_ == Metric::cosine ? 1.0 / root_norm : unit_;
    }
    // A distance is scaled by it.
    [[nodiscard]] double unit() const noexcept { return unit_; }

  private:
    friend class VectorCoder;

    // As a row less the mean so far, in float64.
    void centre(const ExactQuery& row, std::span<const double> mean, double* out) const noexcept;
    void keep_axes(const double* axes, std::size_t width);

    const Metric metric_;
    const std::size_t dim_;
    const std::size_t steps_;
    const double unit_;
    const std::size_t block_;            // of the rotation
    double rounding_;                    // of centring and rotation, relative to what enters
    std::vector<std::uint32_t> places_;  // the order of elements is left alone
    std::vector<float> signs_;
    AlignedBuffer<float> centre_;
    double centre_norm_;
    // Rotated: for every stretch of elements, tiles of axes.
    AlignedBuffer<float> axes_;
};

// Makes codes and sketches of up to kPanelRows vectors at a time, one per lane. Not thread-safe.
class VectorCoder {
  public:
    // `map` must outlive it.
    VectorCoder(const SketchMap& map, const kernels::KernelTable& kernel);

    // Rows [first, first + count), scaled to norms of at most kMostNorm.
    void read(MatrixView rows,
              std::span<const double> root_norms,
              std::size_t first,
              std::size_t count);

    // The codes of the vector in lane i go to out + i * map.num_codes(), what they are to
    // facts[i].
    void code(std::int8_t* out, CodedVector* facts);

    // Element k of the sketch in lane i goes to out[k * kPanelRows + i]; errors[i]: how far it may
    // be from the true one.
    void sketch(float* out, double* errors);

    // Rotates such sketches in place, which may add to `errors`; peaks[i]: the largest absolute
    // element.
    void rotate_sketches(float* sketches, double* errors, float* peaks);

  private:
    void project(float* out);
    // How far centred and rotated vectors may be from true ones.
    [[nodiscard]] double rounding(std::size_t lane) const noexcept;

    const SketchMap& map_;
    const kernels::KernelTable& kernel_;
    std::size_t count_ = 0;
    AlignedBuffer<float> elements_;
    AlignedBuffer<std::uint8_t> codes_;
    std::vector<kernels::TileHit> hits_;
    double norms_[kernels::kPanelRows] = {};  // of scaled vectors
    float squared_norms_[kernels::kPanelRows] = {};
    float peaks_[kernels::kPanelRows] = {};
};

// Never too small: how far codes of `terms` elements at that scale may be from what they code,
// which is itself `error` off; `squared_residual` as QuantiseTask measures it.
[[nodiscard]] float code_residual(float squared_residual,
                                  std::size_t terms,
                                  float scale,
                                  double error) noexcept;

}  // namespace nearmiss
