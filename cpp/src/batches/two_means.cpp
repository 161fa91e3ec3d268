// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"
#include "nearmiss/batches.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/random.hpp"
#include "parallel.hpp"
#include "row_norms.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kRowsAtOnce = 1024;  // between two checkpoints
constexpr double kTolerance = 1e-4;        // as in the authors' code

using Rows = std::span<std::uint32_t>;

// Vectors of unit length, which are never written down.
class Directions {
  public:
    Directions(MatrixView vectors, std::span<const double> norms)
        : vectors_(vectors),
          norms_(norms),
          kernel_(kernels::active().of_type[static_cast<std::size_t>(vectors.type)]) {}

    [[nodiscard]] std::size_t cols() const noexcept { return vectors_.cols; }

    // sum[k] += element k of the direction of a row; `elements` is room for the row in float32.
    void add(std::uint32_t row, std::vector<float>& elements, double* sum) const {
        kernel_.to_float(vectors_.row(row), vectors_.cols, elements.data());
        for (std::size_t k = 0; k < vectors_.cols; ++k)
            sum[k] += static_cast<double>(elements[k]) / norms_[row];
    }

    // out[i] = axis . direction of rows[i]
    void project(const std::vector<float>& axis,
                 std::span<const std::uint32_t> rows,
                 std::vector<double>& scratch,
                 double* out) const {
        const kernels::RowList list{reinterpret_cast<const char*>(vectors_.data),
                                    vectors_.row_stride,
                                    rows.data(),
                                    rows.size(),
                                    vectors_.cols};
        kernel_.inner_products(axis.data(), list, scratch.data(), out);
        for (std::size_t i = 0; i < rows.size(); ++i) out[i] /= norms_[rows[i]];
    }

  private:
    MatrixView vectors_;
    std::span<const double> norms_;
    const kernels::KernelTable::PerType& kernel_;
};

// One node of the tree, split in two halves by 2-means.
class Split {
  public:
    Split(const Directions& directions, Rows rows, TaskContext& context)
        : directions_(directions),
          rows_(rows),
          context_(context),
          projections_(rows.size()),
          upper_(rows.size()),
          sums_(2 * directions.cols()),
          axis_(directions.cols()),
          elements_(directions.cols()),
          scratch_(directions.cols()) {}

    // Afterwards the first rows.size() / 2 rows are one half, both in ascending order.
    void run(DrawSequence draws) {
        start(draws);
        double similarity = -std::numeric_limits<double>::infinity();
        while (true) {
            point_axis();
            halve();
            const double now = sum_halves();
            // Sums that are worth less than the tolerance have stopped to change much. Neither
            // assigning nor averaging lowers the similarity, so this ends.
            if (!(now - similarity >= kTolerance)) break;
            similarity = now;
        }
        put_lower_first();
    }

  private:
    double* sum(std::size_t half) noexcept { return sums_.data() + half * directions_.cols(); }

    // Two different rows are the first centres.
    void start(DrawSequence& draws) {
        const std::size_t first = draws.below(rows_.size());
        std::size_t second = draws.below(rows_.size() - 1);
        if (second >= first) ++second;
        directions_.add(rows_[first], elements_, sum(0));
        directions_.add(rows_[second], elements_, sum(1));
    }

    static double norm_of(std::span<const double> v) {
        double square = 0;
        for (const double x : v) square += x * x;
        return std::sqrt(square);
    }

    // From the centre of the lower half to that of the upper one. Opposite directions may cancel;
    // then the half has no centre and counts as zero.
    void point_axis() {
        const std::size_t d = directions_.cols();
        const double lower = norm_of({sum(0), d});
        const double upper = norm_of({sum(1), d});
        for (std::size_t k = 0; k < d; ++k)
            axis_[k] = static_cast<float>((upper > 0 ? sum(1)[k] / upper : 0) -
                                          (lower > 0 ? sum(0)[k] / lower : 0));
    }

    // The half of the rows farther along the axis is the upper one; ties by row.
    void halve() {
        for (std::size_t begin = 0; begin < rows_.size(); begin += kRowsAtOnce) {
            const std::size_t count = std::min(kRowsAtOnce, rows_.size() - begin);
            directions_.project(
                axis_, rows_.subspan(begin, count), scratch_, projections_.data() + begin);
            context_.checkpoint();
        }
        // Rows ascend, so places tie as rows do.
        std::vector<std::uint32_t> places(rows_.size());
        std::iota(places.begin(), places.end(), 0u);
        const auto before = [&](std::uint32_t a, std::uint32_t b) {
            return projections_[a] < projections_[b] ||
                   (projections_[a] == projections_[b] && a < b);
        };
        const auto middle = places.begin() + static_cast<std::ptrdiff_t>(rows_.size() / 2);
        std::nth_element(places.begin(), middle, places.end(), before);
        std::fill(upper_.begin(), upper_.end(), true);
        for (auto place = places.begin(); place != middle; ++place) upper_[*place] = false;
    }

    void put_lower_first() {
        std::vector<std::uint32_t> upper;
        auto out = rows_.begin();
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            if (upper_[i])
                upper.push_back(rows_[i]);
            else
                *out++ = rows_[i];
        }
        std::ranges::copy(upper, out);
    }

    // Sums the directions of each half; returns the mean similarity of rows to their own centre,
    // which is the norm of the sum over the number of rows, since the sum has the centre's
    // direction.
    double sum_halves() {
        std::fill(sums_.begin(), sums_.end(), 0.0);
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            directions_.add(rows_[i], elements_, sum(upper_[i] ? 1 : 0));
            if (i % kRowsAtOnce == 0) context_.checkpoint();
        }
        const std::size_t d = directions_.cols();
        return (norm_of({sum(0), d}) + norm_of({sum(1), d})) / static_cast<double>(rows_.size());
    }

    const Directions& directions_;
    Rows rows_;
    TaskContext& context_;
    std::vector<double> projections_;
    std::vector<bool> upper_;  // by place in rows_
    std::vector<double> sums_;
    std::vector<float> axis_;
    std::vector<float> elements_;
    std::vector<double> scratch_;
};

}  // namespace

std::vector<std::int64_t> balanced_two_means(MatrixView vectors,
                                             std::size_t depth,
                                             std::uint64_t seed,
                                             const Execution& execution) {
    const std::size_t n = vectors.rows;
    require(n <= std::numeric_limits<std::uint32_t>::max(), "vectors: too many rows");
    require(depth < 32 && (std::size_t{1} << depth) <= std::max<std::size_t>(n, 1),
            "depth: more leaves than rows");
    std::vector<double> norms(n);
    root_norms(vectors, {"vectors", true}, execution.at(0), norms.data());
    const Directions directions(vectors, norms);
    const RandomStream random(seed, Stream::two_means, 0);
    std::vector<std::uint32_t> rows(n);
    std::iota(rows.begin(), rows.end(), 0u);
    std::vector<std::size_t> begins{0, n};  // of the nodes of a level
    for (std::size_t level = 0; level < depth; ++level) {
        const std::size_t nodes = begins.size() - 1;
        std::vector<std::size_t> halved{0};
        for (std::size_t node = 0; node < nodes; ++node) {
            halved.push_back(begins[node] + (begins[node + 1] - begins[node]) / 2);
            halved.push_back(begins[node + 1]);
        }
        const auto part = [&](std::size_t done) {
            return static_cast<double>(done) / static_cast<double>(depth);
        };
        run_parallel(nodes,
                     n,
                     execution.part(part(level), part(level + 1)),
                     [&](std::size_t node, TaskContext& context) {
                         const std::size_t size = begins[node + 1] - begins[node];
                         Split split(directions, Rows(rows).subspan(begins[node], size), context);
                         split.run(DrawSequence(random, nodes + node));
                         context.checkpoint(size);
                     });
        begins = std::move(halved);
    }
    std::vector<std::int64_t> leaves(n);
    for (std::size_t leaf = 0; leaf + 1 < begins.size(); ++leaf)
        for (std::size_t i = begins[leaf]; i < begins[leaf + 1]; ++i)
            leaves[rows[i]] = static_cast<std::int64_t>(leaf);
    return leaves;
}

}  // namespace nearmiss
