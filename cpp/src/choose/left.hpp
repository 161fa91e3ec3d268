// SPDX-License-Identifier: Apache-2.0
// Numbers that are not among an ascending list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nearmiss {

// Replaces every i by the i-th number, from 0, that is not among `excluded` (ascending, distinct):
// i plus how many of those lie before it. At most kAtOnce at a time.
inline constexpr std::size_t kAtOnce = 64;

template <class T>
void skip_excluded(std::span<const T> excluded, std::span<std::uint64_t> numbers) noexcept {
    // excluded[j] - j numbers are left before the j-th excluded one. All searches go on side by
    // side and halve without branches: one waits for memory while others compute.
    std::size_t before[kAtOnce] = {};
    const auto step = [&](std::size_t half) {
        for (std::size_t k = 0; k < numbers.size(); ++k) {
            const std::size_t j = before[k] + half - 1;
            const bool lies_before = static_cast<std::uint64_t>(excluded[j]) - j <= numbers[k];
            before[k] += half & (0 - static_cast<std::size_t>(lies_before));
        }
    };
    std::size_t size = excluded.size();
    for (; size > 1; size -= size / 2) step(size / 2);
    if (size == 1) step(1);
    for (std::size_t k = 0; k < numbers.size(); ++k) numbers[k] += before[k];
}

// The i-th number, from 0, that is not among `excluded`.
template <class T>
[[nodiscard]] std::uint64_t number_left(std::span<const T> excluded, std::uint64_t i) noexcept {
    skip_excluded(excluded, std::span(&i, 1));
    return i;
}

}  // namespace nearmiss
