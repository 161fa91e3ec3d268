// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/random.hpp"

#include <algorithm>

#include "kernels/dispatch.hpp"
#include "query_stream.hpp"

namespace nearmiss {
namespace {

constexpr std::uint32_t low_word(std::uint64_t v) { return static_cast<std::uint32_t>(v); }
constexpr std::uint32_t high_word(std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); }

}  // namespace

PhiloxBlock philox4x32(PhiloxBlock counter, PhiloxKey key) noexcept {
    constexpr int kRounds = 10;
    for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t first = std::uint64_t{0xD2511F53u} * counter[0];
        const std::uint64_t second = std::uint64_t{0xCD9E8D57u} * counter[2];
        counter = {high_word(second) ^ counter[1] ^ key[0],
                   low_word(second),
                   high_word(first) ^ counter[3] ^ key[1],
                   low_word(first)};
        key[0] += kPhiloxSteps[0];
        key[1] += kPhiloxSteps[1];
    }
    return counter;
}

RandomStream::RandomStream(std::uint64_t seed, std::uint32_t stream, std::uint64_t epoch) noexcept {
    const PhiloxBlock block = philox4x32({stream, 0, low_word(epoch), high_word(epoch)},
                                         {low_word(seed), high_word(seed)});
    key_ = {block[0], block[1]};
}

std::uint64_t RandomStream::bits(std::uint64_t query_id, std::uint64_t counter) const noexcept {
    const PhiloxBlock block = philox4x32(
        {low_word(query_id), high_word(query_id), low_word(counter), high_word(counter)}, key_);
    return std::uint64_t{block[1]} << 32 | block[0];
}

void RandomStream::fill(std::uint64_t query_id,
                        std::uint64_t counter,
                        std::span<std::uint64_t> out) const {
    kernels::active().random_bits(query_stream(key_, query_id), counter, out.size(), out.data());
}

void DrawSequence::make_more() {
    num_made_ = std::clamp(2 * num_made_, kFirst, kMost);
    stream_.fill(query_id_, counter_, std::span(made_).first(num_made_));
    counter_ += num_made_;
    used_ = 0;
}

std::uint64_t DrawSequence::below_slowly(WideProduct product, std::uint64_t bound) {
    const std::uint64_t excess = (0 - bound) % bound;  // 2^64 mod bound
    while (product.low < excess) product = multiply(next_bits(), bound);
    return product.high;
}

}  // namespace nearmiss
