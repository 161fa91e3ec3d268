// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/mine.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "admission.hpp"
#include "choose/choose.hpp"
#include "choose/pool_blocks.hpp"
#include "choose/uniform_law.hpp"
#include "filter.hpp"
#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "lists/probed_search.hpp"
#include "nearmiss/error.hpp"
#include "overflow.hpp"
#include "packed_corpus.hpp"
#include "parallel.hpp"
#include "positive_scores.hpp"
#include "result_table.hpp"
#include "row_norms.hpp"
#include "search.hpp"

namespace nearmiss {
namespace {

std::vector<double> check_queries(MatrixView queries,
                                  const PackedCorpus& corpus,
                                  const Execution& execution) {
    require(queries.cols == corpus.rows.cols,
            "queries: have " + std::to_string(queries.cols) + " columns, but the corpus has " +
                std::to_string(corpus.rows.cols));
    std::vector<double> norms(queries.rows);
    const RowCheck check{"queries", corpus.metric == Metric::cosine};
    root_norms(queries, check, execution.at(0), norms.data());
    return norms;
}

constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();

void require_window(const Limits& limits) {
    require(limits.range_min < limits.range_max, "range_min: expected less than range_max");
}

// A search, exact or approximate.
class PoolSearch {
  public:
    PoolSearch(const Search& search,
               const std::optional<Probes>& probes,
               const Execution& execution)
        : search_(search) {
        require_probes(probes);
        if (probes && search.queries.rows != 0) probed_.emplace(search_, *probes, execution);
    }
    PoolSearch(const PoolSearch&) = delete;
    PoolSearch& operator=(const PoolSearch&) = delete;

    // As search_pools(), for the queries [first, last).
    SearchWork run(std::size_t first,
                   std::size_t last,
                   const Execution& execution,
                   const std::function<void(const Pool&)>& sink) {
        std::vector<std::uint32_t> queries(last - first);
        std::iota(queries.begin(), queries.end(), static_cast<std::uint32_t>(first));
        if (probed_) return probed_->run(std::move(queries), execution, sink);
        Search search = search_;
        search.only = queries;
        return search_pools(search, execution, sink);
    }

    // After all queries have been searched for.
    [[nodiscard]] std::optional<ProbeReport> report() const {
        return probed_ ? std::optional(probed_->report()) : std::nullopt;
    }

  private:
    static void require_probes(const std::optional<Probes>& probes) {
        if (!probes || probes->num_probes != 0) return;
        require(probes->recall > 0 && probes->recall <= 1,
                "recall: expected more than 0, at most 1");
        require(probes->sample != 0, "sample: recall needs at least one query");
    }

    const Search search_;
    std::optional<ProbedSearch> probed_;
};

// One mine() or mine_pools() call: the parts all its queries share.
class Miner {
  public:
    // num_negatives is 0 for mine_pools().
    Miner(MatrixView queries,
          const PackedCorpus& corpus,
          const Limits& limits,
          std::size_t num_negatives,
          Precision precision,
          const std::optional<Probes>& probes,
          const Execution& execution)
        : queries_(queries),
          corpus_(corpus),
          kernel_(kernels::active()),
          limits_(limits),
          precision_(precision),
          probes_(probes),
          execution_(execution),
          norms_(check_queries(queries, corpus, execution)),
          rules_(make_rules(limits, queries.rows, corpus.num_rows(), groups())),
          result_(empty_result(queries.rows, num_negatives)) {
        if (limits.exclude_duplicates && !limits.positives.rows.empty())
            rules_.use(corpus.duplicate_classes(execution.at(0)));
        rules_.sort_values();
        result_.positive_scores =
            reference_scores(limits, queries, norms_, corpus, kernel_, execution.at(0));
        intervals_ = score_intervals(limits, result_.positive_scores);
    }

    MineResult choose(const Choice& choice) && {
        if (choice.law == Law::uniform)
            choose_uniformly(choice);
        else
            choose_in_windows(choice);
        return std::move(result_);
    }

    MineResult pass_pools(const PoolSink& sink) && {
        const std::size_t last_rank = std::min(limits_.range_max, corpus_.num_rows());
        PoolSearch search(search_for(last_rank, !limits_.raw_ranks), probes_, execution_);
        OverflowCheck overflow;
        for_each_block(queries_.rows,
                       limits_.range_min,
                       last_rank,
                       execution_,
                       sink,
                       [&](PoolBlock& block, const Execution& part) {
                           const std::size_t end = block.first_query + block.num_queries;
                           add(search.run(block.first_query, end, part, [&](const Pool& pool) {
                               write_window(block, pool.query, window_of(pool, overflow));
                           }));
                           overflow.raise();
                       });
        result_.probes = search.report();
        return std::move(result_);
    }

  private:
    std::span<const std::int64_t> groups() const {
        return limits_.corpus_groups.empty() ? std::span<const std::int64_t>(corpus_.groups)
                                             : limits_.corpus_groups;
    }

    Search search_for(std::size_t size, bool limited) const {
        return {corpus_,
                kernel_,
                queries_,
                norms_,
                size,
                limited ? &rules_ : nullptr,
                limited ? std::span<const ScoreInterval>(intervals_)
                        : std::span<const ScoreInterval>(),
                precision_};
    }

    void add(const SearchWork& work) noexcept {
        result_.work.rescored += work.rescored;
        result_.work.rescanned += work.rescanned;
        result_.work.fallen_back += work.fallen_back;
    }

    // The rank window of a query; counts what was ruled out.
    RankWindow window_of(const Pool& pool, OverflowCheck& overflow) {
        overflow.note_pool(pool.query, pool.keys);
        const std::size_t skip = std::min(limits_.range_min, pool.keys.size());
        RankWindow window{{pool.keys.begin() + static_cast<std::ptrdiff_t>(skip), pool.keys.end()},
                          {},
                          limits_.range_min,
                          result_.positive_scores[pool.query]};
        CauseCounts counts{};
        const Admission admission(rules_, pool.query);
        if (limits_.raw_ranks) {
            window.admissible =
                flag_admissible(window.keys, admission, intervals_[pool.query], counts);
        } else {
            admission.count(counts);
            counts[static_cast<std::size_t>(Cause::max_score)] = pool.above;
        }
        write_skipped(result_, pool.query, counts);
        return window;
    }

    void choose_in_windows(const Choice& choice) {
        const std::size_t wanted = limits_.range_max == kUnbounded
                                       ? limits_.range_min + choice.num_negatives
                                       : limits_.range_max;
        PoolSearch search(search_for(std::min(wanted, corpus_.num_rows()), !limits_.raw_ranks),
                          probes_,
                          execution_);
        const RandomStream noise(choice.seed, Stream::pool_noise, choice.epoch);
        if (choice.law == Law::bands) add_strata(result_);
        OverflowCheck overflow;
        add(search.run(0, queries_.rows, execution_, [&](const Pool& pool) {
            write_row(result_,
                      pool.query,
                      choose_from_window(window_of(pool, overflow), choice, noise, pool.query));
        }));
        overflow.raise();
        result_.probes = search.report();
    }

    void choose_uniformly(const Choice& choice) {
        std::vector<std::vector<std::uint32_t>> before(limits_.range_min > 0 ? queries_.rows : 0);
        if (limits_.range_min > 0) {
            const std::size_t size = std::min(limits_.range_min, corpus_.num_rows());
            search_pools(
                search_for(size, !limits_.raw_ranks), execution_.at(0), [&](const Pool& pool) {
                    for (const Key key : pool.keys) before[pool.query].push_back(row_of(key));
                });
        }
        const UniformOrder order(rules_);
        OverflowCheck overflow;
        const RandomStream stream(choice.seed, Stream::uniform_rows, choice.epoch);
        const auto& typed = kernel_.of_type[static_cast<std::size_t>(queries_.type)];
        constexpr std::size_t kQueriesPerTask = 64;
        const std::size_t tasks = (queries_.rows + kQueriesPerTask - 1) / kQueriesPerTask;
        run_parallel(tasks, tasks, execution_, [&](std::size_t task, TaskContext& context) {
            ExactScorer scorer(corpus_, kernel_);
            std::vector<float> elements(queries_.cols);
            const std::size_t end = std::min(queries_.rows, (task + 1) * kQueriesPerTask);
            for (std::size_t q = task * kQueriesPerTask; q < end; ++q) {
                typed.to_float(queries_.row(q), queries_.cols, elements.data());
                const Admission admission(rules_, q);
                const UniformDraw draw{rules_,
                                       order,
                                       admission,
                                       before.empty() ? std::span<const std::uint32_t>()
                                                      : std::span<const std::uint32_t>(before[q]),
                                       intervals_[q],
                                       {elements.data(), norms_[q]},
                                       stream,
                                       query_id(choice, q),
                                       choice.num_negatives};
                const std::vector<Key> chosen = choose_uniform(draw, scorer, context);
                overflow.note_pool(q, chosen);
                write_row(result_, q, {chosen, {}});
                CauseCounts counts{};
                admission.count(counts);
                write_skipped(result_, q, counts);
            }
            context.checkpoint(1);
        });
        overflow.raise();
    }

    MatrixView queries_;
    const PackedCorpus& corpus_;
    const kernels::KernelTable& kernel_;
    const Limits& limits_;
    const Precision precision_;
    const std::optional<Probes>& probes_;
    const Execution& execution_;
    std::vector<double> norms_;
    AdmissionRules rules_;
    MineResult result_;
    std::vector<ScoreInterval> intervals_;
};

}  // namespace

TopkResult topk(MatrixView queries,
                const Corpus& corpus,
                std::size_t k,
                Precision precision,
                const Execution& execution,
                const std::optional<Probes>& probes) {
    const FloatEnvironment environment;
    const PackedCorpus& packed = corpus.packed();
    const std::shared_lock lock(packed.mutex);
    require(k >= 1 && k <= packed.num_rows(),
            "k: expected between 1 and the corpus's " + std::to_string(packed.num_rows()) +
                " rows, got " + std::to_string(k));
    const std::vector<double> norms = check_queries(queries, packed, execution);
    TopkResult result;
    result.scores.resize(queries.rows * k);
    result.indices.resize(queries.rows * k);
    PoolSearch search(
        {packed, kernels::active(), queries, norms, k, nullptr, {}, precision}, probes, execution);
    OverflowCheck overflow;
    result.work = search.run(0, queries.rows, execution, [&](const Pool& pool) {
        if (pool.keys.size() != k) throw std::logic_error("topk: rows were lost");
        overflow.note_pool(pool.query, pool.keys);
        for (std::size_t i = 0; i < k; ++i) {
            result.scores[pool.query * k + i] = score_of(pool.keys[i]);
            result.indices[pool.query * k + i] = row_of(pool.keys[i]);
        }
    });
    overflow.raise();
    result.probes = search.report();
    return result;
}

MineResult mine(MatrixView queries,
                const Corpus& corpus,
                const Limits& limits,
                const Choice& choice,
                const Execution& execution) {
    require(choice.num_negatives >= 1, "num_negatives: expected at least 1");
    require_window(limits);
    if (choice.law == Law::bands) require_bands(choice.bands);
    require(!choice.probes || choice.law != Law::uniform,
            "probes: uniform draws from the whole corpus do not search");
    require(choice.query_ids.empty() || choice.query_ids.size() == queries.rows,
            "query_ids: expected one per query");
    const FloatEnvironment environment;
    const PackedCorpus& packed = corpus.packed();
    const std::shared_lock lock(packed.mutex);
    return Miner(queries,
                 packed,
                 limits,
                 choice.num_negatives,
                 choice.precision,
                 choice.probes,
                 execution)
        .choose(choice);
}

MineResult mine_pools(MatrixView queries,
                      const Corpus& corpus,
                      const Limits& limits,
                      Precision precision,
                      const Execution& execution,
                      const PoolSink& sink,
                      const std::optional<Probes>& probes) {
    require_window(limits);
    require(limits.range_max != kUnbounded, "range_max: needed");
    const FloatEnvironment environment;
    const PackedCorpus& packed = corpus.packed();
    const std::shared_lock lock(packed.mutex);
    return Miner(queries, packed, limits, 0, precision, probes, execution).pass_pools(sink);
}

std::vector<float> pair_scores(MatrixView queries,
                               const Corpus& corpus,
                               std::span<const std::int64_t> query_rows,
                               std::span<const std::int64_t> corpus_rows,
                               const Execution& execution) {
    const FloatEnvironment environment;
    const PackedCorpus& packed = corpus.packed();
    const std::shared_lock lock(packed.mutex);
    require(query_rows.size() == corpus_rows.size(), "query_rows: expected one per corpus row");
    const std::vector<double> norms = check_queries(queries, packed, execution);
    for (std::size_t i = 0; i < query_rows.size(); ++i) {
        const bool known = query_rows[i] >= 0 && corpus_rows[i] >= 0 &&
                           static_cast<std::size_t>(query_rows[i]) < queries.rows &&
                           static_cast<std::size_t>(corpus_rows[i]) < packed.num_rows();
        if (!known) throw InvalidArgument("pair " + std::to_string(i) + " is out of range");
    }
    const kernels::KernelTable& kernel = kernels::active();
    const auto& typed = kernel.of_type[static_cast<std::size_t>(queries.type)];
    std::vector<float> scores(query_rows.size());
    OverflowCheck overflow;
    constexpr std::size_t kPairsPerTask = 1024;
    const std::size_t tasks = (scores.size() + kPairsPerTask - 1) / kPairsPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        ExactScorer scorer(packed, kernel);
        std::vector<float> elements(queries.cols);
        const std::size_t end = std::min(scores.size(), (task + 1) * kPairsPerTask);
        for (std::size_t i = task * kPairsPerTask; i < end; ++i) {
            const auto q = static_cast<std::size_t>(query_rows[i]);
            typed.to_float(queries.row(q), queries.cols, elements.data());
            const auto row = static_cast<std::uint32_t>(corpus_rows[i]);
            scores[i] = scorer.score({elements.data(), norms[q]}, row);
            overflow.note(q, row, scores[i]);
            context.checkpoint();
        }
    });
    overflow.raise();
    return scores;
}

}  // namespace nearmiss
