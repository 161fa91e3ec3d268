// SPDX-License-Identifier: Apache-2.0
// The float32 screening tile: kTileQueries queries x kPanelRows corpus rows in registers, the
// reject test fused in. The score matrix never exists.
//
// 6 x 16 on AVX2: 12 accumulators, 2 corpus vectors and 1 broadcast fill 15 of 16 registers and
// give 12 independent FMA chains, enough to cover 2 ports x 4 cycles of latency. One step of depth
// per iteration: with more, GCC 12 spills. Walking deep panels in slices that fit L1 was measured
// and dropped (Zen 3: no gain up to d = 2048).
//
// Vectors of 16 lanes leave one accumulator per query: too few chains, and a load for every
// multiply-add. A shim with more registers takes kPanelsAtOnce panels and kTilesAtOnce tiles
// together: every vector loaded then serves several multiply-adds. (Zen 5, 2 x 2: 14 loads for 24
// multiply-adds, 97 % of the peak out of the caches; 1 x 4 has 25 loads and stops at 90 %.)
#pragma once

#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kMaxPanels;
using nearmiss::kernels::kPanelRows;
using nearmiss::kernels::kTileQueries;
using nearmiss::kernels::ScreenTask;
using nearmiss::kernels::TileHit;

static_assert(kPanelsAtOnce <= kMaxPanels);

constexpr std::size_t kVectors = kPanelRows / kLanes;

// Of one tile and one panel.
struct Accumulators {
    F32 at[kTileQueries][kVectors];
};

// f(query of the tile, vector of the panel)
template <class F>
NEARMISS_ALWAYS_INLINE inline void for_each_accumulator(const F& f) {
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE { f(q, v); });
    });
}

// f(tile, panel) of those that are taken together
template <std::size_t kPanels, std::size_t kTiles, class F>
NEARMISS_ALWAYS_INLINE inline void for_each_pair(const F& f) {
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE { f(t, p); });
    });
}

// A pointer per tile and panel: of offsets from one pointer, GCC and Clang keep more than there
// are registers.
template <std::size_t kPanels, std::size_t kTiles>
struct Cursor {
    const float* panels[kPanels];
    const float* tiles[kTiles];

    NEARMISS_ALWAYS_INLINE void advance() {
        unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE { panels[p] += kPanelRows; });
        unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE { tiles[t] += kTileQueries; });
    }
};

template <std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void accumulate_step(Accumulators (&sums)[kTiles][kPanels],
                                                   const Cursor<kPanels, kTiles>& at) {
    F32 rows[kPanels][kVectors];
    unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            rows[p][v] = load_f32(at.panels[p] + v * kLanes);
        });
    });
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            const F32 query = broadcast_f32(at.tiles[t] + q);
            unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
                unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
                    F32& sum = sums[t][p].at[q][v];
                    sum = multiply_add(query, rows[p][v], sum);
                });
            });
        });
    });
}

// How often the panels are walked: kTilesAtOnce tiles at a time, what is left over one by one.
constexpr std::size_t num_walks(std::size_t tiles) {
    return tiles / kTilesAtOnce + tiles % kTilesAtOnce;
}

// How the walks over some panels share the work of fetching the next ones. Each asks for its lines
// one at a time between steps: asking for all at once stalls the tile's own loads. (Zen 3, d = 768:
// 46 GMAC/s without, 49.7 with; the peak is 51.)
struct Prefetch {
    std::size_t lines_per_walk;  // of every panel
    std::size_t steps_per_line;

    explicit Prefetch(const ScreenTask& task) {
        // A panel has one 64-byte line per step of depth.
        const std::size_t walks = num_walks(task.tile_end - task.tile_begin);
        lines_per_walk = (task.depth + walks - 1) / walks;
        steps_per_line = task.early_depth / lines_per_walk;
    }
};

// The lanes in which a query has a sum that reaches its bound.
NEARMISS_ALWAYS_INLINE inline Mask reaching(const Accumulators& sums, const float* bounds) {
    Mask any = less_equal(broadcast_f32(bounds), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(bounds + q), sums.at[q][v]);
    });
    return any;
}

// Sums up kTiles tiles from tile t on; bit i of the result: the i-th was not given up early.
// `walk`: the number of this walk over the panels.
template <std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline std::uint32_t accumulate(Accumulators (&sums)[kTiles][kPanels],
                                                       const ScreenTask& task,
                                                       std::size_t first_panel,
                                                       std::uint32_t t,
                                                       std::size_t walk,
                                                       const Prefetch& ahead) {
    Cursor<kPanels, kTiles> at;
    const float* next[kPanels];
    unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
        at.panels[p] = task.panels[first_panel + p];
        next[p] = task.next[first_panel + p] + walk * ahead.lines_per_walk * kPanelRows;
    });
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        at.tiles[i] = task.tiles + (t + i) * task.depth * kTileQueries;
    });
    const auto step = [&]() NEARMISS_ALWAYS_INLINE {
        accumulate_step<kPanels, kTiles>(sums, at);
        at.advance();
    };
    for (std::size_t line = 0; line < ahead.lines_per_walk; ++line) {
        unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
            prefetch(reinterpret_cast<const char*>(next[p]));
            next[p] += kPanelRows;
        });
        for (std::size_t k = 0; k < ahead.steps_per_line; ++k) step();
    }
    std::size_t k = ahead.lines_per_walk * ahead.steps_per_line;
    for (; k < task.early_depth; ++k) step();
    std::uint32_t alive = 0;
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        const float* early = task.early + (t + i) * kTileQueries;
        Mask any = reaching(sums[i][0], early);
        unrolled<kPanels>([&](auto p)
                              NEARMISS_ALWAYS_INLINE { any = any | reaching(sums[i][p], early); });
        if (to_bits(any) != 0) alive |= 1u << i;
    });
    if (alive == 0) return alive;
    for (; k < task.depth; ++k) step();
    return alive;
}

// What is above a ceiling is above the lower threshold too.
NEARMISS_ALWAYS_INLINE inline bool worth_a_look(const Accumulators& sums, const float* lower) {
    return to_bits(reaching(sums, lower)) != 0;
}

template <bool kCeiling>
NEARMISS_ALWAYS_INLINE inline void describe(const Accumulators& sums,
                                            const float* lower,
                                            const float* upper,
                                            TileHit& hit) {
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        std::uint32_t passed = 0;
        std::uint32_t above = 0;
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 scores = sums.at[q][v];
            store_f32(&hit.scores[q][v * kLanes], scores);
            passed |= to_bits(less_equal(broadcast_f32(lower + q), scores)) << (v * kLanes);
            if constexpr (kCeiling)
                above |= to_bits(less_than(broadcast_f32(upper + q), scores)) << (v * kLanes);
        });
        hit.passed[q] = static_cast<std::uint16_t>(passed & ~above);
        hit.above[q] = static_cast<std::uint16_t>(above);
    });
}

// Counts what is above; whether anything is left between the thresholds.
NEARMISS_ALWAYS_INLINE inline bool count_above(const Accumulators& sums,
                                               const float* lower,
                                               const float* upper,
                                               std::uint32_t* counts) {
    std::uint32_t left = 0;
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 scores = sums.at[q][v];
            const std::uint32_t above = to_bits(less_than(broadcast_f32(upper + q), scores));
            counts[q] += static_cast<std::uint32_t>(__builtin_popcount(above));
            left |= to_bits(less_equal(broadcast_f32(lower + q), scores)) & ~above;
        });
    });
    return left != 0;
}

// Adds a hit if there is something to look at in the scores of a tile and a panel.
template <bool kCeiling, class Task>
NEARMISS_ALWAYS_INLINE inline void look_at(const Accumulators& scores,
                                           const Task& task,
                                           std::uint32_t tile,
                                           std::size_t panel,
                                           TileHit* hits,
                                           std::uint32_t& num_hits) {
    const std::size_t first = tile * kTileQueries;
    const float* lower = task.lower + first;
    const float* upper = kCeiling ? task.upper + first : nullptr;
    if (!worth_a_look(scores, lower)) return;
    const bool counted = kCeiling && task.num_above != nullptr;
    if (counted && !count_above(scores, lower, upper, task.num_above + first)) return;
    TileHit& hit = hits[num_hits++];
    hit.tile = tile;
    hit.panel = static_cast<std::uint32_t>(panel);
    describe<kCeiling>(scores, lower, upper, hit);
    if (!counted) return;
    for (std::uint16_t& above : hit.above) above = 0;
}

// Adds the hits of kTiles tiles from tile t on.
template <bool kCeiling, std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void screen_some(const ScreenTask& task,
                                               std::size_t first_panel,
                                               std::uint32_t t,
                                               std::size_t walk,
                                               const Prefetch& ahead,
                                               TileHit* hits,
                                               std::uint32_t& num_hits) {
    Accumulators sums[kTiles][kPanels];
    for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v)
                                 NEARMISS_ALWAYS_INLINE { sums[i][p].at[q][v] = zero_f32(); });
    });
    const std::uint32_t alive =
        accumulate<kPanels, kTiles>(sums, task, first_panel, t, walk, ahead);
    if (alive == 0) return;
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        if (kTiles > 1 && (alive >> i & 1u) == 0) return;
        unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
            look_at<kCeiling>(sums[i][p],
                              task,
                              static_cast<std::uint32_t>(t + i),
                              first_panel + p,
                              hits,
                              num_hits);
        });
    });
}

// Adds the hits of kPanels panels.
template <bool kCeiling, std::size_t kPanels>
NEARMISS_ALWAYS_INLINE inline void screen_panels(const ScreenTask& task,
                                                 std::size_t first_panel,
                                                 TileHit* hits,
                                                 std::uint32_t& num_hits) {
    const Prefetch ahead(task);
    std::size_t walk = 0;
    std::uint32_t t = task.tile_begin;
    if constexpr (kTilesAtOnce > 1) {
        for (; task.tile_end - t >= kTilesAtOnce; t += kTilesAtOnce)
            screen_some<kCeiling, kPanels, kTilesAtOnce>(
                task, first_panel, t, walk++, ahead, hits, num_hits);
    }
    for (; t < task.tile_end; ++t)
        screen_some<kCeiling, kPanels, 1>(task, first_panel, t, walk++, ahead, hits, num_hits);
}

// f(number of panels, the first of them): kPanelsAtOnce together, what is left over one by one.
template <class F>
NEARMISS_ALWAYS_INLINE inline void for_each_panel_group(std::size_t num_panels, const F& f) {
    std::size_t first = 0;
    if constexpr (kPanelsAtOnce > 1) {
        for (; num_panels - first >= kPanelsAtOnce; first += kPanelsAtOnce)
            f(Index<kPanelsAtOnce>{}, first);
    }
    for (; first < num_panels; ++first) f(Index<1>{}, first);
}

template <bool kCeiling>
NEARMISS_NEVER_INLINE std::uint32_t screen_tiles(const ScreenTask& task, TileHit* hits) {
    std::uint32_t num_hits = 0;
    for_each_panel_group(task.num_panels,
                         [&](auto panels, std::size_t first) NEARMISS_ALWAYS_INLINE {
                             screen_panels<kCeiling, panels>(task, first, hits, num_hits);
                         });
    return num_hits;
}

std::uint32_t screen(const ScreenTask& task, TileHit* hits) {
    return task.upper ? screen_tiles<true>(task, hits) : screen_tiles<false>(task, hits);
}

}  // namespace
