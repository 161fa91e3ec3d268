// SPDX-License-Identifier: Apache-2.0
#include "kmeans/least_losses.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kmeans/centers.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kRowsPerSum = 4096;

double sum_of(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

LeastLosses::LeastLosses(const PointCorpus& corpus)
    : corpus_(corpus),
      losses_(corpus.points().size(), std::numeric_limits<double>::infinity()),
      block_sums_((corpus.points().size() + kRowsPerSum - 1) / kRowsPerSum) {}

std::size_t LeastLosses::end_of(std::size_t block) const noexcept {
    return std::min(losses_.size(), (block + 1) * kRowsPerSum);
}

void LeastLosses::add_up(std::size_t block) {
    double sum = 0;
    for (std::size_t row = block * kRowsPerSum; row < end_of(block); ++row) sum += mass(row);
    block_sums_[block] = sum;
}

void LeastLosses::include(std::size_t seed, const Execution& execution) {
    run_parallel(block_sums_.size(), 1, execution, [&](std::size_t block, TaskContext&) {
        RowLosses to_seed(corpus_);
        to_seed.aim_at(seed);
        std::vector<double> losses(end_of(block) - block * kRowsPerSum);
        to_seed.losses(block * kRowsPerSum, end_of(block), losses.data());
        double* const least = losses_.data() + block * kRowsPerSum;
        for (std::size_t i = 0; i < losses.size(); ++i) least[i] = std::min(least[i], losses[i]);
        add_up(block);
    });
}

void LeastLosses::include(std::span<const std::uint32_t> seeds, const Execution& execution) {
    const Points& points = corpus_.points();
    const MatrixView rows = points.rows();
    std::vector<float> centers(seeds.size() * rows.cols);
    for (std::size_t i = 0; i < seeds.size(); ++i)
        corpus_.packed()
            .typed(corpus_.kernel())
            .to_float(rows.row(seeds[i]), rows.cols, centers.data() + i * rows.cols);
    const Assignment nearest = assign(points, view_of_centers(centers, rows.cols), execution);
    for (std::size_t row = 0; row < losses_.size(); ++row)
        losses_[row] = std::min(losses_[row], points.loss(nearest.scores[row]));
    for (std::size_t block = 0; block < block_sums_.size(); ++block) add_up(block);
}

double LeastLosses::total() const noexcept { return sum_of(block_sums_); }

double LeastLosses::total_with(std::size_t seed, const Execution& execution) const {
    std::vector<double> sums(block_sums_.size());
    run_parallel(sums.size(), 1, execution, [&](std::size_t block, TaskContext&) {
        RowLosses to_seed(corpus_);
        to_seed.aim_at(seed);
        const std::size_t begin = block * kRowsPerSum;
        std::vector<double> losses(end_of(block) - begin);
        to_seed.losses(begin, end_of(block), losses.data());
        for (std::size_t i = 0; i < losses.size(); ++i)
            sums[block] +=
                corpus_.points().weight(begin + i) * std::min(losses_[begin + i], losses[i]);
    });
    return sum_of(sums);
}

std::vector<double> LeastLosses::masses() const {
    std::vector<double> masses(losses_.size());
    for (std::size_t row = 0; row < masses.size(); ++row) masses[row] = mass(row);
    return masses;
}

std::size_t LeastLosses::row_at(double unit) const {
    const double target = unit * total();
    std::size_t found = 0;
    double before = 0;  // the sum of all blocks before this one
    for (std::size_t block = 0; block < block_sums_.size(); ++block) {
        const double after = before + block_sums_[block];
        double within = 0;
        for (std::size_t row = block * kRowsPerSum; after > before && row < end_of(block); ++row) {
            if (!(mass(row) > 0)) continue;
            found = row;  // the last one, where the target was rounded up to the total
            within += mass(row);
            if (before + within > target) return row;
            if (after <= target) break;  // not in this block
        }
        before = after;
    }
    return found;
}

}  // namespace nearmiss
