// SPDX-License-Identifier: Apache-2.0
// Few corpus rows, many queries as they lie in memory: every sum is made, kTileQueries queries by
// as many panels as registers hold, and those near the greatest of a query are told.
#pragma once

#include "kernels/generic/screen.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kMaxNearPanels;
using nearmiss::kernels::kNearWords;
using nearmiss::kernels::NearTask;

struct NearSums {
    float at[kTileQueries][kMaxNearPanels * kPanelRows];
};

// Of kPanels panels from `panel` on.
template <std::size_t kPanels>
inline void sum_panels(const NearTask& task,
                       const float* const (&queries)[kTileQueries],
                       std::size_t panel,
                       NearSums& sums) {
    constexpr std::size_t kWidth = kPanels * kVectors;
    F32 at[kTileQueries][kWidth];
    const float* panels[kPanels];
    unrolled<kPanels>([&](auto p) NEARMISS_ALWAYS_INLINE {
        panels[p] = task.panels + (panel + p) * task.depth * kPanelRows;
    });
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        unrolled<kWidth>([&](auto v) NEARMISS_ALWAYS_INLINE {
            at[q][v] = load_f32(task.starts + panel * kPanelRows + v * kLanes);
        });
    });
    for (std::size_t k = 0; k < task.depth; ++k) {
        F32 rows[kWidth];
        unrolled<kWidth>([&](auto v) NEARMISS_ALWAYS_INLINE {
            rows[v] = load_f32(panels[v / kVectors] + k * kPanelRows + v % kVectors * kLanes);
        });
        unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
            const F32 query = broadcast_f32(queries[q] + k);
            unrolled<kWidth>([&](auto v) NEARMISS_ALWAYS_INLINE {
                at[q][v] = multiply_add(query, rows[v], at[q][v]);
            });
        });
    }
    unrolled<kTileQueries>([&](auto q) NEARMISS_ALWAYS_INLINE {
        unrolled<kWidth>([&](auto v) NEARMISS_ALWAYS_INLINE {
            store_f32(sums.at[q] + panel * kPanelRows + v * kLanes, at[q][v]);
        });
    });
}

inline float greatest(const float* sums, std::size_t num_panels) {
    F32 best[kVectors];
    unrolled<kVectors>([&](auto v)
                           NEARMISS_ALWAYS_INLINE { best[v] = load_f32(sums + v * kLanes); });
    for (std::size_t p = 1; p < num_panels; ++p)
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            best[v] = maximum(load_f32(sums + p * kPanelRows + v * kLanes), best[v]);
        });
    float lanes[kPanelRows];
    unrolled<kVectors>([&](auto v)
                           NEARMISS_ALWAYS_INLINE { store_f32(lanes + v * kLanes, best[v]); });
    // Two chains, and the form that compiles to an instruction without a branch.
    float even = lanes[0];
    float odd = lanes[1];
    for (std::size_t i = 2; i < kPanelRows; i += 2) {
        even = lanes[i] > even ? lanes[i] : even;
        odd = lanes[i + 1] > odd ? lanes[i + 1] : odd;
    }
    return odd > even ? odd : even;
}

inline void tell_near(const NearTask& task, const float* sums, std::uint64_t* near) {
    const float least = greatest(sums, task.num_panels) - task.slack;
    const F32 bound = broadcast_f32(&least);
    for (std::size_t word = 0; word < kNearWords; ++word) near[word] = 0;
    for (std::size_t p = 0; p < task.num_panels; ++p) {
        std::uint64_t bits = 0;
        unrolled<kVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 some = load_f32(sums + p * kPanelRows + v * kLanes);
            bits |= std::uint64_t{to_bits(less_equal(bound, some))} << (v * kLanes);
        });
        near[p / 4] |= bits << (p % 4 * kPanelRows);
    }
}

// As many panels together as there are accumulators for.
inline void sum_all_panels(const NearTask& task,
                           const float* const (&queries)[kTileQueries],
                           NearSums& sums) {
    std::size_t panel = 0;
    if constexpr (kTilesAtOnce > 1) {
        for (; panel + 4 <= task.num_panels; panel += 4) sum_panels<4>(task, queries, panel, sums);
        for (; panel + 2 <= task.num_panels; panel += 2) sum_panels<2>(task, queries, panel, sums);
    }
    for (; panel < task.num_panels; ++panel) sum_panels<1>(task, queries, panel, sums);
}

void near_greatest(const NearTask& task) {
    NearSums sums;
    for (std::size_t first = 0; first < task.count; first += kTileQueries) {
        const std::size_t rest = task.count - first;
        const float* queries[kTileQueries];
        for (std::size_t q = 0; q < kTileQueries; ++q)
            queries[q] = reinterpret_cast<const float*>(
                task.queries +
                static_cast<std::ptrdiff_t>(first + (q < rest ? q : rest - 1)) * task.stride);
        sum_all_panels(task, queries, sums);
        for (std::size_t q = 0; q < kTileQueries && q < rest; ++q)
            tell_near(task, sums.at[q], task.near + (first + q) * kNearWords);
    }
}

}  // namespace
