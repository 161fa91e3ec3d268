// SPDX-License-Identifier: Apache-2.0
// Rejection sampling for k-means++ (arXiv:2502.02085): row i is proposed in proportion to
// |x_i - p|^2 + |c_1 - p|^2 for one fixed point p, and kept with probability
// min_c |x_i - c|^2 / 2(|x_i - p|^2 + |c_1 - p|^2), at most 1 since c_1 is among the c.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kmeans/centers.hpp"
#include "kmeans/least_losses.hpp"
#include "kmeans/seeder.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

// The mean of all rows (cosine: its direction), which makes proposals good; any point is right.
// None where unit vectors cancel.
bool find_middle(const Seeder& seeder, std::vector<float>& middle, double& root_norm) {
    const Points& points = seeder.points();
    const std::vector<std::int32_t> together(points.size(), 0);
    const ClusterSums all = sum_clusters(points, together, 1, seeder.at_present());
    double squares = 0;
    middle.resize(points.dim());
    for (std::size_t j = 0; j < middle.size(); ++j) {
        middle[j] = static_cast<float>(all.sums[j] / all.weights[0]);
        squares += static_cast<double>(middle[j]) * static_cast<double>(middle[j]);
    }
    root_norm = std::sqrt(squares);
    return points.metric() == Metric::l2 || root_norm > 0;
}

// For every row something that half its loss to the first seed never exceeds, rounding included.
std::vector<double> half_bounds(const Seeder& seeder) {
    const Points& points = seeder.points();
    std::vector<float> middle;
    double root_norm = 0;
    const bool found = find_middle(seeder, middle, root_norm);
    std::vector<double> bounds(points.size());
    constexpr std::size_t kRowsPerTask = 4096;
    const std::size_t tasks = (points.size() + kRowsPerTask - 1) / kRowsPerTask;
    const auto aim = [&](RowLosses& losses) {
        found ? losses.aim_at(middle.data(), root_norm) : losses.aim_at(seeder.chosen.front());
    };
    run_parallel(tasks, 1, seeder.at_present(), [&](std::size_t task, TaskContext&) {
        RowLosses losses(seeder.corpus);
        aim(losses);
        const std::size_t begin = task * kRowsPerTask;
        losses.losses(begin, std::min(points.size(), begin + kRowsPerTask), bounds.data() + begin);
    });
    const double of_first = bounds[seeder.chosen.front()];
    // Losses are rounded to 2^-24 of themselves, or of 1 under cosine; subnormals to 2^-150.
    const double slack = points.metric() == Metric::cosine ? 0x1p-22 : 0x1p-145;
    for (double& bound : bounds) bound = (bound + of_first) * (1 + 0x1p-20) + slack;
    return bounds;
}

}  // namespace

void choose_by_rejection(Seeder& seeder, const WeightLaw& weights) {
    const Points& points = seeder.points();
    const std::vector<double> bounds = half_bounds(seeder);
    std::vector<double> masses(points.size());
    for (std::size_t row = 0; row < masses.size(); ++row)
        masses[row] = points.weight(row) * bounds[row];
    const MassTable proposals(std::move(masses));
    const RandomStream stream = seeder.stream(Stream::kmeans_rejection);
    RowLosses losses(seeder.corpus);
    while (!seeder.complete()) {
        const std::uint64_t number = seeder.seed_number();
        // Once drawing costs twice as much as keeping all losses would, the same law is had by
        // doing that.
        const std::size_t most =
            seeder.seeding.trials != 0 ? seeder.seeding.trials : 1 + 2 * points.size() / number;
        bool kept = false;
        std::size_t row = 0;
        for (std::size_t draw = 0; draw < most && !kept; ++draw) {
            row = proposals.row_at(stream.unit(number, 2 * draw));
            const double enough = stream.unit(number, 2 * draw + 1) * (2 * bounds[row]);
            losses.aim_at(row);
            kept = losses.least_loss(seeder.chosen, enough) > enough;
            if (draw % 64 == 0) seeder.check_in();
        }
        if (!kept && seeder.seeding.trials == 0) {
            LeastLosses all(seeder.corpus);
            all.include(seeder.chosen, seeder.at_present());
            return continue_by_d2(seeder, all, 1);
        }
        seeder.choose(kept ? row
                           : weights.row_at(seeder.stream(Stream::kmeans_first).unit(number, 0)));
        seeder.check_in();
    }
}

}  // namespace nearmiss
