// SPDX-License-Identifier: Apache-2.0
// mine_candidates: the limits and laws of mine() over lists somebody else retrieved.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <unordered_set>

#include "admission.hpp"
#include "choose/choose.hpp"
#include "float_environment.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/mine.hpp"
#include "parallel.hpp"
#include "result_table.hpp"
#include "score_limits.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kQueriesPerTask = 64;

// The candidates of a query, best first, each row once.
std::vector<Key> candidate_keys(const Candidates& candidates, std::size_t query) {
    std::vector<Key> keys;
    for (std::size_t i = query * candidates.num_candidates;
         i < (query + 1) * candidates.num_candidates;
         ++i) {
        if (candidates.rows[i] == -1) continue;
        keys.push_back(
            make_key(candidates.scores[i] + 0.0f, static_cast<std::uint32_t>(candidates.rows[i])));
    }
    std::sort(keys.begin(), keys.end(), std::greater<>());
    std::unordered_set<std::uint32_t> seen;
    std::erase_if(keys, [&](Key key) { return !seen.insert(row_of(key)).second; });
    return keys;
}

float candidate_reference(const Limits& limits, std::size_t query, std::span<const Key> keys) {
    if (!limits.positive_scores.empty()) return limits.positive_scores[query];
    const auto positives = limits.positives.list(query);
    std::vector<Key> found;
    for (const Key key : keys)
        if (std::binary_search(positives.begin(), positives.end(), std::int64_t{row_of(key)}))
            found.push_back(key);
    // By ascending row, as mine() has them: a mean depends on the order of its sum.
    std::sort(found.begin(), found.end(), [](Key a, Key b) { return row_of(a) < row_of(b); });
    std::vector<float> scores;
    for (const Key key : found) scores.push_back(score_of(key));
    const bool margin = limits.absolute_margin || limits.relative_margin;
    if (margin && scores.empty() && !positives.empty()) {
        throw InvalidArgument("positive_scores: needed for a margin, because query " +
                              std::to_string(query) + " has no positive among its candidates");
    }
    return reference_score(scores, limits.margin_reference);
}

}  // namespace

MineResult mine_candidates(const Candidates& candidates,
                           const Limits& limits,
                           const Choice& choice,
                           const Execution& execution) {
    const FloatEnvironment environment;
    const std::size_t n = candidates.num_queries;
    require(choice.num_negatives >= 1, "num_negatives: expected at least 1");
    require(limits.range_min < limits.range_max, "range_min: expected less than range_max");
    require(choice.law != Law::uniform, "strategy: \"uniform\" needs a corpus, not candidates");
    std::int64_t largest = -1;
    for (std::size_t i = 0; i < candidates.rows.size(); ++i) {
        require(candidates.rows[i] >= -1 && candidates.rows[i] <= 0xffff'fffe - 1,
                "indices: query " + std::to_string(i / candidates.num_candidates) +
                    " has the candidate " + std::to_string(candidates.rows[i]));
        largest = std::max(largest, candidates.rows[i]);
    }
    // Lists may name rows that are not among the candidates.
    for (const ListsView& lists : {limits.positives, limits.exclude})
        for (const std::int64_t row : lists.rows) largest = std::max(largest, row);
    for (const std::int64_t row : limits.self_rows) largest = std::max(largest, row);
    const std::size_t num_rows = limits.corpus_groups.empty()
                                     ? static_cast<std::size_t>(largest + 1)
                                     : limits.corpus_groups.size();
    require(largest < static_cast<std::int64_t>(num_rows),
            "corpus_groups: has " + std::to_string(num_rows) + " rows, but row " +
                std::to_string(largest) + " is referred to");
    const AdmissionRules rules = make_rules(limits, n, num_rows, limits.corpus_groups, nullptr);

    MineResult result = empty_result(n, choice.num_negatives);
    result.positive_scores.assign(n, std::numeric_limits<float>::quiet_NaN());
    const RandomStream stream(choice.seed, Stream::pool_noise, choice.epoch);
    const std::size_t tasks = (n + kQueriesPerTask - 1) / kQueriesPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t end = std::min(n, (task + 1) * kQueriesPerTask);
        for (std::size_t q = task * kQueriesPerTask; q < end; ++q) {
            std::vector<Key> keys = candidate_keys(candidates, q);
            const float reference = candidate_reference(limits, q, keys);
            result.positive_scores[q] = reference;
            const ScoreInterval interval = score_interval(limits, q, reference);
            const Admission admission(rules, q);
            CauseCounts counts{};
            const auto drop = [&](Key key) {
                if (admission.count_row(row_of(key), counts)) return true;
                if (static_cast<double>(score_of(key)) > interval.ceiling)
                    ++counts[static_cast<std::size_t>(Cause::max_score)];
                return !interval.contains(score_of(key));
            };
            const auto cut = [&] {
                const std::size_t from = std::min(limits.range_min, keys.size());
                const std::size_t to = std::min(limits.range_max, keys.size());
                keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(to), keys.end());
                keys.erase(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(from));
            };
            if (limits.raw_ranks) cut();
            std::erase_if(keys, drop);
            if (!limits.raw_ranks) cut();
            write_skipped(result, q, counts);
            const std::size_t count = std::min(choice.num_negatives, keys.size());
            if (choice.law == Law::random)
                write_row(result, q, choose_random(keys, count, stream, query_id(choice, q)));
            else
                write_row(result, q, std::span<const Key>(keys).first(count));
            context.checkpoint();
        }
    });
    return result;
}

std::vector<std::int64_t> sample_columns(std::span<const std::int64_t> counts,
                                         std::span<const std::int64_t> query_ids,
                                         std::size_t num_drawn,
                                         std::uint64_t seed,
                                         std::uint64_t epoch) {
    const RandomStream stream(seed, Stream::table_columns, epoch);
    std::vector<std::int64_t> columns(counts.size() * num_drawn, -1);
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const auto available = static_cast<std::uint64_t>(counts[i]);
        SparseShuffle shuffle(available, stream, static_cast<std::uint64_t>(query_ids[i]));
        const auto row = columns.begin() + static_cast<std::ptrdiff_t>(i * num_drawn);
        std::size_t drawn = 0;
        while (drawn < num_drawn && !shuffle.exhausted())
            row[static_cast<std::ptrdiff_t>(drawn++)] = static_cast<std::int64_t>(shuffle.next());
        std::sort(row, row + static_cast<std::ptrdiff_t>(drawn));
    }
    return columns;
}

}  // namespace nearmiss
