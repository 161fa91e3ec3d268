// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>

#include "float_environment.hpp"
#include "forms/form.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "kmeans/nearest.hpp"
#include "kmeans/row_reader.hpp"
#include "kmeans/sketch_scan.hpp"

namespace nearmiss {

// A search among all centres or some of them, and scans that tasks use in turn: their memory is
// large.
class Scans {
  public:
    virtual ~Scans() = default;

    // The most queries that are searched for together.
    [[nodiscard]] virtual std::size_t block_size() const noexcept = 0;

    // As CenterScan::run, for any number of queries. From any thread.
    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<Key> best,
                    TaskContext& context) {
        if (queries.empty()) return 0;
        std::unique_ptr<CenterScan> scan = lend();
        std::size_t num_scored = 0;
        for (std::size_t begin = 0; begin < queries.size(); begin += block_size()) {
            const std::size_t count = std::min(block_size(), queries.size() - begin);
            num_scored +=
                scan->run(queries.subspan(begin, count), best.subspan(begin, count), context);
        }
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(scan));
        return num_scored;
    }

  protected:
    [[nodiscard]] virtual std::unique_ptr<CenterScan> make() const = 0;

  private:
    std::unique_ptr<CenterScan> lend() {
        {
            const std::lock_guard lock(mutex_);
            if (!idle_.empty()) {
                std::unique_ptr<CenterScan> scan = std::move(idle_.back());
                idle_.pop_back();
                return scan;
            }
        }
        return make();
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<CenterScan>> idle_;
};

namespace {

// With fewer, codes save less than encoding a row costs.
constexpr std::size_t kMinCentersForCodes = 192;
// Scoring a centre exactly costs about as much as screening this many elements in float32.
constexpr std::size_t kScoringElements = 6500;
// The same in codes, less what sketches cost.
constexpr std::size_t kScoringElementsOfCodes = 30000;

Precision precision_for(std::size_t num_centers) {
    return num_centers < kMinCentersForCodes ? Precision::float32 : Precision::automatic;
}

Search search_among(const PackedCorpus& corpus,
                    MatrixView queries,
                    std::span<const double> query_norms) {
    return {.corpus = corpus,
            .kernel = kernels::active(),
            .queries = queries,
            .query_norms = query_norms,
            .pool_size = 1,
            .rules = nullptr,
            .intervals = {}};
}

// By what rows and centres are themselves.
class NearestScans final : public Scans {
  public:
    NearestScans(const Points& points,
                 const Corpus& centers,
                 Precision precision,
                 CenterNumbers numbers,
                 const Execution& execution)
        : search_(search_among(centers.packed(), points.rows(), points.root_norms())),
          numbers_(numbers),
          kind_(first_form(precision, points.dim(), search_.kernel)),
          form_(centers.packed().form(kind_, execution.at(0))) {}

    [[nodiscard]] FormKind kind() const noexcept { return kind_; }
    [[nodiscard]] std::size_t block_size() const noexcept override {
        return queries_per_scan(form_);
    }

  private:
    [[nodiscard]] std::unique_ptr<CenterScan> make() const override {
        return std::make_unique<NearestScan>(search_, form_, numbers_);
    }

    const Search search_;
    const CenterNumbers numbers_;
    const FormKind kind_;
    const ScreeningForm& form_;
};

// By sketches.
class SketchScans final : public Scans {
  public:
    // `num_panels`: of the centres, from the first.
    SketchScans(const Points& points,
                const SketchedPoints& sketched,
                const Corpus& centers,
                const SketchedCenters& sketched_centers,
                std::size_t num_panels)
        : search_(search_among(centers.packed(), points.rows(), points.root_norms())),
          sketched_(sketched),
          centers_(sketched_centers),
          num_panels_(num_panels) {}

    [[nodiscard]] std::size_t block_size() const noexcept override { return SketchScan::kQueries; }

  private:
    [[nodiscard]] std::unique_ptr<CenterScan> make() const override {
        return std::make_unique<SketchScan>(search_, sketched_, centers_, num_panels_);
    }

    const Search search_;
    const SketchedPoints& sketched_;
    const SketchedCenters& centers_;
    const std::size_t num_panels_;
};

// Rows to be searched for, and the best centre known of each.
struct Group {
    std::vector<std::uint32_t> rows;
    std::vector<Key> best;

    void add(std::size_t row, Key key) {
        rows.push_back(static_cast<std::uint32_t>(row));
        best.push_back(key);
    }
    void write(Assignment& assignment) const {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            assignment.labels[rows[i]] = static_cast<std::int32_t>(row_of(best[i]));
            assignment.scores[rows[i]] = score_of(best[i]);
        }
    }
};

Key key_of(const Assignment& assignment, std::size_t row) {
    return make_key(assignment.scores[row], static_cast<std::uint32_t>(assignment.labels[row]));
}

// The keys of rows with centres that are known to be near.
class KnownCenters {
  public:
    // `known`: these, or null: those that rows had before.
    KnownCenters(const Points& points,
                 const PackedCorpus& centers,
                 std::span<const std::uint8_t> changed,
                 const Assignment* known)
        : changed_(changed),
          known_(known),
          reader_(points.rows(), points.root_norms(), kernels::active()),
          scorer_(centers, kernels::active()) {}

    [[nodiscard]] Key key(std::size_t row, Key before) {
        if (known_ != nullptr) return key_of(*known_, row);
        const std::uint32_t center = row_of(before);
        if (changed_[center] == 0) return before;
        return make_key(scorer_.score(reader_.read(row), center), center);
    }

  private:
    const std::span<const std::uint8_t> changed_;
    const Assignment* const known_;
    RowReader reader_;
    ExactScorer scorer_;
};

}  // namespace

ScreeningChoice::ScreeningChoice(const Points& points, std::size_t num_centers) noexcept
    : affordable_(2 + num_centers * points.dim() / kScoringElements),
      affordable_by_sketch_(2 + num_centers * points.dim() / kScoringElementsOfCodes),
      precision_(precision_for(num_centers)),
      tried_(num_centers < kMinCentersForCodes) {}

void ScreeningChoice::note(std::size_t rows, std::size_t scored) noexcept {
    if (scored > rows * affordable_) precision_ = Precision::float32;
    tried_ = true;
}

void ScreeningChoice::note_sketched(std::size_t rows, std::size_t scored) noexcept {
    sketches_tried_ = true;
    sketches_pay_ = scored <= rows * affordable_by_sketch_;
    if (!sketches_pay_) ++sketches_failed_;
}

CenterSearch::CenterSearch(const Points& points,
                           const SketchedPoints* sketched,
                           MatrixView centers,
                           std::span<const std::uint8_t> changed,
                           const Assignment* known,
                           ScreeningChoice& choice,
                           const Execution& execution)
    : points_(points),
      sketched_(sketched),
      changed_(changed),
      known_(known),
      choice_(choice),
      all_(centers, points.metric(), {}, execution, choice.precision()) {
    if (precision_for(centers.rows) == Precision::float32 &&
        FewCenters::serve(points, centers.rows))
        few_ = std::make_unique<FewCenters>(points, all_.packed());
    if (changed.empty()) return;
    gather_changed(centers, execution);
    const PackedCorpus& packed = all_.packed();
    if (sketched_ == nullptr || some_numbers_.empty() || !choice.try_sketches() ||
        !SketchedCenters::serves(sketched_->map(), packed.root_norms.view()))
        return;
    sketched_centers_ =
        std::make_unique<SketchedCenters>(*sketched_, packed, changed_, execution.at(0));
}

void CenterSearch::gather_changed(MatrixView centers, const Execution& execution) {
    for (std::size_t c = 0; c < changed_.size(); ++c)
        if (changed_[c] != 0) some_numbers_.push_back(static_cast<std::uint32_t>(c));
    const std::size_t count = some_numbers_.size();
    if (few_ || count == 0 || count > changed_.size() - changed_.size() / 4) return;
    some_places_.assign(changed_.size(), CenterNumbers::kNowhere);
    some_centers_.resize(count * centers.cols);
    for (std::size_t i = 0; i < count; ++i) {
        some_places_[some_numbers_[i]] = static_cast<std::uint32_t>(i);
        std::memcpy(some_centers_.data() + i * centers.cols,
                    centers.row(some_numbers_[i]),
                    centers.row_bytes());
    }
    some_ = std::make_unique<Corpus>(view_of_centers(some_centers_, centers.cols),
                                     points_.metric(),
                                     std::span<const std::int64_t>(),
                                     execution,
                                     precision_for(count));
}

void CenterSearch::assign(std::size_t begin,
                          std::size_t end,
                          Assignment& assignment,
                          const Execution& execution) const {
    if (!changed_.empty() && some_numbers_.empty()) return;  // all is as it was
    if (few_) return assign_to_few(begin, end, assignment, execution);
    const bool to_try = sketched_centers_ ? !choice_.sketches_tried() : !choice_.tried();
    if (to_try && end - begin > ScreeningChoice::kRowsTried) {
        const std::size_t tried = begin + ScreeningChoice::kRowsTried;
        assign_in_one_way(begin, tried, assignment, execution.at(0));
        begin = tried;
    }
    assign_in_one_way(begin, end, assignment, execution);
}

void CenterSearch::assign_to_few(std::size_t begin,
                                 std::size_t end,
                                 Assignment& assignment,
                                 const Execution& execution) const {
    constexpr std::size_t kRowsPerTask = 1536;
    const std::size_t tasks = (end - begin + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, end - begin, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t first = begin + task * kRowsPerTask;
        const std::size_t last = std::min(end, first + kRowsPerTask);
        few_->assign(first, last, assignment);
        context.checkpoint(last - first);
    });
}

void CenterSearch::assign_in_one_way(std::size_t begin,
                                     std::size_t end,
                                     Assignment& assignment,
                                     const Execution& execution) const {
    if (sketched_centers_ && choice_.sketches_pay()) {
        const SketchedCenters& centers = *sketched_centers_;
        SketchScans among_all(points_, *sketched_, all_, centers, centers.num_panels());
        SketchScans among_some(points_, *sketched_, all_, centers, centers.num_changed_panels());
        const Work work =
            assign_by(among_all, some_ ? &among_some : nullptr, begin, end, assignment, execution);
        choice_.note_sketched(end - begin, work.scored);
        return;
    }
    NearestScans among_all(points_, all_, choice_.precision(), {}, execution);
    std::optional<NearestScans> among_some;
    if (some_)
        among_some.emplace(points_,
                           *some_,
                           choice_.precision() == Precision::float32
                               ? Precision::float32
                               : precision_for(some_numbers_.size()),
                           CenterNumbers{some_numbers_, some_places_},
                           execution);
    const Work work = assign_by(
        among_all, among_some ? &*among_some : nullptr, begin, end, assignment, execution);
    if (among_all.kind() == FormKind::int8)
        choice_.note(work.searched_among_all, work.scored_among_all);
}

CenterSearch::Work CenterSearch::assign_by(Scans& among_all,
                                           Scans* among_some,
                                           std::size_t begin,
                                           std::size_t end,
                                           Assignment& assignment,
                                           const Execution& execution) const {
    std::atomic<std::size_t> num_searched{0};
    std::atomic<std::size_t> num_scored{0};
    std::atomic<std::size_t> num_scored_among_some{0};
    const std::size_t step = (among_some != nullptr ? 4 : 1) * among_all.block_size();
    const std::size_t tasks = (end - begin + step - 1) / step;
    run_parallel(tasks, end - begin, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t first = begin + task * step;
        const std::size_t last = std::min(end, first + step);
        Group to_all;
        Group to_some;
        KnownCenters known(points_, all_.packed(), changed_, known_);
        for (std::size_t row = first; row < last; ++row) {
            if (changed_.empty()) {
                to_all.add(row, NearestScan::kNone);
                continue;
            }
            const Key before = key_of(assignment, row);
            const Key key = known.key(row, before);
            // No other centre was as good as its centre before, and those that have not changed are
            // not now if the one known is no worse.
            (among_some != nullptr && key >= before ? to_some : to_all).add(row, key);
        }
        num_searched.fetch_add(to_all.rows.size());
        num_scored.fetch_add(among_all.run(to_all.rows, to_all.best, context));
        if (among_some != nullptr)
            num_scored_among_some.fetch_add(among_some->run(to_some.rows, to_some.best, context));
        to_all.write(assignment);
        to_some.write(assignment);
        context.checkpoint(last - first);
    });
    return {num_searched, num_scored, num_scored + num_scored_among_some};
}

Assignment assign(const Points& points, MatrixView centers, const Execution& execution) {
    const FloatEnvironment environment;
    static_cast<void>(measure_rows(centers, points.metric(), "centers", execution));
    ScreeningChoice choice(points, centers.rows);
    const CenterSearch search(points, nullptr, centers, {}, nullptr, choice, execution.at(0));
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
