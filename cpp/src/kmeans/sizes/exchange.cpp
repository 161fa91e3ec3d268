// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/exchange.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace nearmiss {
namespace {

constexpr std::uint32_t kNoArc = 0xffff'ffff;
constexpr Cost kFar = std::numeric_limits<Cost>::max();
constexpr std::size_t kRowsAhead = 8;
constexpr std::size_t kVisitsPerCheckpoint = 64;

}  // namespace

Exchange::Exchange(const Costs& costs,
                   SizeLimits limits,
                   std::vector<Cost>& prices,
                   std::vector<std::uint32_t>& columns)
    : costs_(costs),
      least_(static_cast<Cost>(limits.least)),
      most_(static_cast<Cost>(limits.most)),
      sink_(static_cast<std::uint32_t>(prices.size())),
      prices_(prices),
      columns_(columns),
      places_(costs.num_rows()),
      members_(sink_),
      outflows_(sink_),
      arcs_(sink_),
      stale_(sink_, 1),
      arc_to_(sink_, kNoArc),
      distances_(sink_ + 1),
      tried_(sink_ + 1) {
    for (std::uint32_t row = 0; row < columns.size(); ++row) {
        std::vector<std::uint32_t>& members = members_[cluster_of(row)];
        places_[row] = static_cast<std::uint32_t>(members.size());
        members.push_back(row);
    }
    set_outflows();
}

std::vector<std::uint32_t> Exchange::run(TaskContext& context) {
    const auto done = [&] {
        for (std::uint32_t node = 0; node <= sink_; ++node)
            if (excess(node) != 0) return false;
        return true;
    };
    while (!done()) {
        if (!reprice(context)) return with_room();
        std::ranges::fill(tried_, std::uint8_t{0});
        for (std::uint32_t node = 0; node <= sink_; ++node)
            while (excess(node) > 0 && send_from(node)) context.checkpoint();
    }
    return {};
}

std::vector<std::uint32_t> Exchange::with_room() const {
    std::vector<std::uint32_t> clusters;
    for (std::uint32_t c = 0; c < sink_; ++c)
        if (excess(c) < 0 || outflows_[c] < most_) clusters.push_back(c);
    return clusters;
}

std::uint32_t Exchange::cluster_of(std::uint32_t row) const noexcept {
    return costs_.center(row * costs_.width() + columns_[row]);
}

// Those that go with the prices.
void Exchange::set_outflows() {
    std::vector<Cost> falling(prices_);
    std::ranges::sort(falling, std::greater<>());
    // With the most at as many high prices as it takes, what comes in can go out.
    Cost rest = static_cast<Cost>(columns_.size()) - least_ * static_cast<Cost>(sink_);
    Cost base = falling.back();
    for (const Cost price : falling) {
        rest -= most_ - least_;
        if (rest > 0) continue;
        base = price;
        break;
    }
    for (std::uint32_t c = 0; c < sink_; ++c) {
        const auto size = static_cast<Cost>(members_[c].size());
        outflows_[c] = prices_[c] > base   ? most_
                       : prices_[c] < base ? least_
                                           : std::clamp(size, least_, most_);
        total_outflow_ += outflows_[c];
    }
    prices_.push_back(base);
}

Cost Exchange::excess(std::uint32_t node) const noexcept {
    if (node == sink_) return total_outflow_ - static_cast<Cost>(columns_.size());
    return static_cast<Cost>(members_[node].size()) - outflows_[node];
}

void Exchange::change_outflow(std::uint32_t cluster, Cost amount) noexcept {
    outflows_[cluster] += amount;
    total_outflow_ += amount;
}

void Exchange::move(std::uint32_t row, std::uint32_t column) {
    const std::uint32_t from = cluster_of(row);
    std::vector<std::uint32_t>& left = members_[from];
    left[places_[row]] = left.back();
    places_[left.back()] = places_[row];
    left.pop_back();
    columns_[row] = column;
    const std::uint32_t to = cluster_of(row);
    places_[row] = static_cast<std::uint32_t>(members_[to].size());
    members_[to].push_back(row);
    stale_[from] = stale_[to] = 1;
}

void Exchange::renew_arcs(std::uint32_t cluster) {
    if (stale_[cluster] == 0) return;
    stale_[cluster] = 0;
    std::vector<Arc>& arcs = arcs_[cluster];
    arcs.clear();
    const std::vector<std::uint32_t>& members = members_[cluster];
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (i + kRowsAhead < members.size()) costs_.fetch_ahead(members[i + kRowsAhead]);
        const std::uint32_t row = members[i];
        const std::size_t first = row * costs_.width();
        const Cost here = costs_[first + columns_[row]];
        for (std::uint32_t j = 0; j < costs_.width(); ++j) {
            const std::uint32_t to = costs_.center(first + j);
            if (to == cluster) continue;
            const Cost delta = costs_[first + j] - here;
            if (arc_to_[to] == kNoArc) {
                arc_to_[to] = static_cast<std::uint32_t>(arcs.size());
                arcs.push_back({to, row, j, delta});
            } else if (delta < arcs[arc_to_[to]].delta) {
                arcs[arc_to_[to]] = {to, row, j, delta};
            }
        }
    }
    for (const Arc& arc : arcs) arc_to_[arc.to] = kNoArc;
}

// Changes prices so that the cheapest ways from nodes with too much cost nothing. False if they
// lead to no node that has too little.
bool Exchange::reprice(TaskContext& context) {
    std::ranges::fill(distances_, kFar);
    waiting_.clear();
    Cost to_send = 0;
    for (std::uint32_t node = 0; node <= sink_; ++node) {
        if (excess(node) <= 0) continue;
        to_send += excess(node);
        reach(0, node);
    }
    Cost farthest = -1;  // of those that have too little
    std::size_t num_visited = 0;
    while (!waiting_.empty() && to_send > 0) {
        std::ranges::pop_heap(waiting_, std::less<>());
        const Waiting next = waiting_.back();
        waiting_.pop_back();
        if (next.distance > distances_[next.node]) continue;
        if (excess(next.node) < 0) {
            farthest = next.distance;
            to_send += excess(next.node);  // there is room for so much less
        }
        reach_from(next.node);
        if (++num_visited % kVisitsPerCheckpoint == 0) context.checkpoint();
    }
    for (std::uint32_t node = 0; node <= sink_; ++node)
        if (distances_[node] < farthest) prices_[node] += farthest - distances_[node];
    return farthest >= 0;
}

void Exchange::reach(Cost distance, std::uint32_t node) {
    if (distance >= distances_[node]) return;
    distances_[node] = distance;
    waiting_.push_back({distance, node});
    std::ranges::push_heap(waiting_, std::less<>());
}

void Exchange::reach_from(std::uint32_t node) {
    const Cost distance = distances_[node] - prices_[node];
    if (node == sink_) {
        for (std::uint32_t c = 0; c < sink_; ++c)
            if (outflows_[c] > least_) reach(distance + prices_[c], c);
        return;
    }
    renew_arcs(node);
    for (const Arc& arc : arcs_[node]) reach(distance + arc.delta + prices_[arc.to], arc.to);
    if (outflows_[node] < most_) reach(distance + prices_[sink_], sink_);
}

// One unit along ways that cost nothing, depth first, to a node that has too little.
bool Exchange::send_from(std::uint32_t source) {
    if (tried_[source] != 0) return false;
    way_.assign(1, {source, 0});
    while (!way_.empty()) {
        Step& step = way_.back();
        tried_[step.node] = 1;
        std::uint32_t next = 0;
        if (!advance(step, next)) {
            way_.pop_back();
            continue;
        }
        if (excess(next) >= 0) {
            way_.push_back({next, 0});
            continue;
        }
        for (const Step& taken : way_) {
            take(taken);
            tried_[taken.node] = 0;  // there may be another way
        }
        return true;
    }
    return false;
}

// To the next arc from here that costs nothing and leads to a node not tried yet.
bool Exchange::advance(Step& step, std::uint32_t& next) const {
    const Cost price = prices_[step.node];
    const auto leads_on = [&](std::uint32_t node, Cost delta) {
        next = node;
        return tried_[node] == 0 && delta + prices_[node] == price;
    };
    if (step.node == sink_) {
        for (; step.arc < sink_; ++step.arc)
            if (outflows_[step.arc] > least_ && leads_on(step.arc, 0)) return true;
        return false;
    }
    const std::vector<Arc>& arcs = arcs_[step.node];
    for (; step.arc < arcs.size(); ++step.arc) {
        const Arc& arc = arcs[step.arc];
        if (cluster_of(arc.row) == step.node && leads_on(arc.to, arc.delta)) return true;
    }
    return step.arc == arcs.size() && outflows_[step.node] < most_ && leads_on(sink_, 0);
}

void Exchange::take(const Step& step) {
    if (step.node == sink_) {
        change_outflow(step.arc, -1);
    } else if (step.arc == arcs_[step.node].size()) {
        change_outflow(step.node, 1);
    } else {
        const Arc& arc = arcs_[step.node][step.arc];
        move(arc.row, arc.column);
    }
}

}  // namespace nearmiss
