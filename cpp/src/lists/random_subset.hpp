// SPDX-License-Identifier: Apache-2.0
// Some of a range of numbers, drawn without replacement.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "nearmiss/random.hpp"

namespace nearmiss {

// `count` of the numbers below `size`, or all if there are fewer, in an order that is random too;
// each such list equally likely. `stream`: a tag of its own.
[[nodiscard]] inline std::vector<std::uint32_t> random_subset(std::size_t size,
                                                              std::size_t count,
                                                              std::uint64_t seed,
                                                              Stream stream) {
    std::vector<std::uint64_t> bits(size);
    RandomStream(seed, stream, 0).fill(0, 0, bits);
    std::vector<std::uint32_t> numbers(size);
    std::iota(numbers.begin(), numbers.end(), 0u);
    const auto before = [&](std::uint32_t a, std::uint32_t b) {
        return bits[a] != bits[b] ? bits[a] < bits[b] : a < b;
    };
    const auto end = numbers.begin() + static_cast<std::ptrdiff_t>(std::min(count, size));
    std::nth_element(numbers.begin(), end, numbers.end(), before);
    numbers.erase(end, numbers.end());
    std::sort(numbers.begin(), numbers.end(), before);
    return numbers;
}

}  // namespace nearmiss
