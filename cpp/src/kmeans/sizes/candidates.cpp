// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/candidates.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "kmeans/nearest.hpp"
#include "kmeans/row_reader.hpp"
#include "kmeans/sizes/candidate_scan.hpp"
#include "parallel.hpp"
#include "search.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kRowsPerTask = 512;
constexpr std::size_t kBlocksPerTask = 8;
constexpr int kCostBits = 40;

// The keys of the first `keys.size()` centres known of a row, best first.
void sort_known(const NearCenters& known, std::size_t row, std::span<Key> keys) {
    for (std::size_t j = 0; j < keys.size(); ++j)
        keys[j] = make_key(known.scores_of(row)[j], known.centers_of(row)[j]);
    std::ranges::sort(keys, std::greater<>());
}

// One call of nearest_candidates().
class CandidateSearch {
  public:
    CandidateSearch(const Search& search, const NearCenters& known)
        : search_(search),
          known_(known),
          found_(search.queries.rows, search.pool_size) {}

    // Of the rows [begin, end). Returns how many centres had to be scored exactly.
    std::size_t run(std::size_t begin,
                    std::size_t end,
                    Precision precision,
                    const Execution& execution) {
        const FormKind kind = first_form(precision, search_.queries.cols, search_.kernel);
        const ScreeningForm& form = search_.corpus.form(kind, execution.at(0));
        const std::size_t step = kBlocksPerTask * queries_per_scan(form);
        const std::size_t tasks = (end - begin + step - 1) / step;
        std::atomic<std::size_t> num_scored{0};
        run_parallel(tasks, end - begin, execution, [&](std::size_t task, TaskContext& context) {
            CandidateScan scan(search_, form);
            const std::size_t last = std::min(end, begin + (task + 1) * step);
            for (std::size_t first = begin + task * step; first < last;) {
                const std::size_t count = std::min(queries_per_scan(form), last - first);
                num_scored.fetch_add(run_block(scan, first, count, context));
                context.checkpoint(count);
                first += count;
            }
        });
        return num_scored;
    }

    [[nodiscard]] NearCenters&& take() && noexcept { return std::move(found_); }

  private:
    std::size_t run_block(CandidateScan& scan,
                          std::size_t first,
                          std::size_t count,
                          TaskContext& context) {
        const std::size_t width = search_.pool_size;
        std::vector<std::uint32_t> rows(count);
        std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(first));
        std::vector<Key> best(count * width, CandidateScan::kNone);
        for (std::size_t i = 0; i < count && known_.width != 0; ++i)
            sort_known(known_, first + i, std::span(best).subspan(i * width, width));
        const std::size_t num_scored = scan.run(rows, best, context);
        for (std::size_t i = 0; i < best.size(); ++i) {
            found_.centers[first * width + i] = row_of(best[i]);
            found_.scores[first * width + i] = score_of(best[i]);
        }
        return num_scored;
    }

    const Search& search_;
    const NearCenters& known_;
    NearCenters found_;
};

}  // namespace

NearCenters nearest_candidates(const Points& points,
                               MatrixView centers,
                               std::size_t width,
                               const NearCenters& known,
                               const Execution& execution) {
    ScreeningChoice choice(points, centers.rows);
    const Corpus corpus(centers, points.metric(), {}, execution.at(0), choice.precision());
    const Search search{.corpus = corpus.packed(),
                        .kernel = kernels::active(),
                        .queries = points.rows(),
                        .query_norms = points.root_norms(),
                        .pool_size = width,
                        .rules = nullptr,
                        .intervals = {}};
    CandidateSearch candidates(search, known);
    std::size_t begin = 0;
    if (!choice.tried() && points.size() > ScreeningChoice::kRowsTried) {
        begin = ScreeningChoice::kRowsTried;
        const std::size_t scored = candidates.run(0, begin, choice.precision(), execution.at(0));
        choice.note(begin, scored - std::min(scored, begin * width));
    }
    candidates.run(begin, points.size(), choice.precision(), execution);
    return std::move(candidates).take();
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
            const bool is_last = row + 1 == end;
            if (!is_last) reader.fetch_ahead(row + 1);
            scorer.score(reader.read(row),
                         candidates.centers_of(row),
                         candidates.scores.data() + row * candidates.width,
                         is_last ? 0 : candidates.width);
        }
        context.checkpoint(end - begin);
    });
}

Costs::Costs(const NearCenters& candidates) : candidates_(candidates) {
    constexpr std::size_t kLanes = 16;
    const std::span<const float> scores = candidates.scores.view();
    float lanes[kLanes] = {};
    std::size_t i = 0;
    for (; i + kLanes <= scores.size(); i += kLanes)
        for (std::size_t lane = 0; lane < kLanes; ++lane)
            lanes[lane] = std::max(lanes[lane], std::abs(scores[i + lane]));
    for (; i < scores.size(); ++i) lanes[0] = std::max(lanes[0], std::abs(scores[i]));
    const float largest = *std::max_element(lanes, lanes + kLanes);
    if (largest > 0) scale_ = std::ldexp(1.0, kCostBits - std::ilogb(largest));
}

}  // namespace nearmiss
