// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <memory>

#include "collect/keys.hpp"
#include "float_environment.hpp"
#include "kmeans/centers.hpp"
#include "kmeans/moving_centers.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {
namespace {

// Whether to walk over rows cluster by cluster: they are certain to be in memory, most clusters fit
// the cache, and scores with their centres will be asked for.
bool read_at_once(const Points& points, std::size_t num_clusters) {
    constexpr std::size_t kMostBytes = std::size_t{2} << 30;
    constexpr std::size_t kMostBytesPerCluster = std::size_t{1} << 20;
    const std::size_t bytes = points.size() * points.rows().row_bytes();
    return bytes <= kMostBytes && bytes <= num_clusters * kMostBytesPerCluster &&
           !FewCenters::serve(points, num_clusters);
}

// One call of lloyd().
class Lloyd {
  public:
    Lloyd(const Points& points,
          MatrixView centers,
          const Stopping& stopping,
          const Execution& execution)
        : points_(points),
          num_clusters_(centers.rows),
          stopping_(stopping),
          execution_(execution),
          centers_(points, centers, execution),
          choice_(points, centers.rows),
          at_once_(read_at_once(points, centers.rows)),
          assignment_{std::vector<std::int32_t>(points.size()), std::vector<float>(points.size())},
          clusters_{{}, std::vector<float>(at_once_ ? points.size() : 0)} {}

    Clustering run() && {
        const double enough =
            stopping_.tol > 0 ? stopping_.tol * mean_variance(points_, execution_) : 0;
        for (std::size_t i = 0; i < stopping_.max_iter; ++i) {
            assign(i);
            result_.losses.push_back(total_loss(points_, assignment_.scores));
            if (assignment_.labels == clusters_.labels) return std::move(*this).finish();
            const std::vector<std::int32_t> before = std::move(clusters_.labels);
            clusters_.labels = assignment_.labels;
            const bool repaired = repair();
            if (move(before, repaired) <= enough) break;
        }
        assign(stopping_.max_iter);
        return std::move(*this).finish();
    }

  private:
    Clustering finish() && {
        result_.centers = std::move(centers_).take();
        result_.loss = result_.free_loss = total_loss(points_, assignment_.scores);
        result_.cluster_weights = weights();
        result_.labels = std::move(assignment_.labels);
        return std::move(result_);
    }

    [[nodiscard]] std::vector<double> weights() const {
        std::vector<double> result(num_clusters_);
        for (std::size_t row = 0; row < points_.size(); ++row)
            result[static_cast<std::size_t>(assignment_.labels[row])] += points_.weight(row);
        return result;
    }

    void assign(std::size_t iteration) {
        const double steps = static_cast<double>(stopping_.max_iter + 1);
        const double from = static_cast<double>(iteration) / steps;
        done_ = from + 1 / steps;
        // From the second iteration on a near centre of every row is known.
        if (iteration > 0 && !sketched_ && choice_.precision() != Precision::float32 &&
            SketchMap::serves(points_))
            sketched_ = std::make_unique<SketchedPoints>(points_, execution_.at(from));
        const CenterSearch search(points_,
                                  sketched_.get(),
                                  centers_.view(),
                                  centers_.changed(),
                                  iteration > 0 && at_once_ ? &clusters_ : nullptr,
                                  choice_,
                                  execution_.at(from));
        const bool adds_up = !at_once_ && iteration < stopping_.max_iter;
        Summation summation(points_, adds_up ? num_clusters_ : 0);
        for_blocks(points_.size(),
                   from,
                   done_,
                   execution_,
                   [&](auto begin, auto end, const Execution& part) {
                       search.assign(begin, end, assignment_, part);
                       if (adds_up) summation.add(begin, end, assignment_.labels, part);
                   });
        sums_ = std::move(summation).take();
    }

    // Moves centres to the means of clusters. `before`: the labels of these at the last move.
    // `repaired`: they are not what rows were assigned to.
    double move(std::span<const std::int32_t> before, bool repaired) {
        const Execution execution = execution_.at(done_);
        if (at_once_) return centers_.move(clusters_, before, execution);
        if (!repaired) return centers_.move(sums_);
        return centers_.move(sum_clusters(points_, clusters_.labels, num_clusters_, execution));
    }

    // Gives rows to empty clusters; whether it did.
    bool repair() {
        const std::vector<double> assigned = weights();
        std::vector<std::size_t> empty;
        for (std::size_t c = 0; c < num_clusters_; ++c)
            if (assigned[c] == 0) empty.push_back(c);
        return !empty.empty() && give_rows(empty, clusters_.labels);
    }

    // False if there was none to give.
    [[nodiscard]] bool give_rows(std::span<const std::size_t> empty,
                                 std::vector<std::int32_t>& labels) const {
        std::vector<Key> farthest;
        std::vector<std::size_t> members(num_clusters_, 0);
        for (std::size_t row = 0; row < points_.size(); ++row) {
            if (points_.weight(row) == 0) continue;
            ++members[static_cast<std::size_t>(labels[row])];
            const float score = assignment_.scores[row];
            if (points_.loss(score) > 0)
                farthest.push_back(make_key(-score, static_cast<std::uint32_t>(row)));
        }
        std::make_heap(farthest.begin(), farthest.end());
        std::vector<std::size_t> given;
        for (const std::size_t cluster : empty) {
            for (bool found = false; !found;) {
                if (farthest.empty()) return !given.empty();
                const std::size_t row = row_of(farthest.front());
                std::pop_heap(farthest.begin(), farthest.end());
                farthest.pop_back();
                std::size_t& left = members[static_cast<std::size_t>(labels[row])];
                found = left > 1 && std::ranges::none_of(given, [&](std::size_t other) {
                            return same_bits(row, other);
                        });
                if (!found) continue;
                --left;
                labels[row] = static_cast<std::int32_t>(cluster);
                given.push_back(row);
            }
        }
        return true;
    }

    [[nodiscard]] bool same_bits(std::size_t a, std::size_t b) const {
        const MatrixView rows = points_.rows();
        return std::memcmp(rows.row(a), rows.row(b), rows.row_bytes()) == 0;
    }

    const Points& points_;
    const std::size_t num_clusters_;
    const Stopping stopping_;
    const Execution& execution_;
    MovingCenters centers_;
    ScreeningChoice choice_;
    std::unique_ptr<SketchedPoints> sketched_;  // once it is needed, if it is
    const bool at_once_;  // clusters are added up, moved and scored, one after the other
    Assignment assignment_;
    Assignment clusters_;  // that centres moved to: with rows given to empty ones
    ClusterSums sums_;     // of assigned rows, unless `at_once_`
    double done_ = 0;      // the fraction of the work, after the walk under way
    Clustering result_;
};

}  // namespace

Clustering lloyd(const Points& points,
                 MatrixView centers,
                 const Stopping& stopping,
                 const Execution& execution) {
    const FloatEnvironment environment;
    require(stopping.max_iter >= 1, "max_iter: expected at least 1");
    return Lloyd(points, centers, stopping, execution).run();
}

}  // namespace nearmiss
