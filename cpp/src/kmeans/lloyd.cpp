// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>

#include "collect/keys.hpp"
#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {
namespace {

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
          choice_(points, centers.rows),
          assignment_{std::vector<std::int32_t>(points.size()), std::vector<float>(points.size())} {
        static_cast<void>(measure_rows(centers, points.metric(), "init", execution));
        result_.centers.resize(num_clusters_ * points.dim());
        std::vector<double> wide(points.dim());
        for (std::size_t c = 0; c < num_clusters_; ++c) {
            float* const center = result_.centers.data() + c * points.dim();
            std::memcpy(center, centers.row(c), centers.row_bytes());
            if (points.metric() != Metric::cosine) continue;
            std::copy_n(center, points.dim(), wide.begin());
            set_direction(wide, center);
        }
    }

    Clustering run() && {
        const double enough = stopping_.tol > 0 ? stopping_.tol * mean_variance() : 0;
        std::vector<std::int32_t> before;
        for (std::size_t i = 0; i < stopping_.max_iter; ++i) {
            const ClusterSums assigned = assign_and_sum(i);
            result_.losses.push_back(total_loss(points_, assignment_.scores));
            if (assignment_.labels == before) return std::move(*this).finish(assigned.weights);
            before = assignment_.labels;
            const ClusterSums repaired = repair(assigned, before);
            if (move_centers(repaired) <= enough) break;
        }
        return std::move(*this).finish(assign_and_sum(stopping_.max_iter).weights);
    }

  private:
    Clustering finish(std::vector<double> cluster_weights) && {
        result_.loss = total_loss(points_, assignment_.scores);
        result_.labels = std::move(assignment_.labels);
        result_.cluster_weights = std::move(cluster_weights);
        return std::move(result_);
    }

    // A block is assigned and added up while it is in the cache, or in memory at all.
    ClusterSums assign_and_sum(std::size_t iteration) {
        const double steps = static_cast<double>(stopping_.max_iter + 1);
        const double from = static_cast<double>(iteration) / steps;
        done_ = from + 1 / steps;
        const CenterSearch search(points_,
                                  view_of_centers(result_.centers, points_.dim()),
                                  changed_,
                                  choice_,
                                  execution_.at(from));
        Summation summation(points_, num_clusters_);
        for_blocks(points_.size(),
                   from,
                   done_,
                   execution_,
                   [&](auto begin, auto end, const Execution& part) {
                       search.assign(begin, end, assignment_, part);
                       summation.add(begin, end, assignment_.labels, part);
                   });
        return std::move(summation).take();
    }

    // The mean over the columns of their variance.
    [[nodiscard]] double mean_variance() const {
        const std::vector<std::int32_t> together(points_.size(), 0);
        const ClusterSums all = sum_clusters(points_, together, 1, execution_.at(0));
        double squares = 0;
        for (std::size_t row = 0; row < points_.size(); ++row) {
            const double norm =
                points_.metric() == Metric::cosine ? 1.0 : points_.root_norms()[row];
            squares += points_.weight(row) * (norm * norm);
        }
        double square_of_mean = 0;
        for (const double sum : all.sums) {
            const double mean = sum / all.weights[0];
            square_of_mean += mean * mean;
        }
        const double variance = squares / all.weights[0] - square_of_mean;
        return std::max(variance, 0.0) / static_cast<double>(points_.dim());
    }

    // Gives rows to empty clusters, in `labels` too.
    [[nodiscard]] ClusterSums repair(const ClusterSums& assigned,
                                     std::vector<std::int32_t>& labels) const {
        std::vector<std::size_t> empty;
        for (std::size_t c = 0; c < num_clusters_; ++c)
            if (assigned.weights[c] == 0) empty.push_back(c);
        if (empty.empty() || !give_rows(empty, labels)) return assigned;
        return sum_clusters(points_, labels, num_clusters_, execution_.at(done_));
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

    // Returns the sum of squared shifts.
    double move_centers(const ClusterSums& clusters) {
        const std::size_t dim = points_.dim();
        std::vector<float> center(dim);
        changed_.assign(num_clusters_, 0);
        double shift = 0;
        for (std::size_t c = 0; c < num_clusters_; ++c) {
            const std::span<const double> sum(clusters.sums.data() + c * dim, dim);
            const double weight = clusters.weights[c];
            if (weight == 0) continue;
            if (points_.metric() == Metric::cosine) {
                if (!set_direction(sum, center.data())) continue;
            } else {
                for (std::size_t j = 0; j < dim; ++j)
                    center[j] = static_cast<float>(sum[j] / weight);
            }
            float* const place = result_.centers.data() + c * dim;
            changed_[c] = std::memcmp(center.data(), place, dim * sizeof(float)) != 0;
            for (std::size_t j = 0; j < dim; ++j) {
                const double gap = static_cast<double>(center[j]) - static_cast<double>(place[j]);
                shift += gap * gap;
                place[j] = center[j];
            }
        }
        return shift;
    }

    // The unit vector along `sum`, rounded to float32; false where there is none.
    static bool set_direction(std::span<const double> sum, float* center) {
        double squares = 0;
        for (const double element : sum) squares += element * element;
        const double norm = std::sqrt(squares);
        if (!(norm > 0)) return false;
        for (std::size_t j = 0; j < sum.size(); ++j) center[j] = static_cast<float>(sum[j] / norm);
        return true;
    }

    const Points& points_;
    const std::size_t num_clusters_;
    const Stopping stopping_;
    const Execution& execution_;
    ScreeningChoice choice_;
    std::vector<std::uint8_t> changed_;  // by centre, in the last iteration; empty before the first
    Assignment assignment_;
    double done_ = 0;  // the fraction of the work, after the walk under way
    Clustering result_;
};

}  // namespace

Clustering lloyd(const Points& points,
                 MatrixView centers,
                 const Stopping& stopping,
                 const Execution& execution) {
    const FloatEnvironment environment;
    require(centers.cols == points.dim() && centers.type == ElementType::float32,
            "init: expected float32 centres of as many dimensions as the rows");
    require(centers.rows >= 1, "init: expected at least one centre");
    require(stopping.max_iter >= 1, "max_iter: expected at least 1");
    return Lloyd(points, centers, stopping, execution).run();
}

}  // namespace nearmiss
