// SPDX-License-Identifier: Apache-2.0
// A score and a row in 64 bits, ordered so that the greater key is the better candidate: higher
// score first, ties to the lower row (promise 3).
#pragma once

#include <bit>
#include <cstdint>

namespace nearmiss {

using Key = std::uint64_t;

// Not for NaN. -0 must have been made +0 where it may tie with +0.
[[nodiscard]] constexpr std::uint32_t ordered_bits(float score) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(score);
    return bits ^ ((bits >> 31) != 0 ? 0xffff'ffffu : 0x8000'0000u);
}

[[nodiscard]] constexpr Key make_key(float score, std::uint32_t row) noexcept {
    return std::uint64_t{ordered_bits(score)} << 32 | (0xffff'ffffu - row);
}

[[nodiscard]] constexpr float score_of(Key key) noexcept {
    const auto bits = static_cast<std::uint32_t>(key >> 32);
    return std::bit_cast<float>(bits ^ ((bits >> 31) != 0 ? 0x8000'0000u : 0xffff'ffffu));
}

[[nodiscard]] constexpr std::uint32_t row_of(Key key) noexcept {
    return 0xffff'ffffu - static_cast<std::uint32_t>(key);
}

}  // namespace nearmiss
