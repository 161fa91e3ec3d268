// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/prices.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "parallel.hpp"

namespace nearmiss {
namespace {

constexpr Cost kFar = std::numeric_limits<Cost>::max();
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::size_t kRowsPerTask = 4096;
constexpr std::size_t kMostSteps = 24;
// Of the rows, those whose regret lies in the band.
constexpr double kNarrowest = 0.02;
constexpr double kWidest = 0.5;
constexpr double kPerSurplus = 4;
constexpr std::size_t kRowsSampled = 16384;
constexpr std::size_t kMostIterations = 100;
constexpr double kPrecision = 1e-6;
// Of the surplus, what a step may leave to be worth another.
constexpr double kWorthwhile = 0.85;
constexpr std::size_t kMostPoor = 3;
// On top of the diagonal, in parts of it.
constexpr double kLeastDamping = 0.01;
constexpr double kMostDamping = 50;
constexpr double kLongest = 0x1p44;  // of a step; costs are below 2^41
constexpr double kRidge = 1;         // for clusters that no edge leads to

// A symmetric system: the Laplacian of a graph, restricted to some nodes.
struct Laplacian {
    const std::vector<NearTie>& edges;
    const std::vector<double>& diagonal;
    const std::vector<std::uint8_t>& free;

    void multiply(const std::vector<double>& x, std::vector<double>& out) const {
        for (std::size_t c = 0; c < x.size(); ++c) out[c] = diagonal[c] * x[c];
        for (const NearTie& edge : edges) {
            out[edge.best] -= x[edge.second];
            out[edge.second] -= x[edge.best];
        }
        for (std::size_t c = 0; c < x.size(); ++c)
            if (free[c] == 0) out[c] = 0;
    }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
    return sum;
}

// Conjugate gradients, preconditioned by the diagonal. `right` is zero where nodes are not free.
std::vector<double> solve(const Laplacian& system, std::vector<double> right) {
    const std::size_t n = right.size();
    std::vector<double> x(n);
    std::vector<double> scaled(n);
    std::vector<double> image(n);
    const auto precondition = [&] {
        for (std::size_t c = 0; c < n; ++c) scaled[c] = right[c] / system.diagonal[c];
    };
    precondition();
    std::vector<double> direction = scaled;
    double size = dot(right, scaled);
    const double enough = kPrecision * size;
    for (std::size_t i = 0; i < kMostIterations && size > enough; ++i) {
        system.multiply(direction, image);
        const double length = size / dot(direction, image);
        for (std::size_t c = 0; c < n; ++c) {
            x[c] += length * direction[c];
            right[c] -= length * image[c];
        }
        precondition();
        const double before = size;
        size = dot(right, scaled);
        for (std::size_t c = 0; c < n; ++c) direction[c] = scaled[c] + size / before * direction[c];
    }
    return x;
}

double goal_of(std::size_t num_rows, std::size_t num_clusters, SizeLimits limits) {
    if (limits.most - limits.least > 1) return static_cast<double>(limits.most);
    return static_cast<double>(num_rows) / static_cast<double>(num_clusters);
}

}  // namespace

PriceSearch::PriceSearch(const Costs& costs,
                         std::size_t num_clusters,
                         SizeLimits limits,
                         const Execution& execution)
    : costs_(costs),
      num_clusters_(num_clusters),
      limits_(limits),
      goal_(goal_of(costs.num_rows(), num_clusters, limits)),
      execution_(execution),
      sizes_(num_clusters),
      columns_(costs.num_rows()),
      regrets_(costs.num_rows()),
      choices_(costs.num_rows()),
      others_(costs.num_rows()) {}

void PriceSearch::run(std::vector<Cost>& prices, std::size_t enough) {
    improve(prices, enough);
    prefer(prices);
}

void PriceSearch::improve(std::vector<Cost>& prices, std::size_t enough) {
    std::vector<Cost> none(prices.size());
    double value = choose(none, choices_);
    if (prices != none) {
        const double value_of_some = choose(prices, others_);
        if (value_of_some >= value) {
            value = value_of_some;
            choices_.swap(others_);
        } else {  // prices of centres long gone
            prices = std::move(none);
        }
    }
    std::size_t too_many = count_surplus();
    double damping = kLeastDamping;
    std::size_t num_poor = 0;  // steps in a row that were hardly worth it
    for (std::size_t i = 0; i < kMostSteps && num_poor < kMostPoor && too_many > enough; ++i) {
        const double share =
            kPerSurplus * static_cast<double>(too_many) / static_cast<double>(costs_.num_rows());
        double band = band_of(std::clamp(share, kNarrowest, kWidest));
        if (band == 0 || band == kNever) return;
        const std::vector<Cost> before = prices;
        const double first_damping = damping;
        while (true) {
            const std::vector<double> step = newton_step(band, damping, before);
            for (std::size_t c = 0; c < prices.size(); ++c)
                prices[c] =
                    std::max<Cost>(0,
                                   before[c] + static_cast<Cost>(std::clamp(
                                                   step[c] * costs_.scale(), -kLongest, kLongest)));
            const double new_value = choose(prices, others_);
            if (new_value > value) {
                value = new_value;
                choices_.swap(others_);
                break;
            }
            prices = before;
            damping *= 4;
            band /= 2;
            if (damping > kMostDamping) return;
        }
        const std::size_t now = count_surplus();
        // As much again where less has just failed.
        if (damping == first_damping) damping = std::max(kLeastDamping, damping / 4);
        const bool worthwhile =
            static_cast<double>(now) <= kWorthwhile * static_cast<double>(too_many);
        num_poor = worthwhile ? 0 : num_poor + 1;
        too_many = now;
    }
}

std::vector<double> PriceSearch::in_losses(const std::vector<Cost>& prices) const {
    std::vector<double> losses;
    losses.reserve(prices.size());
    for (const Cost price : prices) losses.push_back(static_cast<double>(price) / costs_.scale());
    return losses;
}

// In losses, exact to about the last bit of a cost: faster than in costs.
double PriceSearch::choose(const std::vector<Cost>& prices, std::vector<Choice>& choices) const {
    const NearCenters& candidates = costs_.candidates();
    const std::vector<double> losses = in_losses(prices);
    const std::size_t rows = costs_.num_rows();
    const std::size_t tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
    std::vector<double> totals(tasks);
    run_parallel(tasks, rows, execution_, [&](std::size_t task, TaskContext& context) {
        const std::size_t begin = task * kRowsPerTask;
        const std::size_t end = std::min(rows, begin + kRowsPerTask);
        double total = 0;
        for (std::size_t row = begin; row < end; ++row) {
            const std::uint32_t* const centers = candidates.centers_of(row).data();
            const float* const scores = candidates.scores_of(row).data();
            double least = kNever;
            double next = kNever;
            std::uint32_t best = centers[0];
            // Without branches, which nobody could predict.
            const auto look = [&](std::size_t j, bool repeats) {
                const double there = losses[centers[j]] - static_cast<double>(scores[j]);
                next = std::min(next, repeats ? kNever : std::max(least, there));
                best = there < least ? centers[j] : best;
                least = std::min(least, there);
            };
            std::size_t j = 0;
            for (; j < candidates.num_different; ++j) look(j, false);
            for (; j < candidates.width; ++j) look(j, centers[j] == best);
            choices[row] = {next - least, best};
            total += least;
        }
        totals[task] = total;
        context.checkpoint(end - begin);
    });
    double value = std::accumulate(totals.begin(), totals.end(), 0.0);
    for (const double loss : losses) value -= goal_ * loss;
    return value;
}

// Of a row; its best if it has no other.
std::uint32_t PriceSearch::second_best(std::size_t row, const std::vector<double>& prices) const {
    const std::span<const std::uint32_t> centers = costs_.candidates().centers_of(row);
    const std::span<const float> scores = costs_.candidates().scores_of(row);
    const std::uint32_t best = choices_[row].best;
    std::uint32_t second = best;
    double least = kNever;
    for (std::size_t j = 0; j < centers.size(); ++j) {
        const double there = prices[centers[j]] - static_cast<double>(scores[j]);
        if (centers[j] == best || there >= least) continue;
        least = there;
        second = centers[j];
    }
    return second;
}

// Exactly.
void PriceSearch::prefer(const std::vector<Cost>& prices) {
    const std::size_t width = costs_.width();
    const std::size_t rows = costs_.num_rows();
    const std::size_t tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, rows, execution_, [&](std::size_t task, TaskContext& context) {
        const std::size_t begin = task * kRowsPerTask;
        const std::size_t end = std::min(rows, begin + kRowsPerTask);
        for (std::size_t row = begin; row < end; ++row) {
            const std::size_t first = row * width;
            Cost least = kFar;
            Cost next = kFar;
            std::uint32_t best = 0;
            for (std::size_t j = 0; j < width; ++j) {
                const Cost there = costs_[first + j] + prices[costs_.center(first + j)];
                if (there < least) {
                    next = least;
                    least = there;
                    columns_[row] = static_cast<std::uint32_t>(j);
                    best = costs_.center(first + j);
                } else if (there < next && costs_.center(first + j) != best) {
                    next = there;
                }
            }
            regrets_[row] = next == kFar ? kFar : next - least;
        }
        context.checkpoint(end - begin);
    });
}

// Counts sizes. Returns the rows beyond what clusters may have.
std::size_t PriceSearch::count_surplus() {
    std::ranges::fill(sizes_, std::size_t{0});
    for (const Choice& choice : choices_) ++sizes_[choice.best];
    std::size_t sum = 0;
    for (const std::size_t size : sizes_) sum += size - std::min(size, limits_.most);
    return sum;
}

// What about this share of the regrets is below.
double PriceSearch::band_of(double share) const {
    std::vector<double> regrets;
    const std::size_t stride = std::max<std::size_t>(1, choices_.size() / kRowsSampled);
    for (std::size_t row = 0; row < choices_.size(); row += stride)
        regrets.push_back(choices_[row].regret);
    const auto at = regrets.begin() +
                    static_cast<std::ptrdiff_t>(share * static_cast<double>(regrets.size() - 1));
    std::nth_element(regrets.begin(), at, regrets.end());
    return *at;
}

// In the order of the rows.
std::vector<NearTie> PriceSearch::near_ties(double band, const std::vector<double>& prices) const {
    const std::size_t rows = choices_.size();
    const std::size_t tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
    std::vector<std::vector<NearTie>> parts(tasks);
    run_parallel(tasks, rows, execution_, [&](std::size_t task, TaskContext& context) {
        const std::size_t begin = task * kRowsPerTask;
        const std::size_t end = std::min(rows, begin + kRowsPerTask);
        for (std::size_t row = begin; row < end; ++row) {
            const auto [regret, best] = choices_[row];
            if (regret >= band) continue;
            // A row in the band goes to both clusters: half to each at the border between them.
            parts[task].push_back({best, second_best(row, prices), 0.5 * (1 - regret / band)});
        }
        context.checkpoint(end - begin);
    });
    std::vector<NearTie> edges;
    for (const std::vector<NearTie>& part : parts)
        edges.insert(edges.end(), part.begin(), part.end());
    return edges;
}

// In losses.
std::vector<double> PriceSearch::newton_step(double band,
                                             double damping,
                                             const std::vector<Cost>& prices) const {
    const std::vector<double> losses = in_losses(prices);
    std::vector<double> sizes(sizes_.begin(), sizes_.end());
    std::vector<double> diagonal(num_clusters_);
    const std::vector<NearTie> edges = near_ties(band, losses);
    for (const NearTie& edge : edges) {
        sizes[edge.best] -= edge.share;
        sizes[edge.second] += edge.share;
        diagonal[edge.best] += 1;
        diagonal[edge.second] += 1;
    }
    // Clusters with room and without a price stay as they are.
    std::vector<std::uint8_t> free(num_clusters_);
    std::vector<double> right(num_clusters_);
    for (std::size_t c = 0; c < num_clusters_; ++c) {
        diagonal[c] += damping * diagonal[c] + kRidge;
        free[c] = sizes[c] > goal_ || prices[c] > 0;
        if (free[c] != 0) right[c] = 2 * band * (sizes[c] - goal_);
    }
    return solve({edges, diagonal, free}, std::move(right));
}

}  // namespace nearmiss
