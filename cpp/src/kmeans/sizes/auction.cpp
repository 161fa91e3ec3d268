// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/auction.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace nearmiss {
namespace {

constexpr Cost kFar = std::numeric_limits<Cost>::max();
constexpr std::size_t kMostPlacedPerRow = 16;
constexpr Cost kHighestPrice = Cost{1} << 60;
constexpr std::size_t kPlacedPerCheckpoint = 4096;
constexpr std::size_t kClustersPerTask = 64;

}  // namespace

Auction::Auction(const Costs& costs,
                 const std::vector<Cost>& regrets,
                 Cost increment,
                 std::vector<Cost>& prices,
                 std::vector<std::uint32_t>& columns,
                 const Execution& execution)
    : costs_(costs),
      increment_(increment),
      prices_(prices),
      columns_(columns),
      members_(prices.size()) {
    for (std::uint32_t row = 0; row < columns.size(); ++row) {
        const std::uint32_t cluster = costs.center(row * costs.width() + columns[row]);
        const Cost regret = regrets[row];
        members_[cluster].emplace_back(regret == kFar ? kFar : prices[cluster] + regret, row);
    }
    const std::size_t tasks = (members_.size() + kClustersPerTask - 1) / kClustersPerTask;
    run_parallel(tasks, members_.size(), execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t begin = task * kClustersPerTask;
        const std::size_t end = std::min(members_.size(), begin + kClustersPerTask);
        for (std::size_t c = begin; c < end; ++c) std::ranges::sort(members_[c], std::greater<>());
        context.checkpoint(end - begin);
    });
}

bool Auction::run(const std::vector<std::size_t>& capacities, TaskContext& context) {
    const auto give_up_surplus = [&](std::uint32_t cluster) {
        while (members_[cluster].size() > capacities[cluster]) give_up_cheapest(cluster);
    };
    for (std::uint32_t cluster = 0; cluster < members_.size(); ++cluster) give_up_surplus(cluster);
    const std::size_t most = kMostPlacedPerRow * columns_.size();
    for (std::size_t placed = 0; !homeless_.empty(); ++placed) {
        if (placed == most) return false;
        if (placed % kPlacedPerCheckpoint == 0) context.checkpoint();
        const std::uint32_t row = homeless_.back();
        homeless_.pop_back();
        const std::uint32_t cluster = place(row);
        give_up_surplus(cluster);
        if (prices_[cluster] > kHighestPrice) return false;
    }
    return true;
}

void Auction::give_up_cheapest(std::uint32_t cluster) {
    std::vector<Member>& members = members_[cluster];
    const auto [price, row] = members.back();
    members.pop_back();
    prices_[cluster] = price;
    homeless_.push_back(row);
    if (members.empty()) return;
    costs_.fetch_ahead(members.back().second);  // the next to leave
}

std::uint32_t Auction::place(std::uint32_t row) {
    const std::size_t first = row * costs_.width();
    Cost least = kFar;
    Cost next = kFar;
    std::uint32_t column = 0;
    // Without branches, which nobody could predict.
    const auto look = [&](std::uint32_t j, bool repeats) {
        const Cost there = costs_[first + j] + prices_[costs_.center(first + j)];
        next = std::min(next, repeats ? kFar : std::max(least, there));
        const std::uint32_t other = column ^ j;
        column ^= other & (std::uint32_t{0} - static_cast<std::uint32_t>(there < least));
        least = std::min(least, there);
    };
    std::uint32_t j = 0;
    for (; j < costs_.candidates().num_different; ++j) look(j, false);
    for (; j < costs_.width(); ++j)
        look(j, costs_.center(first + j) == costs_.center(first + column));
    columns_[row] = column;
    const std::uint32_t cluster = costs_.center(first + column);
    const Cost stays = next == kFar ? kFar : prices_[cluster] + (next - least) + increment_;
    std::vector<Member>& members = members_[cluster];
    const Member member(stays, row);
    // From the end: most of those that come are among the first to leave again.
    auto at = members.end();
    while (at != members.begin() && *(at - 1) < member) --at;
    members.insert(at, member);
    return cluster;
}

}  // namespace nearmiss
