// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sketch.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.hpp"
#include "kmeans/row_reader.hpp"
#include "parallel.hpp"
#include "row_norms.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kAxes = SketchMap::kWidth - 1;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kMostRowsOfSample = 1024;
constexpr std::size_t kIterations = 3;
constexpr std::size_t kMinDim = 2 * SketchMap::kWidth;
constexpr std::size_t kMostBytes = std::size_t{2} << 30;
constexpr std::size_t kRowsAtOnce = 64;

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
Block products(const Block& left, const Block& right) {
    Block result(left.rows, right.rows);
    kernels::active().pair_products({left.row(0),
                                     left.rows,
                                     right.row(0),
                                     right.rows,
                                     left.width,
                                     result.row(0),
                                     result.width});
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

// Makes the rows orthonormal, by Gram and Schmidt, twice, which is enough; those without a
// direction of their own become zero, which keeps the bound.
void make_orthonormal(Block& rows) {
    for (std::size_t i = 0; i < rows.rows; ++i) {
        double* const row = rows.row(i);
        const double before = std::sqrt(product(row, row, rows.width));
        for (int pass = 0; pass < 2; ++pass)
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

}  // namespace

MatrixView Sketches::view() const noexcept {
    return {reinterpret_cast<const std::byte*>(elements.data()),
            elements.size() / SketchMap::kWidth,
            SketchMap::kWidth,
            static_cast<std::ptrdiff_t>(SketchMap::kWidth * sizeof(float)),
            ElementType::float32};
}

// Writes sketches. Not thread-safe.
class SketchMap::Writer {
  public:
    Writer(const SketchMap& map, MatrixView rows, std::span<const double> root_norms)
        : map_(map),
          reader_(rows, root_norms, kernels::active()),
          vectors_(kRowsAtOnce, map.dim_) {}

    // Of the rows [begin, end), at most kRowsAtOnce of them.
    void write(std::size_t begin, std::size_t end, float* out) {
        for (std::size_t row = begin; row < end; ++row)
            map_.centre(reader_.read(row), vectors_.row(row - begin));
        kernels::active().pair_products({vectors_.row(0),
                                         end - begin,
                                         map_.axes_.data(),
                                         kAxes,
                                         map_.width_,
                                         coordinates_,
                                         kWidth});
        for (std::size_t i = 0; i < end - begin; ++i) {
            const double* const at = coordinates_ + i * kWidth;
            double rest = product(vectors_.row(i), vectors_.row(i), map_.width_);
            for (std::size_t j = 0; j < kAxes; ++j) {
                out[i * kWidth + j] = static_cast<float>(at[j]);
                rest -= at[j] * at[j];
            }
            out[i * kWidth + kAxes] = static_cast<float>(std::sqrt(std::max(rest, 0.0)));
        }
    }

  private:
    const SketchMap& map_;
    RowReader reader_;
    Block vectors_;
    double coordinates_[kRowsAtOnce * kWidth];
};

bool SketchMap::serves(const Points& points) noexcept {
    return points.dim() >= kMinDim && points.size() <= kMostBytes / (kWidth * sizeof(float));
}

SketchMap::SketchMap(const Points& points)
    : metric_(points.metric()),
      dim_(points.dim()),
      width_(padded(points.dim())),
      mean_(points.dim(), 0.0) {
    const std::size_t count = std::min(points.size(), kMostRowsOfSample);
    const std::size_t stride = points.size() / count;
    RowReader reader(points.rows(), points.root_norms(), kernels::active());
    Block sample(count, dim_);
    for (std::size_t i = 0; i < count; ++i) centre(reader.read(i * stride), sample.row(i));
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t k = 0; k < dim_; ++k)
            mean_[k] += sample.row(i)[k] / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t k = 0; k < dim_; ++k) sample.row(i)[k] -= mean_[k];
    const Block by_element = transposed(sample, dim_);
    Block axes = scattered_axes(dim_);
    for (std::size_t i = 0; i < kIterations; ++i) {
        axes = products(products(axes, sample), by_element);
        make_orthonormal(axes);
    }
    axes_ = std::move(axes.at);
}

void SketchMap::centre(const ExactQuery& row, double* out) const noexcept {
    const double multiplier = metric_ == Metric::cosine ? 1.0 / row.root_norm : 1.0;
    for (std::size_t k = 0; k < dim_; ++k)
        out[k] = static_cast<double>(row.elements[k]) * multiplier - mean_[k];
}

Sketches SketchMap::sketch(MatrixView rows,
                           std::span<const double> root_norms_of_rows,
                           const Execution& execution) const {
    Sketches result{AlignedBuffer<float>(rows.rows * kWidth), std::vector<double>(rows.rows)};
    constexpr std::size_t kRowsPerTask = 16 * kRowsAtOnce;
    const std::size_t tasks = (rows.rows + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, rows.rows, execution.at(0), [&](std::size_t task, TaskContext& context) {
        Writer writer(*this, rows, root_norms_of_rows);
        const std::size_t last = std::min(rows.rows, (task + 1) * kRowsPerTask);
        for (std::size_t begin = task * kRowsPerTask; begin < last; begin += kRowsAtOnce) {
            const std::size_t end = std::min(last, begin + kRowsAtOnce);
            writer.write(begin, end, result.elements.data() + begin * kWidth);
            context.checkpoint(end - begin);
        }
    });
    root_norms(result.view(), {"sketches", false}, execution.at(0), result.root_norms.data());
    return result;
}

double SketchMap::rounding() const noexcept {
    // Every coordinate is rounded to float32 once. The rest's norm comes from a difference of
    // squares whose error is of the order of the dimension times 2^-53 of these.
    return 0x1p-22 + std::sqrt((static_cast<double>(dim_ + kWidth) + 16) * 0x1p-50);
}

}  // namespace nearmiss
