// SPDX-License-Identifier: Apache-2.0
// k-means: nearest centres by definition, sums in order, seeding that ends, on every target and any
// number of threads. (tests/test_kmeans.py compares whole runs with the oracle and tests the laws.)
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "check.hpp"
#include "collect/keys.hpp"
#include "instances.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/sizes/auction.hpp"
#include "kmeans/sizes/candidates.hpp"
#include "kmeans/sizes/prices.hpp"
#include "kmeans/sketch.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/kmeans.hpp"
#include "parallel.hpp"

namespace {

using instances::Matrix;
using nearmiss::Assignment;
using nearmiss::Clustering;
using nearmiss::InvalidArgument;
using nearmiss::Metric;
using nearmiss::Points;
using nearmiss::SeedingLaw;

constexpr Metric kMetrics[] = {Metric::cosine, Metric::l2};
constexpr SeedingLaw kLaws[] = {SeedingLaw::random_rows,
                                SeedingLaw::plus_plus,
                                SeedingLaw::greedy_plus_plus,
                                SeedingLaw::rejection,
                                SeedingLaw::afk_mc2};

template <class Body>
void on_all_targets(const Body& body) {
    const std::string before = nearmiss::simd_target();
    for (const std::string& target : nearmiss::simd_targets()) {
        nearmiss::set_simd_target(target);
        for (const std::size_t num_threads : {1U, 2U, 7U})
            body(nearmiss::Execution{num_threads, {}});
    }
    nearmiss::set_simd_target(before);
}

Assignment by_definition(const Matrix& rows, const Matrix& centers, Metric metric) {
    Assignment found;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        std::int32_t label = 0;
        float best = instances::score(metric, rows.row(i), centers.row(0));
        for (std::size_t c = 1; c < centers.rows; ++c) {
            const float score = instances::score(metric, rows.row(i), centers.row(c));
            if (score <= best) continue;
            best = score;
            label = static_cast<std::int32_t>(c);
        }
        found.labels.push_back(label);
        found.scores.push_back(best);
    }
    return found;
}

void check_assignment(const Matrix& rows, const Matrix& centers) {
    for (const Metric metric : kMetrics) {
        const Assignment wanted = by_definition(rows, centers, metric);
        on_all_targets([&](const nearmiss::Execution& execution) {
            const Points points(rows.view(), metric, {}, execution);
            const Assignment found = nearmiss::assign(points, centers.view(), execution);
            CHECK(found.labels == wanted.labels);
            CHECK(instances::same_bits(found.scores, wanted.scores));
        });
    }
}

}  // namespace

TEST(kmeans_assigns_by_definition) {
    check_assignment(instances::normal(1, 1, 1), instances::normal(1, 1, 2));
    check_assignment(instances::normal(97, 7, 3), instances::normal(17, 7, 4));
    check_assignment(instances::small_integers(131, 9, 5), instances::small_integers(40, 9, 6));
    // Enough centres for int8 codes: apart, and with ties that codes cannot tell.
    check_assignment(instances::normal(401, 33, 7), instances::normal(200, 33, 8));
    check_assignment(instances::small_integers(401, 32, 9), instances::small_integers(200, 32, 10));
}

// |x - y|, of unit vectors under cosine.
double distance(const Matrix& a, std::size_t i, const Matrix& b, std::size_t j, Metric metric) {
    const auto norm = [&](std::span<const float> row) {
        return metric == Metric::cosine ? std::sqrt(instances::inner_product(row, row)) : 1.0;
    };
    const double left = norm(a.row(i));
    const double right = norm(b.row(j));
    double sum = 0;
    for (std::size_t k = 0; k < a.cols; ++k) {
        const double gap =
            static_cast<double>(a.row(i)[k]) / left - static_cast<double>(b.row(j)[k]) / right;
        sum += gap * gap;
    }
    return std::sqrt(sum);
}

// What a VectorCoder makes of rows.
struct Coded {
    Matrix sketches;
    std::vector<double> errors;  // of the sketches
    Matrix rotated;              // sketches
    std::vector<double> rotated_errors;
    Matrix decoded;  // codes over their scales
    std::vector<double> residuals;
};

Coded coded(const nearmiss::SketchMap& map, const Matrix& rows, Metric metric) {
    constexpr std::size_t kWidth = nearmiss::SketchMap::kWidth;
    constexpr std::size_t kLanes = nearmiss::kernels::kPanelRows;
    const Points points(rows.view(), metric, {}, {1, {}});
    const auto matrix = [&](std::size_t cols) {
        return Matrix{rows.rows, cols, std::vector<float>(rows.rows * cols)};
    };
    Coded result{matrix(kWidth), {}, matrix(kWidth), {}, matrix(map.num_codes()), {}};
    nearmiss::VectorCoder coder(map, nearmiss::kernels::active());
    for (std::size_t first = 0; first < rows.rows; first += kLanes) {
        const std::size_t count = std::min(kLanes, rows.rows - first);
        coder.read(rows.view(), points.root_norms(), first, count);
        std::vector<std::int8_t> codes(count * map.num_codes());
        nearmiss::CodedVector facts[kLanes];
        coder.code(codes.data(), facts);
        alignas(64) float lanes[kWidth * kLanes];
        double errors[kLanes];
        float peaks[kLanes];
        coder.sketch(lanes, errors);
        const auto keep = [&](Matrix& to, std::vector<double>& to_errors) {
            for (std::size_t i = 0; i < count; ++i) {
                to_errors.push_back(errors[i]);
                for (std::size_t k = 0; k < kWidth; ++k)
                    to.values[(first + i) * kWidth + k] = lanes[k * kLanes + i];
            }
        };
        keep(result.sketches, result.errors);
        coder.rotate_sketches(lanes, errors, peaks);
        keep(result.rotated, result.rotated_errors);
        for (std::size_t i = 0; i < count; ++i) {
            std::int32_t squares = 0;
            for (std::size_t k = 0; k < map.num_codes(); ++k) {
                const std::int8_t code = codes[i * map.num_codes() + k];
                squares += code * code;
                result.decoded.values[(first + i) * map.num_codes() + k] =
                    static_cast<float>(code) / facts[i].scale;
            }
            CHECK(facts[i].squared_norm == squares);
            result.residuals.push_back(static_cast<double>(facts[i].residual));
        }
    }
    return result;
}

TEST(kmeans_sketches_are_never_farther_than_what_they_are_of_and_codes_are_as_far) {
    for (const auto& rows : {instances::normal(300, 257, 1),
                             instances::small_integers(300, 300, 2),
                             instances::normal(60, 1031, 4),
                             Matrix{40, 256, std::vector<float>(40 * 256, 2.5F)}}) {
        const Matrix others = instances::normal(50, rows.cols, 3);
        for (const Metric metric : kMetrics)
            on_all_targets([&](const nearmiss::Execution& execution) {
                if (execution.num_threads != 1) return;
                const Points points(rows.view(), metric, {}, execution);
                const nearmiss::SketchMap map(points, {});
                const Coded a = coded(map, rows, metric);
                const Coded b = coded(map, others, metric);
                for (std::size_t i = 0; i < rows.rows; ++i)
                    for (std::size_t j = 0; j < others.rows; ++j) {
                        const double wanted =
                            distance(rows, i, others, j, metric) * map.unit() * (1 + 1e-12);
                        CHECK(distance(a.sketches, i, b.sketches, j, Metric::l2) <=
                              wanted + a.errors[i] + b.errors[j]);
                        CHECK(distance(a.rotated, i, b.rotated, j, Metric::l2) <=
                              wanted + a.rotated_errors[i] + b.rotated_errors[j]);
                        const double found = distance(a.decoded, i, b.decoded, j, Metric::l2);
                        CHECK(std::abs(found - wanted) <=
                              a.residuals[i] + b.residuals[j] + 1e-6 * wanted);
                    }
            });
    }
}

// By row, the keys of all centres, best first.
std::vector<std::vector<nearmiss::Key>> ranked_by_definition(const Matrix& rows,
                                                             const Matrix& centers,
                                                             Metric metric) {
    std::vector<std::vector<nearmiss::Key>> ranked(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        for (std::size_t c = 0; c < centers.rows; ++c)
            ranked[i].push_back(
                nearmiss::make_key(instances::score(metric, rows.row(i), centers.row(c)),
                                   static_cast<std::uint32_t>(c)));
        std::ranges::sort(ranked[i], std::greater<>());
    }
    return ranked;
}

// Some centres of every row, different ones, whether good or bad.
nearmiss::NearCenters scattered_centers(const Matrix& rows,
                                        const Matrix& centers,
                                        std::size_t width,
                                        Metric metric) {
    nearmiss::NearCenters known(rows.rows, width);
    for (std::size_t i = 0; i < rows.rows; ++i)
        for (std::size_t j = 0; j < width; ++j) {
            const std::size_t c = (i * 31 + j) % centers.rows;
            known.centers[i * width + j] = static_cast<std::uint32_t>(c);
            known.scores[i * width + j] = instances::score(metric, rows.row(i), centers.row(c));
        }
    return known;
}

void check_candidates(const Matrix& rows, const Matrix& centers, std::size_t width) {
    for (const Metric metric : kMetrics) {
        const auto wanted = ranked_by_definition(rows, centers, metric);
        const std::size_t more = std::min(centers.rows, width + 3);
        const auto known = scattered_centers(rows, centers, more, metric);
        on_all_targets([&](const nearmiss::Execution& execution) {
            const Points points(rows.view(), metric, {}, execution);
            const auto check = [&](const nearmiss::NearCenters& from) {
                const auto found =
                    nearmiss::nearest_candidates(points, centers.view(), width, from, execution);
                CHECK(found.width == width && found.num_rows() == rows.rows);
                bool same = true;
                for (std::size_t i = 0; i < rows.rows; ++i)
                    for (std::size_t j = 0; j < width; ++j)
                        same = same && wanted[i][j] == nearmiss::make_key(found.scores_of(i)[j],
                                                                          found.centers_of(i)[j]);
                CHECK(same);
            };
            check({});
            check(known);
            nearmiss::NearCenters again(rows.rows, more);
            std::ranges::copy(known.centers.view(), again.centers.data());
            nearmiss::score_candidates(points, centers.view(), again, execution);
            CHECK(std::ranges::equal(again.scores.view(), known.scores.view()));
        });
    }
}

TEST(kmeans_candidates_are_the_nearest_by_definition) {
    check_candidates(instances::normal(1, 1, 1), instances::normal(1, 1, 2), 1);
    check_candidates(instances::normal(97, 7, 3), instances::normal(17, 7, 4), 16);
    check_candidates(instances::small_integers(131, 9, 5), instances::small_integers(40, 9, 6), 40);
    // Enough centres for int8 codes: apart, and with ties that codes cannot tell.
    check_candidates(instances::normal(401, 33, 7), instances::normal(700, 33, 8), 16);
    check_candidates(
        instances::small_integers(401, 32, 9), instances::small_integers(300, 32, 10), 16);
    // More than are listed per row, all of them equal, or at their best at the end.
    const Matrix same{600, 3, std::vector<float>(600 * 3, 2.5F)};
    check_candidates(instances::normal(50, 3, 11), same, 16);
    Matrix ever_nearer = instances::normal(900, 4, 12);
    for (std::size_t c = 0; c < ever_nearer.rows; ++c)
        for (std::size_t k = 0; k < ever_nearer.cols; ++k)
            ever_nearer.values[c * ever_nearer.cols + k] =
                1.0F + 1.0F / static_cast<float>(1 + c + k);
    check_candidates(instances::normal(50, 4, 13), ever_nearer, 16);
    // More rows than codes are tried for.
    check_candidates(
        instances::small_integers(4200, 4, 14), instances::small_integers(200, 4, 15), 16);
}

// Prices, and what an auction makes of them, for clusters of equal size.
struct Distribution {
    std::vector<nearmiss::Cost> prices;
    std::vector<nearmiss::Cost> regrets;
    std::vector<std::uint32_t> columns;

    bool operator==(const Distribution&) const = default;
};

Distribution distribute(const nearmiss::NearCenters& candidates, std::size_t num_clusters) {
    const nearmiss::Execution execution;
    const nearmiss::Costs costs(candidates);
    const std::size_t size = candidates.num_rows() / num_clusters;
    std::vector<nearmiss::Cost> prices(num_clusters);
    nearmiss::PriceSearch search(costs, num_clusters, {size, size}, execution);
    search.run(prices, size);
    Distribution result{prices, search.regrets(), search.columns()};
    const nearmiss::Cost increment = nearmiss::Cost{1} << 30;
    nearmiss::Auction auction(
        costs, result.regrets, increment, result.prices, result.columns, execution);
    nearmiss::run_parallel(1, 1, execution, [&](std::size_t, nearmiss::TaskContext& task) {
        CHECK(auction.run(std::vector<std::size_t>(num_clusters, size), task));
    });
    return result;
}

TEST(kmeans_candidates_that_repeat_others_change_no_assignment) {
    constexpr std::size_t kClusters = 12;
    constexpr std::size_t kWidth = 7;
    constexpr std::size_t kRepeats = 3;
    const Matrix gaps = instances::normal(25 * kClusters, kWidth, 31);
    nearmiss::NearCenters different(gaps.rows, kWidth);
    nearmiss::NearCenters repeating(gaps.rows, kWidth + kRepeats);
    repeating.num_different = kWidth;
    for (std::size_t row = 0; row < gaps.rows; ++row)
        for (std::size_t j = 0; j < repeating.width; ++j) {
            const std::size_t source = j < kWidth ? j : (row * 5 + j) % kWidth;
            const auto center = static_cast<std::uint32_t>((row * row + 5 * source) % kClusters);
            // Towards one side, so that some clusters are wanted more than others.
            const float gap =
                gaps.values[row * kWidth + source] + 0.2F * static_cast<float>(center);
            repeating.centers[row * repeating.width + j] = center;
            repeating.scores[row * repeating.width + j] = -gap * gap;
            if (j >= kWidth) continue;
            different.centers[row * kWidth + j] = center;
            different.scores[row * kWidth + j] = -gap * gap;
        }
    CHECK(distribute(different, kClusters) == distribute(repeating, kClusters));
}

TEST(kmeans_sums_rows_in_ascending_order) {
    const Matrix rows = instances::normal(300, 11, 1);
    std::vector<std::int32_t> labels(rows.rows);
    std::vector<double> weights(rows.rows);
    std::vector<double> wanted(3 * rows.cols);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        labels[i] = static_cast<std::int32_t>(i * i % 3);
        weights[i] = 1.0 / static_cast<double>(1 + i);
        for (std::size_t j = 0; j < rows.cols; ++j)
            wanted[static_cast<std::size_t>(labels[i]) * rows.cols + j] +=
                weights[i] * static_cast<double>(rows.row(i)[j]);
    }
    on_all_targets([&](const nearmiss::Execution& execution) {
        const Points points(rows.view(), Metric::l2, weights, execution);
        CHECK(nearmiss::sum_clusters(points, labels, 3, execution).sums == wanted);
    });
}

TEST(kmeans_runs_do_not_depend_on_threads_or_targets) {
    const Matrix rows = instances::normal(900, 34, 2);
    const Matrix centers = instances::normal(220, 34, 3);
    for (const Metric metric : kMetrics) {
        const Points once(rows.view(), metric, {}, {1, {}});
        const Clustering wanted = nearmiss::lloyd(once, centers.view(), {12, 0.0}, {1, {}});
        on_all_targets([&](const nearmiss::Execution& execution) {
            const Points points(rows.view(), metric, {}, execution);
            const Clustering found = nearmiss::lloyd(points, centers.view(), {12, 0.0}, execution);
            CHECK(found.labels == wanted.labels);
            CHECK(instances::same_bits(found.centers, wanted.centers));
            CHECK(found.losses == wanted.losses);
        });
    }
}

TEST(kmeans_seeds_are_different_rows) {
    const Matrix rows = instances::small_integers(700, 5, 4);
    for (const Metric metric : kMetrics) {
        const Points points(rows.view(), metric, {}, {1, {}});
        for (const SeedingLaw law : kLaws) {
            const std::size_t trials =
                law == SeedingLaw::greedy_plus_plus || law == SeedingLaw::afk_mc2 ? 3 : 0;
            for (const std::size_t k : {1U, 2U, 50U, 700U}) {
                const auto seeds = nearmiss::seed_rows(points, k, {law, trials, 9, 0}, {2, {}});
                CHECK(seeds.size() == k);
                CHECK(std::set<std::int64_t>(seeds.begin(), seeds.end()).size() == k);
            }
            CHECK_THROWS(InvalidArgument,
                         nearmiss::seed_rows(points, 701, {law, trials, 9, 0}, {1, {}}));
        }
    }
}

TEST(kmeans_refuses_what_has_no_answer) {
    Matrix rows = instances::normal(4, 3, 5);
    const std::vector<double> weights{1.0, -1.0, 1.0, 1.0};
    CHECK_THROWS(InvalidArgument, Points(rows.view(), Metric::ip, {}, {1, {}}));
    CHECK_THROWS(InvalidArgument, Points(rows.view(), Metric::l2, weights, {1, {}}));
    const Points points(rows.view(), Metric::l2, {}, {1, {}});
    CHECK_THROWS(InvalidArgument,
                 nearmiss::lloyd(points, instances::normal(2, 4, 6).view(), {5, 0.0}, {1, {}}));
    rows.values[5] = 1e30F;
    CHECK_THROWS(InvalidArgument, Points(rows.view(), Metric::l2, {}, {1, {}}));
}
