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
// multiply-add. A shim with more registers takes kTilesAtOnce tiles together.
#pragma once

#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kPanelRows;
using nearmiss::kernels::kTileQueries;
using nearmiss::kernels::ScreenTask;
using nearmiss::kernels::TileHit;

constexpr std::size_t kVectors = kPanelRows / kLanes;

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

// A pointer per tile: of offsets from one pointer, GCC and Clang keep more than there are
// registers.
template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void accumulate_step(Accumulators (&sums)[kTiles],
                                                   const float* const (&tiles)[kTiles],
                                                   const float* panel) {
    F32 rows[kVectors];
    unrolled<kVectors>([&](auto v)
                           NEARMISS_ALWAYS_INLINE { rows[v] = load_f32(panel + v * kLanes); });
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            const F32 query = broadcast_f32(tiles[t] + q);
            unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
                sums[t].at[q][v] = multiply_add(query, rows[v], sums[t].at[q][v]);
            });
        });
    });
}

// How often a panel is walked: kTilesAtOnce tiles at a time, what is left over one by one.
constexpr std::size_t num_walks(std::size_t tiles) {
    return tiles / kTilesAtOnce + tiles % kTilesAtOnce;
}

// How the walks over one panel share the work of fetching the next panel, which lies behind it.
// Each asks for its lines one at a time between steps: asking for all at once stalls the tile's own
// loads. (Zen 3, d = 768: 46 GMAC/s without, 49.7 with; the peak is 51.)
struct Prefetch {
    std::size_t lines_per_walk;
    std::size_t steps_per_line;

    explicit Prefetch(const ScreenTask& task) {
        // A panel has one 64-byte line per step of depth.
        const std::size_t walks = num_walks(task.tile_end - task.tile_begin);
        lines_per_walk = (task.depth + walks - 1) / walks;
        steps_per_line = task.early_depth / lines_per_walk;
    }
};

NEARMISS_ALWAYS_INLINE inline bool all_below(const Accumulators& sums, const float* bounds) {
    Mask any = less_equal(broadcast_f32(bounds), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(bounds + q), sums.at[q][v]);
    });
    return to_bits(any) == 0;
}

// Sums up kTiles tiles from tile t on; bit i of the result: the i-th was not given up early.
template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline std::uint32_t accumulate(Accumulators (&sums)[kTiles],
                                                       const ScreenTask& task,
                                                       std::uint32_t t,
                                                       const float* next,
                                                       const Prefetch& ahead) {
    const float* tiles[kTiles];
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        tiles[i] = task.tiles + (t + i) * task.depth * kTileQueries;
    });
    const float* panel = task.panel;
    const auto step = [&]() NEARMISS_ALWAYS_INLINE {
        accumulate_step<kTiles>(sums, tiles, panel);
        unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE { tiles[i] += kTileQueries; });
        panel += kPanelRows;
    };
    for (std::size_t line = 0; line < ahead.lines_per_walk; ++line) {
        prefetch(reinterpret_cast<const char*>(next + line * kPanelRows));
        for (std::size_t k = 0; k < ahead.steps_per_line; ++k) step();
    }
    std::size_t k = ahead.lines_per_walk * ahead.steps_per_line;
    for (; k < task.early_depth; ++k) step();
    std::uint32_t alive = 0;
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        if (!all_below(sums[i], task.early + (t + i) * kTileQueries)) alive |= 1u << i;
    });
    if (alive == 0) return alive;
    for (; k < task.depth; ++k) step();
    return alive;
}

// What is above a ceiling is above the lower threshold too.
NEARMISS_ALWAYS_INLINE inline bool worth_a_look(const Accumulators& sums, const float* lower) {
    Mask any = less_equal(broadcast_f32(lower), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(lower + q), sums.at[q][v]);
    });
    return to_bits(any) != 0;
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

// Adds the hits of kTiles tiles from tile t on.
template <bool kCeiling, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void screen_some(const ScreenTask& task,
                                               std::uint32_t t,
                                               const float* next,
                                               const Prefetch& ahead,
                                               TileHit* hits,
                                               std::uint32_t& num_hits) {
    Accumulators sums[kTiles];
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v)
                                 NEARMISS_ALWAYS_INLINE { sums[i].at[q][v] = zero_f32(); });
    });
    const std::uint32_t alive = accumulate<kTiles>(sums, task, t, next, ahead);
    if (alive == 0) return;
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        if (kTiles > 1 && (alive >> i & 1u) == 0) return;
        const auto tile = static_cast<std::uint32_t>(t + i);
        const float* lower = task.lower + tile * kTileQueries;
        const float* upper = kCeiling ? task.upper + tile * kTileQueries : nullptr;
        if (!worth_a_look(sums[i], lower)) return;
        TileHit& hit = hits[num_hits++];
        hit.tile = tile;
        describe<kCeiling>(sums[i], lower, upper, hit);
    });
}

template <bool kCeiling>
NEARMISS_NEVER_INLINE std::uint32_t screen_tiles(const ScreenTask& task, TileHit* hits) {
    const Prefetch ahead(task);
    const float* next = task.panel + task.depth * kPanelRows;
    std::uint32_t num_hits = 0;
    std::uint32_t t = task.tile_begin;
    if constexpr (kTilesAtOnce > 1) {
        for (; task.tile_end - t >= kTilesAtOnce; t += kTilesAtOnce) {
            screen_some<kCeiling, kTilesAtOnce>(task, t, next, ahead, hits, num_hits);
            next += ahead.lines_per_walk * kPanelRows;
        }
    }
    for (; t < task.tile_end; ++t) {
        screen_some<kCeiling, 1>(task, t, next, ahead, hits, num_hits);
        next += ahead.lines_per_walk * kPanelRows;
    }
    return num_hits;
}

std::uint32_t screen(const ScreenTask& task, TileHit* hits) {
    return task.upper ? screen_tiles<true>(task, hits) : screen_tiles<false>(task, hits);
}

}  // namespace
