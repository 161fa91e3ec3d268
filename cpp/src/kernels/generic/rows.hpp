// SPDX-License-Identifier: Apache-2.0
// Row by row: the score definition (promise 1) and the conversions of packing.
#pragma once

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

template <class A, class B>
inline double inner_product(const A* a, const B* b, std::size_t cols) {
    F64x8 sums = zero_f64();
    std::size_t i = 0;
    for (; i + 8 <= cols; i += 8)
        sums = add(sums, multiply(load_elements(a + i), load_elements(b + i)));
    if (i < cols)
        sums = add(sums, multiply(load_tail(a + i, cols - i), load_tail(b + i, cols - i)));
    return sum_lanes(sums);
}

template <class A, class B>
inline double squared_distance(const A* a, const B* b, std::size_t cols) {
    F64x8 sums = zero_f64();
    std::size_t i = 0;
    for (; i + 8 <= cols; i += 8) {
        const F64x8 gap = subtract(load_elements(a + i), load_elements(b + i));
        sums = add(sums, multiply(gap, gap));
    }
    if (i < cols) {
        const F64x8 gap = subtract(load_tail(a + i, cols - i), load_tail(b + i, cols - i));
        sums = add(sums, multiply(gap, gap));
    }
    return sum_lanes(sums);
}

// Rows come from all over memory: ask for a later one while this one is summed.
constexpr std::size_t kRowsAhead = 2;

inline void prefetch_row(const RowList& rows, std::size_t i, std::size_t row_bytes) {
    if (i >= rows.count) return;
    const char* row = rows.data + static_cast<std::ptrdiff_t>(rows.positions[i]) * rows.stride;
    for (std::size_t byte = 0; byte < row_bytes; byte += 64) prefetch(row + byte);
}

template <class T, class Score>
inline void score_rows(const RowList& rows, double* out, Score score) {
    const std::size_t row_bytes = rows.cols * sizeof(T);
    for (std::size_t i = 0; i < kRowsAhead; ++i) prefetch_row(rows, i, row_bytes);
    for (std::size_t i = 0; i < rows.count; ++i) {
        prefetch_row(rows, i + kRowsAhead, row_bytes);
        const char* row = rows.data + static_cast<std::ptrdiff_t>(rows.positions[i]) * rows.stride;
        out[i] = score(reinterpret_cast<const T*>(row));
    }
}

template <class T>
void inner_products(const float* query, const RowList& rows, double* out) {
    score_rows<T>(rows, out, [&](const T* row) { return inner_product(query, row, rows.cols); });
}

template <class T>
void squared_distances(const float* query, const RowList& rows, double* out) {
    score_rows<T>(rows, out, [&](const T* row) { return squared_distance(query, row, rows.cols); });
}

template <class T>
double squared_norm(const void* row, std::size_t cols) {
    const T* elements = static_cast<const T*>(row);
    return inner_product(elements, elements, cols);
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

template <class T>
void interleave(const void* const* rows,
                const double* scales,
                std::size_t lanes,
                std::size_t cols,
                const std::uint32_t* places,
                float* out) {
    float block[nearmiss::kernels::kPanelRows][8];
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
        for (std::size_t j = 0; j < width; ++j) {
            float* line = out + places[k + j] * lanes;
            for (std::size_t r = 0; r < lanes; ++r) line[r] = block[r][j];
        }
    }
}

}  // namespace
