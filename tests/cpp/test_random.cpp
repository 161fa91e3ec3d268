// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>

#include "check.hpp"
#include "nearmiss/random.hpp"

using nearmiss::DrawSequence;
using nearmiss::philox4x32;
using nearmiss::PhiloxBlock;
using nearmiss::RandomStream;
using nearmiss::Stream;

// The known answers that Random123, the reference implementation, publishes for philox4x32-10.
TEST(philox_known_answers) {
    CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
          PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    constexpr std::uint32_t ones = 0xffffffff;
    CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
          PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(streams_differ_in_every_part_of_their_name) {
    const std::uint64_t base = RandomStream(1, Stream::pool_noise, 2).bits(3, 4);
    CHECK(base == RandomStream(1, Stream::pool_noise, 2).bits(3, 4));
    CHECK(base != RandomStream(9, Stream::pool_noise, 2).bits(3, 4));
    CHECK(base != RandomStream(1, Stream::uniform_rows, 2).bits(3, 4));
    CHECK(base != RandomStream(1, Stream::pool_noise, 9).bits(3, 4));
    CHECK(base != RandomStream(1, Stream::pool_noise, 2).bits(9, 4));
    CHECK(base != RandomStream(1, Stream::pool_noise, 2).bits(3, 9));
}

TEST(bounded_draws_are_uniform) {
    const RandomStream stream(0, Stream::uniform_rows, 0);
    DrawSequence draws(stream, 5);
    CHECK(draws.below(1) == 0);
    constexpr std::size_t bound = 6;
    constexpr int rolls = 60000;
    std::array<int, bound> counts{};
    for (int i = 0; i < rolls; ++i) {
        const std::uint64_t value = draws.below(bound);
        CHECK(value < bound);
        ++counts[value];
    }
    // Standard deviation 91: five of them, once and for all, as the draws are fixed.
    for (const int count : counts) CHECK(count > 10000 - 456 && count < 10000 + 456);
}
