// SPDX-License-Identifier: Apache-2.0
// What all who make codes share: the rotation, which spreads outlier coordinates over all elements,
// and the scale. See cpp/README.md.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nearmiss {

// The elements that RotateTask mixes at a time.
[[nodiscard]] constexpr std::size_t rotation_block(std::size_t dim) noexcept {
    return std::bit_floor(dim);
}

[[nodiscard]] inline std::vector<float> rotation_signs(std::size_t dim) {
    std::vector<float> signs(dim);
    for (std::size_t i = 0; i < dim; ++i)
        signs[i] = (i * 0x9E3779B97F4A7C15u >> 40 & 1) != 0 ? -1.0f : 1.0f;
    return signs;
}

// Per pass log2(block) additions and the multiplication by 1 / sqrt(block), whose factor is rounded
// too.
[[nodiscard]] constexpr std::size_t rotation_roundings(std::size_t dim) noexcept {
    const std::size_t block = rotation_block(dim);
    return (block < dim ? 2 : 1) * (static_cast<std::size_t>(std::bit_width(block)) + 1);
}

// The finest scale for which no element is beyond `limit` codes; products of scales stay finite.
[[nodiscard]] constexpr float code_scale(float limit, float peak) noexcept {
    constexpr float kMostScale = 0x1p40f;
    return peak > limit / kMostScale ? limit / peak : kMostScale;
}

}  // namespace nearmiss
