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

// The most panels of a task.
inline constexpr std::size_t kMaxPanels = 2;

// One tile x panel whose scores are worth a look.
struct TileHit {
    std::uint32_t tile;
    std::uint32_t panel;                 // of the task's
    std::uint16_t passed[kTileQueries];  // bit r: lower <= score of lane r (<= upper, if any)
    std::uint16_t above[kTileQueries];   // bit r: score of lane r > upper, unless counted
    float scores[kTileQueries][kPanelRows];
};

// One tile x panel with such scores, which are not kept.
struct TilePass {
    std::uint32_t tile;
    std::uint32_t panel;                 // of the task's
    std::uint16_t passed[kTileQueries];  // bit r: lower <= score of lane r
};

struct ScreenTask {
    const float* panels[kMaxPanels];  // each depth x kPanelRows, 64-byte aligned
    const float* next[kMaxPanels];    // those to come next, which are fetched ahead
    std::size_t num_panels;           // 1 to kMaxPanels
    const float* tiles;               // tile t at tiles + t * depth * kTileQueries
    std::size_t depth;
    std::uint32_t tile_begin;
    std::uint32_t tile_end;  // > tile_begin
    // After early_depth steps a pair is left only if its sum so far plus the product of what both
    // have left reaches `lower`.
    std::size_t early_depth;             // 1 to depth
    const float* row_rests[kMaxPanels];  // kPanelRows for every panel
    const float* query_rests;            // one per query of the block; zeros if nothing is left
    const float* lower;                  // one per query of the block
    const float* upper;                  // the same, none below `lower`; or null: no ceiling
    // The same: what lanes above `upper` are counted in, all of them; or null: hits have them.
    std::uint32_t* num_above;
};

struct ScreenCounts {
    std::uint32_t hits;
    std::uint32_t finished;  // queries that met all of a panel's elements, if early_depth < depth
};

// ---- few rows ------------------------------------------------------------------------------------
inline constexpr std::size_t kMaxNearPanels = 12;
inline constexpr std::size_t kNearWords = kMaxNearPanels * kPanelRows / 64;

// Queries that meet all panels of a small corpus.
struct NearTask {
    const float* panels;     // num_panels x depth x kPanelRows
    const float* starts;     // num_panels x kPanelRows: what sums start from; -infinity for no row
    std::size_t num_panels;  // 1 to kMaxNearPanels
    std::size_t depth;
    const char* queries;  // query i at queries + i * stride, of depth floats
    std::ptrdiff_t stride;
    std::size_t count;
    float slack;
    std::uint64_t* near;  // count x kNearWords
};

// ---- codes -------------------------------------------------------------------------------------
// Four bytes of one vector are kept together: four int8 codes, which serves multiply-add
// instructions over pairs and over fours alike, or two int16 codes. A panel of codes holds, for
// every such step, the codes of each of its kPanelRows rows; a tile those of each of its
// kTileQueries queries.
inline constexpr std::size_t kStepBytes = 4;
inline constexpr std::size_t kPanelStepBytes = kPanelRows * kStepBytes;
inline constexpr std::size_t kTileStepBytes = kTileQueries * kStepBytes;

// int8: rows' codes are stored unsigned, code + kCodeOffset, queries' as they are.
inline constexpr std::size_t kCodesPerStep = 4;
inline constexpr std::int32_t kCodeOffset = 128;
inline constexpr std::int32_t kMaxRowCode = 127;
// Two unsigned codes times two signed ones must fit 16 bits: 2 * 255 * 64 <= 32767.
inline constexpr std::int32_t kMaxQueryCode = 64;
// Sums may be kept modulo 2^16, the even and the odd pairs of codes apart, over one segment of
// steps. Cauchy-Schwarz bounds their final values by the norms of the codes that enter them, which
// must not exceed this.
inline constexpr std::int32_t kMaxSegmentSum = 32767;
// Where sums are kept in 32 bits, neither holds for vectors of so many elements at most:
// (128 + 255) * 127 * 2^15 < 2^31.
inline constexpr std::int32_t kMaxWideQueryCode = 127;
inline constexpr std::size_t kMaxWideElements = std::size_t{1} << 15;

// 127 * 127 * 2^17 < 2^31.
inline constexpr std::size_t kMaxProductCodes = std::size_t{1} << 17;

// int16: all are stored as they are. Sums are kept in 32 bits; the norms of the codes bound not
// only a sum but every part of it, so none wraps.
inline constexpr std::size_t kInt16CodesPerStep = 2;
inline constexpr std::int32_t kMaxInt16Code = 32767;
inline constexpr std::int32_t kMaxInt16Sum = 2147483647;

// What a sum over one segment starts from, to undo the offset of unsigned codes: zero for int16.
struct CodeStart {
    std::int16_t even;  // -kCodeOffset * the sum of the query's codes in even pairs, modulo 2^16
    std::int16_t odd;   // the same for odd pairs
    std::int32_t sum;   // both, in full
};

struct CodeScreenTask {
    const std::uint8_t* panels[kMaxPanels];  // each steps x kPanelStepBytes, 64-byte aligned
    const std::uint8_t* next[kMaxPanels];    // those to come next, which are fetched ahead
    const float* row_terms[kMaxPanels];      // kPanelRows for every panel
    std::size_t num_panels;                  // 1 to kMaxPanels
    const std::int8_t* tiles;                // tile t at tiles + t * steps * kTileStepBytes
    const CodeStart* starts;                 // segments x kTileQueries for every tile
    const float* term_factors;               // one per query of the block
    std::size_t steps;
    std::size_t segment_steps;  // the last segment may be shorter
    std::uint32_t tile_begin;
    std::uint32_t tile_end;    // > tile_begin
    const float* lower;        // one per query of the block
    const float* upper;        // as in ScreenTask
    std::uint32_t* num_above;  // the same
};

// Two vectors of int8 codes, stored as they are.
struct CodePair {
    const std::int8_t* a;
    const std::int8_t* b;
};

// Centres and rotates kPanelRows vectors, lane-major: element i of lane r at
// [i * kPanelRows + r].
struct RotateTask {
    float* elements;  // cols x kPanelRows, overwritten
    std::size_t cols;
    std::size_t block;            // the largest power of two <= cols
    const float* centre;          // cols
    const float* centre_factors;  // one per lane
    const float* signs;           // cols, each 1 or -1
    // Results, one per lane:
    float* centre_products;  // centre . vector
    float* squared_norms;    // |vector - centre_factor * centre|^2
    float* peaks;            // the largest absolute element after rotation
};

// Rounds elements * scale to codes.
struct QuantiseTask {
    const float* elements;  // steps x codes per step x kPanelRows
    std::size_t steps;
    std::size_t segment_steps;
    const float* scales;  // one per lane
    std::int32_t limit;   // codes are clamped to +-limit
    std::int32_t offset;  // added to every code
    std::uint8_t* codes;  // steps x kPanelStepBytes
    float* residuals;     // one per lane: sum of (element * scale - code)^2
    // Squared norms of codes: segments x pairs per step x kPanelRows; of int8 codes those in even
    // and those in odd pairs, of int16 codes all.
    float* segment_norms;
};

// ---- randomness -------------------------------------------------------------------------------
inline constexpr std::size_t kPhiloxRounds = 10;

// The random stream of one query.
struct QueryStream {
    std::uint64_t query_id;
    std::uint64_t keys[kPhiloxRounds][2];  // of 32 bits, for every round
};

// Candidates of one query, to be given noise.
struct NoiseTask {
    const double* log_weights;  // count
    const std::uint64_t* ids;   // count, the highest bit set where there is no candidate; or null:
    std::uint64_t first_id;     // first_id, first_id + 1, …
    std::size_t count;
    QueryStream stream;
};

// A floor under the greatest of `count` keys is worth while for so few ranks.
inline constexpr std::size_t kFewRanks = 24;
inline constexpr std::size_t kCountForFewRanks = 128;
inline constexpr std::size_t kSomeRanks = 48;
inline constexpr std::size_t kCountForSomeRanks = 256;

// How many keys are counted at most.
inline constexpr std::size_t kMostCounted = 64;

// Which rows to score against a query: row `positions[i]` begins at data + positions[i] * stride.
struct RowList {
    const char* data;
    std::ptrdiff_t stride;
    const std::uint32_t* positions;
    std::size_t count;
    std::size_t cols;
    // Positions behind these, of rows to come next, which are fetched ahead.
    std::size_t num_next = 0;
};

// Element types, in the order of ElementType.
inline constexpr std::size_t kNumElementTypes = 5;

// Two blocks of rows in float64, padded with zeros to a multiple of eight elements.
struct PairBlock {
    const double* left;  // left_rows x width
    std::size_t left_rows;
    const double* right;  // right_rows x width
    std::size_t right_rows;
    std::size_t width;   // a multiple of 8
    double* sums;        // of (left i, right j) at [i * stride + j]
    std::size_t stride;  // at least right_rows
};

struct KernelTable {
    const char* name;

    // With how many panels a task is fastest.
    std::size_t panels_at_once;
    // Writes a TileHit for every tile and panel with something to look at, in any order. Of queries
    // without a bit set it holds no scores. The others carry at most gamma_depth(2^-24) of relative
    // rounding (see bound.hpp).
    ScreenCounts (*screen)(const ScreenTask& task, TileHit* hits);

    // Bit c % 64 of near[kNearWords * i + c / 64]: whether the sum of query i and row c, started at
    // the row's start, is no more than `slack` below the greatest of that query. Rounded like the
    // scores of `screen`.
    void (*near_greatest)(const NearTask& task);
    void (*rotate)(const RotateTask& task);
    struct Codes {
        // How many times the rate of the float32 tile that of `screen` is, about.
        float speed;
        bool sums_are_wide;  // kept in 32 bits
        // As the float32 tile. The score of a pair is the exact integer inner product of its codes
        // plus row term times term factor, added in float32.
        std::uint32_t (*screen)(const CodeScreenTask& task, TileHit* hits);
        void (*quantise)(const QuantiseTask& task);
    };
    Codes int8;
    Codes int16;
    // As int8.screen, where neither a ceiling nor scores are wanted. Writes a TilePass for every
    // tile and panel with a lane that passes.
    std::uint32_t (*int8_passes)(const CodeScreenTask& task, TilePass* passes);
    // out[i] = the inner product of pair i, of num_codes codes within +-kMaxRowCode each; there are
    // kMaxProductCodes at most. Exact.
    void (*int8_products)(const CodePair* pairs,
                          std::size_t count,
                          std::size_t num_codes,
                          std::int32_t* out);

    // Natural logarithm and exponential, see portable_math.hpp; out may be x.
    void (*log)(const double* x, std::size_t count, double* out);
    void (*exp)(const double* x, std::size_t count, double* out);
    // bits[i] = RandomStream::bits(query id, first + i)
    void (*random_bits)(const QueryStream& stream,
                        std::uint64_t first,
                        std::size_t count,
                        std::uint64_t* bits);
    // keys[i] = log weight + Gumbel noise of RandomStream::bits(query id, id), as sampling.hpp
    // defines it; -infinity where there is no candidate. Whether all keys are below infinity. They
    // may take the place of the log weights.
    bool (*noisy_keys)(const NoiseTask& task, double* keys);
    // bounds[i] >= what noisy_keys makes of candidate i, -infinity where there is none, in a
    // third of the time; at most 0.25 above it where the noise is not below 0. Whether all are
    // below infinity, which is to say whether the keys are.
    bool (*key_bounds)(const NoiseTask& task, double* bounds);
    // A number that the greatest `rank` keys reach, and, if that is worth while, few others; else
    // -infinity.
    double (*rank_floor)(const double* keys, std::size_t count, std::size_t rank);
    // Bit i % 64 of bits[i / 64]: whether keys[i] >= least, which is above -infinity.
    void (*keys_from)(const double* keys, std::size_t count, double least, std::uint64_t* bits);
    // greater[i] = how many keys are greater than keys[i]; count <= kMostCounted.
    void (*count_greater)(const double* keys, std::size_t count, std::uint64_t* greater);

    // D(left, right), and sum (left - right)^2, of every pair: the bits of PerType's.
    void (*pair_products)(const PairBlock& block);
    void (*pair_distances)(const PairBlock& block);

    // Promise 1 of the design: sums in float64 over eight lanes, the same bits on every target.
    struct PerType {
        // out[i] = D(query, row i); query has cols elements, `scratch` room for as many.
        void (*inner_products)(const float* query,
                               const RowList& rows,
                               double* scratch,
                               double* out);
        // out[i] = sum (query - row i)^2
        void (*squared_distances)(const float* query,
                                  const RowList& rows,
                                  double* scratch,
                                  double* out);
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
        // sums[k] += multipliers[i] * row i's element k, row after row, each product and sum
        // rounded.
        void (*add_rows)(const RowList& rows, const double* multipliers, double* sums);
    } of_type[kNumElementTypes];
};

}  // namespace nearmiss::kernels
