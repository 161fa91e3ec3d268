// SPDX-License-Identifier: Apache-2.0
// Asking the memory for what is to be read soon.
#pragma once

#include <cstddef>

namespace nearmiss {

// The lines of [first, first + count). Any address will do; with other compilers than GCC and Clang
// it does nothing.
inline void fetch_ahead([[maybe_unused]] const void* first,
                        [[maybe_unused]] std::size_t count = 1) noexcept {
#if defined(__GNUC__)
    constexpr std::size_t kLine = 64;
    for (std::size_t at = 0; at < count; at += kLine)
        __builtin_prefetch(static_cast<const std::byte*>(first) + at);
#endif
}

}  // namespace nearmiss
