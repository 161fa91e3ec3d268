// SPDX-License-Identifier: Apache-2.0
// From sizes that are about right to sizes within limits, nearly at the least cost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kmeans/sizes/candidates.hpp"
#include "parallel.hpp"

namespace nearmiss {

// The auction algorithm for similar objects (Bertsekas and Castanon 1989). A cluster with too many
// rows gives up those that would pay the least more for it, and its price rises to what they would;
// they go where cost + price is least, which may be too many there. No row pays more than
// `increment` above the least cost + price, so the total is at most that much per row above the
// least for clusters of the sizes it ends with. Prices only rise. Not thread-safe.
class Auction {
  public:
    // `columns`: what rows prefer at these prices; `regrets`: by how much, to the next best. Both
    // prices and columns are changed. increment >= 1, two columns at least. All must outlive it.
    Auction(const Costs& costs,
            const std::vector<Cost>& regrets,
            Cost increment,
            std::vector<Cost>& prices,
            std::vector<std::uint32_t>& columns,
            const Execution& execution);

    // Until no cluster has more rows than its capacity. False if that took too long: perhaps
    // nothing among the candidates leads to where there is room.
    [[nodiscard]] bool run(const std::vector<std::size_t>& capacities, TaskContext& context);

    [[nodiscard]] std::size_t size(std::size_t cluster) const noexcept {
        return members_[cluster].size();
    }

  private:
    // The price up to which a row stays.
    using Member = std::pair<Cost, std::uint32_t>;

    void give_up_cheapest(std::uint32_t cluster);
    // Returns the cluster.
    std::uint32_t place(std::uint32_t row);

    const Costs& costs_;
    const Cost increment_;
    std::vector<Cost>& prices_;
    std::vector<std::uint32_t>& columns_;
    // By cluster, falling: the first to leave is the last.
    std::vector<std::vector<Member>> members_;
    std::vector<std::uint32_t> homeless_;
};

}  // namespace nearmiss
