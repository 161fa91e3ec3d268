// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sketch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "forms/bound.hpp"
#include "forms/coding.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/row_reader.hpp"
#include "parallel.hpp"

namespace nearmiss {

using kernels::kCodesPerStep;
using kernels::kPanelRows;
using kernels::kPanelStepBytes;
using kernels::kStepBytes;
using kernels::kTileQueries;

namespace {

constexpr std::size_t kAxes = SketchMap::kWidth - 1;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kMostRowsOfSample = 1024;
constexpr std::size_t kIterations = 3;
// With fewer elements, sketches save too little.
constexpr std::size_t kMinDim = 256;
constexpr std::size_t kMostBytes = std::size_t{2} << 30;
// Beside the codes of a row and of its sketch.
constexpr std::size_t kBytesOfFacts =
    2 * sizeof(CodedVector) + sizeof(kernels::CodeStart) + sizeof(float);
// Float32 sums of so many products each are added up: longer ones could be farther off. Shorter
// ones cost time to add up.
constexpr std::size_t kStretch = 512;
constexpr std::size_t kAxisTiles = (kAxes + kTileQueries - 1) / kTileQueries;
constexpr double kUnit = 0x1p-24;
constexpr double kSlack = 1 + 0x1p-16;

constexpr std::size_t padded(std::size_t size) { return (size + kLanes - 1) / kLanes * kLanes; }

// Rows in float64, zeros behind them.
struct Block {
    std::size_t rows;
    std::size_t width;
    AlignedBuffer<double> at;

    Block(std::size_t num_rows, std::size_t num_cols)
        : rows(num_rows),
          width(padded(num_cols)),
          at(num_rows * width) {
        std::fill_n(at.data(), at.size(), 0.0);
    }
    [[nodiscard]] double* row(std::size_t i) noexcept { return at.data() + i * width; }
    [[nodiscard]] const double* row(std::size_t i) const noexcept { return at.data() + i * width; }
};

// left . right of all pairs, a row for each of `left`.
Block products(const Block& left, const Block& right, const Execution& execution) {
    constexpr std::size_t kRowsPerTask = 16;
    Block result(left.rows, right.rows);
    const std::size_t tasks = (left.rows + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t first = task * kRowsPerTask;
        kernels::active().pair_products({left.row(first),
                                         std::min(kRowsPerTask, left.rows - first),
                                         right.row(0),
                                         right.rows,
                                         left.width,
                                         result.row(first),
                                         result.width});
        context.checkpoint(1);
    });
    return result;
}

Block transposed(const Block& block, std::size_t cols) {
    Block result(cols, block.rows);
    for (std::size_t i = 0; i < block.rows; ++i)
        for (std::size_t j = 0; j < cols; ++j) result.row(j)[i] = block.row(i)[j];
    return result;
}

double product(const double* a, const double* b, std::size_t size) {
    double lanes[kLanes] = {};
    for (std::size_t i = 0; i < size; i += kLanes)
        for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
}

// Makes the rows orthonormal, by Gram and Schmidt; twice is enough. Those without a direction of
// their own become zero, which keeps the bound.
void make_orthonormal(Block& rows, int passes) {
    for (std::size_t i = 0; i < rows.rows; ++i) {
        double* const row = rows.row(i);
        const double before = std::sqrt(product(row, row, rows.width));
        for (int pass = 0; pass < passes; ++pass)
            for (std::size_t j = 0; j < i; ++j) {
                const double along = product(row, rows.row(j), rows.width);
                for (std::size_t k = 0; k < rows.width; ++k) row[k] -= along * rows.row(j)[k];
            }
        const double norm = std::sqrt(product(row, row, rows.width));
        const bool independent = norm > 0x1p-20 * before;
        for (std::size_t k = 0; k < rows.width; ++k) row[k] = independent ? row[k] / norm : 0.0;
    }
}

// Axes to begin with: about as good as random ones.
Block scattered_axes(std::size_t dim) {
    Block axes(kAxes, dim);
    std::uint64_t state = 1;
    for (std::size_t i = 0; i < kAxes; ++i)
        for (std::size_t k = 0; k < dim; ++k) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            axes.row(i)[k] = static_cast<double>(state >> 40) * 0x1p-24 - 0.5;
        }
    return axes;
}

double gamma(std::size_t count) {
    const double errors = static_cast<double>(count) * kUnit;
    return errors / (1 - errors);
}

// Of centring and rotation, relative to what enters.
double rotation_error(std::size_t dim) {
    return static_cast<double>(rotation_roundings(dim) + 8) * kUnit;
}

double unit_for(const Points& points) {
    if (points.metric() == Metric::cosine || points.size() == 0) return 1;
    const double largest = *std::ranges::max_element(points.root_norms());
    return largest > 0 ? std::ldexp(1.0, -std::ilogb(largest) - 1) : 1.0;
}

}  // namespace

float code_residual(float squared_residual, std::size_t terms, float scale, double error) noexcept {
    const double missed = norm_from_float_sum(static_cast<double>(squared_residual), terms);
    return round_up((missed / static_cast<double>(scale) + error) * kSlack + 0x1p-100);
}

bool SketchMap::serves(const Points& points) noexcept {
    const std::size_t bytes = points.dim() + kWidth + kBytesOfFacts;
    return points.dim() >= kMinDim && points.dim() <= kernels::kMaxWideElements &&
           points.size() <= kMostBytes / bytes;
}

SketchMap::SketchMap(const Points& points, const Execution& execution)
    : metric_(points.metric()),
      dim_(points.dim()),
      steps_((points.dim() + kCodesPerStep - 1) / kCodesPerStep),
      unit_(unit_for(points)),
      block_(rotation_block(points.dim())),
      rounding_(rotation_error(points.dim())),
      places_(points.dim()),
      signs_(rotation_signs(points.dim())),
      centre_(points.dim()) {
    std::iota(places_.begin(), places_.end(), 0u);
    const std::size_t count = std::min(points.size(), kMostRowsOfSample);
    const std::size_t stride = points.size() / count;
    RowReader reader(points.rows(), points.root_norms(), kernels::active());
    Block sample(count, dim_);
    std::vector<double> mean(dim_, 0.0);
    for (std::size_t i = 0; i < count; ++i) centre(reader.read(i * stride), mean, sample.row(i));
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t k = 0; k < dim_; ++k)
            mean[k] += sample.row(i)[k] / static_cast<double>(count);
    double squares = 0;
    for (std::size_t k = 0; k < dim_; ++k) {
        centre_[k] = static_cast<float>(mean[k]);
        squares += static_cast<double>(centre_[k]) * static_cast<double>(centre_[k]);
        for (std::size_t i = 0; i < count; ++i) sample.row(i)[k] -= mean[k];
    }
    centre_norm_ = std::sqrt(squares) * kSlack;
    const Block by_element = transposed(sample, dim_);
    Block axes = scattered_axes(dim_);
    for (std::size_t i = 0; i < kIterations; ++i) {
        axes = products(products(axes, sample, execution), by_element, execution);
        make_orthonormal(axes, i + 1 < kIterations ? 1 : 2);
    }
    keep_axes(axes.row(0), axes.width);
}

void SketchMap::centre(const ExactQuery& row,
                       std::span<const double> mean,
                       double* out) const noexcept {
    const double by = multiplier(row.root_norm);
    for (std::size_t k = 0; k < dim_; ++k)
        out[k] = static_cast<double>(row.elements[k]) * by - mean[k];
}

void SketchMap::keep_axes(const double* axes, std::size_t width) {
    axes_ = AlignedBuffer<float>(dim_ * kAxisTiles * kTileQueries);
    std::fill_n(axes_.data(), axes_.size(), 0.0f);
    AlignedBuffer<float> lanes(dim_ * kPanelRows);
    const std::vector<float> zeros(dim_, 0.0f);
    for (std::size_t first = 0; first < kAxes; first += kPanelRows) {
        const std::size_t count = std::min(kPanelRows, kAxes - first);
        std::fill_n(lanes.data(), lanes.size(), 0.0f);
        for (std::size_t k = 0; k < dim_; ++k)
            for (std::size_t i = 0; i < count; ++i)
                lanes[k * kPanelRows + i] = static_cast<float>(axes[(first + i) * width + k]);
        float facts[4][kPanelRows] = {};
        kernels::active().rotate({lanes.data(),
                                  dim_,
                                  block_,
                                  zeros.data(),
                                  facts[0],
                                  signs_.data(),
                                  facts[1],
                                  facts[2],
                                  facts[3]});
        for (std::size_t begin = 0; begin < dim_; begin += kStretch) {
            const std::size_t depth = std::min(kStretch, dim_ - begin);
            float* const stretch = axes_.data() + begin * kAxisTiles * kTileQueries;
            for (std::size_t i = 0; i < count; ++i) {
                const std::size_t axis = first + i;
                float* const tile = stretch + axis / kTileQueries * depth * kTileQueries;
                for (std::size_t k = 0; k < depth; ++k)
                    tile[k * kTileQueries + axis % kTileQueries] =
                        lanes[(begin + k) * kPanelRows + i];
            }
        }
    }
}

VectorCoder::VectorCoder(const SketchMap& map, const kernels::KernelTable& kernel)
    : map_(map),
      kernel_(kernel),
      elements_(map.num_codes() * kPanelRows),
      codes_(map.steps_ * kPanelStepBytes),
      hits_(kAxisTiles) {
    std::fill_n(elements_.data(), elements_.size(), 0.0f);
}

void VectorCoder::read(MatrixView rows,
                       std::span<const double> root_norms,
                       std::size_t first,
                       std::size_t count) {
    const void* vectors[kPanelRows] = {};
    double multipliers[kPanelRows] = {};
    float centre_factors[kPanelRows] = {};
    float centre_products[kPanelRows];
    count_ = count;
    for (std::size_t i = 0; i < count; ++i) {
        const double norm = root_norms[first + i];
        vectors[i] = rows.row(first + i);
        multipliers[i] = map_.multiplier(norm);
        norms_[i] = norm * multipliers[i] * kSlack;
        centre_factors[i] = 1;
    }
    kernel_.of_type[static_cast<std::size_t>(rows.type)].interleave(
        vectors, multipliers, kPanelRows, map_.dim_, map_.places_.data(), elements_.data());
    kernel_.rotate({elements_.data(),
                    map_.dim_,
                    map_.block_,
                    map_.centre_.data(),
                    centre_factors,
                    map_.signs_.data(),
                    centre_products,
                    squared_norms_,
                    peaks_});
}

double VectorCoder::rounding(std::size_t lane) const noexcept {
    return map_.rounding_ * (norms_[lane] + map_.centre_norm_);
}

void VectorCoder::code(std::int8_t* out, CodedVector* facts) {
    float scales[kPanelRows];
    float residuals[kPanelRows];
    float norms[kCodesPerStep / 2 * kPanelRows];
    for (std::size_t i = 0; i < kPanelRows; ++i)
        scales[i] = code_scale(static_cast<float>(kernels::kMaxRowCode), peaks_[i]);
    kernel_.int8.quantise({elements_.data(),
                           map_.steps_,
                           map_.steps_,
                           scales,
                           kernels::kMaxRowCode,
                           0,
                           codes_.data(),
                           residuals,
                           norms});
    for (std::size_t i = 0; i < count_; ++i) {
        std::int8_t* const to = out + i * map_.num_codes();
        for (std::size_t step = 0; step < map_.steps_; ++step)
            std::memcpy(to + step * kStepBytes,
                        codes_.data() + step * kPanelStepBytes + i * kStepBytes,
                        kStepBytes);
        const kernels::CodePair itself{to, to};
        facts[i] = {scales[i], code_residual(residuals[i], map_.dim_, scales[i], rounding(i)), 0};
        kernel_.int8_products(&itself, 1, map_.num_codes(), &facts[i].squared_norm);
    }
}

// The products of all lanes with all axes.
void VectorCoder::project(float* out) {
    const std::vector<float> everything(kAxisTiles * kTileQueries,
                                        std::numeric_limits<float>::lowest());
    const std::vector<float> no_rests(kAxisTiles * kTileQueries, 0.0f);
    std::fill_n(out, SketchMap::kWidth * kPanelRows, 0.0f);
    for (std::size_t begin = 0; begin < map_.dim_; begin += kStretch) {
        const float* const panel = elements_.data() + begin * kPanelRows;
        const std::size_t depth = std::min(kStretch, map_.dim_ - begin);
        const kernels::ScreenTask task{{panel},
                                       {panel},
                                       1,
                                       map_.axes_.data() + begin * kAxisTiles * kTileQueries,
                                       depth,
                                       0,
                                       kAxisTiles,
                                       depth,
                                       {no_rests.data()},
                                       no_rests.data(),
                                       everything.data(),
                                       nullptr,
                                       nullptr};
        const std::uint32_t count = kernel_.screen(task, hits_.data()).hits;
        for (std::uint32_t h = 0; h < count; ++h)
            for (std::size_t q = 0; q < kTileQueries; ++q) {
                const std::size_t axis = hits_[h].tile * kTileQueries + q;
                if (axis >= kAxes) break;
                for (std::size_t i = 0; i < kPanelRows; ++i)
                    out[axis * kPanelRows + i] += hits_[h].scores[q][i];
            }
    }
}

void VectorCoder::sketch(float* out, double* errors) {
    project(out);
    double rests[kPanelRows];
    for (std::size_t i = 0; i < kPanelRows; ++i) rests[i] = static_cast<double>(squared_norms_[i]);
    for (std::size_t j = 0; j < kAxes; ++j)
        for (std::size_t i = 0; i < kPanelRows; ++i) {
            const auto at = static_cast<double>(out[j * kPanelRows + i]);
            rests[i] -= at * at;
        }
    const std::size_t stretches = (map_.dim_ + kStretch - 1) / kStretch;
    const double of_axis = gamma(kStretch + stretches) + map_.rounding_;
    for (std::size_t i = 0; i < kPanelRows; ++i) {
        const double rest = std::sqrt(std::max(rests[i], 0.0));
        out[kAxes * kPanelRows + i] = static_cast<float>(rest);
        const double before = rounding(i);
        const double norm =
            norm_from_float_sum(static_cast<double>(squared_norms_[i]), map_.dim_) + before;
        const double projected = std::sqrt(static_cast<double>(kAxes)) * of_axis * norm;
        const double off = projected + before;
        const double squares = (gamma(map_.dim_ + 4) * norm + 2 * off) * norm + off * off;
        const double of_rest = rest * rest > squares ? squares / rest : std::sqrt(squares);
        errors[i] = (off + of_rest) * kSlack + 4 * kUnit * norm;
    }
}

void VectorCoder::rotate_sketches(float* sketches, double* errors, float* peaks) {
    static constexpr float kZeros[SketchMap::kWidth] = {};
    float facts[3][kPanelRows] = {};
    kernel_.rotate({sketches,
                    SketchMap::kWidth,
                    rotation_block(SketchMap::kWidth),
                    kZeros,
                    facts[0],
                    map_.signs_.data(),
                    facts[1],
                    facts[2],
                    peaks});
    const double relative = rotation_error(SketchMap::kWidth);
    for (std::size_t i = 0; i < kPanelRows; ++i)
        errors[i] +=
            relative * norm_from_float_sum(static_cast<double>(facts[2][i]), SketchMap::kWidth);
}

}  // namespace nearmiss
