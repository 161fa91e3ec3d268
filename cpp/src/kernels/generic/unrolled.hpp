// SPDX-License-Identifier: Apache-2.0
// Loops that are gone before the compiler's first pass. GCC keeps an array of vectors in memory if
// its indices become constants only after a later unrolling, which halves the speed of a tile; and
// it must be told to inline every level of the body.
#pragma once

#include <cstddef>

#include "kernels/always_inline.hpp"

namespace {

template <std::size_t kValue>
struct Index {
    constexpr operator std::size_t() const { return kValue; }
};

// f(Index<0>), …, f(Index<kCount - 1>)
template <std::size_t kCount, class F>
NEARMISS_ALWAYS_INLINE inline void unrolled(const F& f) {
    if constexpr (kCount > 0) {
        unrolled<kCount - 1>(f);
        f(Index<kCount - 1>{});
    }
}

}  // namespace
