// SPDX-License-Identifier: Apache-2.0
// The function table every SIMD target fills. Plain data and pointers only: nothing here may bring
// in code that a target's compiler flags could leak into the rest of the program.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearmiss::kernels {

// A panel holds kPanelRows corpus rows lane-major: element k of lane r at [k * kPanelRows + r].
// A tile holds kTileQueries queries the same way: element k of query q at [k * kTileQueries + q].
inline constexpr std::size_t kPanelRows = 16;
inline constexpr std::size_t kTileQueries = 6;

// One tile x panel whose scores are worth a look.
struct TileHit {
    std::uint32_t tile;
    std::uint16_t passed[kTileQueries];  // bit r: lower <= score of lane r (<= upper, if any)
    std::uint16_t above[kTileQueries];   // bit r: score of lane r > upper
    float scores[kTileQueries][kPanelRows];
};

struct ScreenTask {
    const float* panel;  // depth x kPanelRows, 64-byte aligned; the next one to come lies behind it
    const float* tiles;  // tile t at tiles + t * depth * kTileQueries
    std::size_t depth;
    std::uint32_t tile_begin;
    std::uint32_t tile_end;  // > tile_begin
    // A tile is given up after early_depth steps if every sum is below its query's `early`.
    std::size_t early_depth;  // 1 to depth
    const float* early;       // one per query of the block
    const float* lower;       // the same
    const float* upper;       // the same, or null: no ceiling, and `above` stays zero
};

// Which rows to score against a query: row `positions[i]` begins at data + positions[i] * stride.
struct RowList {
    const char* data;
    std::ptrdiff_t stride;
    const std::uint32_t* positions;
    std::size_t count;
    std::size_t cols;
};

// Element types, in the order of ElementType.
inline constexpr std::size_t kNumElementTypes = 5;

struct KernelTable {
    const char* name;

    // Writes a TileHit for every tile with something to look at; returns how many. Scores carry
    // at most gamma_depth(2^-24) of relative rounding (see bound.hpp).
    std::uint32_t (*screen)(const ScreenTask& task, TileHit* hits);

    // Promise 1 of the design: sums in float64 over eight lanes, the same bits on every target.
    struct PerType {
        // out[i] = D(query, row i); query has cols elements.
        void (*inner_products)(const float* query, const RowList& rows, double* out);
        // out[i] = sum (query - row i)^2
        void (*squared_distances)(const float* query, const RowList& rows, double* out);
        // D(row, row); not finite if and only if an element is not.
        double (*squared_norm)(const void* row, std::size_t cols);
        // out[places[k] * lanes + r] = float(double(rows[r][k]) * scales[r]), for
        // lanes <= kPanelRows; zeros where rows[r] is null.
        void (*interleave)(const void* const* rows,
                           const double* scales,
                           std::size_t lanes,
                           std::size_t cols,
                           const std::uint32_t* places,
                           float* out);
        // Exact conversion.
        void (*to_float)(const void* row, std::size_t cols, float* out);
    } of_type[kNumElementTypes];
};

}  // namespace nearmiss::kernels
