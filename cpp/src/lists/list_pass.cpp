// SPDX-License-Identifier: Apache-2.0
#include "lists/list_pass.hpp"

#include <algorithm>
#include <numeric>

#include "parallel.hpp"

namespace nearmiss {
namespace {

// Many queries per block: those that look at the same list then share its way to the cache.
constexpr std::size_t kReservoirBytesPerBlock = std::size_t{32} << 20;

std::size_t num_blocks(std::size_t num_queries, std::size_t pool_size, std::size_t threads) {
    const std::size_t bytes = Reservoirs::capacity_for(pool_size) * sizeof(Key);
    const std::size_t most = std::max<std::size_t>(1, kReservoirBytesPerBlock / bytes);
    const std::size_t least = (num_queries + most - 1) / most;
    const std::size_t rounds = (least + threads - 1) / threads;  // equal work for all threads
    return std::min(num_queries, rounds * threads);
}

}  // namespace

std::vector<std::uint32_t> ListPass::all() const {
    std::vector<std::uint32_t> places(visits_.queries.size());
    std::iota(places.begin(), places.end(), 0u);
    return places;
}

ListPass::Rest ListPass::run(std::vector<std::uint32_t> places,
                             Guess guess,
                             const Execution& execution,
                             const std::function<void(const Pool&)>& sink) {
    // Queries of one nearest list next to each other: they share others too.
    std::ranges::sort(places, {}, [&](std::uint32_t place) {
        return std::pair(visits_.nearest[place * visits_.width], place);
    });
    Rest rest;
    const std::size_t blocks =
        num_blocks(places.size(), search_.pool_size, resolve_threads(execution));
    run_parallel(blocks, blocks, execution, [&](std::size_t block, TaskContext& context) {
        const std::size_t begin = places.size() * block / blocks;
        const std::size_t end = places.size() * (block + 1) / blocks;
        scan_block(std::span(places).subspan(begin, end - begin), guess, context, sink, rest);
        context.checkpoint(1);
    });
    return rest;
}

void ListPass::scan_block(std::span<const std::uint32_t> places,
                          Guess guess,
                          TaskContext& context,
                          const std::function<void(const Pool&)>& sink,
                          Rest& rest) {
    const std::size_t width = visits_.width;
    std::vector<std::uint32_t> queries;
    std::vector<std::uint32_t> nearest;
    for (const std::uint32_t place : places) {
        queries.push_back(visits_.queries[place]);
        const auto lists = visits_.nearest.subspan(place * width, width);
        nearest.insert(nearest.end(), lists.begin(), lists.end());
    }
    ListScan scan(search_, lists_, form_);
    scan.run(queries, nearest, width, guess, context);
    rescored_.fetch_add(scan.num_rescored());
    for (std::size_t i = 0; i < places.size(); ++i) {
        context.checkpoint();
        const Pool pool = scan.pool(i);
        const bool complete = scan.complete(i);
        if (complete && pool.keys.size() == search_.pool_size) {
            sink(pool);
            continue;
        }
        const std::lock_guard lock(rest_mutex_);
        (complete ? rest.short_of_rows : rest.misguessed).push_back(places[i]);
    }
}

}  // namespace nearmiss
