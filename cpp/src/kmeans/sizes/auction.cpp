// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/auction.hpp"

#include <limits>

namespace nearmiss {
namespace {

constexpr Cost kFar = std::numeric_limits<Cost>::max();
constexpr std::size_t kMostPlacedPerRow = 16;
constexpr Cost kHighestPrice = Cost{1} << 60;
constexpr std::size_t kPlacedPerCheckpoint = 4096;

}  // namespace

Auction::Auction(const Costs& costs,
                 const std::vector<Cost>& regrets,
                 Cost increment,
                 std::vector<Cost>& prices,
                 std::vector<std::uint32_t>& columns)
    : costs_(costs),
      increment_(increment),
      prices_(prices),
      columns_(columns),
      members_(prices.size()) {
    for (std::uint32_t row = 0; row < columns.size(); ++row) {
        const std::uint32_t cluster = costs.center(row * costs.width() + columns[row]);
        const Cost regret = regrets[row];
        members_[cluster].emplace(regret == kFar ? kFar : prices[cluster] + regret, row);
    }
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
    const auto [price, row] = members_[cluster].top();
    members_[cluster].pop();
    prices_[cluster] = price;
    homeless_.push_back(row);
}

std::uint32_t Auction::place(std::uint32_t row) {
    const std::size_t first = row * costs_.width();
    Cost least = kFar;
    Cost next = kFar;
    for (std::uint32_t j = 0; j < costs_.width(); ++j) {
        const Cost there = costs_[first + j] + prices_[costs_.center(first + j)];
        if (there < least) {
            next = least;
            least = there;
            columns_[row] = j;
        } else if (there < next) {
            next = there;
        }
    }
    const std::uint32_t cluster = costs_.center(first + columns_[row]);
    const Cost stays = next == kFar ? kFar : prices_[cluster] + (next - least) + increment_;
    members_[cluster].emplace(stays, row);
    return cluster;
}

}  // namespace nearmiss
