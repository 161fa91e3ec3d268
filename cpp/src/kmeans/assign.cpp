// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <shared_mutex>

#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "search.hpp"

namespace nearmiss {

void CenterSearch::assign(std::size_t begin,
                          std::size_t end,
                          Assignment& assignment,
                          const Execution& execution) const {
    MatrixView rows = points_.rows();
    rows.data = rows.row(begin);
    rows.rows = end - begin;
    const Search search{.corpus = corpus_.packed(),
                        .kernel = kernels::active(),
                        .queries = rows,
                        .query_norms = points_.root_norms().subspan(begin, end - begin),
                        .pool_size = 1,
                        .rules = nullptr,
                        .intervals = {}};
    search_pools(search, execution, [&](const Pool& pool) {
        const Key best = pool.keys.front();
        assignment.labels[begin + pool.query] = static_cast<std::int32_t>(row_of(best));
        assignment.scores[begin + pool.query] = score_of(best);
    });
}

Assignment assign(const Points& points, MatrixView centers, const Execution& execution) {
    const FloatEnvironment environment;
    static_cast<void>(measure_rows(centers, points.metric(), "centers", execution));
    const CenterSearch search(points, centers, execution);
    Assignment assignment{std::vector<std::int32_t>(points.size()),
                          std::vector<float>(points.size())};
    for_blocks(points.size(), 0, 1, execution, [&](auto begin, auto end, const Execution& part) {
        search.assign(begin, end, assignment, part);
    });
    return assignment;
}

double total_loss(const Points& points, std::span<const float> scores) {
    double total = 0;
    for (std::size_t row = 0; row < scores.size(); ++row)
        total += points.weight(row) * points.loss(scores[row]);
    return total;
}

}  // namespace nearmiss
