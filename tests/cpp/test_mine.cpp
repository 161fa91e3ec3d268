// SPDX-License-Identifier: Apache-2.0
// Mining under limits equals trying every pair, and neither threads nor batches change a draw.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <vector>

#include "check.hpp"
#include "instances.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/mine.hpp"

namespace {

using instances::Matrix;
using nearmiss::Choice;
using nearmiss::Corpus;
using nearmiss::Law;
using nearmiss::Limits;
using nearmiss::Metric;
using nearmiss::MineResult;

constexpr std::size_t kQueries = 23;
constexpr std::size_t kRows = 517;

// Query q: positive 3q, excluded 3q + 1 and 3q + 2, group q mod 5, values in [q, q + 60); row x:
// group x mod 5, value 37x mod 100.
struct Problem {
    Matrix queries = instances::small_integers(kQueries, 9, 1);
    Matrix rows = instances::small_integers(kRows, 9, 2);
    std::vector<std::int64_t> one_each, two_each, positives, excluded, query_groups, row_groups;
    std::vector<double> max_score, row_values, min_value, max_value;

    Problem() {
        for (std::size_t q = 0; q <= kQueries; ++q) {
            one_each.push_back(static_cast<std::int64_t>(q));
            two_each.push_back(static_cast<std::int64_t>(2 * q));
        }
        for (std::int64_t q = 0; q < static_cast<std::int64_t>(kQueries); ++q) {
            positives.push_back(3 * q);
            excluded.insert(excluded.end(), {3 * q + 1, 3 * q + 2});
            query_groups.push_back(q % 5);
            max_score.push_back(0.9);
            min_value.push_back(static_cast<double>(q));
            max_value.push_back(static_cast<double>(q + 60));
        }
        for (std::int64_t x = 0; x < static_cast<std::int64_t>(kRows); ++x) {
            row_groups.push_back(x % 5);
            row_values.push_back(static_cast<double>(37 * x % 100));
        }
    }

    [[nodiscard]] Limits limits() const {
        Limits limits;
        limits.positives = {one_each, positives};
        limits.exclude = {two_each, excluded};
        limits.query_groups = query_groups;
        limits.max_score = max_score;
        limits.corpus_values = row_values;
        limits.min_value = min_value;
        limits.max_value = max_value;
        limits.relative_margin = 0.05;
        return limits;
    }

    [[nodiscard]] bool admissible(std::size_t q, std::size_t x, float score) const {
        const auto positive = static_cast<std::size_t>(positives[q]);
        const double reference =
            instances::score(Metric::cosine, queries.row(q), rows.row(positive));
        return x / 3 != q && !std::ranges::equal(rows.row(x), rows.row(positive)) &&
               query_groups[q] != row_groups[x] && min_value[q] <= row_values[x] &&
               row_values[x] < max_value[q] && score <= 0.9 &&
               score <= reference - 0.05 * std::fabs(reference);
    }

    // Admissible rows of a query, best first.
    [[nodiscard]] std::vector<std::int64_t> ranking(std::size_t q) const {
        std::vector<std::pair<float, std::int64_t>> found;
        for (std::size_t x = 0; x < kRows; ++x) {
            const float score = instances::score(Metric::cosine, queries.row(q), rows.row(x));
            if (admissible(q, x, score)) found.emplace_back(-score, static_cast<std::int64_t>(x));
        }
        std::ranges::sort(found);
        std::vector<std::int64_t> ranked;
        for (const auto& [score, row] : found) ranked.push_back(row);
        return ranked;
    }
};

bool same(const MineResult& a, const MineResult& b) {
    return a.indices == b.indices && a.counts == b.counts && a.skipped == b.skipped &&
           instances::same_bits(a.scores, b.scores) &&
           instances::same_bits(a.positive_scores, b.positive_scores);
}

}  // namespace

TEST(mine_top_equals_trying_every_pair) {
    const Problem problem;
    Limits limits = problem.limits();
    limits.range_min = 2;
    const Choice choice{Law::top, 8, 0, 0, {}};
    for (const std::size_t num_threads : {1U, 2U, 7U}) {
        const Corpus corpus(problem.rows.view(), Metric::cosine, problem.row_groups, {});
        const MineResult result =
            nearmiss::mine(problem.queries.view(), corpus, limits, choice, {num_threads, {}});
        for (std::size_t q = 0; q < kQueries; ++q) {
            std::vector<std::int64_t> wanted = problem.ranking(q);
            wanted.erase(wanted.begin(),
                         wanted.begin() + std::min<std::ptrdiff_t>(2, std::ssize(wanted)));
            wanted.resize(std::min<std::size_t>(wanted.size(), 8));
            CHECK(result.counts[q] == std::ssize(wanted));
            wanted.resize(8, -1);
            CHECK(std::ranges::equal(wanted, std::span(result.indices).subspan(q * 8, 8)));
        }
    }
}

TEST(draws_are_admissible_and_distinct) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, problem.row_groups, {});
    for (const Law law : {Law::random, Law::uniform}) {
        Limits limits = problem.limits();
        if (law == Law::random) limits.range_max = 30;
        const Choice choice{law, 10, 3, 1, {}};
        const MineResult result =
            nearmiss::mine(problem.queries.view(), corpus, limits, choice, {});
        for (std::size_t q = 0; q < kQueries; ++q) {
            std::vector<std::int64_t> pool = problem.ranking(q);
            if (law == Law::random) pool.resize(std::min<std::size_t>(pool.size(), 30));
            const auto count = static_cast<std::size_t>(result.counts[q]);
            CHECK(count == std::min<std::size_t>(10, pool.size()));
            const auto drawn = std::span(result.indices).subspan(q * 10, count);
            CHECK(std::set(drawn.begin(), drawn.end()).size() == count);
            for (const std::int64_t row : drawn) CHECK(std::ranges::count(pool, row) == 1);
        }
    }
}

TEST(draws_do_not_depend_on_threads) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, problem.row_groups, {});
    Limits limits = problem.limits();
    for (const Law law : {Law::top, Law::random, Law::uniform}) {
        const Choice choice{law, 10, 3, 1, {}};
        const MineResult one =
            nearmiss::mine(problem.queries.view(), corpus, limits, choice, {1, {}});
        for (const std::size_t num_threads : {2U, 7U}) {
            CHECK(same(
                one,
                nearmiss::mine(problem.queries.view(), corpus, limits, choice, {num_threads, {}})));
        }
    }
}

TEST(rows_outside_a_range_of_values_are_counted) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, {}, {});
    Limits limits;
    limits.corpus_values = problem.row_values;
    limits.max_value = problem.max_value;
    const MineResult result =
        nearmiss::mine(problem.queries.view(), corpus, limits, {Law::top, 1, 0, 0, {}}, {});
    constexpr auto kValue = static_cast<std::size_t>(nearmiss::Cause::value);
    for (std::size_t q = 0; q < kQueries; ++q) {
        const auto outside = std::ranges::count_if(
            problem.row_values, [&](double value) { return value >= problem.max_value[q]; });
        CHECK(result.skipped[q * nearmiss::kNumCauses + kValue] == outside);
    }
}

TEST(ranges_of_values_must_fit_rows_and_queries) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, {}, {});
    Limits limits;
    const auto mine = [&] {
        return nearmiss::mine(problem.queries.view(), corpus, limits, Choice{}, {});
    };
    limits.min_value = problem.min_value;
    CHECK_THROWS(nearmiss::InvalidArgument, mine());
    limits.corpus_values = std::span(problem.row_values).first(kRows - 1);
    CHECK_THROWS(nearmiss::InvalidArgument, mine());
    limits.corpus_values = problem.row_values;
    CHECK(mine().num_queries == kQueries);
    limits.min_value = std::span(problem.min_value).first(kQueries - 1);
    CHECK_THROWS(nearmiss::InvalidArgument, mine());
}
