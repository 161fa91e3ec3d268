// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "choose/row_blocks.hpp"
#include "choose/vectors.hpp"
#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/designs.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kLanes = 8;
// A column whose part outside the space of the others is this much shorter than the longest
// column counts as dependent: far above the rounding of float64, far below that of float32.
constexpr double kDependent = 1e-10;

// Sums in eight lanes, as scores are summed; `n` is a multiple of them.
double dot(const double* a, const double* b, std::size_t n) noexcept {
    std::array<double, kLanes> lane{};
    for (std::size_t i = 0; i < n; i += kLanes)
        for (std::size_t j = 0; j < kLanes; ++j) lane[j] += a[i + j] * b[i + j];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// a -= (q a) q
void remove_component(double* a, const double* q, std::size_t n) noexcept {
    const double along = dot(a, q, n);
    for (std::size_t i = 0; i < n; ++i) a[i] -= along * q[i];
}

void normalize(double* a, std::size_t n) noexcept {
    const double length = std::sqrt(dot(a, a, n));
    for (std::size_t i = 0; i < n; ++i) a[i] /= length;
}

// The squared row norms of an orthonormal basis of a matrix's column space, by the modified
// Gram-Schmidt process: the longest column first, each of them made orthogonal twice.
class LeverageOfRows {
  public:
    LeverageOfRows(MatrixView vectors, const kernels::KernelTable& kernel)
        : vectors_(vectors),
          typed_(kernel.of_type[static_cast<std::size_t>(vectors.type)]),
          elements_(vectors.cols),
          columns_(vectors.cols),
          squares_(vectors.cols) {}

    // One entry of `leverage` for each place; 0 where there is none.
    void work_out(std::span<const std::int64_t> places, double* leverage, TaskContext& context) {
        gather(places);
        sums_.assign(stride_, 0.0);
        const double longest = *std::max_element(squares_.begin(), squares_.end());
        const double least = longest * (kDependent * kDependent);
        const std::size_t most = std::min(num_rows_, columns_.size());
        for (std::size_t rank = 0; rank < most; ++rank) {
            bring_longest_to(rank);
            if (!(squares_[rank] > least)) break;
            add_to_basis(rank);
            context.checkpoint();
        }
        std::size_t next = 0;
        for (std::size_t j = 0; j < places.size(); ++j)
            leverage[j] = places[j] < 0 ? 0.0 : std::min(1.0, sums_[next++]);
    }

  private:
    // The vectors as rows of a matrix that is stored column by column, padded with zeros.
    void gather(std::span<const std::int64_t> places) {
        num_rows_ = static_cast<std::size_t>(
            std::count_if(places.begin(), places.end(), [](std::int64_t p) { return p >= 0; }));
        stride_ = (num_rows_ + kLanes - 1) / kLanes * kLanes;
        storage_.assign(stride_ * columns_.size(), 0.0);
        std::size_t row = 0;
        for (const std::int64_t place : places) {
            if (place < 0) continue;
            typed_.to_float(
                vectors_.row(static_cast<std::size_t>(place)), vectors_.cols, elements_.data());
            for (std::size_t c = 0; c < columns_.size(); ++c)
                storage_[c * stride_ + row] = static_cast<double>(elements_[c]);
            ++row;
        }
        for (std::size_t c = 0; c < columns_.size(); ++c) {
            columns_[c] = storage_.data() + c * stride_;
            squares_[c] = dot(columns_[c], columns_[c], stride_);
        }
    }

    void bring_longest_to(std::size_t rank) noexcept {
        const auto from = squares_.begin() + static_cast<std::ptrdiff_t>(rank);
        const auto longest = std::max_element(from, squares_.end());
        std::swap(columns_[rank], columns_[static_cast<std::size_t>(longest - squares_.begin())]);
        std::swap(*from, *longest);
    }

    void add_to_basis(std::size_t rank) noexcept {
        double* q = columns_[rank];
        normalize(q, stride_);
        for (std::size_t c = 0; c < rank; ++c) remove_component(q, columns_[c], stride_);
        normalize(q, stride_);
        for (std::size_t i = 0; i < stride_; ++i) sums_[i] += q[i] * q[i];
        for (std::size_t c = rank + 1; c < columns_.size(); ++c) {
            remove_component(columns_[c], q, stride_);
            squares_[c] = dot(columns_[c], columns_[c], stride_);
        }
    }

    MatrixView vectors_;
    const kernels::KernelTable::PerType& typed_;
    std::vector<float> elements_;
    std::vector<double> storage_;
    std::vector<double*> columns_;  // the basis first, then what is left of the others
    std::vector<double> squares_;   // of the lengths of the others
    std::vector<double> sums_;
    std::size_t num_rows_ = 0;
    std::size_t stride_ = 0;
};

}  // namespace

std::vector<double> leverage_scores(MatrixView vectors,
                                    std::span<const std::int64_t> places,
                                    std::size_t cols,
                                    const Execution& execution) {
    const FloatEnvironment environment;
    const kernels::KernelTable& kernel = kernels::active();
    require(vectors.cols > 0, "vectors: expected at least one dimension");
    require_places(places, cols, vectors, [](std::size_t) { return true; }, "");
    require_finite(vectors, kernel);
    std::vector<double> leverage(places.size());
    const std::size_t rows = cols == 0 ? 0 : places.size() / cols;
    for_row_blocks(rows, 1, execution, [&](RowBlock block, TaskContext& context) {
        LeverageOfRows of_rows(vectors, kernel);
        for (std::size_t i = block.begin; i < block.end; ++i)
            of_rows.work_out(places.subspan(i * cols, cols), leverage.data() + i * cols, context);
    });
    return leverage;
}

}  // namespace nearmiss
