// SPDX-License-Identifier: Apache-2.0
// The tile of int8 codes: kTileQueries queries x kPanelRows corpus rows in registers, as in
// screen.hpp. Sums of codes are exact integers; what they say about scores is bound.hpp's business.
//
// On AVX2 sums are kept in 16 bits and may wrap on the way: only their final value, which is
// bounded, matters. So there is nothing to widen but once per segment. (Zen 3, d = 384: 150 GMAC/s
// per core, where the float32 tile does 50. One step per iteration: with more, GCC 12 spills.)
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

NEARMISS_ALWAYS_INLINE inline void accumulate_codes(CodeAccumulators& sums,
                                                    const std::int8_t* tile,
                                                    const std::uint8_t* panel) {
    RowCodes rows[kVectors];
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        rows[v] = load_row_codes(panel + v * (kPanelStepBytes / kVectors));
    });
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        const QueryCodes query = broadcast_query_codes(tile + q * 4);
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            sums.at[q][v] = multiply_add_codes(sums.at[q][v], rows[v], query);
        });
    });
}

// Where a tile and a panel are read from next.
struct CodeCursor {
    const std::int8_t* tile;
    const std::uint8_t* panel;
    const CodeStart* starts;
};

NEARMISS_ALWAYS_INLINE inline CodeAccumulators sum_segment(CodeCursor& cursor, std::size_t steps) {
    CodeAccumulators sums;
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        sums.at[q][v] = start_sums(cursor.starts[q]);
    });
    cursor.starts += kTileQueries;
    for (std::size_t step = 0; step < steps; ++step) {
        accumulate_codes(sums, cursor.tile, cursor.panel);
        cursor.tile += kTileStepBytes;
        cursor.panel += kPanelStepBytes;
    }
    return sums;
}

NEARMISS_ALWAYS_INLINE inline void sum_codes(const CodeScreenTask& task,
                                             CodeCursor cursor,
                                             WideSums& wide) {
    const std::size_t first = task.steps < task.segment_steps ? task.steps : task.segment_steps;
    const CodeAccumulators sums = sum_segment(cursor, first);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        store_i32(&wide.at[q][v * kLanes], widen_sums(sums.at[q][v]));
    });
    for (std::size_t done = first; done < task.steps; done += task.segment_steps) {
        const std::size_t rest = task.steps - done;
        const CodeAccumulators more =
            sum_segment(cursor, rest < task.segment_steps ? rest : task.segment_steps);
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            std::int32_t* place = &wide.at[q][v * kLanes];
            store_i32(place, add(widen_sums(more.at[q][v]), load_i32(place)));
        });
    }
}

template <bool kCeiling>
std::uint32_t screen_code_tiles(const CodeScreenTask& task, TileHit* hits) {
    const std::size_t segments = (task.steps + task.segment_steps - 1) / task.segment_steps;
    const std::size_t tiles = task.tile_end - task.tile_begin;
    const std::size_t lines_per_tile = (task.steps + tiles - 1) / tiles;
    const auto* next = reinterpret_cast<const char*>(task.panel + task.steps * kPanelStepBytes);
    F32 terms[kVectors];
    unrolled<kVectors>(
        [&](auto v) NEARMISS_ALWAYS_INLINE { terms[v] = load_f32(task.row_terms + v * kLanes); });
    std::uint32_t num_hits = 0;
    WideSums wide;
    for (std::uint32_t t = task.tile_begin; t < task.tile_end; ++t) {
        for (std::size_t line = 0; line < lines_per_tile; ++line, next += 64) prefetch(next);
        sum_codes(task,
                  {task.tiles + t * task.steps * kTileStepBytes,
                   task.panel,
                   task.starts + t * segments * kTileQueries},
                  wide);
        Accumulators scores;
        const float* factors = task.term_factors + t * kTileQueries;
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            scores.at[q][v] = multiply_add(
                broadcast_f32(factors + q), terms[v], to_f32(load_i32(&wide.at[q][v * kLanes])));
        });
        const float* lower = task.lower + t * kTileQueries;
        const float* upper = kCeiling ? task.upper + t * kTileQueries : nullptr;
        if (!worth_a_look<kCeiling>(scores, lower, upper)) continue;
        TileHit& hit = hits[num_hits++];
        hit.tile = t;
        describe<kCeiling>(scores, lower, upper, hit);
    }
    return num_hits;
}

std::uint32_t screen_codes(const CodeScreenTask& task, TileHit* hits) {
    return task.upper ? screen_code_tiles<true>(task, hits) : screen_code_tiles<false>(task, hits);
}

}  // namespace
