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
    std::size_t low = 0;
    std::size_t high = excluded.size();
    while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (static_cast<std::uint64_t>(excluded[middle]) - middle <= i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

}  // namespace nearmiss
