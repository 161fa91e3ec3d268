// SPDX-License-Identifier: Apache-2.0
#include "choose/conditional_poisson.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "choose/designs.hpp"
#include "choose/portable_math.hpp"
#include "choose/row_tables.hpp"
#include "float_environment.hpp"

namespace nearmiss {
namespace {

using portable::kInfinity;

// Chances may add up to this much less or more than the size.
constexpr double kOffCentre = 0.25;

double sum_of_chances(std::span<const double> log_weights, double shift) {
    double sum = 0.0;
    for (const double x : log_weights) sum += 1.0 / (1.0 + portable::exp(-(x + shift)));
    return sum;
}

// In the middle of a wider gap between log-weights every chance is 0 or 1 in float64.
constexpr double kWidestGap = 2000.0;

// A number whose addition to all log-weights makes the chances add up to about `size`, which is
// neither 0 nor all of them, where these are relative to the size-th largest.
double centring_shift(std::span<const double> log_weights, std::size_t size, double next_largest) {
    const double wanted = static_cast<double>(size);
    double shift = 0.0;
    // Beyond log(n) above the size-th largest of n, and below the next one, are the wrong sides.
    const double slack = portable::log(static_cast<double>(log_weights.size())) + 1.0;
    double low = -slack;
    double high = std::min(slack - next_largest, kWidestGap);
    for (;;) {
        const double excess = sum_of_chances(log_weights, shift) - wanted;
        if (excess < kOffCentre && excess > -kOffCentre) return shift;
        (excess > 0.0 ? high : low) = shift;
        const double middle = 0.5 * low + 0.5 * high;
        if (middle == shift) return shift;
        shift = middle;
    }
}

}  // namespace

void ConditionalPoissonDesign::set_log_weights(std::span<const double> log_weights,
                                               std::size_t size) {
    columns_.clear();
    certain_.clear();
    log_weights_.clear();
    for (std::size_t j = 0; j < log_weights.size(); ++j) {
        const auto column = static_cast<std::uint32_t>(j);
        if (log_weights[j] == kInfinity) {
            certain_.push_back(column);
        } else if (log_weights[j] != -kInfinity) {
            columns_.push_back(column);
            log_weights_.push_back(log_weights[j]);
        }
    }
    size_ = size - certain_.size();
    if (size_ == 0 || size_ == columns_.size()) return;
    centre();
    build();
}

void ConditionalPoissonDesign::centre() {
    std::vector<double> sorted(log_weights_);
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(size_);
    std::nth_element(sorted.begin(), at, sorted.end(), std::greater<>());
    const double next = *at;
    const double anchor = *std::min_element(sorted.begin(), at);
    for (double& x : log_weights_) x -= anchor;
    const double shift = centring_shift(log_weights_, size_, next - anchor);
    for (double& x : log_weights_) x += shift;
}

void ConditionalPoissonDesign::build() {
    const std::size_t n = columns_.size();
    const std::size_t width = size_ + 1;
    chances_.resize(n);
    complements_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
        // Each from its own exponential: neither is one minus the other.
        chances_[i] = 1.0 / (1.0 + portable::exp(-log_weights_[i]));
        complements_[i] = 1.0 / (1.0 + portable::exp(log_weights_[i]));
    }
    tails_.resize((n + 1) * width);
    double* after = tails_.data() + n * width;
    std::fill_n(after, width, 0.0);
    after[0] = 1.0;
    for (std::size_t i = n; i-- > 0;) {
        double* here = after - width;
        here[0] = complements_[i] * after[0];
        for (std::size_t k = 1; k < width; ++k)
            here[k] = complements_[i] * after[k] + chances_[i] * after[k - 1];
        after = here;
    }
}

void ConditionalPoissonDesign::draw(const RandomStream& stream,
                                    std::uint64_t query_id,
                                    std::int64_t* columns) const {
    std::int64_t* out = columns;
    for (const std::uint32_t column : certain_) *out++ = column;
    std::size_t missing = size_;
    for (std::size_t i = 0; missing > 0; ++i) {
        bool taken = columns_.size() - i == missing;
        if (!taken) {
            const double with = chances_[i] * tail(i + 1)[missing - 1];
            const double without = complements_[i] * tail(i + 1)[missing];
            const double u = stream.unit(query_id, columns_[i]);
            taken = without == 0.0 || u * (with + without) < with;
        }
        if (!taken) continue;
        *out++ = columns_[i];
        --missing;
    }
    std::sort(columns, out);
}

double ConditionalPoissonDesign::log_probability(std::span<const std::int64_t> columns) const {
    if (size_ == 0 || size_ == columns_.size()) return 0.0;
    double sum = 0.0;
    auto drawn = columns.begin();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        while (drawn != columns.end() && *drawn < columns_[i]) ++drawn;
        const bool taken = drawn != columns.end() && *drawn == columns_[i];
        sum -= portable::softplus(taken ? -log_weights_[i] : log_weights_[i]);
    }
    return std::min(0.0, sum - portable::log(tail(0)[size_]));
}

// heads[k] = P(k of the items before i).
ConditionalPoissonDesign::Others ConditionalPoissonDesign::others(
    std::size_t i,
    std::span<const double> heads) const noexcept {
    const double* after = tail(i + 1);
    double one_short = 0.0;
    double enough = heads[size_] * after[0];
    for (std::size_t k = 0; k < size_; ++k) {
        one_short += heads[k] * after[size_ - 1 - k];
        enough += heads[k] * after[size_ - k];
    }
    return {one_short, enough};
}

void ConditionalPoissonDesign::extend(std::size_t i, std::span<double> heads) const noexcept {
    for (std::size_t k = size_; k > 0; --k)
        heads[k] = complements_[i] * heads[k] + chances_[i] * heads[k - 1];
    heads[0] *= complements_[i];
}

void ConditionalPoissonDesign::inclusion(std::span<double> inclusion) const {
    std::fill(inclusion.begin(), inclusion.end(), 0.0);
    for (const std::uint32_t column : certain_) inclusion[column] = 1.0;
    if (size_ == 0) return;
    if (size_ == columns_.size()) {
        for (const std::uint32_t column : columns_) inclusion[column] = 1.0;
        return;
    }
    std::vector<double> heads(size_ + 1, 0.0);
    heads[0] = 1.0;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        const Others rest = others(i, heads);
        const double with = chances_[i] * rest.one_short;
        inclusion[columns_[i]] = with / (with + complements_[i] * rest.enough);
        extend(i, heads);
    }
}

namespace {

constexpr int kMostSweeps = 1000;
constexpr double kConverged = 1e-13;
constexpr double kGoodEnough = 1e-9;   // where rounding keeps the sweeps from getting closer
constexpr double kNearCertain = 1e-5;  // closer to 0 or 1, kGoodEnough times this is good enough

}  // namespace

// Gives one item after the other the weight with which its own inclusion probability is right,
// everything else being as it is. Each step maximises the concave sum(wanted_i log w_i) - log Z in
// one coordinate (Z: the sum over all sets of the right size), whose maximum is the solution (Chen,
// Dempster & Liu 1994), so the steps converge.
ConditionalPoissonDesign::Distance ConditionalPoissonDesign::sweep(std::span<const double> wanted) {
    std::vector<double> heads(size_ + 1, 0.0);
    heads[0] = 1.0;
    Distance distance;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        const Others rest = others(i, heads);
        const double with = chances_[i] * rest.one_short;
        const double without = complements_[i] * rest.enough;
        if (!(with + without > 0.0)) return {kInfinity, kInfinity};
        const double unwanted = 1.0 - wanted[i];
        const double off = std::abs(wanted[i] * without - unwanted * with) / (with + without);
        const double scale = std::min(wanted[i], unwanted);
        distance.relative = std::max(distance.relative, off / scale);
        distance.acceptable = std::max(distance.acceptable, off / (scale + kNearCertain));
        log_weights_[i] =
            portable::log(wanted[i] * rest.enough) - portable::log(unwanted * rest.one_short);
        if (!std::isfinite(log_weights_[i])) return {kInfinity, kInfinity};
        chances_[i] = 1.0 / (1.0 + portable::exp(-log_weights_[i]));
        complements_[i] = 1.0 / (1.0 + portable::exp(log_weights_[i]));
        extend(i, heads);
    }
    return distance;
}

bool ConditionalPoissonDesign::solve(std::span<const double> inclusion,
                                     std::size_t size,
                                     std::span<double> log_weights,
                                     TaskContext& context) {
    columns_.clear();
    log_weights_.clear();
    std::vector<double> wanted;
    size_ = size;
    for (std::size_t j = 0; j < inclusion.size(); ++j) {
        log_weights[j] = inclusion[j] == 0.0 ? -kInfinity : kInfinity;
        if (inclusion[j] == 1.0) --size_;
        if (inclusion[j] == 0.0 || inclusion[j] == 1.0) continue;
        columns_.push_back(static_cast<std::uint32_t>(j));
        wanted.push_back(inclusion[j]);
        log_weights_.push_back(portable::log(inclusion[j]) - portable::log(1.0 - inclusion[j]));
    }
    if (columns_.empty()) return true;
    if (size_ == 0 || size_ >= columns_.size()) return false;

    Distance distance{kInfinity, kInfinity};
    for (int i = 0; i < kMostSweeps && distance.relative > kConverged; ++i) {
        centre();
        build();
        context.checkpoint();
        const double before = distance.relative;
        distance = sweep(wanted);
        if (distance.relative == kInfinity) return false;
        if (distance.acceptable <= kGoodEnough && distance.relative > 0.5 * before) break;
    }
    double mean = 0.0;
    for (const double x : log_weights_) mean += x / static_cast<double>(columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i)
        log_weights[columns_[i]] = log_weights_[i] - mean;
    return distance.acceptable <= kGoodEnough;
}

// ---- over rows ---------------------------------------------------------------------------------

namespace {

void require_drawable(TableView log_weights, std::span<const std::int64_t> sizes) {
    require_sizes(sizes, log_weights.rows);
    require_values(
        log_weights, "log_weights", "a number or an infinity", [](double x) { return x == x; });
    for (std::size_t i = 0; i < log_weights.rows; ++i) {
        const std::span<const double> row = log_weights.row(i);
        const auto never = std::count(row.begin(), row.end(), -kInfinity);
        const auto always = std::count(row.begin(), row.end(), kInfinity);
        const auto most = static_cast<std::int64_t>(row.size()) - never;
        if (sizes[i] >= always && sizes[i] <= most) continue;
        throw InvalidArgument("log_weights: row " + std::to_string(i) + " has " +
                              std::to_string(most) + " items above -inf, " +
                              std::to_string(always) +
                              " of them +inf; n = " + std::to_string(sizes[i]) + " is not between");
    }
}

}  // namespace

ConditionalPoissonSample conditional_poisson(TableView log_weights,
                                             std::span<const std::int64_t> sizes,
                                             const DrawKey& key,
                                             const Execution& execution) {
    const FloatEnvironment environment;
    require_drawable(log_weights, sizes);
    require_one_id_per_row(key, log_weights.rows);
    const std::size_t width = largest(sizes);
    ConditionalPoissonSample sample{std::vector<std::int64_t>(log_weights.rows * width, -1),
                                    std::vector<double>(log_weights.rows)};
    const RandomStream stream(key.seed, Stream::conditional_poisson, key.epoch);
    for_row_blocks(
        log_weights.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            ConditionalPoissonDesign design;
            for (std::size_t i = block.begin; i < block.end; ++i) {
                const auto size = static_cast<std::size_t>(sizes[i]);
                std::int64_t* columns = sample.columns.data() + i * width;
                design.set_log_weights(log_weights.row(i), size);
                design.draw(stream, key.query_id(i), columns);
                sample.log_probabilities[i] = design.log_probability({columns, size});
                context.checkpoint();
            }
        });
    return sample;
}

std::vector<double> conditional_poisson_inclusion(TableView log_weights,
                                                  std::span<const std::int64_t> sizes,
                                                  const Execution& execution) {
    const FloatEnvironment environment;
    require_drawable(log_weights, sizes);
    std::vector<double> inclusion(log_weights.rows * log_weights.cols);
    for_row_blocks(
        log_weights.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            ConditionalPoissonDesign design;
            for (std::size_t i = block.begin; i < block.end; ++i) {
                design.set_log_weights(log_weights.row(i), static_cast<std::size_t>(sizes[i]));
                design.inclusion({inclusion.data() + i * log_weights.cols, log_weights.cols});
                context.checkpoint();
            }
        });
    return inclusion;
}

namespace {

// The integer a row sums to; throws if it does not.
std::size_t whole_sum(std::span<const double> inclusion, std::size_t row) {
    double sum = 0.0;
    for (const double p : inclusion) sum += p;
    const double whole = std::floor(sum + 0.5);
    if (std::abs(sum - whole) > kSumTolerance)
        throw InvalidArgument("inclusion: row " + std::to_string(row) + " sums to " + as_text(sum) +
                              "; expected an integer");
    return static_cast<std::size_t>(whole);
}

// Nearer to 1 than this, float64 hardly tells how near.
constexpr double kAlmostOne = 1.0 - 0x1p-50;

// Makes probabilities add up to `size` as nearly as rounding allows, multiplying odds by a common
// factor: only such probabilities can be had. What is almost 1 becomes 1.
void make_whole(std::span<double> inclusion, std::size_t size) {
    std::size_t certain = 0;
    std::size_t possible = 0;
    for (double& p : inclusion) {
        if (p > kAlmostOne) p = 1.0;
        certain += p == 1.0 ? 1 : 0;
        possible += p > 0.0 ? 1 : 0;
    }
    if (size <= certain || size >= possible) {
        // All others add up to nearly nothing, or nearly their number.
        for (double& p : inclusion)
            if (p != 1.0) p = size >= possible && p > 0.0 ? 1.0 : 0.0;
        return;
    }
    constexpr int kMostSteps = 60;
    constexpr double kSmallest = 0x1p-50;
    for (int step = 0; step < kMostSteps; ++step) {
        double missing = static_cast<double>(size);
        double variance = 0.0;
        for (const double p : inclusion) {
            missing -= p;
            variance += p * (1.0 - p);
        }
        if (variance == 0.0) return;
        const double change = std::clamp(missing / variance, -1.0, 1.0);
        if (std::abs(change) < kSmallest) return;
        const double factor = portable::exp(change);
        for (double& p : inclusion) p = p * factor / (p * factor + (1.0 - p));
    }
}

}  // namespace

std::vector<double> conditional_poisson_weights(TableView inclusion, const Execution& execution) {
    const FloatEnvironment environment;
    require_values(inclusion, "inclusion", "a number from 0 to 1", [](double p) {
        return p >= 0.0 && p <= 1.0;
    });
    std::vector<std::size_t> sizes(inclusion.rows);
    for (std::size_t i = 0; i < inclusion.rows; ++i) sizes[i] = whole_sum(inclusion.row(i), i);
    std::vector<double> log_weights(inclusion.rows * inclusion.cols);
    std::vector<char> solved(inclusion.rows);
    for_row_blocks(
        inclusion.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            ConditionalPoissonDesign design;
            std::vector<double> wanted;
            for (std::size_t i = block.begin; i < block.end; ++i) {
                const std::span<const double> row = inclusion.row(i);
                wanted.assign(row.begin(), row.end());
                make_whole(wanted, sizes[i]);
                double* out = log_weights.data() + i * inclusion.cols;
                solved[i] = design.solve(wanted, sizes[i], {out, inclusion.cols}, context) ? 1 : 0;
                context.checkpoint();
            }
        });
    for (std::size_t i = 0; i < inclusion.rows; ++i)
        if (solved[i] == 0)
            throw InvalidArgument("inclusion: row " + std::to_string(i) +
                                  " is too close to 0 and 1 for weights to be found");
    return log_weights;
}

}  // namespace nearmiss
