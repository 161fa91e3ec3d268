// SPDX-License-Identifier: Apache-2.0
// mine_candidates: the limits and laws of mine() over lists somebody else retrieved.
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <string>

#include "admission.hpp"
#include "choose/choose.hpp"
#include "choose/pool_blocks.hpp"
#include "collect/sort.hpp"
#include "filter.hpp"
#include "float_environment.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/mine.hpp"
#include "parallel.hpp"
#include "result_table.hpp"
#include "score_limits.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kQueriesPerTask = 64;
constexpr std::int64_t kRowLimit = 0xffff'fffe;

// The rows met so far, at most `size` of them; open addressing, at most half full.
class MetRows {
  public:
    explicit MetRows(std::size_t size) : slots_(std::bit_ceil(2 * size + 2), kFree) {}

    // Whether the row is new.
    bool add(std::uint32_t row) {
        const std::size_t mask = slots_.size() - 1;
        std::size_t slot = (row * 0x9E3779B97F4A7C15u >> 32) & mask;
        while (slots_[slot] != kFree) {
            if (slots_[slot] == row) return false;
            slot = (slot + 1) & mask;
        }
        slots_[slot] = row;
        return true;
    }

  private:
    static constexpr std::uint32_t kFree = 0xffff'ffff;  // no row: kRowLimit is less
    std::vector<std::uint32_t> slots_;
};

// The candidates of a query, best first, each row once.
std::vector<Key> candidate_keys(const Candidates& candidates, std::size_t query) {
    std::vector<Key> keys;
    keys.reserve(candidates.num_candidates);
    for (std::size_t i = query * candidates.num_candidates;
         i < (query + 1) * candidates.num_candidates;
         ++i) {
        if (candidates.rows[i] == -1) continue;
        keys.push_back(
            make_key(candidates.scores[i] + 0.0f, static_cast<std::uint32_t>(candidates.rows[i])));
    }
    // Retrievers mostly list the best first.
    if (!std::is_sorted(keys.begin(), keys.end(), std::greater<>())) {
        std::vector<Key> scratch;
        sort_best_first(keys, scratch);
    }
    MetRows met(keys.size());
    std::erase_if(keys, [&](Key key) { return !met.add(row_of(key)); });
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

void require_row(const char* argument, std::size_t query, std::int64_t row) {
    if (row >= -1 && row < kRowLimit) return;
    throw InvalidArgument(std::string(argument) + ": query " + std::to_string(query) +
                          " refers to corpus row " + std::to_string(row) +
                          "; corpus rows go from 0 to 2^32 - 3, and -1 means none");
}

// Checks the candidates and returns how many rows the corpus must have at least.
std::size_t check_candidates(const Candidates& candidates, const Limits& limits) {
    require(candidates.scores.size() == candidates.num_queries * candidates.num_candidates &&
                candidates.rows.size() == candidates.scores.size(),
            "indices: expected the shape of scores");
    std::int64_t largest = -1;
    const auto check = [&](const char* argument, std::size_t query, std::int64_t row) {
        require_row(argument, query, row);
        largest = std::max(largest, row);
    };
    for (std::size_t i = 0; i < candidates.rows.size(); ++i)
        check("indices", i / candidates.num_candidates, candidates.rows[i]);
    // Limits may name rows that are not among the candidates.
    for (std::size_t query = 0; query < candidates.num_queries; ++query) {
        for (const std::int64_t row : limits.positives.list(query)) check("positives", query, row);
        for (const std::int64_t row : limits.exclude.list(query)) check("exclude", query, row);
        if (!limits.self_rows.empty()) check("exclude_self", query, limits.self_rows[query]);
    }
    return static_cast<std::size_t>(largest + 1);
}

// The rows of the corpus, as far as the limits tell; at least `needed`.
std::size_t num_corpus_rows(const Limits& limits, std::size_t needed) {
    const std::size_t sizes[] = {limits.corpus_groups.size(), limits.corpus_values.size()};
    const char* const names[] = {"corpus_groups", "corpus_values"};
    std::size_t num_rows = needed;
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
        if (sizes[i] == 0) continue;
        require(needed <= sizes[i],
                std::string(names[i]) + ": has " + std::to_string(sizes[i]) + " rows, but row " +
                    std::to_string(needed - 1) + " is referred to");
        num_rows = sizes[i];
    }
    return num_rows;
}

// [range_min, range_max) of what is left.
void cut_window(std::vector<Key>& keys, const Limits& limits) {
    keys.resize(std::min(limits.range_max, keys.size()));
    const std::size_t skip = std::min(limits.range_min, keys.size());
    keys.erase(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(skip));
}

AdmissionRules check_rules(const Candidates& candidates, const Limits& limits) {
    require(limits.range_min < limits.range_max, "range_min: expected less than range_max");
    const std::size_t num_rows = num_corpus_rows(limits, check_candidates(candidates, limits));
    return make_rules(limits, candidates.num_queries, num_rows, limits.corpus_groups);
}

// One call over given candidates: the parts all its queries share.
class CandidateMiner {
  public:
    // num_negatives is 0 for candidate_pools().
    CandidateMiner(const Candidates& candidates, const Limits& limits, std::size_t num_negatives)
        : candidates_(candidates),
          limits_(limits),
          rules_(check_rules(candidates, limits)),
          result_(empty_result(candidates.num_queries, num_negatives)) {
        result_.positive_scores.assign(candidates.num_queries,
                                       std::numeric_limits<float>::quiet_NaN());
    }

    MineResult choose(const Choice& choice, const Execution& execution) && {
        const RandomStream noise(choice.seed, Stream::pool_noise, choice.epoch);
        if (choice.law == Law::bands) add_strata(result_);
        for_each(0, candidates_.num_queries, execution, [&](std::size_t query) {
            write_row(result_, query, choose_from_window(window_of(query), choice, noise, query));
        });
        return std::move(result_);
    }

    MineResult pass_pools(const Execution& execution, const PoolSink& sink) && {
        for_each_block(candidates_.num_queries,
                       limits_.range_min,
                       std::min(limits_.range_max, candidates_.num_candidates),
                       execution,
                       sink,
                       [&](PoolBlock& block, const Execution& part) {
                           for_each(block.first_query, block.num_queries, part, [&](auto query) {
                               write_window(block, query, window_of(query));
                           });
                       });
        return std::move(result_);
    }

  private:
    // The rank window of a query; counts what was ruled out.
    RankWindow window_of(std::size_t query) {
        std::vector<Key> keys = candidate_keys(candidates_, query);
        const float reference = candidate_reference(limits_, query, keys);
        result_.positive_scores[query] = reference;
        if (limits_.raw_ranks) cut_window(keys, limits_);
        CauseCounts counts{};
        std::vector<std::uint8_t> flags = flag_admissible(
            keys, Admission(rules_, query), score_interval(limits_, query, reference), counts);
        write_skipped(result_, query, counts);
        if (!limits_.raw_ranks) {
            keep_flagged(keys, flags);
            cut_window(keys, limits_);
            flags.clear();
        }
        return {std::move(keys), std::move(flags), limits_.range_min, reference};
    }

    static void for_each(std::size_t first,
                         std::size_t count,
                         const Execution& execution,
                         const std::function<void(std::size_t query)>& work) {
        const std::size_t tasks = (count + kQueriesPerTask - 1) / kQueriesPerTask;
        run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
            const std::size_t end = std::min(count, (task + 1) * kQueriesPerTask);
            for (std::size_t i = task * kQueriesPerTask; i < end; ++i) {
                work(first + i);
                context.checkpoint();
            }
            context.checkpoint(1);
        });
    }

    const Candidates& candidates_;
    const Limits& limits_;
    const AdmissionRules rules_;
    MineResult result_;
};

}  // namespace

MineResult mine_candidates(const Candidates& candidates,
                           const Limits& limits,
                           const Choice& choice,
                           const Execution& execution) {
    const FloatEnvironment environment;
    require(choice.num_negatives >= 1, "num_negatives: expected at least 1");
    require(choice.law != Law::uniform, "strategy: \"uniform\" needs a corpus, not candidates");
    if (choice.law == Law::bands) require_bands(choice.bands);
    require(choice.query_ids.empty() || choice.query_ids.size() == candidates.num_queries,
            "query_ids: expected one per query");
    return CandidateMiner(candidates, limits, choice.num_negatives).choose(choice, execution);
}

MineResult candidate_pools(const Candidates& candidates,
                           const Limits& limits,
                           const Execution& execution,
                           const PoolSink& sink) {
    const FloatEnvironment environment;
    return CandidateMiner(candidates, limits, 0).pass_pools(execution, sink);
}

std::vector<std::int64_t> sample_columns(std::span<const std::int64_t> counts,
                                         std::span<const std::int64_t> query_ids,
                                         std::size_t num_drawn,
                                         std::uint64_t seed,
                                         std::uint64_t epoch) {
    require_table_size(counts.size(), num_drawn);
    const RandomStream stream(seed, Stream::table_columns, epoch);
    std::vector<std::int64_t> columns(counts.size() * num_drawn, -1);
    const auto most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
    ReusedShuffle shuffle(static_cast<std::size_t>(most));
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const auto available = static_cast<std::size_t>(counts[i]);
        DrawSequence draws(stream, static_cast<std::uint64_t>(query_ids[i]));
        const std::span row =
            std::span(columns).subspan(i * num_drawn, std::min(num_drawn, available));
        shuffle.draw(available, draws, row);
        std::sort(row.begin(), row.end());
    }
    return columns;
}

}  // namespace nearmiss
