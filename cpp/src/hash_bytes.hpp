// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nearmiss {

// Spreads bytes that look alike apart; whether they are equal is always decided on the bytes. Four
// independent lanes keep it near memory speed.
[[nodiscard]] inline std::uint64_t hash_bytes(const std::byte* bytes, std::size_t size) noexcept {
    constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15u;
    std::uint64_t lanes[4] = {size, 1, 2, 3};
    const auto mix = [&](int lane, std::uint64_t word) {
        lanes[lane] = std::rotl((lanes[lane] ^ word) * kOdd, 29);
    };
    std::size_t i = 0;
    for (; i + 32 <= size; i += 32) {
        std::uint64_t words[4];
        std::memcpy(words, bytes + i, 32);
        for (int lane = 0; lane < 4; ++lane) mix(lane, words[lane]);
    }
    for (int lane = 0; i < size; i += 8, ++lane) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
        mix(lane, word);
    }
    std::uint64_t hash = 0;
    for (const std::uint64_t lane : lanes) hash = (std::rotl(hash, 23) ^ lane) * kOdd;
    return hash ^ hash >> 32;
}

}  // namespace nearmiss
