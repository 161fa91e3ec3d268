// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/candidates.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "kmeans/row_reader.hpp"
#include "parallel.hpp"
#include "search.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kRowsPerTask = 512;
constexpr int kCostBits = 40;

// From the least of the scores known: as many centres are that good.
std::vector<ScoreInterval> intervals_from(const NearCenters& known, std::size_t width) {
    std::vector<ScoreInterval> intervals(known.width == 0 ? 0 : known.num_rows());
    for (std::size_t row = 0; row < intervals.size(); ++row)
        intervals[row].floor = std::ranges::min(known.scores_of(row).first(width));
    return intervals;
}

}  // namespace

NearCenters nearest_candidates(const Points& points,
                               MatrixView centers,
                               std::size_t width,
                               const NearCenters& known,
                               const Execution& execution) {
    const Corpus corpus(centers, points.metric(), {}, execution.at(0), Precision::automatic);
    const std::vector<ScoreInterval> intervals = intervals_from(known, width);
    const Search search{.corpus = corpus.packed(),
                        .kernel = kernels::active(),
                        .queries = points.rows(),
                        .query_norms = points.root_norms(),
                        .pool_size = width,
                        .rules = nullptr,
                        .intervals = intervals};
    NearCenters found(points.size(), width);
    static_cast<void>(search_pools(search, execution, [&](const Pool& pool) {
        for (std::size_t j = 0; j < width; ++j) {
            found.centers[pool.query * width + j] = row_of(pool.keys[j]);
            found.scores[pool.query * width + j] = score_of(pool.keys[j]);
        }
    }));
    return found;
}

NearCenters nearest_among(const Points& points,
                          MatrixView centers,
                          std::span<const std::uint32_t> some,
                          std::size_t most,
                          const Execution& execution) {
    std::vector<float> gathered(some.size() * centers.cols);
    for (std::size_t i = 0; i < some.size(); ++i)
        std::memcpy(gathered.data() + i * centers.cols, centers.row(some[i]), centers.row_bytes());
    NearCenters found = nearest_candidates(points,
                                           view_of_centers(gathered, centers.cols),
                                           std::min(most, some.size()),
                                           {},
                                           execution);
    for (std::size_t i = 0; i < found.centers.size(); ++i)
        found.centers[i] = some[found.centers[i]];
    return found;
}

void score_candidates(const Points& points,
                      MatrixView centers,
                      NearCenters& candidates,
                      const Execution& execution) {
    const Corpus corpus(centers, points.metric(), {}, execution.at(0), Precision::float32);
    const kernels::KernelTable& kernel = kernels::active();
    const std::size_t num_rows = points.size();
    const std::size_t tasks = (num_rows + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, num_rows, execution, [&](std::size_t task, TaskContext& context) {
        ExactScorer scorer(corpus.packed(), kernel);
        RowReader reader(points.rows(), points.root_norms(), kernel);
        const std::size_t begin = task * kRowsPerTask;
        const std::size_t end = std::min(num_rows, begin + kRowsPerTask);
        for (std::size_t row = begin; row < end; ++row) {
            scorer.score(reader.read(row),
                         candidates.centers_of(row),
                         candidates.scores.data() + row * candidates.width);
        }
        context.checkpoint(end - begin);
    });
}

Costs::Costs(const NearCenters& candidates) : candidates_(candidates) {
    float largest = 0;
    for (const float score : candidates.scores.view()) largest = std::max(largest, std::abs(score));
    if (largest > 0) scale_ = std::ldexp(1.0, kCostBits - std::ilogb(largest));
}

}  // namespace nearmiss
