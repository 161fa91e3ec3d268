// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <utility>

#include "choose/choose.hpp"

namespace nearmiss {
namespace {

constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
constexpr std::size_t kFirstSlots = 32;

}  // namespace

SparseShuffle::SparseShuffle(std::uint64_t size, DrawSequence& draws)
    : size_(size),
      draws_(draws),
      moved_(kFirstSlots, Moved{kEmpty, 0}) {}

SparseShuffle::Moved& SparseShuffle::slot(std::uint64_t place) noexcept {
    const std::size_t mask = moved_.size() - 1;
    std::size_t i = static_cast<std::size_t>(place * 0x9E3779B97F4A7C15u >> 32) & mask;
    while (moved_[i].place != kEmpty && moved_[i].place != place) i = (i + 1) & mask;
    return moved_[i];
}

void SparseShuffle::grow() {
    std::vector<Moved> old(moved_.size() * 2, Moved{kEmpty, 0});
    std::swap(old, moved_);
    for (const Moved& m : old)
        if (m.place != kEmpty) slot(m.place) = m;
}

std::uint64_t SparseShuffle::next() {
    // Swap the value at `drawn_` with that of a random later place; nobody looks at `drawn_` again.
    const std::uint64_t front_place = drawn_++;
    const std::uint64_t place = front_place + draws_.below(size_ - front_place);
    const Moved& front = slot(front_place);
    const std::uint64_t front_value = front.place == kEmpty ? front_place : front.value;
    if (place == front_place) return front_value;
    Moved& chosen = slot(place);
    if (chosen.place != kEmpty) return std::exchange(chosen.value, front_value);
    chosen = {place, front_value};
    if (++used_ * 2 > moved_.size()) grow();
    return place;
}

ReusedShuffle::ReusedShuffle(std::size_t most) : values_(most) {
    std::iota(values_.begin(), values_.end(), std::int64_t{0});
}

void ReusedShuffle::draw(std::size_t size, DrawSequence& draws, std::span<std::int64_t> out) {
    places_.resize(out.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
        places_[i] = i + static_cast<std::size_t>(draws.below(size - i));
        std::swap(values_[i], values_[places_[i]]);
        out[i] = values_[i];
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
        values_[i] = static_cast<std::int64_t>(i);
        values_[places_[i]] = static_cast<std::int64_t>(places_[i]);
    }
}

}  // namespace nearmiss
