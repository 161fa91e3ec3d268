// SPDX-License-Identifier: Apache-2.0
// The float32 screening tile: kTileQueries queries x kPanelRows corpus rows in registers, the
// reject test fused in. The score matrix never exists.
//
// 6 x 16 on AVX2: 12 accumulators, 2 corpus vectors and 1 broadcast fill 15 of 16 registers and
// give 12 independent FMA chains, enough to cover 2 ports x 4 cycles of latency.
#pragma once

#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kPanelRows;
using nearmiss::kernels::kTileQueries;
using nearmiss::kernels::ScreenTask;
using nearmiss::kernels::TileHit;

constexpr std::size_t kVectors = kPanelRows / kLanes;

// Deeper panels than this do not stay in a 32 KiB L1 cache; their depth is walked in slices, with
// the sums of the tiles kept aside in between.
constexpr std::size_t kDepthSlice = 448;

struct Accumulators {
    F32 at[kTileQueries][kVectors];
};

inline void clear(Accumulators& sums) {
    for (std::size_t q = 0; q < kTileQueries; ++q)
        for (std::size_t v = 0; v < kVectors; ++v) sums.at[q][v] = zero_f32();
}

inline void load(Accumulators& sums, const float* from) {
    for (std::size_t q = 0; q < kTileQueries; ++q)
        for (std::size_t v = 0; v < kVectors; ++v)
            sums.at[q][v] = load_f32(from + q * kPanelRows + v * kLanes);
}

inline void store(const Accumulators& sums, float* to) {
    for (std::size_t q = 0; q < kTileQueries; ++q)
        for (std::size_t v = 0; v < kVectors; ++v)
            store_f32(to + q * kPanelRows + v * kLanes, sums.at[q][v]);
}

inline void accumulate_step(Accumulators& sums, const float* tile, const float* panel) {
    F32 row[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) row[v] = load_f32(panel + v * kLanes);
    for (std::size_t q = 0; q < kTileQueries; ++q) {
        const F32 query = broadcast_f32(tile + q);
        for (std::size_t v = 0; v < kVectors; ++v)
            sums.at[q][v] = multiply_add(query, row[v], sums.at[q][v]);
    }
}

inline void accumulate(Accumulators& sums,
                       const float* tile,
                       const float* panel,
                       std::size_t depth) {
    std::size_t k = 0;
    for (; k + 4 <= depth; k += 4) {
        accumulate_step(sums, tile, panel);
        accumulate_step(sums, tile + kTileQueries, panel + kPanelRows);
        accumulate_step(sums, tile + 2 * kTileQueries, panel + 2 * kPanelRows);
        accumulate_step(sums, tile + 3 * kTileQueries, panel + 3 * kPanelRows);
        tile += 4 * kTileQueries;
        panel += 4 * kPanelRows;
    }
    for (; k < depth; ++k) {
        accumulate_step(sums, tile, panel);
        tile += kTileQueries;
        panel += kPanelRows;
    }
}

template <bool kCeiling>
inline bool worth_a_look(const Accumulators& sums, const float* lower, const float* upper) {
    Mask any = less_equal(broadcast_f32(lower), sums.at[0][0]);
    for (std::size_t q = 0; q < kTileQueries; ++q) {
        const F32 bound = broadcast_f32(lower + q);
        for (std::size_t v = 0; v < kVectors; ++v) any = any | less_equal(bound, sums.at[q][v]);
        if constexpr (kCeiling) {
            // A ceiling below the floor is legal: then everything above it still counts.
            const F32 ceiling = broadcast_f32(upper + q);
            for (std::size_t v = 0; v < kVectors; ++v)
                any = any | less_than(ceiling, sums.at[q][v]);
        }
    }
    return to_bits(any) != 0;
}

// Reads the masks back from the stored scores: this is the rare path, and the accumulators are free
// to stay in registers until here.
template <bool kCeiling>
inline void describe(TileHit& hit, const float* lower, const float* upper) {
    for (std::size_t q = 0; q < kTileQueries; ++q) {
        std::uint32_t passed = 0;
        std::uint32_t above = 0;
        for (std::size_t v = 0; v < kVectors; ++v) {
            const F32 scores = load_f32(&hit.scores[q][v * kLanes]);
            const std::uint32_t low = to_bits(less_equal(broadcast_f32(lower + q), scores));
            std::uint32_t high = 0;
            if constexpr (kCeiling) high = to_bits(less_than(broadcast_f32(upper + q), scores));
            passed |= (low & ~high) << (v * kLanes);
            above |= high << (v * kLanes);
        }
        hit.passed[q] = static_cast<std::uint16_t>(passed);
        hit.above[q] = static_cast<std::uint16_t>(above);
    }
}

inline void prefetch_slice(const ScreenTask& task, std::uint32_t tile) {
    if (task.next_panel == nullptr) return;
    const std::size_t tiles = task.tile_end - task.tile_begin;
    const std::size_t lines = (task.panel_bytes + 63) / 64;
    const std::size_t per_tile = (lines + tiles - 1) / tiles;
    const std::size_t begin = (tile - task.tile_begin) * per_tile;
    for (std::size_t line = begin; line < begin + per_tile && line < lines; ++line)
        prefetch(task.next_panel + line * 64);
}

template <bool kCeiling>
std::uint32_t screen_tiles(const ScreenTask& task, TileHit* hits) {
    constexpr std::size_t kTileScores = kTileQueries * kPanelRows;
    const std::size_t slices = (task.depth + kDepthSlice - 1) / kDepthSlice;
    // Equal slices, so that none is too short to be worth its overhead.
    const std::size_t slice = slices ? (task.depth + slices - 1) / slices : 0;
    std::uint32_t num_hits = 0;
    for (std::size_t begin = 0; begin < task.depth; begin += slice) {
        const std::size_t depth = task.depth - begin < slice ? task.depth - begin : slice;
        const bool first = begin == 0;
        const bool last = begin + depth == task.depth;
        const float* panel = task.panel + begin * kPanelRows;
        for (std::uint32_t t = task.tile_begin; t < task.tile_end; ++t) {
            const float* tile = task.tiles + (t * task.depth + begin) * kTileQueries;
            float* partial =
                slices > 1 ? task.partial_sums + (t - task.tile_begin) * kTileScores : nullptr;
            Accumulators sums;
            if (first)
                clear(sums);
            else
                load(sums, partial);
            accumulate(sums, tile, panel, depth);
            if (!last) {
                store(sums, partial);
                continue;
            }
            prefetch_slice(task, t);
            const float* lower = task.lower + t * kTileQueries;
            const float* upper = kCeiling ? task.upper + t * kTileQueries : nullptr;
            if (!worth_a_look<kCeiling>(sums, lower, upper)) continue;
            TileHit& hit = hits[num_hits++];
            hit.tile = t;
            store(sums, &hit.scores[0][0]);
            describe<kCeiling>(hit, lower, upper);
        }
    }
    return num_hits;
}

std::uint32_t screen(const ScreenTask& task, TileHit* hits) {
    return task.upper ? screen_tiles<true>(task, hits) : screen_tiles<false>(task, hits);
}

}  // namespace
