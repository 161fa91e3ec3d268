// SPDX-License-Identifier: Apache-2.0
// Numbers that are not among an ascending list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nearmiss {

// How many of `excluded` (ascending, distinct) lie before the i-th number, from 0, that is not
// among them. That number is i plus this.
template <class T>
[[nodiscard]] std::size_t excluded_before(std::span<const T> excluded, std::uint64_t i) noexcept {
    // excluded[j] - j numbers are left before the j-th excluded one.
    // Halves without branches, which nobody could foresee.
    std::size_t before = 0;
    std::size_t size = excluded.size();
    const auto is_before = [&](std::size_t j) {
        return static_cast<std::uint64_t>(excluded[j]) - j <= i;
    };
    while (size > 1) {
        const std::size_t half = size / 2;
        before += is_before(before + half - 1) ? half : 0;
        size -= half;
    }
    return before + (size == 1 && is_before(before) ? 1 : 0);
}

}  // namespace nearmiss
