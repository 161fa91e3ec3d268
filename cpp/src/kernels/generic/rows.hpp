// SPDX-License-Identifier: Apache-2.0
// Row by row: the score definition (promise 1) and the conversions of packing.
#pragma once

#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::RowList;

// The last, partial group of eight elements, padded with zeros.
template <class T>
inline F64x8 load_tail(const T* p, std::size_t count) {
    T padded[8] = {};
    for (std::size_t i = 0; i < count; ++i) padded[i] = p[i];
    return load_elements(padded);
}

// Rows come from all over memory. Several at a time keep the adders busy, and every step asks for a
// line of a row to come: asking for whole rows at once stalls. (Zen 3, d = 384: 205 ns per row one
// by one, 120 to 150 so.)
constexpr std::size_t kRowsAtOnce = 4;
constexpr std::size_t kRowsAhead = 8;

struct InnerProduct {
    static F64x8 step(F64x8 sums, F64x8 query, F64x8 row) { return multiply_add(query, row, sums); }
};

struct SquaredDistance {
    static F64x8 step(F64x8 sums, F64x8 query, F64x8 row) {
        const F64x8 gap = subtract(query, row);
        return add(sums, multiply(gap, gap));
    }
};

inline const char* row_at(const RowList& rows, std::size_t i) {
    const std::size_t last = rows.count + rows.num_next - 1;
    return rows.data +
           static_cast<std::ptrdiff_t>(rows.positions[i < last ? i : last]) * rows.stride;
}

template <class T, class Measure, std::size_t kRows, class Query>
NEARMISS_ALWAYS_INLINE inline void score_some(const Query* query,
                                              const RowList& rows,
                                              std::size_t first,
                                              double* out) {
    const T* row[kRows];
    const char* ahead[kRows];
    F64x8 sums[kRows];
    unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE {
        row[r] = reinterpret_cast<const T*>(row_at(rows, first + r));
        ahead[r] = row_at(rows, first + r + kRowsAhead);
        sums[r] = zero_f64();
    });
    constexpr std::size_t kPerLine = 64 / sizeof(T);
    std::size_t i = 0;
    for (; i + 8 <= rows.cols; i += 8) {
        const F64x8 elements = load_elements(query + i);
        unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE {
            sums[r] = Measure::step(sums[r], elements, load_elements(row[r] + i));
        });
        if (i % kPerLine != 0) continue;
        unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE { prefetch(ahead[r] + i * sizeof(T)); });
    }
    if (i < rows.cols) {
        const F64x8 elements = load_tail(query + i, rows.cols - i);
        unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE {
            sums[r] = Measure::step(sums[r], elements, load_tail(row[r] + i, rows.cols - i));
        });
    }
    unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE { out[r] = sum_lanes(sums[r]); });
}

template <class T, class Measure>
inline void score_rows(const float* query, const RowList& rows, double* scratch, double* out) {
    // Not worth converting the query beforehand.
    if (rows.count == 1) return score_some<T, Measure, 1>(query, rows, 0, out);
    std::size_t k = 0;
    for (; k + 8 <= rows.cols; k += 8) store_f64(scratch + k, load_elements(query + k));
    for (; k < rows.cols; ++k) scratch[k] = static_cast<double>(query[k]);
    std::size_t i = 0;
    for (; i + kRowsAtOnce <= rows.count; i += kRowsAtOnce)
        score_some<T, Measure, kRowsAtOnce>(scratch, rows, i, out + i);
    if (i == rows.count) return;
    // As fast as one alone, of which every step waits for the step before.
    double sums[kRowsAtOnce];
    score_some<T, Measure, kRowsAtOnce>(scratch, rows, i, sums);
    for (std::size_t r = 0; i + r < rows.count; ++r) out[i + r] = sums[r];
}

template <class T>
void inner_products(const float* query, const RowList& rows, double* scratch, double* out) {
    score_rows<T, InnerProduct>(query, rows, scratch, out);
}

template <class T>
void squared_distances(const float* query, const RowList& rows, double* scratch, double* out) {
    score_rows<T, SquaredDistance>(query, rows, scratch, out);
}

// sums += multiplier * row, row after row. Never fused: products with a multiplier are rounded.
template <class T, std::size_t kRows>
NEARMISS_ALWAYS_INLINE inline void add_some(const RowList& rows,
                                            std::size_t first,
                                            const double* multipliers,
                                            double* sums) {
    const T* row[kRows];
    const char* ahead[kRows];
    F64x8 factors[kRows];
    unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE {
        row[r] = reinterpret_cast<const T*>(row_at(rows, first + r));
        ahead[r] = row_at(rows, first + r + kRowsAhead);
        factors[r] = broadcast_f64(multipliers[first + r]);
    });
    constexpr std::size_t kPerLine = 64 / sizeof(T);
    std::size_t i = 0;
    for (; i + 8 <= rows.cols; i += 8) {
        F64x8 sum = load_f64(sums + i);
        unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE {
            sum = add(sum, multiply(factors[r], load_elements(row[r] + i)));
        });
        store_f64(sums + i, sum);
        if (i % kPerLine != 0) continue;
        unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE { prefetch(ahead[r] + i * sizeof(T)); });
    }
    if (i == rows.cols) return;
    double tail[8] = {};
    for (std::size_t j = 0; i + j < rows.cols; ++j) tail[j] = sums[i + j];
    F64x8 sum = load_f64(tail);
    unrolled<kRows>([&](auto r) NEARMISS_ALWAYS_INLINE {
        sum = add(sum, multiply(factors[r], load_tail(row[r] + i, rows.cols - i)));
    });
    store_f64(tail, sum);
    for (std::size_t j = 0; i + j < rows.cols; ++j) sums[i + j] = tail[j];
}

template <class T>
void add_rows(const RowList& rows, const double* multipliers, double* sums) {
    std::size_t i = 0;
    for (; i + kRowsAtOnce <= rows.count; i += kRowsAtOnce)
        add_some<T, kRowsAtOnce>(rows, i, multipliers, sums);
    for (; i < rows.count; ++i) add_some<T, 1>(rows, i, multipliers, sums);
}

template <class T>
double squared_norm(const void* row, std::size_t cols) {
    const T* elements = static_cast<const T*>(row);
    F64x8 sums = zero_f64();
    std::size_t i = 0;
    for (; i + 8 <= cols; i += 8) {
        const F64x8 eight = load_elements(elements + i);
        sums = multiply_add(eight, eight, sums);
    }
    if (i < cols) {
        const F64x8 tail = load_tail(elements + i, cols - i);
        sums = multiply_add(tail, tail, sums);
    }
    return sum_lanes(sums);
}

template <class T>
void to_float(const void* row, std::size_t cols, float* out) {
    const T* elements = static_cast<const T*>(row);
    std::size_t i = 0;
    for (; i + 8 <= cols; i += 8) store_as_float(out + i, load_elements(elements + i));
    if (i == cols) return;
    float tail[8];
    store_as_float(tail, load_tail(elements + i, cols - i));
    for (std::size_t j = 0; i + j < cols; ++j) out[i + j] = tail[j];
}

// The rows of a tile are too few for store_transposed to write where they belong.
inline void store_tile_transposed(const float (&block)[nearmiss::kernels::kPanelRows][8],
                                  float* const* lines) {
    using nearmiss::kernels::kTileQueries;
    static_assert(kTileQueries <= 8);
    float turned[8][8];
    float* to[8];
    unrolled<8>([&](auto j) NEARMISS_ALWAYS_INLINE { to[j] = turned[j]; });
    store_transposed(block, to, 0);
    for (std::size_t j = 0; j < 8; ++j)
        unrolled<kTileQueries>([&](auto r) NEARMISS_ALWAYS_INLINE { lines[j][r] = turned[j][r]; });
}

template <class T>
void interleave(const void* const* rows,
                const double* scales,
                std::size_t lanes,
                std::size_t cols,
                const std::uint32_t* places,
                float* out) {
    float block[nearmiss::kernels::kPanelRows][8] = {};
    for (std::size_t k = 0; k < cols; k += 8) {
        const std::size_t width = cols - k < 8 ? cols - k : 8;
        for (std::size_t r = 0; r < lanes; ++r) {
            F64x8 elements = zero_f64();
            if (const T* row = static_cast<const T*>(rows[r])) {
                elements = width == 8 ? load_elements(row + k) : load_tail(row + k, width);
                elements = multiply(elements, broadcast_f64(scales[r]));
            }
            store_as_float(block[r], elements);
        }
        float* lines[8];
        for (std::size_t j = 0; j < width; ++j) lines[j] = out + places[k + j] * lanes;
        std::size_t done = 0;
        if (width == 8 && lanes == nearmiss::kernels::kTileQueries) {
            store_tile_transposed(block, lines);
            continue;
        }
        if (width == 8)
            for (; done + 8 <= lanes; done += 8) store_transposed(block + done, lines, done);
        for (std::size_t j = 0; j < width; ++j)
            for (std::size_t r = done; r < lanes; ++r) lines[j][r] = block[r][j];
    }
}

}  // namespace
