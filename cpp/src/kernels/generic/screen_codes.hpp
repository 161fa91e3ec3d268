// SPDX-License-Identifier: Apache-2.0
// The tiles of int8 and of int16 codes: kTileQueries queries x kPanelRows corpus rows in registers,
// as in screen.hpp. Sums of codes are exact integers; what they say about scores is bound.hpp's
// business.
//
// On AVX2 sums of int8 codes are kept in 16 bits and may wrap on the way: only their final value,
// which is bounded, matters. So there is nothing to widen but once per segment. (Zen 3, d = 384:
// 150 GMAC/s per core, where the float32 tile does 50. One step per iteration: with more, GCC 12
// spills.) Sums in 32 bits, of int16 codes everywhere and of int8 codes on targets that add four
// products at once, walk through all segments as if they were one.
#pragma once

#include "kernels/generic/screen.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::CodeScreenTask;
using nearmiss::kernels::CodeStart;
using nearmiss::kernels::kPanelStepBytes;
using nearmiss::kernels::kTileStepBytes;

// Codes of int8, four to a step.
struct Int8Codes {
    using Sums = CodeSums;
    using Rows = RowCodes;
    using Query = QueryCodes;
    static constexpr bool kSumsAreWide = kCodeSumsAreWide;

    static Sums start(const CodeStart& start) { return start_sums(start); }
    static Rows load_rows(const std::uint8_t* p) { return load_row_codes(p); }
    static Query broadcast(const std::int8_t* p) { return broadcast_query_codes(p); }
    static Sums multiply_add(Sums sums, Rows rows, Query query) {
        return multiply_add_codes(sums, rows, query);
    }
    static I32 widen(Sums sums) { return widen_sums(sums); }
};

// Codes of int16, two to a step.
struct Int16Codes {
    using Sums = Int16Sums;
    using Rows = Int16RowCodes;
    using Query = Int16QueryCodes;
    static constexpr bool kSumsAreWide = true;

    static Sums start(const CodeStart& start) { return start_int16_sums(start); }
    static Rows load_rows(const std::uint8_t* p) { return load_int16_row_codes(p); }
    static Query broadcast(const std::int8_t* p) { return broadcast_int16_query_codes(p); }
    static Sums multiply_add(Sums sums, Rows rows, Query query) {
        return multiply_add_int16_codes(sums, rows, query);
    }
    static I32 widen(Sums sums) { return int16_sums_of(sums); }
};

// Of one tile and one panel.
template <class Codes>
struct CodeAccumulators {
    typename Codes::Sums at[kTileQueries][kVectors];
};

// Exact sums of a tile and a panel, in memory: they are touched once per segment.
struct WideSums {
    alignas(64) std::int32_t at[kTileQueries][kPanelRows];
};

// Where kPanels panels and kTiles tiles are read from next.
template <std::size_t kPanels, std::size_t kTiles>
struct CodeCursor {
    const std::uint8_t* panels[kPanels];
    const std::int8_t* tiles[kTiles];
    const CodeStart* starts;
    std::size_t starts_per_tile;

    CodeCursor(const CodeScreenTask& task, std::size_t first_panel, std::uint32_t t) {
        const std::size_t segments = (task.steps + task.segment_steps - 1) / task.segment_steps;
        unrolled<kPanels>([&](auto p)
                              NEARMISS_ALWAYS_INLINE { panels[p] = task.panels[first_panel + p]; });
        unrolled<kTiles>([&](auto i) NEARMISS_ALWAYS_INLINE {
            tiles[i] = task.tiles + (t + i) * task.steps * kTileStepBytes;
        });
        starts = task.starts + t * segments * kTileQueries;
        starts_per_tile = segments * kTileQueries;
    }

    NEARMISS_ALWAYS_INLINE void advance() {
        unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE { panels[p] += kPanelStepBytes; });
        unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE { tiles[t] += kTileStepBytes; });
    }
};

template <class Codes, std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void accumulate_codes(
    CodeAccumulators<Codes> (&sums)[kTiles][kPanels],
    const CodeCursor<kPanels, kTiles>& at) {
    typename Codes::Rows rows[kPanels][kVectors];
    unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            rows[p][v] = Codes::load_rows(at.panels[p] + v * (kPanelStepBytes / kVectors));
        });
    });
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            const typename Codes::Query query = Codes::broadcast(at.tiles[t] + q * 4);
            unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
                unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
                    typename Codes::Sums& sum = sums[t][p].at[q][v];
                    sum = Codes::multiply_add(sum, rows[p][v], query);
                });
            });
        });
    });
}

// Sums over the next `steps`, from what `start(of tile t, query q)` says.
template <class Codes, std::size_t kPanels, std::size_t kTiles, class Start>
NEARMISS_ALWAYS_INLINE inline void sum_steps(CodeAccumulators<Codes> (&sums)[kTiles][kPanels],
                                             CodeCursor<kPanels, kTiles>& cursor,
                                             std::size_t steps,
                                             const Start& start) {
    unrolled<kTiles>([&](auto t) NEARMISS_ALWAYS_INLINE {
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            const typename Codes::Sums first = Codes::start(start(t, q));
            unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
                unrolled<kVectors>([&](auto v)
                                       NEARMISS_ALWAYS_INLINE { sums[t][p].at[q][v] = first; });
            });
        });
    });
    for (std::size_t step = 0; step < steps; ++step) {
        accumulate_codes<Codes, kPanels, kTiles>(sums, cursor);
        cursor.advance();
    }
}

template <class Codes, std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void sum_segment(CodeAccumulators<Codes> (&sums)[kTiles][kPanels],
                                               CodeCursor<kPanels, kTiles>& cursor,
                                               std::size_t steps) {
    sum_steps<Codes, kPanels, kTiles>(
        sums, cursor, steps, [&](auto t, auto q) NEARMISS_ALWAYS_INLINE {
            return cursor.starts[t * cursor.starts_per_tile + q];
        });
    cursor.starts += kTileQueries;
}

template <class Codes, std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void sum_by_segments(const CodeScreenTask& task,
                                                   CodeCursor<kPanels, kTiles> cursor,
                                                   WideSums (&wide)[kTiles][kPanels]) {
    const std::size_t first = task.steps < task.segment_steps ? task.steps : task.segment_steps;
    CodeAccumulators<Codes> sums[kTiles][kPanels];
    sum_segment<Codes, kPanels, kTiles>(sums, cursor, first);
    for_each_pair<kPanels, kTiles>([&](auto t, auto p) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
            store_i32(&wide[t][p].at[q][v * kLanes], Codes::widen(sums[t][p].at[q][v]));
        });
    });
    for (std::size_t done = first; done < task.steps; done += task.segment_steps) {
        const std::size_t rest = task.steps - done;
        CodeAccumulators<Codes> more[kTiles][kPanels];
        sum_segment<Codes, kPanels, kTiles>(
            more, cursor, rest < task.segment_steps ? rest : task.segment_steps);
        for_each_pair<kPanels, kTiles>([&](auto t, auto p) NEARMISS_ALWAYS_INLINE {
            for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
                std::int32_t* place = &wide[t][p].at[q][v * kLanes];
                store_i32(place, add(Codes::widen(more[t][p].at[q][v]), load_i32(place)));
            });
        });
    }
}

// For sums that hold 32 bits. No total leaves them, since no segment's does.
template <class Codes, std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void sum_in_one_walk(
    const CodeScreenTask& task,
    CodeCursor<kPanels, kTiles> cursor,
    CodeAccumulators<Codes> (&sums)[kTiles][kPanels]) {
    sum_steps<Codes, kPanels, kTiles>(
        sums, cursor, task.steps, [&](auto t, auto q) NEARMISS_ALWAYS_INLINE {
            CodeStart total{};
            const CodeStart* starts = cursor.starts + t * cursor.starts_per_tile;
            for (std::size_t s = q; s < cursor.starts_per_tile; s += kTileQueries)
                total.sum += starts[s].sum;
            return total;
        });
}

// The lanes in which a query has a sum that reaches its bound.
NEARMISS_ALWAYS_INLINE inline Mask reaching(const Accumulators& sums, const float* bounds) {
    Mask any = less_equal(broadcast_f32(bounds), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(bounds + q), sums.at[q][v]);
    });
    return any;
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

// Adds a hit if there is something to look at. `sum(query, vector)`: the sums of a tile's codes.
template <bool kCeiling, class Sum>
NEARMISS_ALWAYS_INLINE inline void look_at_codes(const CodeScreenTask& task,
                                                 std::uint32_t tile,
                                                 std::size_t panel,
                                                 const Sum& sum,
                                                 TileHit* hits,
                                                 std::uint32_t& num_hits) {
    const float* factors = task.term_factors + tile * kTileQueries;
    const float* terms = task.row_terms[panel];
    Accumulators scores;
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        scores.at[q][v] = multiply_add(
            broadcast_f32(factors + q), load_f32(terms + v * kLanes), to_f32(sum(q, v)));
    });
    const float* lower = task.lower + tile * kTileQueries;
    const float* upper = kCeiling ? task.upper + tile * kTileQueries : nullptr;
    if (!worth_a_look(scores, lower)) return;
    TileHit& hit = hits[num_hits++];
    hit.tile = tile;
    hit.panel = static_cast<std::uint32_t>(panel);
    describe<kCeiling>(scores, lower, upper, hit);
}

// Adds the hits of kTiles tiles from tile t on.
template <class Codes, bool kCeiling, std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void screen_some_codes(const CodeScreenTask& task,
                                                     std::size_t first_panel,
                                                     std::uint32_t t,
                                                     TileHit* hits,
                                                     std::uint32_t& num_hits) {
    const CodeCursor<kPanels, kTiles> cursor(task, first_panel, t);
    const auto look = [&](auto i, auto p, const auto& sum) NEARMISS_ALWAYS_INLINE {
        look_at_codes<kCeiling>(
            task, static_cast<std::uint32_t>(t + i), first_panel + p, sum, hits, num_hits);
    };
    if constexpr (Codes::kSumsAreWide) {
        CodeAccumulators<Codes> sums[kTiles][kPanels];
        sum_in_one_walk<Codes, kPanels, kTiles>(task, cursor, sums);
        for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
            look(i, p, [&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
                return Codes::widen(sums[i][p].at[q][v]);
            });
        });
    } else {
        WideSums wide[kTiles][kPanels];
        sum_by_segments<Codes, kPanels, kTiles>(task, cursor, wide);
        for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
            look(i, p, [&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
                return load_i32(&wide[i][p].at[q][v * kLanes]);
            });
        });
    }
}

// Adds the hits of kPanels panels.
template <class Codes, bool kCeiling, std::size_t kPanels>
NEARMISS_ALWAYS_INLINE inline void screen_code_panels(const CodeScreenTask& task,
                                                      std::size_t first_panel,
                                                      TileHit* hits,
                                                      std::uint32_t& num_hits) {
    const std::size_t walks = num_walks(task.tile_end - task.tile_begin);
    const std::size_t lines_per_walk = (task.steps + walks - 1) / walks;
    std::size_t fetched = 0;
    const auto fetch = [&]() NEARMISS_ALWAYS_INLINE {
        const std::size_t end = fetched + lines_per_walk * kPanelStepBytes;
        for (; fetched < end; fetched += kPanelStepBytes)
            unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
                prefetch(reinterpret_cast<const char*>(task.next[first_panel + p] + fetched));
            });
    };
    std::uint32_t t = task.tile_begin;
    if constexpr (kTilesAtOnce > 1) {
        for (; task.tile_end - t >= kTilesAtOnce; t += kTilesAtOnce) {
            fetch();
            screen_some_codes<Codes, kCeiling, kPanels, kTilesAtOnce>(
                task, first_panel, t, hits, num_hits);
        }
    }
    for (; t < task.tile_end; ++t) {
        fetch();
        screen_some_codes<Codes, kCeiling, kPanels, 1>(task, first_panel, t, hits, num_hits);
    }
}

template <class Codes, bool kCeiling>
NEARMISS_NEVER_INLINE std::uint32_t screen_code_tiles(const CodeScreenTask& task, TileHit* hits) {
    std::uint32_t num_hits = 0;
    for_each_panel_group(
        task.num_panels, [&](auto panels, std::size_t first) NEARMISS_ALWAYS_INLINE {
            screen_code_panels<Codes, kCeiling, panels>(task, first, hits, num_hits);
        });
    return num_hits;
}

template <class Codes>
std::uint32_t screen_codes(const CodeScreenTask& task, TileHit* hits) {
    return task.upper ? screen_code_tiles<Codes, true>(task, hits)
                      : screen_code_tiles<Codes, false>(task, hits);
}

}  // namespace
