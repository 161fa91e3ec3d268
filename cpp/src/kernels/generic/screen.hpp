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
//
// A tile stops at early_depth. The few queries that may still find something go on one by one,
// later: in a tile that goes on as a whole, nearly all sums are hopeless. (Zen 5, real rows, whole
// searches: 6 % faster at d = 384, 2 % at 128; at 64, where there is little to save, 5 % slower.)
#pragma once

#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kMaxPanels;
using nearmiss::kernels::kPanelRows;
using nearmiss::kernels::kTileQueries;
using nearmiss::kernels::ScreenCounts;
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

// Sums up to early_depth. `walk`: the number of this walk over the panels.
template <std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void accumulate(Accumulators (&sums)[kTiles][kPanels],
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
}

// The lanes in which a query has a sum that reaches its bound.
NEARMISS_ALWAYS_INLINE inline Mask reaching(const Accumulators& sums, const float* bounds) {
    Mask any = less_equal(broadcast_f32(bounds), sums.at[0][0]);
    for_each_accumulator([&](auto q, auto v) NEARMISS_ALWAYS_INLINE {
        any = any | less_equal(broadcast_f32(bounds + q), sums.at[q][v]);
    });
    return any;
}

// Describes a tile and a panel as if they were a hit without a ceiling; whether they are one.
NEARMISS_ALWAYS_INLINE inline bool describe(const Accumulators& sums,
                                            const float* lower,
                                            TileHit& hit) {
    std::uint32_t any = 0;
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        std::uint32_t passed = 0;
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 scores = sums.at[q][v];
            store_f32(&hit.scores[q][v * kLanes], scores);
            passed |= to_bits(less_equal(broadcast_f32(lower + q), scores)) << (v * kLanes);
        });
        hit.passed[q] = static_cast<std::uint16_t>(passed);
        hit.above[q] = 0;
        any |= passed;
    });
    return any != 0;
}

// Moves what is above the ceiling from `passed` to `above`, or to `counts` if there are such;
// whether it is still a hit.
NEARMISS_ALWAYS_INLINE inline bool move_above(const Accumulators& sums,
                                              const float* upper,
                                              std::uint32_t* counts,
                                              TileHit& hit) {
    std::uint32_t any = 0;
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        std::uint32_t above = 0;
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            above |= to_bits(less_than(broadcast_f32(upper + q), sums.at[q][v])) << (v * kLanes);
        });
        hit.passed[q] = static_cast<std::uint16_t>(hit.passed[q] & ~above);
        if (counts == nullptr)
            hit.above[q] = static_cast<std::uint16_t>(above);
        else
            counts[q] += static_cast<std::uint32_t>(__builtin_popcount(above));
        any |= static_cast<std::uint32_t>(hit.passed[q] | hit.above[q]);
    });
    return any != 0;
}

// Adds a hit if there is something to look at in the scores of a tile and a panel. Whether there is
// cannot be predicted, and often there is: to describe them all is faster than a branch, unless
// to_bits() takes long. (Zen 5, int8, whole searches of real rows: 1 % faster where 17 % of the
// tiles are hits, 6 % where 28 % are.) Scores above a ceiling are few.
template <class Task>
NEARMISS_ALWAYS_INLINE inline void look_at(const Accumulators& scores,
                                           const Task& task,
                                           std::uint32_t tile,
                                           std::size_t panel,
                                           TileHit* hits,
                                           std::uint32_t& num_hits) {
    const std::size_t first = tile * kTileQueries;
    if constexpr (!kBitsAreCheap) {
        if (to_bits(reaching(scores, task.lower + first)) == 0) return;
    }
    TileHit& hit = hits[num_hits];
    hit.tile = tile;
    hit.panel = static_cast<std::uint32_t>(panel);
    bool any = describe(scores, task.lower + first, hit);
    if (task.upper != nullptr && to_bits(reaching(scores, task.upper + first)) != 0) {
        std::uint32_t* counts = task.num_above == nullptr ? nullptr : task.num_above + first;
        any = move_above(scores, task.upper + first, counts, hit);
    }
    num_hits += any ? 1 : 0;
}

// The lanes of a vector of rows that may still reach the query's threshold.
NEARMISS_ALWAYS_INLINE inline Mask in_reach(const ScreenTask& task,
                                            std::size_t query,
                                            const float* row_rests,
                                            F32 sums) {
    const F32 most =
        multiply_add(broadcast_f32(task.query_rests + query), load_f32(row_rests), sums);
    return less_equal(broadcast_f32(task.lower + query), most);
}

// Queries that may still find something in a panel, with their sums after early_depth steps. They
// are put off, so that one branch that nobody can predict does not follow each tile.
struct Unfinished {
    static constexpr std::size_t kRoom = 96;

    std::size_t count = 0;
    std::uint32_t queries[kRoom];
    std::uint32_t panels[kRoom];  // of the task's
    float sums[kRoom][kPanelRows];
};

// There must be room for all.
template <std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void put_off(const Accumulators (&sums)[kTiles][kPanels],
                                           const ScreenTask& task,
                                           std::size_t first_panel,
                                           std::uint32_t t,
                                           Unfinished& unfinished) {
    const auto reached = [&](auto i, auto p, auto q, auto v) NEARMISS_ALWAYS_INLINE {
        return in_reach(task,
                        (t + i) * kTileQueries + q,
                        task.row_rests[first_panel + p] + v * kLanes,
                        sums[i][p].at[q][v]);
    };
    Mask any = reached(Index<0>{}, Index<0>{}, Index<0>{}, Index<0>{});
    for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v)
                                 NEARMISS_ALWAYS_INLINE { any = any | reached(i, p, q, v); });
    });
    if (to_bits(any) == 0) return;
    std::size_t count = unfinished.count;
    for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            Mask lanes = reached(i, p, q, Index<0>{});
            unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
                lanes = lanes | reached(i, p, q, v);
                store_f32(unfinished.sums[count] + v * kLanes, sums[i][p].at[q][v]);
            });
            unfinished.queries[count] = static_cast<std::uint32_t>((t + i) * kTileQueries + q);
            unfinished.panels[count] = static_cast<std::uint32_t>(first_panel + p);
            count += to_bits(lanes) != 0 ? 1 : 0;
        });
    });
    unfinished.count = count;
}

// Adds the products from early_depth on to the sums of one query and the rows of a panel. Several
// chains hide the latency that the queries of a tile hide from each other.
NEARMISS_ALWAYS_INLINE inline void finish_query(const ScreenTask& task,
                                                const float* panel,
                                                const float* query,
                                                float* scores) {
    constexpr std::size_t kChains = 4;
    F32 sums[kChains][kVectors];
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        sums[0][v] = load_f32(scores + v * kLanes);
        unrolled<kChains - 1>([&](auto c) NEARMISS_ALWAYS_INLINE { sums[c + 1][v] = zero_f32(); });
    });
    const auto step = [&](std::size_t k, auto c) NEARMISS_ALWAYS_INLINE {
        const F32 element = broadcast_f32(query + k * kTileQueries);
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 rows = load_f32(panel + k * kPanelRows + v * kLanes);
            sums[c][v] = multiply_add(element, rows, sums[c][v]);
        });
    };
    std::size_t k = task.early_depth;
    for (; k + kChains <= task.depth; k += kChains)
        unrolled<kChains>([&](auto c) NEARMISS_ALWAYS_INLINE { step(k + c, c); });
    for (; k < task.depth; ++k) step(k, Index<0>{});
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        store_f32(scores + v * kLanes,
                  add(add(sums[0][v], sums[1][v]), add(sums[2][v], sums[3][v])));
    });
}

// Bit r: whether compare(bound, score of lane r).
template <class Compare>
NEARMISS_ALWAYS_INLINE inline std::uint32_t lanes_where(const float* bound,
                                                        const float* scores,
                                                        const Compare& compare) {
    std::uint32_t lanes = 0;
    unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        const Mask passed = compare(broadcast_f32(bound), load_f32(scores + v * kLanes));
        lanes |= to_bits(passed) << (v * kLanes);
    });
    return lanes;
}

// The hit of a tile and a panel, which is the last one if it is there already.
inline TileHit& hit_of(std::uint32_t tile,
                       std::uint32_t panel,
                       TileHit* hits,
                       ScreenCounts& counts) {
    if (counts.hits > 0) {
        TileHit& last = hits[counts.hits - 1];
        if (last.tile == tile && last.panel == panel) return last;
    }
    TileHit& hit = hits[counts.hits++];
    hit.tile = tile;
    hit.panel = panel;
    for (std::size_t q = 0; q < kTileQueries; ++q) hit.passed[q] = hit.above[q] = 0;
    return hit;
}

// Finishes what was put off, and adds the hits of what passes.
NEARMISS_NEVER_INLINE void finish(const ScreenTask& task,
                                  Unfinished& unfinished,
                                  TileHit* hits,
                                  ScreenCounts& counts) {
    const auto reaches = [](F32 bound, F32 score)
                             NEARMISS_ALWAYS_INLINE { return less_equal(bound, score); };
    const auto exceeds = [](F32 bound, F32 score)
                             NEARMISS_ALWAYS_INLINE { return less_than(bound, score); };
    for (std::size_t i = 0; i < unfinished.count; ++i) {
        const std::uint32_t query = unfinished.queries[i];
        const std::uint32_t panel = unfinished.panels[i];
        const std::uint32_t tile = query / kTileQueries;
        const std::uint32_t q = query % kTileQueries;
        float* scores = unfinished.sums[i];
        const float* elements = task.tiles + tile * task.depth * kTileQueries + q;
        finish_query(task, task.panels[panel], elements, scores);
        std::uint32_t passed = lanes_where(task.lower + query, scores, reaches);
        std::uint32_t above =
            task.upper != nullptr ? lanes_where(task.upper + query, scores, exceeds) : 0;
        if (task.num_above != nullptr) {
            task.num_above[query] += static_cast<std::uint32_t>(__builtin_popcount(above));
            passed &= ~above;
            above = 0;
        }
        if ((passed | above) == 0) continue;
        TileHit& hit = hit_of(tile, panel, hits, counts);
        hit.passed[q] = static_cast<std::uint16_t>(passed & ~above);
        hit.above[q] = static_cast<std::uint16_t>(above);
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            store_f32(hit.scores[q] + v * kLanes, load_f32(scores + v * kLanes));
        });
    }
    counts.finished += static_cast<std::uint32_t>(unfinished.count);
    unfinished.count = 0;
}

// kTiles tiles from tile t on meet kPanels panels.
template <std::size_t kPanels, std::size_t kTiles>
NEARMISS_ALWAYS_INLINE inline void screen_some(const ScreenTask& task,
                                               std::size_t first_panel,
                                               std::uint32_t t,
                                               std::size_t walk,
                                               const Prefetch& ahead,
                                               Unfinished& unfinished,
                                               TileHit* hits,
                                               ScreenCounts& counts) {
    Accumulators sums[kTiles][kPanels];
    for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
        for_each_accumulator([&](auto q, auto v)
                                 NEARMISS_ALWAYS_INLINE { sums[i][p].at[q][v] = zero_f32(); });
    });
    accumulate<kPanels, kTiles>(sums, task, first_panel, t, walk, ahead);
    if (task.early_depth == task.depth) {
        for_each_pair<kPanels, kTiles>([&](auto i, auto p) NEARMISS_ALWAYS_INLINE {
            const auto tile = static_cast<std::uint32_t>(t + i);
            look_at(sums[i][p], task, tile, first_panel + p, hits, counts.hits);
        });
        return;
    }
    constexpr std::size_t kMost = kTiles * kPanels * kTileQueries;
    static_assert(kMost <= Unfinished::kRoom);
    if (unfinished.count + kMost > Unfinished::kRoom) finish(task, unfinished, hits, counts);
    put_off<kPanels, kTiles>(sums, task, first_panel, t, unfinished);
}

// Adds the hits of kPanels panels.
template <std::size_t kPanels>
NEARMISS_ALWAYS_INLINE inline void screen_panels(const ScreenTask& task,
                                                 std::size_t first_panel,
                                                 Unfinished& unfinished,
                                                 TileHit* hits,
                                                 ScreenCounts& counts) {
    const Prefetch ahead(task);
    std::size_t walk = 0;
    std::uint32_t t = task.tile_begin;
    if constexpr (kTilesAtOnce > 1) {
        for (; task.tile_end - t >= kTilesAtOnce; t += kTilesAtOnce)
            screen_some<kPanels, kTilesAtOnce>(
                task, first_panel, t, walk++, ahead, unfinished, hits, counts);
    }
    for (; t < task.tile_end; ++t)
        screen_some<kPanels, 1>(task, first_panel, t, walk++, ahead, unfinished, hits, counts);
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

ScreenCounts screen(const ScreenTask& task, TileHit* hits) {
    ScreenCounts counts{0, 0};
    Unfinished unfinished;
    for_each_panel_group(task.num_panels,
                         [&](auto panels, std::size_t first) NEARMISS_ALWAYS_INLINE {
                             screen_panels<panels>(task, first, unfinished, hits, counts);
                         });
    finish(task, unfinished, hits, counts);
    return counts;
}

}  // namespace
