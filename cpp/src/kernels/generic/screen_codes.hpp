// SPDX-License-Identifier: Apache-2.0
// The tile of int8 codes: kTileQueries queries x kPanelRows corpus rows in registers, as in
// screen.hpp. Sums of codes are exact integers; what they say about scores is bound.hpp's business.
//
// On AVX2 sums are kept in 16 bits and may wrap on the way: only their final value, which is
// bounded, matters. So there is nothing to widen but once per segment. (Zen 3, d = 384: 150 GMAC/s
// per core, where the float32 tile does 50. One step per iteration: with more, GCC 12 spills.)
// Targets that add four products at once in 32 bits walk through all segments as if they were one.
#pragma once

#include "kernels/generic/screen.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::CodeScreenTask;
using nearmiss::kernels::CodeStart;
using nearmiss::kernels::kPanelStepBytes;
using nearmiss::kernels::kTileStepBytes;

struct CodeAccumulators {
    CodeSums at[kTileQueries][kVectors];
};

// Exact sums of a tile, in memory: they are touched once per segment.
struct WideSums {
    alignas(64) std::int32_t at[kTileQueries][kPanelRows];
};

template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void accumulate_codes(CodeAccumulators (&sums)[kTiles],
                                                    const std::int8_t* const (&tiles)[kTiles],
                                                    const std::uint8_t* panel) {
    RowCodes rows[kVectors];
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        rows[v] = load_row_codes(panel + v * (kPanelStepBytes / kVectors));
    });
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            const QueryCodes query = broadcast_query_codes(tiles[t] + q * 4);
            unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
                sums[t].at[q][v] = multiply_add_codes(sums[t].at[q][v], rows[v], query);
            });
        });
    });
}

// Where a panel and kTiles tiles are read from next.
template <std::size_t kTiles>
struct CodeCursor {
    const std::int8_t* tiles[kTiles];
    const std::uint8_t* panel;
    const CodeStart* starts;
    std::size_t starts_per_tile;
};

template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline CodeCursor<kTiles> cursor_at(const CodeScreenTask& task,
                                                           std::uint32_t t) {
    const std::size_t segments = (task.steps + task.segment_steps - 1) / task.segment_steps;
    CodeCursor<kTiles> cursor;
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        cursor.tiles[i] = task.tiles + (t + i) * task.steps * kTileStepBytes;
    });
    cursor.panel = task.panel;
    cursor.starts = task.starts + t * segments * kTileQueries;
    cursor.starts_per_tile = segments * kTileQueries;
    return cursor;
}

// Sums over the next `steps`, from what `start(of tile t, query q)` says.
template <std::size_t kTiles, class Start>
NEARMISS_ALWAYS_INLINE inline void sum_steps(CodeAccumulators (&sums)[kTiles],
                                             CodeCursor<kTiles>& cursor,
                                             std::size_t steps,
                                             const Start& start) {
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            sums[t].at[q][v] = start_sums(start(t, q));
        });
    });
    for (std::size_t step = 0; step < steps; ++step) {
        accumulate_codes<kTiles>(sums, cursor.tiles, cursor.panel);
        unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE { cursor.tiles[t] += kTileStepBytes; });
        cursor.panel += kPanelStepBytes;
    }
}

template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void sum_segment(CodeAccumulators (&sums)[kTiles],
                                               CodeCursor<kTiles>& cursor,
                                               std::size_t steps) {
    sum_steps<kTiles>(sums, cursor, steps, [&](auto t, auto q) NEARMISS_ALWAYS_INLINE {
        return cursor.starts[t * cursor.starts_per_tile + q];
    });
    cursor.starts += kTileQueries;
}

template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void sum_by_segments(const CodeScreenTask& task,
                                                   CodeCursor<kTiles> cursor,
                                                   WideSums (&wide)[kTiles]) {
    const std::size_t first = task.steps < task.segment_steps ? task.steps : task.segment_steps;
    CodeAccumulators sums[kTiles];
    sum_segment<kTiles>(sums, cursor, first);
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            store_i32(&wide[t].at[q][v * kLanes], widen_sums(sums[t].at[q][v]));
        });
    });
    for (std::size_t done = first; done < task.steps; done += task.segment_steps) {
        const std::size_t rest = task.steps - done;
        CodeAccumulators more[kTiles];
        sum_segment<kTiles>(more, cursor, rest < task.segment_steps ? rest : task.segment_steps);
        unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
            for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
                std::int32_t* place = &wide[t].at[q][v * kLanes];
                store_i32(place, add(widen_sums(more[t].at[q][v]), load_i32(place)));
            });
        });
    }
}

// For sums that hold 32 bits. No total leaves them, since no segment's does.
template <std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void sum_in_one_walk(const CodeScreenTask& task,
                                                   CodeCursor<kTiles> cursor,
                                                   WideSums (&wide)[kTiles]) {
    CodeAccumulators sums[kTiles];
    sum_steps<kTiles>(sums, cursor, task.steps, [&](auto t, auto q) NEARMISS_ALWAYS_INLINE {
        CodeStart total{};
        const CodeStart* starts = cursor.starts + t * cursor.starts_per_tile;
        for (std::size_t s = q; s < cursor.starts_per_tile; s += kTileQueries)
            total.sum += starts[s].sum;
        return total;
    });
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            store_i32(&wide[t].at[q][v * kLanes], widen_sums(sums[t].at[q][v]));
        });
    });
}

// Adds the hits of kTiles tiles from tile t on.
template <bool kCeiling, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void screen_some_codes(const CodeScreenTask& task,
                                                     std::uint32_t t,
                                                     const F32 (&terms)[kVectors],
                                                     TileHit* hits,
                                                     std::uint32_t& num_hits) {
    const CodeCursor<kTiles> cursor = cursor_at<kTiles>(task, t);
    WideSums wide[kTiles];
    if constexpr (kCodeSumsAreWide)
        sum_in_one_walk<kTiles>(task, cursor, wide);
    else
        sum_by_segments<kTiles>(task, cursor, wide);
    unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
        const auto tile = static_cast<std::uint32_t>(t + i);
        Accumulators scores;
        const float* factors = task.term_factors + tile * kTileQueries;
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            const I32 sums = load_i32(&wide[i].at[q][v * kLanes]);
            scores.at[q][v] = multiply_add(broadcast_f32(factors + q), terms[v], to_f32(sums));
        });
        const float* lower = task.lower + tile * kTileQueries;
        const float* upper = kCeiling ? task.upper + tile * kTileQueries : nullptr;
        if (!worth_a_look(scores, lower)) return;
        TileHit& hit = hits[num_hits++];
        hit.tile = tile;
        describe<kCeiling>(scores, lower, upper, hit);
    });
}

template <bool kCeiling>
NEARMISS_NEVER_INLINE std::uint32_t screen_code_tiles(const CodeScreenTask& task, TileHit* hits) {
    const std::size_t walks = num_walks(task.tile_end - task.tile_begin);
    const std::size_t lines_per_walk = (task.steps + walks - 1) / walks;
    const auto* next = reinterpret_cast<const char*>(task.panel + task.steps * kPanelStepBytes);
    F32 terms[kVectors];
    unrolled<kVectors>(
        [&](auto v) NEARMISS_ALWAYS_INLINE { terms[v] = load_f32(task.row_terms + v * kLanes); });
    std::uint32_t num_hits = 0;
    std::uint32_t t = task.tile_begin;
    const auto fetch = [&]() NEARMISS_ALWAYS_INLINE {
        for (std::size_t line = 0; line < lines_per_walk; ++line, next += 64) prefetch(next);
    };
    if constexpr (kTilesAtOnce > 1) {
        for (; task.tile_end - t >= kTilesAtOnce; t += kTilesAtOnce) {
            fetch();
            screen_some_codes<kCeiling, kTilesAtOnce>(task, t, terms, hits, num_hits);
        }
    }
    for (; t < task.tile_end; ++t) {
        fetch();
        screen_some_codes<kCeiling, 1>(task, t, terms, hits, num_hits);
    }
    return num_hits;
}

std::uint32_t screen_codes(const CodeScreenTask& task, TileHit* hits) {
    return task.upper ? screen_code_tiles<true>(task, hits) : screen_code_tiles<false>(task, hits);
}

}  // namespace
