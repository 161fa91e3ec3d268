// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/random.hpp"

#include <algorithm>

#include "kernels/dispatch.hpp"
#include "query_stream.hpp"

namespace nearmiss {
namespace {

constexpr std::uint32_t low_word(std::uint64_t v) { return static_cast<std::uint32_t>(v); }
constexpr std::uint32_t high_word(std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); }

struct WideProduct {
    std::uint64_t high;
    std::uint64_t low;
};

constexpr WideProduct multiply(std::uint64_t a, std::uint64_t b) {
    const std::uint64_t low_low = (a & 0xffffffffu) * (b & 0xffffffffu);
    const std::uint64_t high_low = (a >> 32) * (b & 0xffffffffu);
    const std::uint64_t low_high = (a & 0xffffffffu) * (b >> 32);
    const std::uint64_t middle = (low_low >> 32) + (high_low & 0xffffffffu) + low_high;
    return {(a >> 32) * (b >> 32) + (high_low >> 32) + (middle >> 32),
            (middle << 32) | (low_low & 0xffffffffu)};
}

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

std::uint64_t DrawSequence::next_bits() {
    if (used_ == num_made_) {
        num_made_ = std::clamp(2 * num_made_, kFirst, kMost);
        stream_.fill(query_id_, counter_, std::span(made_).first(num_made_));
        counter_ += num_made_;
        used_ = 0;
    }
    return made_[used_++];
}

std::uint64_t DrawSequence::below(std::uint64_t bound) {
    WideProduct product = multiply(next_bits(), bound);
    if (product.low < bound) {
        const std::uint64_t excess = (0 - bound) % bound;  // 2^64 mod bound
        while (product.low < excess) product = multiply(next_bits(), bound);
    }
    return product.high;
}

}  // namespace nearmiss
