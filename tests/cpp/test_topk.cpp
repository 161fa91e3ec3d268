// SPDX-License-Identifier: Apache-2.0
// Top-k equals the definition, bit for bit, on every target and any number of threads.
#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "check.hpp"
#include "instances.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/mine.hpp"

namespace {

using instances::Matrix;
using nearmiss::Corpus;
using nearmiss::InvalidArgument;
using nearmiss::Metric;
using nearmiss::TopkResult;

constexpr Metric kMetrics[] = {Metric::cosine, Metric::ip, Metric::l2};

TopkResult by_definition(const Matrix& queries, const Matrix& rows, Metric metric, std::size_t k) {
    TopkResult result;
    for (std::size_t q = 0; q < queries.rows; ++q) {
        std::vector<float> scores(rows.rows);
        for (std::size_t x = 0; x < rows.rows; ++x) {
            scores[x] = instances::score(metric, queries.row(q), rows.row(x));
        }
        std::vector<std::int64_t> order(rows.rows);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
            return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
        });
        for (std::size_t i = 0; i < k; ++i) {
            result.indices.push_back(order[i]);
            result.scores.push_back(scores[static_cast<std::size_t>(order[i])]);
        }
    }
    return result;
}

bool same(const TopkResult& a, const TopkResult& b) {
    return a.indices == b.indices && instances::same_bits(a.scores, b.scores);
}

void check_on_all_targets(const Matrix& queries, const Matrix& rows, Metric metric, std::size_t k) {
    const TopkResult wanted = by_definition(queries, rows, metric, k);
    const std::string before = nearmiss::simd_target();
    for (const std::string& target : nearmiss::simd_targets()) {
        nearmiss::set_simd_target(target);
        for (const std::size_t num_threads : {1U, 2U, 7U}) {
            const Corpus corpus(rows.view(), metric, {}, {num_threads, {}});
            CHECK(same(
                nearmiss::topk(
                    queries.view(), corpus, k, nearmiss::Precision::automatic, {num_threads, {}}),
                wanted));
        }
    }
    nearmiss::set_simd_target(before);
}

}  // namespace

TEST(topk_equals_the_definition) {
    for (const Metric metric : kMetrics) {
        check_on_all_targets(instances::normal(7, 61, 1), instances::normal(133, 61, 2), metric, 5);
        check_on_all_targets(instances::normal(1, 1, 1), instances::normal(1, 1, 2), metric, 1);
        check_on_all_targets(
            instances::normal(21, 16, 3), instances::normal(3000, 16, 4), metric, 40);
    }
}

TEST(topk_breaks_ties_by_row) {
    for (const Metric metric : kMetrics) {
        const Matrix rows = instances::small_integers(700, 3, 5);
        check_on_all_targets(instances::small_integers(9, 3, 6), rows, metric, 700);
        check_on_all_targets(instances::small_integers(9, 3, 6), rows, metric, 11);
    }
}

TEST(bad_rows_are_named) {
    Matrix rows = instances::normal(20, 4, 1);
    const Matrix queries = instances::normal(2, 4, 2);
    const Corpus corpus(rows.view(), Metric::ip, {}, {});
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        Matrix bad_rows = rows;
        bad_rows.values[17 * 4 + 2] = bad;
        std::string message;
        try {
            const Corpus refused(bad_rows.view(), Metric::ip, {}, {});
        } catch (const InvalidArgument& error) {
            message = error.what();
        }
        CHECK(message.find("17") != std::string::npos);
        CHECK_THROWS(
            InvalidArgument,
            nearmiss::topk(bad_rows.view(), corpus, 1, nearmiss::Precision::automatic, {}));
    }
    Matrix zero = rows;
    std::fill_n(zero.values.begin() + 3 * 4, 4, 0.0F);
    CHECK_THROWS(InvalidArgument, Corpus(zero.view(), Metric::cosine, {}, {}));
    CHECK(nearmiss::topk(queries.view(), corpus, 20, nearmiss::Precision::automatic, {})
              .indices.size() == 40);
}

TEST(update_equals_a_new_corpus) {
    const Matrix queries = instances::normal(6, 19, 7);
    const Matrix fresh = instances::normal(3, 19, 9);
    const std::vector<std::int64_t> positions{250, 0, 77};
    for (const Metric metric : kMetrics) {
        Matrix rows = instances::normal(251, 19, 8);
        Matrix changed = rows;
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const auto target = changed.values.begin() + positions[i] * 19;
            std::ranges::copy(fresh.row(i), target);
        }
        Corpus corpus(rows.view(), metric, {}, {});
        corpus.update(positions, fresh.view(), {});
        CHECK(same(nearmiss::topk(queries.view(), corpus, 9, nearmiss::Precision::automatic, {}),
                   by_definition(queries, changed, metric, 9)));
    }
}

TEST(a_refused_update_changes_nothing) {
    const Matrix queries = instances::normal(6, 8, 7);
    Matrix rows = instances::normal(100, 8, 8);
    Corpus corpus(rows.view(), Metric::cosine, {}, {});
    const TopkResult before =
        nearmiss::topk(queries.view(), corpus, 9, nearmiss::Precision::automatic, {});
    Matrix bad = instances::normal(2, 8, 9);
    bad.values.back() = std::numeric_limits<float>::quiet_NaN();
    const std::vector<std::int64_t> positions{4, 5};
    CHECK_THROWS(InvalidArgument, corpus.update(positions, bad.view(), {}));
    CHECK(same(nearmiss::topk(queries.view(), corpus, 9, nearmiss::Precision::automatic, {}),
               before));
}
