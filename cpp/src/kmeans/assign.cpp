// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <numeric>

#include "float_environment.hpp"
#include "forms/form.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "kmeans/nearest.hpp"

namespace nearmiss {
namespace {

// With fewer, codes save less than encoding a row costs.
constexpr std::size_t kMinCentersForCodes = 192;
// Scoring a centre exactly costs about as much as screening this many elements in float32.
constexpr std::size_t kScoringElements = 6500;
// Rows after which codes may turn out too coarse, before all others.
constexpr std::size_t kRowsTried = 4096;

// Scans, used again by the tasks of one walk: their memory is large.
class IdleScans {
  public:
    IdleScans(const Search& search, const ScreeningForm& form) : search_(search), form_(form) {}

    std::unique_ptr<NearestScan> lend() {
        const std::lock_guard lock(mutex_);
        if (idle_.empty()) return std::make_unique<NearestScan>(search_, form_);
        std::unique_ptr<NearestScan> scan = std::move(idle_.back());
        idle_.pop_back();
        return scan;
    }

    void take_back(std::unique_ptr<NearestScan> scan) {
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(scan));
    }

  private:
    const Search& search_;
    const ScreeningForm& form_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<NearestScan>> idle_;
};

}  // namespace

ScreeningChoice::ScreeningChoice(const Points& points, std::size_t num_centers) noexcept
    : affordable_(2 + num_centers * points.dim() / kScoringElements),
      precision_(num_centers < kMinCentersForCodes ? Precision::float32 : Precision::automatic),
      tried_(num_centers < kMinCentersForCodes) {}

void ScreeningChoice::note(std::size_t rows, std::size_t scored) noexcept {
    if (scored > rows * affordable_) precision_ = Precision::float32;
    tried_ = true;
}

void CenterSearch::assign(std::size_t begin,
                          std::size_t end,
                          bool guesses,
                          Assignment& assignment,
                          const Execution& execution) const {
    if (!choice_.tried() && end - begin > kRowsTried) {
        assign_in_one_form(begin, begin + kRowsTried, guesses, assignment, execution.at(0));
        begin += kRowsTried;
    }
    assign_in_one_form(begin, end, guesses, assignment, execution);
}

void CenterSearch::assign_in_one_form(std::size_t begin,
                                      std::size_t end,
                                      bool guesses,
                                      Assignment& assignment,
                                      const Execution& execution) const {
    const PackedCorpus& centers = corpus_.packed();
    const kernels::KernelTable& kernel = kernels::active();
    const Search search{.corpus = centers,
                        .kernel = kernel,
                        .queries = points_.rows(),
                        .query_norms = points_.root_norms(),
                        .pool_size = 1,
                        .rules = nullptr,
                        .intervals = {}};
    const FormKind kind = first_form(choice_.precision(), points_.dim(), kernel);
    const ScreeningForm& form = centers.form(kind, execution.at(0));
    IdleScans scans(search, form);
    std::atomic<std::size_t> num_scored{0};
    const std::size_t step = NearestScan::block_size(form);
    const std::size_t tasks = (end - begin + step - 1) / step;
    run_parallel(tasks, end - begin, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t first = begin + task * step;
        std::vector<std::uint32_t> rows(std::min(step, end - first));
        std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(first));
        const std::span<std::int32_t> labels(assignment.labels.data() + first, rows.size());
        std::vector<Key> best(rows.size());
        std::unique_ptr<NearestScan> scan = scans.lend();
        num_scored.fetch_add(
            scan->run(rows, guesses ? labels : std::span<std::int32_t>(), best, context));
        scans.take_back(std::move(scan));
        for (std::size_t i = 0; i < rows.size(); ++i) {
            labels[i] = static_cast<std::int32_t>(row_of(best[i]));
            assignment.scores[first + i] = score_of(best[i]);
        }
        context.checkpoint(rows.size());
    });
    if (kind == FormKind::int8) choice_.note(end - begin, num_scored.load());
}

Assignment assign(const Points& points, MatrixView centers, const Execution& execution) {
    const FloatEnvironment environment;
    static_cast<void>(measure_rows(centers, points.metric(), "centers", execution));
    ScreeningChoice choice(points, centers.rows);
    const CenterSearch search(points, centers, choice, execution.at(0));
    Assignment assignment{std::vector<std::int32_t>(points.size()),
                          std::vector<float>(points.size())};
    for_blocks(points.size(), 0, 1, execution, [&](auto begin, auto end, const Execution& part) {
        search.assign(begin, end, false, assignment, part);
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
