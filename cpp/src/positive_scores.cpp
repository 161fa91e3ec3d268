// SPDX-License-Identifier: Apache-2.0
#include "positive_scores.hpp"

#include <algorithm>
#include <limits>

#include "overflow.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kQueriesPerTask = 256;

}  // namespace

std::vector<float> reference_scores(const Limits& limits,
                                    MatrixView queries,
                                    std::span<const double> query_norms,
                                    const PackedCorpus& corpus,
                                    const kernels::KernelTable& kernel,
                                    const Execution& execution) {
    const std::size_t n = queries.rows;
    if (!limits.positive_scores.empty())
        return {limits.positive_scores.begin(), limits.positive_scores.end()};
    std::vector<float> references(n, std::numeric_limits<float>::quiet_NaN());
    if (limits.positives.rows.empty()) return references;

    const auto& typed = kernel.of_type[static_cast<std::size_t>(queries.type)];
    OverflowCheck overflow;
    const std::size_t tasks = (n + kQueriesPerTask - 1) / kQueriesPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        ExactScorer scorer(corpus, kernel);
        std::vector<float> elements(queries.cols);
        std::vector<std::uint32_t> rows;
        std::vector<float> scores;
        const std::size_t end = std::min(n, (task + 1) * kQueriesPerTask);
        for (std::size_t q = task * kQueriesPerTask; q < end; ++q) {
            const auto positives = limits.positives.list(q);
            rows.clear();
            for (const std::int64_t row : positives)
                rows.push_back(static_cast<std::uint32_t>(row));
            scores.resize(rows.size());
            typed.to_float(queries.row(q), queries.cols, elements.data());
            scorer.score({elements.data(), query_norms[q]}, rows, scores.data());
            for (std::size_t i = 0; i < rows.size(); ++i) overflow.note(q, rows[i], scores[i]);
            references[q] = reference_score(scores, limits.margin_reference);
            context.checkpoint();
        }
    });
    overflow.raise();
    return references;
}

std::vector<ScoreInterval> score_intervals(const Limits& limits,
                                           std::span<const float> references) {
    std::vector<ScoreInterval> intervals(references.size());
    for (std::size_t q = 0; q < references.size(); ++q)
        intervals[q] = score_interval(limits, q, references[q]);
    return intervals;
}

}  // namespace nearmiss
