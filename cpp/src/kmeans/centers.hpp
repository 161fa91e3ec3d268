// SPDX-License-Identifier: Apache-2.0
// Centres, packed to be searched for the nearest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kmeans/few_centers.hpp"
#include "kmeans/sketch_scan.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {

// Rows of a walk over all of them: whole tiles for every scan.
inline constexpr std::size_t kRowsPerBlock = 171 * SketchScan::kQueries;

// f(begin, end, execution) for ascending blocks of rows; progress goes from the fraction `from` to
// `to`.
template <class F>
void for_blocks(std::size_t num_rows,
                double from,
                double to,
                const Execution& execution,
                const F& f) {
    for (std::size_t begin = 0; begin < num_rows; begin += kRowsPerBlock) {
        const std::size_t end = std::min(num_rows, begin + kRowsPerBlock);
        const double first = static_cast<double>(begin) / static_cast<double>(num_rows);
        const double share = static_cast<double>(end - begin) / static_cast<double>(num_rows);
        Execution part{execution.num_threads, {}};
        if (execution.progress)
            part.progress = [&, first, share](double fraction) {
                execution.progress(from + (to - from) * (first + share * fraction));
            };
        f(begin, end, part);
    }
}

// Root norms of rows that distances are taken from; throws InvalidArgument naming `argument`.
[[nodiscard]] std::vector<double> measure_rows(MatrixView rows,
                                               Metric metric,
                                               const char* argument,
                                               const Execution& execution);

[[nodiscard]] inline MatrixView view_of_centers(std::span<const float> centers, std::size_t dim) {
    return {reinterpret_cast<const std::byte*>(centers.data()),
            centers.size() / dim,
            dim,
            static_cast<std::ptrdiff_t>(dim * sizeof(float)),
            ElementType::float32};
}

// What centres are screened in. Changes the time, never the answer. Kept from one set of centres to
// the next.
class ScreeningChoice {
  public:
    // Rows after which codes, or sketches, may turn out too coarse, before all others.
    static constexpr std::size_t kRowsTried = 11 * SketchScan::kQueries;

    ScreeningChoice(const Points& points, std::size_t num_centers) noexcept;

    [[nodiscard]] Precision precision() const noexcept { return precision_; }
    [[nodiscard]] bool tried() const noexcept { return tried_; }
    // After so many rows in codes: how many centres had to be scored exactly for them.
    void note(std::size_t rows, std::size_t scored) noexcept;

    // Whether sketches are worth looking at for another set of centres.
    [[nodiscard]] bool try_sketches() noexcept {
        sketches_tried_ = false;
        sketches_pay_ = sketches_failed_ < kMostFailures;
        return sketches_pay_;
    }
    [[nodiscard]] bool sketches_tried() const noexcept { return sketches_tried_; }
    [[nodiscard]] bool sketches_pay() const noexcept { return sketches_pay_; }
    // As note(), by sketches; what it cost, in centres scored exactly.
    void note_sketched(std::size_t rows, std::size_t scored) noexcept;

  private:
    // Centres that have hardly begun to move are hard to tell apart.
    static constexpr std::size_t kMostFailures = 3;

    const std::size_t affordable_;  // centres to score exactly per row
    const std::size_t affordable_by_sketch_;
    Precision precision_;
    bool tried_;  // or nothing to try
    bool sketches_tried_ = false;
    bool sketches_pay_ = true;
    std::size_t sketches_failed_ = 0;
};

class Scans;

// Labels and scores of rows, written to their places.
class CenterSearch {
  public:
    // `centers` and `choice` must outlive it. `sketched`: the points, or null. `changed`: by
    // centre, whether it differs from the one that labels and scores of rows to come refer to;
    // empty if these say nothing. `known`: for every row one of the centres and its score, or null.
    CenterSearch(const Points& points,
                 const SketchedPoints* sketched,
                 MatrixView centers,
                 std::span<const std::uint8_t> changed,
                 const Assignment* known,
                 ScreeningChoice& choice,
                 const Execution& execution);

    // Of the rows [begin, end).
    void assign(std::size_t begin,
                std::size_t end,
                Assignment& assignment,
                const Execution& execution) const;

  private:
    struct Work {
        std::size_t searched_among_all;  // rows
        std::size_t scored_among_all;    // centres, exactly
        std::size_t scored;
    };

    void assign_in_one_way(std::size_t begin,
                           std::size_t end,
                           Assignment& assignment,
                           const Execution& execution) const;
    // `among_some`: null, or a search among the centres that changed.
    Work assign_by(Scans& among_all,
                   Scans* among_some,
                   std::size_t begin,
                   std::size_t end,
                   Assignment& assignment,
                   const Execution& execution) const;
    void assign_to_few(std::size_t begin,
                       std::size_t end,
                       Assignment& assignment,
                       const Execution& execution) const;
    void gather_changed(MatrixView centers, const Execution& execution);

    const Points& points_;
    const SketchedPoints* const sketched_;
    const std::span<const std::uint8_t> changed_;
    const Assignment* const known_;
    ScreeningChoice& choice_;
    Corpus all_;
    std::unique_ptr<FewCenters> few_;  // all, where they are few
    // The centres that changed, where they are few enough to be worth a corpus of their own.
    std::vector<float> some_centers_;
    std::vector<std::uint32_t> some_numbers_;
    std::vector<std::uint32_t> some_places_;
    std::unique_ptr<Corpus> some_;
    // Null where sketches are not used.
    std::unique_ptr<SketchedCenters> sketched_centers_;
};

// The rows of clusters, ascending.
class ClusterMembers {
  public:
    // Of the rows [begin, end). `labels`: of all rows.
    ClusterMembers(std::span<const std::int32_t> labels,
                   std::size_t begin,
                   std::size_t end,
                   std::size_t num_clusters);

    [[nodiscard]] std::span<const std::uint32_t> of(std::size_t cluster) const noexcept {
        return {order_.data() + starts_[cluster], order_.data() + starts_[cluster + 1]};
    }
    // f(cluster) for all of them: tasks get about as many rows each.
    void for_each(const Execution& execution, const std::function<void(std::size_t)>& f) const;

  private:
    std::vector<std::uint32_t> order_;   // rows by label
    std::vector<std::uint32_t> starts_;  // of each cluster in `order_`
};

// Adds rows, times their multipliers, to `sum`, and their weights to `weight`, one after the other.
void add_rows(const Points& points,
              std::span<const std::uint32_t> rows,
              double& weight,
              double* sum);

// Adds up the rows of clusters, block by block.
class Summation {
  public:
    Summation(const Points& points, std::size_t num_clusters);

    // Blocks in ascending order. `labels`: of all rows.
    void add(std::size_t begin,
             std::size_t end,
             std::span<const std::int32_t> labels,
             const Execution& execution);

    [[nodiscard]] ClusterSums&& take() && noexcept { return std::move(sums_); }

  private:
    const Points& points_;
    ClusterSums sums_;
};

}  // namespace nearmiss
