// SPDX-License-Identifier: Apache-2.0
// The float32 screening tile: kTileQueries queries x kPanelRows corpus rows in registers, the
// reject test fused in. The score matrix never exists.
//
// 6 x 16 on AVX2: 12 accumulators, 2 corpus vectors and 1 broadcast fill 15 of 16 registers and
// give 12 independent FMA chains, enough to cover 2 ports x 4 cycles of latency. One step of depth
// per iteration: with more, GCC 12 spills. Walking deep panels in slices that fit L1 was measured
// and dropped (Zen 3: no gain up to d = 2048).
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

NEARMISS_ALWAYS_INLINE inline void accumulate_step(Accumulators& sums,
                                                   const float* tile,
                                                   const float* panel) {
    F32 rows[kVectors];
    unrolled<kVectors>([&](auto v)
                           NEARMISS_ALWAYS_INLINE { rows[v] = load_f32(panel + v * kLanes); });
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        const F32 query = broadcast_f32(tile + q);
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            sums.at[q][v] = multiply_add(query, rows[v], sums.at[q][v]);
        });
    });
}

// How the tiles of one panel share the work of fetching the next panel, which lies behind it. Each
// asks for its lines one at a time between steps: asking for all at once stalls the tile's own
// loads. (Zen 3, d = 768: 46 GMAC/s without, 49.7 with; the peak is 51.)
struct Prefetch {
    std::size_t lines_per_tile;
    std::size_t steps_per_line;

    explicit Prefetch(const ScreenTask& task) {
        // A panel has one 64-byte line per step of depth.
        const std::size_t tiles = task.tile_end - task.tile_begin;
        lines_per_tile = (task.depth + tiles - 1) / tiles;
        steps_per_line = task.early_depth / lines_per_tile;
    }
};

NEARMISS_ALWAYS_INLINE inline bool all_below(const Accumulators& sums, const float* bounds) {
    Mask any = less_equal(broadcast_f32(bounds), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(bounds + q), sums.at[q][v]);
    });
    return to_bits(any) == 0;
}

// False if the tile was given up early.
NEARMISS_ALWAYS_INLINE inline bool accumulate(Accumulators& sums,
                                              const ScreenTask& task,
                                              std::uint32_t t,
                                              const Prefetch& ahead) {
    const float* tile = task.tiles + t * task.depth * kTileQueries;
    const float* panel = task.panel;
    const float* next =
        task.panel + (task.depth + (t - task.tile_begin) * ahead.lines_per_tile) * kPanelRows;
    const auto step = [&]() NEARMISS_ALWAYS_INLINE {
        accumulate_step(sums, tile, panel);
        tile += kTileQueries;
        panel += kPanelRows;
    };
    for (std::size_t line = 0; line < ahead.lines_per_tile; ++line) {
        prefetch(reinterpret_cast<const char*>(next + line * kPanelRows));
        for (std::size_t k = 0; k < ahead.steps_per_line; ++k) step();
    }
    std::size_t k = ahead.lines_per_tile * ahead.steps_per_line;
    for (; k < task.early_depth; ++k) step();
    if (all_below(sums, task.early + t * kTileQueries)) return false;
    for (; k < task.depth; ++k) step();
    return true;
}

template <bool kCeiling>
NEARMISS_ALWAYS_INLINE inline bool worth_a_look(const Accumulators& sums,
                                                const float* lower,
                                                const float* upper) {
    Mask any = less_equal(broadcast_f32(lower), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(lower + q), sums.at[q][v]);
        // Also where the ceiling is below the floor: rows above it are counted.
        if constexpr (kCeiling) any = any | less_than(broadcast_f32(upper + q), sums.at[q][v]);
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

template <bool kCeiling>
std::uint32_t screen_tiles(const ScreenTask& task, TileHit* hits) {
    const Prefetch ahead(task);
    std::uint32_t num_hits = 0;
    for (std::uint32_t t = task.tile_begin; t < task.tile_end; ++t) {
        Accumulators sums;
        for_each_accumulator([&](auto q, auto v)
                                 NEARMISS_ALWAYS_INLINE { sums.at[q][v] = zero_f32(); });
        if (!accumulate(sums, task, t, ahead)) continue;
        const float* lower = task.lower + t * kTileQueries;
        const float* upper = kCeiling ? task.upper + t * kTileQueries : nullptr;
        if (!worth_a_look<kCeiling>(sums, lower, upper)) continue;
        TileHit& hit = hits[num_hits++];
        hit.tile = t;
        describe<kCeiling>(sums, lower, upper, hit);
    }
    return num_hits;
}

std::uint32_t screen(const ScreenTask& task, TileHit* hits) {
    return task.upper ? screen_tiles<true>(task, hits) : screen_tiles<false>(task, hits);
}

}  // namespace
