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

TEST(bands_take_their_quota_of_each_range_of_ranks) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, problem.row_groups, {});
    Limits limits = problem.limits();
    limits.range_max = 40;
    const std::vector<nearmiss::Band> bands{{10, 40, 3, false}, {0, 4, 2, true}, {4, 10, 2, false}};
    const Choice choice{Law::bands,
                        7,
                        3,
                        1,
                        {},
                        nearmiss::Precision::automatic,
                        {bands, {}, nearmiss::Spill::none}};
    const MineResult result =
        nearmiss::mine(problem.queries.view(), corpus, limits, choice, {1, {}});
    for (const std::size_t num_threads : {2U, 7U})
        CHECK(same(
            result,
            nearmiss::mine(problem.queries.view(), corpus, limits, choice, {num_threads, {}})));
    for (std::size_t q = 0; q < kQueries; ++q) {
        const std::vector<std::int64_t> ranked = problem.ranking(q);
        std::vector<std::size_t> taken(bands.size(), 0);
        for (std::size_t i = 0; i < static_cast<std::size_t>(result.counts[q]); ++i) {
            const auto found = std::ranges::find(ranked, result.indices[q * 7 + i]);
            CHECK(found != ranked.end());
            const auto rank = static_cast<double>(found - ranked.begin());
            const auto stratum = static_cast<std::size_t>(result.strata[q * 7 + i]);
            CHECK(bands[stratum].low <= rank && rank < bands[stratum].high);
            CHECK(!bands[stratum].nearest ||
                  rank < bands[stratum].low + static_cast<double>(bands[stratum].quota));
            ++taken[stratum];
        }
        for (std::size_t b = 0; b < bands.size(); ++b) {
            const auto last = std::min(bands[b].high, static_cast<double>(ranked.size()));
            const double room = std::max(0.0, last - bands[b].low);
            CHECK(taken[b] == std::min(bands[b].quota, static_cast<std::size_t>(room)));
        }
    }
}

TEST(bands_that_overlap_or_ask_for_nothing_are_refused) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, {}, {});
    Limits limits;
    limits.range_max = 40;
    const std::vector<std::vector<nearmiss::Band>> wrong{
        {}, {{0, 5, 1}, {4, 9, 1}}, {{5, 5, 1}}, {{0, 5, 0}}};
    for (const auto& bands : wrong) {
        const Choice choice{
            Law::bands, 2, 0, 0, {}, nearmiss::Precision::automatic, {bands, {}, {}}};
        CHECK_THROWS(nearmiss::InvalidArgument,
                     nearmiss::mine(problem.queries.view(), corpus, limits, choice, {}));
    }
}

TEST(pools_are_the_rank_windows) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, problem.row_groups, {});
    Limits limits = problem.limits();
    limits.range_min = 2;
    limits.range_max = 12;
    std::size_t next = 0;
    const auto check = [&](nearmiss::PoolBlock&& block) {
        CHECK(block.first_query == next && block.width == 10);
        next += block.num_queries;
        for (std::size_t i = 0; i < block.num_queries; ++i) {
            std::vector<std::int64_t> wanted = problem.ranking(block.first_query + i);
            wanted.resize(std::min<std::size_t>(wanted.size(), 12));
            wanted.erase(wanted.begin(),
                         wanted.begin() + std::min<std::ptrdiff_t>(2, std::ssize(wanted)));
            const std::size_t count = wanted.size();
            wanted.resize(10, -1);
            CHECK(std::ranges::equal(wanted, std::span(block.rows).subspan(i * 10, 10)));
            for (std::size_t place = 0; place < 10; ++place)
                CHECK(block.admissible[i * 10 + place] == (place < count ? 1 : 0));
        }
    };
    const MineResult result = nearmiss::mine_pools(
        problem.queries.view(), corpus, limits, nearmiss::Precision::automatic, {2, {}}, check);
    CHECK(next == kQueries);
    CHECK(result.indices.empty());
}

TEST(what_a_pool_sink_throws_ends_the_call) {
    const Problem problem;
    const Corpus corpus(problem.rows.view(), Metric::cosine, {}, {});
    Limits limits;
    limits.range_max = 5;
    const auto fail = [](nearmiss::PoolBlock&&) { throw nearmiss::InvalidArgument("enough"); };
    CHECK_THROWS(
        nearmiss::InvalidArgument,
        nearmiss::mine_pools(
            problem.queries.view(), corpus, limits, nearmiss::Precision::automatic, {2, {}}, fail));
}
