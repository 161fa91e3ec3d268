// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "float_environment.hpp"
#include "kmeans/centers.hpp"
#include "kmeans/moving_centers.hpp"
#include "kmeans/sizes/auction.hpp"
#include "kmeans/sizes/candidates.hpp"
#include "kmeans/sizes/completion.hpp"
#include "kmeans/sizes/exchange.hpp"
#include "kmeans/sizes/prices.hpp"
#include "nearmiss/error.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

// At first centres are far from where they will be, and are bid for by many rows; later half as
// many candidates do as well.
constexpr std::size_t kFirstCandidates = 16;
constexpr std::size_t kCandidates = 8;
// Where these have no room for all rows, because many are alike, rows are offered more, up to about
// so many in all: the time for an exchange rises faster than with their number.
constexpr std::size_t kMoreCandidates = 24;
constexpr std::size_t kMostCandidates = 64;
// So few rows are worth an exchange where an auction got stuck.
constexpr std::size_t kFewRows = 4096;
// Candidates are searched for again once the centres are where they belong, roughly, and then every
// so many iterations.
constexpr std::size_t kSecondSearch = 3;
constexpr std::size_t kIterationsPerSearch = 16;
// Rare clusters are among the nearest of fewer rows than so many times what must go there. So many
// of them are offered to every row.
constexpr std::size_t kRare = 2;
constexpr std::size_t kOffered = 4;
// As long as iterations lower the loss by more than kSettled of it, an assignment may cost more
// than the least. In parts of the loss: an auction's increment, summed over rows, and what room at
// a price may cost. Increments start larger, as centres then move far anyway, and are halved with
// every iteration. Auctions end far within them: with a quarter of the last one, an assignment of
// 200,000 rows to 2,048 clusters cost 3e-5 less.
constexpr double kFirstIncrement = 0x1p-1;
constexpr double kLastIncrement = 0x1p-6;
constexpr double kTolerance = 0x1p-8;
constexpr double kSettled = 0x1p-12;
// For an auction, prices are right when no more than one of so many rows must move.
constexpr std::size_t kRowsPerSurplus = 512;

// One call of limited_lloyd().
class LimitedLloyd {
  public:
    LimitedLloyd(const Points& points,
                 MatrixView centers,
                 SizeLimits limits,
                 const Stopping& stopping,
                 const Execution& execution)
        : points_(points),
          limits_(limits),
          stopping_(stopping),
          execution_(execution),
          centers_(points, centers, execution),
          settled_(centers.rows <= kFirstCandidates),
          prices_(centers.rows) {}

    Clustering run() && {
        const double enough =
            stopping_.tol > 0 ? stopping_.tol * mean_variance(points_, execution_) : 0;
        std::vector<std::int32_t> before;
        for (std::size_t i = 0; i < stopping_.max_iter; ++i) {
            start_iteration(i);
            const bool searched = i == std::min(kSecondSearch, stopping_.max_iter - 1) ||
                                  i % kIterationsPerSearch == 0;
            assign(searched);
            // Perhaps for want of candidates, or because this is not the least loss.
            if (labels_ == before && !(searched && settled_)) {
                settled_ = true;
                assign(true);
            }
            result_.losses.push_back(loss());
            if (labels_ == before) return std::move(*this).finish();
            before = labels_;
            const ClusterSums sums =
                sum_clusters(points_, labels_, centers_.size(), execution_.at(done_));
            if (centers_.move(sums) <= enough) break;
        }
        start_iteration(stopping_.max_iter);
        settled_ = true;
        assign(true);
        return std::move(*this).finish();
    }

  private:
    Clustering finish() && {
        result_.loss = loss();
        // NearCenters have just been searched for: the first of each row is the nearest.
        for (std::size_t row = 0; row < points_.size(); ++row)
            result_.free_loss += points_.loss(candidates_.scores[row * candidates_.width]);
        result_.cluster_weights.resize(centers_.size());
        for (const std::int32_t label : labels_)
            result_.cluster_weights[static_cast<std::size_t>(label)] += 1;
        result_.centers = std::move(centers_).take();
        result_.labels = std::move(labels_);
        return std::move(result_);
    }

    void start_iteration(std::size_t i) {
        iteration_ = i;
        const double steps = static_cast<double>(stopping_.max_iter + 1);
        done_ = static_cast<double>(i) / steps;
        part_ = 1 / steps;
    }

    void assign(bool search) {
        if (candidates_.width != 0)
            score_candidates(points_, centers_.view(), candidates_, execution_.at(done_));
        if (search) search_candidates();
        for (auto open = distribute(); !open.empty(); open = distribute()) {
            if (candidates_.width < kMostCandidates && !all_have(open)) {
                offer(open, kMoreCandidates);
                continue;
            }
            complete();
            if (!settled_ && gains() && !few()) break;
            settled_ = true;
        }
        labels_.resize(points_.size());
        for (std::size_t row = 0; row < points_.size(); ++row)
            labels_[row] = static_cast<std::int32_t>(candidates_.centers[place_of(row)]);
    }

    [[nodiscard]] std::size_t num_candidates() const noexcept {
        if (centers_.size() <= kFirstCandidates) return centers_.size();
        return iteration_ < kSecondSearch ? kFirstCandidates : kCandidates;
    }

    void search_candidates() {
        const std::size_t width = num_candidates();
        NearCenters found = nearest_candidates(points_,
                                               centers_.view(),
                                               width,
                                               candidates_,
                                               execution_.part(done_, done_ + part_ / 2));
        if (!labels_.empty()) keep_labels(found);
        candidates_ = std::move(found);
        offered_to_all_.assign(centers_.size(), 0);
        if (!labels_.empty() || width == centers_.size()) return;
        const std::vector<std::uint32_t> rare = rare_centers();
        if (!rare.empty()) offer(rare, kOffered);
    }

    // The labels so far stay possible, so that no iteration raises the loss and sizes can be kept.
    // In place of the last, which is seldom taken.
    void keep_labels(NearCenters& found) const {
        for (std::size_t row = 0; row < points_.size(); ++row) {
            const std::uint32_t label = candidates_.centers[place_of(row)];
            const std::size_t last = (row + 1) * found.width - 1;
            if (std::ranges::count(found.centers_of(row), label) > 0) continue;
            found.centers[last] = label;
            found.scores[last] = candidates_.scores[place_of(row)];
        }
    }

    // Those that hardly more rows have among their nearest than must go there, or fewer.
    [[nodiscard]] std::vector<std::uint32_t> rare_centers() const {
        std::vector<std::size_t> counts(centers_.size());
        for (const std::uint32_t center : candidates_.centers.view()) ++counts[center];
        std::vector<std::uint32_t> rare;
        for (std::uint32_t c = 0; c < counts.size(); ++c)
            if (counts[c] < kRare * limits_.least) rare.push_back(c);
        return rare;
    }

    // So that an assignment within the limits is possible.
    void complete() {
        const Execution execution = execution_.at(done_ + part_ / 2);
        complete_sizes(points_, centers_.view(), limits_, candidates_, columns_, execution);
    }

    // At the least loss or, unless settled, nearly. Where the candidates seem to allow no
    // assignment within the limits, it returns the clusters that have room for more rows.
    std::vector<std::uint32_t> distribute() {
        const Costs costs(candidates_);
        std::vector<Cost> prices(centers_.size());
        for (std::size_t c = 0; c < prices.size(); ++c)
            prices[c] = static_cast<Cost>(prices_[c] * costs.scale());
        const Execution execution = execution_.at(done_ + part_ / 2);
        PriceSearch search(costs, centers_.size(), limits_, execution);
        search.run(prices, settled_ ? 0 : points_.size() / kRowsPerSurplus);
        columns_ = search.columns();
        std::vector<std::uint32_t> open;
        if (!settled_) {
            if (auction(costs, search.regrets(), prices, open)) return {};
            if (!open.empty()) return open;
            columns_ = search.columns();
        }
        run_parallel(1, 1, execution, [&](std::size_t, TaskContext& task) {
            open = Exchange(costs, limits_, prices, columns_).run(task);
        });
        // Those of an exchange that got stuck run away.
        if (open.empty()) keep_prices(prices, prices.back(), costs.scale());
        return open;
    }

    // False, and settled from here on, if the loss is hardly below that of the iteration before.
    // False too if it found nothing; `open`: the clusters with room, if it got stuck with many
    // rows.
    bool auction(const Costs& costs,
                 const std::vector<Cost>& regrets,
                 std::vector<Cost> prices,
                 std::vector<std::uint32_t>& open) {
        const double loss_before = loss() * costs.scale();  // in costs
        const double part = std::max(
            kLastIncrement, std::ldexp(kFirstIncrement, -static_cast<int>(result_.losses.size())));
        const auto increment =
            1 + static_cast<Cost>(part * loss_before / static_cast<double>(points_.size()));
        const Execution execution = execution_.at(done_ + part_ / 2);
        Auction auction(costs, regrets, increment, prices, columns_, execution);
        bool found = false;
        double gap = 0;  // in costs: room should have no price
        run_parallel(1, 1, execution, [&](std::size_t, TaskContext& task) {
            found = auction.run(capacities(prices), task);
            const bool stuck = !found && !few();
            for (std::uint32_t c = 0; c < prices.size(); ++c) {
                found = found && auction.size(c) >= limits_.least;
                if (auction.size(c) >= limits_.most) continue;
                if (stuck) open.push_back(c);
                gap += static_cast<double>(prices[c]) *
                       static_cast<double>(limits_.most - auction.size(c));
            }
        });
        const bool tight = limits_.most - limits_.least <= 1;
        if (!found || (!tight && gap > kTolerance * loss_before)) return false;
        settled_ = !gains();
        if (!settled_) keep_prices(prices, 0, costs.scale());
        return !settled_;
    }

    [[nodiscard]] bool few() const noexcept { return points_.size() <= kFewRows; }

    // Whether the loss is well below that of the iteration before.
    [[nodiscard]] bool gains() const {
        return result_.losses.empty() || loss() <= (1 - kSettled) * result_.losses.back();
    }

    // Where all clusters are about as large, those with the highest prices have one row more.
    [[nodiscard]] std::vector<std::size_t> capacities(const std::vector<Cost>& prices) const {
        std::vector<std::size_t> capacities(prices.size(), limits_.most);
        if (limits_.most - limits_.least != 1) return capacities;
        std::vector<std::pair<Cost, std::size_t>> falling;
        for (std::size_t c = 0; c < prices.size(); ++c) falling.emplace_back(-prices[c], c);
        std::ranges::sort(falling);
        for (std::size_t i = points_.size() - limits_.least * prices.size(); i < prices.size(); ++i)
            capacities[falling[i].second] = limits_.least;
        return capacities;
    }

    // For the next time, in losses. Only their differences matter, to each other and to the price
    // of clusters with room to spare.
    void keep_prices(const std::vector<Cost>& prices, Cost price_of_room, double scale) {
        const bool tight = limits_.most - limits_.least <= 1;
        const Cost base = tight ? std::ranges::min(prices) : price_of_room;
        for (std::size_t c = 0; c < prices_.size(); ++c)
            prices_[c] = static_cast<double>(std::max<Cost>(0, prices[c] - base)) / scale;
    }

    [[nodiscard]] bool all_have(std::span<const std::uint32_t> centers) const {
        return std::ranges::all_of(centers, [&](auto c) { return offered_to_all_[c] != 0; });
    }

    // Adds the nearest of these centres, up to `more`, to what every row may have.
    void offer(std::span<const std::uint32_t> centers, std::size_t more) {
        if (centers.size() <= more)
            for (const std::uint32_t center : centers) offered_to_all_[center] = 1;
        const Execution execution = execution_.at(done_ + part_ / 2);
        const NearCenters offered =
            nearest_among(points_, centers_.view(), centers, more, execution);
        NearCenters all(points_.size(), candidates_.width + offered.width);
        all.num_different = candidates_.num_different;
        std::uint32_t* next_center = all.centers.data();
        float* next_score = all.scores.data();
        for (std::size_t row = 0; row < points_.size(); ++row) {
            next_center = std::ranges::copy(candidates_.centers_of(row), next_center).out;
            next_center = std::ranges::copy(offered.centers_of(row), next_center).out;
            next_score = std::ranges::copy(candidates_.scores_of(row), next_score).out;
            next_score = std::ranges::copy(offered.scores_of(row), next_score).out;
        }
        candidates_ = std::move(all);
    }

    [[nodiscard]] std::size_t place_of(std::size_t row) const noexcept {
        return row * candidates_.width + columns_[row];
    }

    [[nodiscard]] double loss() const {
        double total = 0;
        for (std::size_t row = 0; row < points_.size(); ++row)
            total += points_.loss(candidates_.scores[place_of(row)]);
        return total;
    }

    const Points& points_;
    const SizeLimits limits_;
    const Stopping stopping_;
    const Execution& execution_;
    MovingCenters centers_;
    bool settled_;  // only assignments at the least loss will do
    std::vector<double> prices_;
    NearCenters candidates_;
    std::vector<std::uint8_t> offered_to_all_;  // by cluster: whether each row may have it
    std::vector<std::uint32_t> columns_;        // by row: of its candidate
    std::vector<std::int32_t> labels_;
    std::size_t iteration_ = 0;
    double done_ = 0;  // the fraction of the work before this iteration
    double part_ = 0;  // and that it is
    Clustering result_;
};

}  // namespace

Clustering limited_lloyd(const Points& points,
                         MatrixView centers,
                         SizeLimits limits,
                         const Stopping& stopping,
                         const Execution& execution) {
    const FloatEnvironment environment;
    require(stopping.max_iter >= 1, "max_iter: expected at least 1");
    require(!points.weighted(), "sample_weight: sizes are limited in rows, which count alike");
    require(limits.least >= 1 && limits.least <= limits.most && limits.most <= points.size(),
            "sizes: expected 1 <= least <= most <= rows");
    require(centers.rows <= points.size() / limits.least &&
                (points.size() + limits.most - 1) / limits.most <= centers.rows,
            "sizes: no assignment keeps within the limits");
    return LimitedLloyd(points, centers, limits, stopping, execution).run();
}

}  // namespace nearmiss
