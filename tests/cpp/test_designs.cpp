// SPDX-License-Identifier: Apache-2.0
// Designs of fixed size from C++: what holds for every sample, at odd sizes and extreme values.
// Their laws are tested in Python.
#include "nearmiss/designs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/random.hpp"

using nearmiss::conditional_poisson;
using nearmiss::conditional_poisson_inclusion;
using nearmiss::conditional_poisson_weights;
using nearmiss::DrawKey;
using nearmiss::Execution;
using nearmiss::InvalidArgument;
using nearmiss::local_pivotal;
using nearmiss::MatrixView;
using nearmiss::pivotal;
using nearmiss::PivotalOrder;
using nearmiss::RandomStream;
using nearmiss::TableView;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Log-weights with gaps, ties and certain items; sizes that fit.
struct Problem {
    Problem(std::size_t rows, std::size_t cols, double spread)
        : log_weights(rows * cols),
          sizes(rows) {
        const RandomStream random(11, 98u, cols);
        for (std::size_t i = 0; i < rows; ++i) {
            std::int64_t always = 0;
            std::int64_t most = 0;
            for (std::size_t j = 0; j < cols; ++j) {
                const double u = random.unit(i, j);
                double& x = log_weights[i * cols + j];
                x = u < 0.1 ? -kInfinity : u > 0.97 ? kInfinity : std::round(u * 20) * spread;
                always += x == kInfinity ? 1 : 0;
                most += x > -kInfinity ? 1 : 0;
            }
            const double share = random.unit(i, cols);
            sizes[i] = always + static_cast<std::int64_t>(
                                    std::floor(share * static_cast<double>(most - always + 1)));
        }
        table = {log_weights.data(), rows, cols};
    }

    std::vector<double> log_weights;
    std::vector<std::int64_t> sizes;
    TableView table;
};

// Ascending columns of items, then -1.
bool is_sample(std::span<const std::int64_t> columns,
               std::size_t size,
               std::span<const double> inclusion) {
    for (std::size_t k = 0; k < columns.size(); ++k) {
        if (k >= size) {
            if (columns[k] != -1) return false;
            continue;
        }
        if (columns[k] < 0 || static_cast<std::size_t>(columns[k]) >= inclusion.size())
            return false;
        if (k > 0 && columns[k] <= columns[k - 1]) return false;
        if (!(inclusion[static_cast<std::size_t>(columns[k])] > 0.0)) return false;
    }
    return true;
}

}  // namespace

TEST(designs_hold_their_sizes) {
    const Execution two{2, {}};
    for (const std::size_t cols : {1u, 2u, 7u, 16u, 33u}) {
        for (const double spread : {0.0, 0.2, 40.0, 1e306}) {
            const Problem problem(37, cols, spread);
            const auto inclusion =
                conditional_poisson_inclusion(problem.table, problem.sizes, Execution{1, {}});
            const TableView chances{inclusion.data(), 37, cols};
            const auto entropic = conditional_poisson(problem.table, problem.sizes, {}, two);
            const auto ordered = pivotal(chances, PivotalOrder::given, {}, two);
            const auto shuffled = pivotal(chances, PivotalOrder::random, {}, two);
            std::vector<float> points(cols * 3);
            for (std::size_t i = 0; i < points.size(); ++i) points[i] = static_cast<float>(i % 5);
            const MatrixView vectors{
                reinterpret_cast<const std::byte*>(points.data()), cols, 3, 12};
            std::vector<std::int64_t> places(37 * cols);
            for (std::size_t i = 0; i < places.size(); ++i)
                places[i] = static_cast<std::int64_t>(i % cols);
            const auto local = local_pivotal(chances, vectors, places, {}, two);
            const std::size_t width = ordered.width;
            CHECK(entropic.columns.size() == 37 * width);
            CHECK(shuffled.width == width && local.width == width);
            for (std::size_t i = 0; i < 37; ++i) {
                const auto size = static_cast<std::size_t>(problem.sizes[i]);
                const auto row = chances.row(i);
                const double sum = std::accumulate(row.begin(), row.end(), 0.0);
                CHECK(std::abs(sum - static_cast<double>(size)) < 1e-12);
                for (const auto* columns :
                     {&entropic.columns, &ordered.columns, &shuffled.columns, &local.columns})
                    CHECK(is_sample(std::span(*columns).subspan(i * width, width), size, row));
                CHECK(entropic.log_probabilities[i] <= 0.0);
            }
        }
    }
}

TEST(weights_are_found_for_inclusion_probabilities) {
    const Execution one{1, {}};
    for (const std::size_t cols : {2u, 7u, 33u}) {
        const Problem problem(20, cols, 0.3);
        const auto wanted = conditional_poisson_inclusion(problem.table, problem.sizes, one);
        const auto weights = conditional_poisson_weights({wanted.data(), 20, cols}, one);
        const auto found =
            conditional_poisson_inclusion({weights.data(), 20, cols}, problem.sizes, one);
        for (std::size_t i = 0; i < wanted.size(); ++i)
            CHECK(std::abs(found[i] - wanted[i]) < 1e-12);
    }
}

TEST(designs_refuse_what_cannot_be_drawn) {
    const Execution one{1, {}};
    const std::vector<double> rows{0.0, -kInfinity, kInfinity, 0.0};
    const TableView table{rows.data(), 2, 2};
    const std::vector<std::int64_t> too_many{2, 1};
    const std::vector<std::int64_t> too_few{1, 0};
    const std::vector<std::int64_t> one_missing{1};
    const std::vector<std::int64_t> good{1, 1};
    CHECK_THROWS(InvalidArgument, conditional_poisson(table, too_many, {}, one));
    CHECK_THROWS(InvalidArgument, conditional_poisson(table, too_few, {}, one));
    CHECK_THROWS(InvalidArgument, conditional_poisson(table, one_missing, {}, one));
    const DrawKey short_ids{0, 0, one_missing};
    CHECK_THROWS(InvalidArgument, conditional_poisson(table, good, short_ids, one));
    CHECK_THROWS(InvalidArgument, pivotal(table, PivotalOrder::given, {}, one));
    CHECK_THROWS(InvalidArgument, conditional_poisson_weights(table, one));
    CHECK(conditional_poisson(table, good, {}, one).columns == std::vector<std::int64_t>{0, 0});
}
