// SPDX-License-Identifier: Apache-2.0
// From float32 vectors to int8 or int16 codes, kPanelRows vectors at a time, one per lane: centre,
// rotate, round.
#pragma once

#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::kCodesPerStep;
using nearmiss::kernels::kInt16CodesPerStep;
using nearmiss::kernels::kPanelRows;
using nearmiss::kernels::kStepBytes;
using nearmiss::kernels::QuantiseTask;
using nearmiss::kernels::RotateTask;

constexpr std::size_t kLineVectors = nearmiss::kernels::kPanelRows / kLanes;

// One element of every lane.
struct Line {
    F32 at[kLineVectors];
};

NEARMISS_ALWAYS_INLINE inline Line load_line(const float* p) {
    Line line;
    unrolled<kLineVectors>([&](auto v)
                               NEARMISS_ALWAYS_INLINE { line.at[v] = load_f32(p + v * kLanes); });
    return line;
}

NEARMISS_ALWAYS_INLINE inline void store_line(float* p, const Line& line) {
    unrolled<kLineVectors>([&](auto v)
                               NEARMISS_ALWAYS_INLINE { store_f32(p + v * kLanes, line.at[v]); });
}

template <class F>
NEARMISS_ALWAYS_INLINE inline Line map_lines(const Line& a, const Line& b, const F& f) {
    Line result;
    unrolled<kLineVectors>([&](auto v)
                               NEARMISS_ALWAYS_INLINE { result.at[v] = f(a.at[v], b.at[v]); });
    return result;
}

NEARMISS_ALWAYS_INLINE inline Line add(const Line& a, const Line& b) {
    return map_lines(a, b, [](F32 x, F32 y) NEARMISS_ALWAYS_INLINE { return add(x, y); });
}
NEARMISS_ALWAYS_INLINE inline Line subtract(const Line& a, const Line& b) {
    return map_lines(a, b, [](F32 x, F32 y) NEARMISS_ALWAYS_INLINE { return subtract(x, y); });
}
NEARMISS_ALWAYS_INLINE inline Line scaled(const Line& a, F32 factor) {
    return map_lines(a, a, [=](F32 x, F32) NEARMISS_ALWAYS_INLINE { return multiply(x, factor); });
}
NEARMISS_ALWAYS_INLINE inline Line zero_line() {
    Line line;
    unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE { line.at[v] = zero_f32(); });
    return line;
}
// sums + a * b
NEARMISS_ALWAYS_INLINE inline void accumulate(Line& sums, const Line& a, const Line& b) {
    unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        sums.at[v] = multiply_add(a.at[v], b.at[v], sums.at[v]);
    });
}

inline void centre_lines(const RotateTask& task) {
    Line products = zero_line();
    Line norms = zero_line();
    const Line factors = load_line(task.centre_factors);
    for (std::size_t i = 0; i < task.cols; ++i) {
        float* place = task.elements + i * kPanelRows;
        const F32 centre = broadcast_f32(task.centre + i);
        const Line elements = load_line(place);
        const Line shift = scaled(factors, centre);
        const Line centred = subtract(elements, shift);
        unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            products.at[v] = multiply_add(elements.at[v], centre, products.at[v]);
        });
        accumulate(norms, centred, centred);
        store_line(place, scaled(centred, broadcast_f32(task.signs + i)));
    }
    store_line(task.centre_products, products);
    store_line(task.squared_norms, norms);
}

// kSteps steps of the Hadamard transform at once, on the 2^kSteps lines p, p + distance, …
template <std::size_t kSteps>
NEARMISS_ALWAYS_INLINE inline void butterflies(float* p, std::size_t distance, F32 scale) {
    constexpr std::size_t kLines = std::size_t{1} << kSteps;
    unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
        F32 x[kLines];
        unrolled<kLines>(
            [&](auto i) NEARMISS_ALWAYS_INLINE { x[i] = load_f32(p + i * distance + v * kLanes); });
        unrolled<kSteps>([&](auto s) NEARMISS_ALWAYS_INLINE {
            constexpr std::size_t kGap = std::size_t{1} << s;
            unrolled<kLines / 2>([&](auto pair) NEARMISS_ALWAYS_INLINE {
                constexpr std::size_t kFirst = pair / kGap * 2 * kGap + pair % kGap;
                const F32 sum = add(x[kFirst], x[kFirst + kGap]);
                x[kFirst + kGap] = subtract(x[kFirst], x[kFirst + kGap]);
                x[kFirst] = sum;
            });
        });
        unrolled<kLines>([&](auto i) NEARMISS_ALWAYS_INLINE {
            store_f32(p + i * distance + v * kLanes, multiply(x[i], scale));
        });
    });
}

// kSteps steps on every group of lines `reach`, 2 * reach, … apart, of `lines` lines.
template <std::size_t kSteps>
inline void hadamard_sweep(float* elements, std::size_t lines, std::size_t reach, float scale) {
    const F32 scales = broadcast_f32(&scale);
    for (std::size_t i = 0; i < lines; i += reach << kSteps)
        for (std::size_t j = i; j < i + reach; ++j)
            butterflies<kSteps>(elements + j * kPanelRows, reach * kPanelRows, scales);
}

// Three steps per sweep, as many as registers hold; the last sweep takes what is left, and scales.
inline void hadamard_sweeps(float* elements,
                            std::size_t lines,
                            std::size_t reach,
                            std::size_t end,
                            float scale) {
    for (; reach * 8 < end; reach *= 8) hadamard_sweep<3>(elements, lines, reach, 1.0f);
    if (reach * 8 == end) hadamard_sweep<3>(elements, lines, reach, scale);
    if (reach * 4 == end) hadamard_sweep<2>(elements, lines, reach, scale);
    if (reach * 2 == end) hadamard_sweep<1>(elements, lines, reach, scale);
}

// The Hadamard transform of `block` elements, a power of two, times scale; with sqrt(1 / block) it
// is orthogonal. Stretches that fit the L1 cache are finished before the steps that reach further.
inline void hadamard(float* elements, std::size_t block, float scale) {
    constexpr std::size_t kStretch = 64;
    if (block <= kStretch) {
        hadamard_sweeps(elements, block, 1, block, scale);
        return;
    }
    for (std::size_t i = 0; i < block; i += kStretch)
        hadamard_sweeps(elements + i * kPanelRows, kStretch, 1, kStretch, 1.0f);
    hadamard_sweeps(elements, block, kStretch, block, scale);
}

inline Line peaks_of(const float* elements, std::size_t count) {
    Line peaks = zero_line();
    for (std::size_t i = 0; i < count; ++i) {
        const Line line = load_line(elements + i * kPanelRows);
        unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 negative = subtract(zero_f32(), line.at[v]);
            peaks.at[v] = maximum(maximum(line.at[v], negative), peaks.at[v]);
        });
    }
    return peaks;
}

// 1 / sqrt(block), rounded.
inline float hadamard_scale(std::size_t block) {
    float scale = 1;
    for (; block >= 4; block /= 4) scale *= 0.5f;
    return block == 2 ? scale * 0.70710678f : scale;
}

void rotate(const RotateTask& task) {
    centre_lines(task);
    // The block does not divide every dimension: once over the first elements, once over the last.
    const float scale = hadamard_scale(task.block);
    hadamard(task.elements, task.block, scale);
    if (task.block < task.cols)
        hadamard(task.elements + (task.cols - task.block) * kPanelRows, task.block, scale);
    store_line(task.peaks, peaks_of(task.elements, task.cols));
}

// The codes of a step of every lane in one vector of int32 for each kLanes lanes.
struct CodeWords {
    I32 at[kLineVectors];
};

template <std::size_t kCodes>
struct QuantiseSums {
    Line residuals;
    Line norms[kCodes / 2];  // of the segment's codes: one for each pair of a step
};

// kCodes: per step.
template <std::size_t kCodes>
NEARMISS_ALWAYS_INLINE inline CodeWords quantise_step(const QuantiseTask& task,
                                                      const float* elements,
                                                      const Line& scales,
                                                      QuantiseSums<kCodes>& sums) {
    const float limit = static_cast<float>(task.limit);
    const float lowest = -limit;
    const F32 highest_code = broadcast_f32(&limit);
    const F32 lowest_code = broadcast_f32(&lowest);
    const I32 offset = broadcast_i32(task.offset);
    constexpr std::size_t kBits = 8 * kStepBytes / kCodes;
    const I32 mask = broadcast_i32((std::int32_t{1} << kBits) - 1);
    CodeWords words;
    unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE { words.at[v] = zero_i32(); });
    unrolled<kCodes>([&](auto j) NEARMISS_ALWAYS_INLINE {
        unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
            const F32 exact =
                multiply(load_f32(elements + j * kPanelRows + v * kLanes), scales.at[v]);
            const I32 code = round_to_i32(maximum(minimum(exact, highest_code), lowest_code));
            const F32 value = to_f32(code);
            const F32 residual = subtract(exact, value);
            Line& norms = sums.norms[j / 2];
            sums.residuals.at[v] = multiply_add(residual, residual, sums.residuals.at[v]);
            norms.at[v] = multiply_add(value, value, norms.at[v]);
            const I32 stored = bit_and(add(code, offset), mask);
            words.at[v] = bit_or(words.at[v], shift_left<static_cast<int>(kBits * j)>(stored));
        });
    });
    return words;
}

template <std::size_t kCodes>
void quantise(const QuantiseTask& task) {
    const Line scales = load_line(task.scales);
    QuantiseSums<kCodes> sums;
    sums.residuals = zero_line();
    float* segment_norms = task.segment_norms;
    for (std::size_t begin = 0; begin < task.steps; begin += task.segment_steps) {
        const std::size_t rest = task.steps - begin;
        const std::size_t end = begin + (rest < task.segment_steps ? rest : task.segment_steps);
        for (Line& norms : sums.norms) norms = zero_line();
        for (std::size_t step = begin; step < end; ++step) {
            const CodeWords words = quantise_step<kCodes>(
                task, task.elements + step * kCodes * kPanelRows, scales, sums);
            std::uint8_t* place = task.codes + step * nearmiss::kernels::kPanelStepBytes;
            unrolled<kLineVectors>([&](auto v) NEARMISS_ALWAYS_INLINE {
                store_bytes(place + v * kLanes * kStepBytes, words.at[v]);
            });
        }
        for (const Line& norms : sums.norms) {
            store_line(segment_norms, norms);
            segment_norms += kPanelRows;
        }
    }
    store_line(task.residuals, sums.residuals);
}

}  // namespace
