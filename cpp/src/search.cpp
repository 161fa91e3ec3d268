// SPDX-License-Identifier: Apache-2.0
#include "search.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <vector>

#include "collect/reservoir.hpp"
#include "nearmiss/error.hpp"
#include "parallel.hpp"
#include "query_block.hpp"

namespace nearmiss {
namespace {

using kernels::kPanelRows;
using kernels::kTileQueries;

// Query tiles stay in the L2 cache while a panel of the corpus, in L1, meets all of them.
constexpr std::size_t kTileBytesPerBlock = std::size_t{400} << 10;
constexpr std::size_t kReservoirBytesPerBlock = std::size_t{8} << 20;
constexpr std::size_t kMinTilesPerBlock = 8;
constexpr std::size_t kMaxTilesPerBlock = 64;
// With fewer queries per thread than this, reading the corpus costs more than the arithmetic:
// threads then share the queries and split the corpus.
constexpr std::size_t kFewQueries = 48;
constexpr std::size_t kPanelsPerCheckpoint = 16;

constexpr std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// The grid of tasks: blocks of queries x shards of the corpus.
struct Plan {
    std::size_t block_size;  // queries
    std::size_t num_blocks;
    std::size_t num_shards;
    std::size_t shard_panels;
};

Plan make_plan(const Search& search, std::size_t num_threads) {
    const std::size_t n = search.queries.rows;
    const std::size_t panels = search.corpus.num_panels();
    const std::size_t tile_bytes = search.corpus.depth * kTileQueries * sizeof(float);
    const std::size_t reservoir_bytes =
        Reservoirs::capacity_for(search.pool_size) * sizeof(Key) * kTileQueries;
    const std::size_t tiles =
        std::clamp<std::size_t>(std::min(kTileBytesPerBlock / tile_bytes,
                                         kReservoirBytesPerBlock / reservoir_bytes),
                                kMinTilesPerBlock,
                                kMaxTilesPerBlock);
    std::size_t blocks = divide_up(n, tiles * kTileQueries);
    std::size_t shards = 1;
    if (n < kFewQueries * num_threads) {
        const std::size_t idle = divide_up(num_threads, blocks);
        shards = std::clamp<std::size_t>(idle, 1, divide_up(panels, kPanelsPerCheckpoint));
    } else {
        blocks = divide_up(blocks, num_threads) * num_threads;  // equal work for all threads
    }
    const std::size_t block_size = divide_up(divide_up(n, blocks), kTileQueries) * kTileQueries;
    const std::size_t shard_panels = divide_up(panels, shards);
    return {block_size, divide_up(n, block_size), divide_up(panels, shard_panels), shard_panels};
}

// Queries of one group next to each other where the corpus is ordered by group, so that whole tiles
// can be skipped.
std::vector<std::uint32_t> order_queries(const Search& search, bool by_group) {
    std::vector<std::uint32_t> order(search.queries.rows);
    std::iota(order.begin(), order.end(), 0u);
    if (!by_group) return order;
    const auto groups = search.rules->limits->query_groups;
    std::stable_sort(
        order.begin(), order.end(), [&](auto a, auto b) { return groups[a] < groups[b]; });
    return order;
}

// What a thread needs to scan; reused from task to task.
struct Scratch {
    QueryBlock block;
    Reservoirs reservoirs;
    std::vector<kernels::TileHit> hits;
};

class Scan {
  public:
    Scan(const Search& search, bool by_group, Scratch& scratch)
        : search_(search),
          by_group_(by_group),
          scratch_(scratch),
          scorer_(search.corpus, search.kernel) {}

    void run(std::span<const std::uint32_t> queries,
             std::size_t panel_begin,
             std::size_t panel_end,
             TaskContext& context) {
        QueryBlock& block = scratch_.block;
        block.prepare(search_, queries);
        scratch_.reservoirs.reset(block, search_.pool_size);
        scratch_.hits.resize(block.num_tiles());
        for (std::size_t p = panel_begin; p < panel_end; ++p) {
            scan_panel(p);
            if ((p - panel_begin) % kPanelsPerCheckpoint == 0) context.checkpoint();
        }
    }

    Pool finish(std::size_t i) {
        const auto keys = scratch_.reservoirs.finish(i, scorer_);
        return {scratch_.block.query(i), keys, scratch_.reservoirs.above(i)};
    }

  private:
    void scan_panel(std::size_t panel) {
        QueryBlock& block = scratch_.block;
        if (!by_group_) {
            screen(panel, {0, block.num_tiles()});
            return;
        }
        const PackedCorpus& corpus = search_.corpus;
        const std::size_t first = panel * kPanelRows;
        const std::size_t last = std::min(first + kPanelRows, corpus.num_rows()) - 1;
        const auto ranges =
            block.tiles_for_groups(corpus.groups[corpus.row_at(first)],
                                   corpus.groups[corpus.row_at(last)],
                                   search_.rules->limits->within_groups);
        for (std::size_t i = 0; i < ranges.count; ++i) screen(panel, ranges.at[i]);
    }

    void screen(std::size_t panel, TileRange tiles) {
        if (tiles.begin >= tiles.end) return;
        const PackedCorpus& corpus = search_.corpus;
        QueryBlock& block = scratch_.block;
        const kernels::ScreenTask task{corpus.panels.data() + panel * corpus.panel_size(),
                                       block.tiles(),
                                       corpus.depth,
                                       tiles.begin,
                                       tiles.end,
                                       block.lower().data(),
                                       block.upper()};
        const std::uint32_t count = search_.kernel.screen(task, scratch_.hits.data());
        for (std::uint32_t h = 0; h < count; ++h) collect(scratch_.hits[h], panel);
    }

    void collect(const kernels::TileHit& hit, std::size_t panel) {
        const std::size_t first = panel * kPanelRows;
        const std::size_t lanes = std::min(kPanelRows, search_.corpus.num_rows() - first);
        const auto used = static_cast<std::uint16_t>((1u << lanes) - 1u);
        for (std::size_t t = 0; t < kTileQueries; ++t) {
            const std::size_t i = hit.tile * kTileQueries + t;
            if (i >= scratch_.block.size()) return;
            const auto passed = static_cast<std::uint16_t>(hit.passed[t] & used);
            const auto above = static_cast<std::uint16_t>(hit.above[t] & used);
            if (above != 0) count_above(i, first, above);
            if (passed != 0) add(i, first, passed, hit.scores[t]);
        }
    }

    void add(std::size_t i, std::size_t first, std::uint16_t lanes, const float* scores) {
        Reservoirs& reservoirs = scratch_.reservoirs;
        reservoirs.make_room(i, scorer_);
        const Admission* admission = scratch_.block.admission(i);
        for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
            const std::uint32_t row = search_.corpus.row_at(first + lane);
            if (admission == nullptr || !admission->ruled_out(row))
                reservoirs.add(i, scores[lane], row);
        }
    }

    void count_above(std::size_t i, std::size_t first, std::uint16_t lanes) {
        const Admission* admission = scratch_.block.admission(i);
        std::int64_t count = 0;
        for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
            const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
            const std::uint32_t row = search_.corpus.row_at(first + lane);
            count += admission == nullptr || !admission->ruled_out(row);
        }
        scratch_.reservoirs.count_above(i, count);
    }

    const Search& search_;
    const bool by_group_;
    Scratch& scratch_;
    ExactScorer scorer_;
};

// What the shards of one query found, until all of them are done.
struct Partial {
    std::vector<Key> keys;
    std::int64_t above = 0;
};

void merge_shards(const Search& search,
                  std::vector<std::vector<Partial>>& shards,
                  const Execution& execution,
                  const std::function<void(const Pool&)>& sink) {
    const std::size_t n = search.queries.rows;
    run_parallel(n, 0, {execution.num_threads, {}}, [&](std::size_t q, TaskContext&) {
        std::vector<Key> keys;
        std::int64_t above = 0;
        for (auto& shard : shards) {
            keys.insert(keys.end(), shard[q].keys.begin(), shard[q].keys.end());
            above += shard[q].above;
        }
        std::sort(keys.begin(), keys.end(), std::greater<>());
        keys.resize(std::min(keys.size(), search.pool_size));
        sink({q, keys, above});
    });
}

}  // namespace

void search_pools(const Search& search,
                  const Execution& execution,
                  const std::function<void(const Pool&)>& sink) {
    const std::size_t n = search.queries.rows;
    if (n == 0) return;
    const std::size_t threads = resolve_threads(execution);
    const Plan plan = make_plan(search, threads);
    const bool by_group = search.rules != nullptr && search.rules->use_groups() &&
                          !search.corpus.row_of_position.empty();
    const std::vector<std::uint32_t> order = order_queries(search, by_group);
    std::vector<std::vector<Partial>> shards(plan.num_shards > 1 ? plan.num_shards : 0);
    for (auto& shard : shards) shard.resize(n);

    const std::size_t tasks = plan.num_blocks * plan.num_shards;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        static thread_local Scratch scratch;
        const std::size_t shard = task % plan.num_shards;
        const std::size_t begin = task / plan.num_shards * plan.block_size;
        const std::size_t count = std::min(plan.block_size, n - begin);
        const std::size_t panel_begin = shard * plan.shard_panels;
        const std::size_t panel_end =
            std::min(panel_begin + plan.shard_panels, search.corpus.num_panels());
        Scan scan(search, by_group, scratch);
        scan.run(std::span(order).subspan(begin, count), panel_begin, panel_end, context);
        for (std::size_t i = 0; i < count; ++i) {
            const Pool pool = scan.finish(i);
            if (shards.empty())
                sink(pool);
            else
                shards[shard][pool.query] = {{pool.keys.begin(), pool.keys.end()}, pool.above};
            context.checkpoint();
        }
        context.checkpoint(1);
    });
    if (!shards.empty()) merge_shards(search, shards, execution, sink);
}

}  // namespace nearmiss
