// SPDX-License-Identifier: Apache-2.0
// The score definition (promise 1) for all pairs of two blocks of rows: a square of pairs keeps its
// sums in registers, so that a row is loaded once for several others.
//
// Two by two take 8 of 16 registers of AVX2 for sums and 8 for rows, just enough chains for 2 ports
// x 4 cycles of latency; targets with twice the registers, or wider ones, take more.
#pragma once

#include "kernels/generic/rows.hpp"
#include "kernels/generic/unrolled.hpp"
#include "kernels/kernels.hpp"

namespace {

using nearmiss::kernels::PairBlock;

constexpr std::size_t kPairSide = kTilesAtOnce > 1 ? 4 : 2;

template <class Measure, std::size_t kLeft, std::size_t kRight>
NEARMISS_ALWAYS_INLINE inline void sum_square(const PairBlock& block,
                                              std::size_t left,
                                              std::size_t right) {
    const double* left_rows[kLeft];
    const double* right_rows[kRight];
    F64x8 sums[kLeft][kRight];
    unrolled<kLeft>([&](auto i) NEARMISS_ALWAYS_INLINE {
        left_rows[i] = block.left + (left + i) * block.width;
        unrolled<kRight>([&](auto j) NEARMISS_ALWAYS_INLINE { sums[i][j] = zero_f64(); });
    });
    unrolled<kRight>([&](auto j) NEARMISS_ALWAYS_INLINE {
        right_rows[j] = block.right + (right + j) * block.width;
    });
    for (std::size_t k = 0; k < block.width; k += 8) {
        F64x8 elements[kRight];
        unrolled<kRight>([&](auto j)
                             NEARMISS_ALWAYS_INLINE { elements[j] = load_f64(right_rows[j] + k); });
        unrolled<kLeft>([&](auto i) NEARMISS_ALWAYS_INLINE {
            const F64x8 element = load_f64(left_rows[i] + k);
            unrolled<kRight>([&](auto j) NEARMISS_ALWAYS_INLINE {
                sums[i][j] = Measure::step(sums[i][j], element, elements[j]);
            });
        });
    }
    double* out = block.sums + left * block.stride + right;
    unrolled<kLeft>([&](auto i) NEARMISS_ALWAYS_INLINE {
        unrolled<kRight>([&](auto j) NEARMISS_ALWAYS_INLINE {
            out[i * block.stride + j] = sum_lanes(sums[i][j]);
        });
    });
}

template <class Measure, std::size_t kLeft>
inline void sum_rows(const PairBlock& block, std::size_t left) {
    std::size_t right = 0;
    for (; right + kPairSide <= block.right_rows; right += kPairSide)
        sum_square<Measure, kLeft, kPairSide>(block, left, right);
    for (; right < block.right_rows; ++right) sum_square<Measure, kLeft, 1>(block, left, right);
}

template <class Measure>
inline void sum_pairs(const PairBlock& block) {
    std::size_t left = 0;
    for (; left + kPairSide <= block.left_rows; left += kPairSide)
        sum_rows<Measure, kPairSide>(block, left);
    for (; left < block.left_rows; ++left) sum_rows<Measure, 1>(block, left);
}

void pair_products(const PairBlock& block) { sum_pairs<InnerProduct>(block); }
void pair_distances(const PairBlock& block) { sum_pairs<SquaredDistance>(block); }

}  // namespace
