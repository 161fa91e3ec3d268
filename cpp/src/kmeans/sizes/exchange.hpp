// SPDX-License-Identifier: Apache-2.0
// From sizes that are about right to sizes within limits, by the cheapest exchanges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kmeans/sizes/candidates.hpp"
#include "parallel.hpp"

namespace nearmiss {

// A minimum cost flow by the primal-dual method: rows flow to clusters, clusters flow to a sink
// behind them, each at least `least` and at most `most`. At all times every row is where
// cost + price is least, and a cluster whose price is above that of the sink sends the most, one
// whose price is below sends the least. So once what comes in goes out again everywhere, the
// assignment is optimal. Not thread-safe.
class Exchange {
  public:
    // `columns`: what rows prefer at these prices. num_clusters * least <= rows <=
    // num_clusters * most. All must outlive it.
    Exchange(const Costs& costs,
             SizeLimits limits,
             std::vector<Cost>& prices,
             std::vector<std::uint32_t>& columns);

    // Appends the price of the sink to the prices. Changes prices and columns until sizes are
    // within limits. Where the candidates do not lead there it returns the clusters with room for
    // more rows, otherwise none.
    [[nodiscard]] std::vector<std::uint32_t> run(TaskContext& context);

  private:
    // The cheapest way to get one row from its cluster to another: that costs `delta` more.
    struct Arc {
        std::uint32_t to;
        std::uint32_t row;
        std::uint32_t column;
        Cost delta;
    };
    struct Waiting {
        Cost distance;
        std::uint32_t node;

        // For a heap with the nearest on top.
        bool operator<(const Waiting& other) const noexcept {
            return distance > other.distance || (distance == other.distance && node > other.node);
        }
    };

    // On a way: from a node by its arc of this number; after a cluster's arcs comes the sink, and
    // the sink's arcs are the clusters.
    struct Step {
        std::uint32_t node;
        std::uint32_t arc;
    };

    [[nodiscard]] std::uint32_t cluster_of(std::uint32_t row) const noexcept;
    void set_outflows();
    // What comes in less what goes out.
    [[nodiscard]] Cost excess(std::uint32_t node) const noexcept;
    void change_outflow(std::uint32_t cluster, Cost amount) noexcept;
    void move(std::uint32_t row, std::uint32_t column);
    void renew_arcs(std::uint32_t cluster);

    [[nodiscard]] std::vector<std::uint32_t> with_room() const;
    [[nodiscard]] bool reprice(TaskContext& context);
    void reach(Cost distance, std::uint32_t node);
    void reach_from(std::uint32_t node);
    [[nodiscard]] bool send_from(std::uint32_t source);
    [[nodiscard]] bool advance(Step& step, std::uint32_t& next) const;
    void take(const Step& step);

    const Costs& costs_;
    const Cost least_;
    const Cost most_;
    const std::uint32_t sink_;  // the node after the clusters
    std::vector<Cost>& prices_;
    std::vector<std::uint32_t>& columns_;
    std::vector<std::uint32_t> places_;                // by row: in members_
    std::vector<std::vector<std::uint32_t>> members_;  // by cluster
    std::vector<Cost> outflows_;                       // by cluster
    Cost total_outflow_ = 0;
    std::vector<std::vector<Arc>> arcs_;  // by cluster, one to each other that can be reached
    std::vector<std::uint8_t> stale_;     // by cluster: whether its rows changed since
    std::vector<std::uint32_t> arc_to_;   // scratch of renew_arcs()
    // By node, of one search for the cheapest ways.
    std::vector<Cost> distances_;
    std::vector<Waiting> waiting_;
    std::vector<std::uint8_t> tried_;
    std::vector<Step> way_;
};

}  // namespace nearmiss
