// SPDX-License-Identifier: Apache-2.0
// Checks that the designs of fixed size share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "nearmiss/designs.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {

// The widest sample.
[[nodiscard]] inline std::size_t largest(std::span<const std::int64_t> sizes) noexcept {
    std::int64_t most = 0;
    for (const std::int64_t size : sizes) most = std::max(most, size);
    return static_cast<std::size_t>(most);
}

// The sizes themselves, before anything is compared with them.
inline void require_sizes(std::span<const std::int64_t> sizes, std::size_t rows) {
    require(sizes.size() == rows, "n: expected one per row");
    for (std::size_t i = 0; i < sizes.size(); ++i)
        if (sizes[i] < 0)
            throw InvalidArgument("n: row " + std::to_string(i) + " is " +
                                  std::to_string(sizes[i]) + "; expected at least 0");
}

// What sums to an integer up to this is taken to do so: float32 probabilities do.
inline constexpr double kSumTolerance = 1e-6;

}  // namespace nearmiss
