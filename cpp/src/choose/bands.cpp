// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "choose/choose.hpp"
#include "choose/numbers.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {
namespace {

// The places [begin, end) of a window that lie in a band.
struct Segment {
    std::size_t begin;
    std::size_t end;
};

// The first place of the window for which `reached` holds; it holds for all after it too.
template <class Reached>
std::size_t first_place(std::size_t size, Reached reached) {
    std::size_t low = 0;
    std::size_t high = size;
    while (low < high) {
        const std::size_t middle = low + (high - low) / 2;
        if (reached(middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

Segment segment_of(const Band& band, BandScale scale, const RankWindow& window) {
    const std::span<const Key> keys = window.keys;
    const auto score = [&](std::size_t i) { return static_cast<double>(score_of(keys[i])); };
    if (scale == BandScale::score) {
        return {first_place(keys.size(), [&](std::size_t i) { return score(i) < band.high; }),
                first_place(keys.size(), [&](std::size_t i) { return score(i) < band.low; })};
    }
    const auto distance = [&](std::size_t i) {
        switch (scale) {
        case BandScale::rank:
            return static_cast<double>(window.first_rank + i);
        case BandScale::quantile:
            return static_cast<double>(i) / static_cast<double>(keys.size());
        default:
            return static_cast<double>(window.reference) - score(i);
        }
    };
    return {first_place(keys.size(), [&](std::size_t i) { return distance(i) >= band.low; }),
            first_place(keys.size(), [&](std::size_t i) { return distance(i) >= band.high; })};
}

// The bands' numbers by where they begin.
std::vector<std::size_t> ascending(const Bands& bands) {
    std::vector<std::size_t> order(bands.list.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return bands.list[a].low < bands.list[b].low;
    });
    return order;
}

// In the order in which what one band lacks goes to the next.
std::vector<std::size_t> spilling(const Bands& bands) {
    std::vector<std::size_t> order = ascending(bands);
    const bool nearest_first = bands.scale != BandScale::score;
    if (nearest_first == (bands.spill == Spill::nearer)) std::reverse(order.begin(), order.end());
    return order;
}

}  // namespace

void require_bands(const Bands& bands) {
    require(!bands.list.empty(), "bands: expected at least one");
    for (const Band& band : bands.list) {
        if (band.low < band.high && band.quota >= 1) continue;
        throw InvalidArgument("bands: expected low < high and a quota of at least 1, got [" +
                              as_text(band.low) + ", " + as_text(band.high) + ") with " +
                              std::to_string(band.quota));
    }
    const std::vector<std::size_t> order = ascending(bands);
    for (std::size_t i = 1; i < order.size(); ++i) {
        const Band& before = bands.list[order[i - 1]];
        const Band& after = bands.list[order[i]];
        if (before.high > after.low)
            throw InvalidArgument("bands: [" + as_text(before.low) + ", " + as_text(before.high) +
                                  ") and [" + as_text(after.low) + ", " + as_text(after.high) +
                                  ") overlap");
    }
}

Stratified choose_from_bands(const RankWindow& window,
                             const Bands& bands,
                             const RandomStream& noise,
                             std::uint64_t query_id) {
    // Without a positive's score there is no margin.
    if (bands.scale == BandScale::margin && std::isnan(window.reference)) return {};
    struct Pick {
        Key key;
        std::int64_t stratum;
    };
    std::vector<Pick> picks;
    std::vector<Key> members;
    std::size_t missing = 0;
    for (const std::size_t b : spilling(bands)) {
        const Band& band = bands.list[b];
        const Segment segment = segment_of(band, bands.scale, window);
        members.clear();
        for (std::size_t i = segment.begin; i < segment.end; ++i)
            if (window.may_be_negative(i)) members.push_back(window.keys[i]);
        const std::size_t wanted = band.quota + (bands.spill == Spill::none ? 0 : missing);
        const std::size_t count = std::min(wanted, members.size());
        missing = wanted - count;
        const std::span<const Key> chosen = band.nearest
                                                ? std::span<const Key>(members).first(count)
                                                : choose_random(members, count, noise, query_id);
        for (const Key key : chosen) picks.push_back({key, static_cast<std::int64_t>(b)});
    }
    std::sort(
        picks.begin(), picks.end(), [](const Pick& a, const Pick& b) { return a.key > b.key; });
    Stratified result;
    for (const Pick& pick : picks) {
        result.keys.push_back(pick.key);
        result.strata.push_back(pick.stratum);
    }
    return result;
}

}  // namespace nearmiss
