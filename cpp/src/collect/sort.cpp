// SPDX-License-Identifier: Apache-2.0
#include "collect/sort.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <numeric>

namespace nearmiss {
namespace {

constexpr unsigned kDigitBits = 11;
constexpr std::size_t kNumDigits = std::size_t{1} << kDigitBits;
// Shorter lists are sorted faster by comparison.
constexpr std::size_t kLong = 768;

using Places = std::array<std::uint32_t, kNumDigits>;

struct Digit {
    unsigned shift;
    Key mask;

    [[nodiscard]] std::size_t of(Key key) const noexcept { return (key >> shift) & mask; }
};

// Moves `from` to `to` in descending order of one digit, keeping the order of equal ones; false,
// and nothing moved, if all have the same.
bool sort_by_digit(std::span<const Key> from, Key* to, Digit digit) {
    Places places{};
    for (const Key key : from) ++places[digit.of(key)];
    if (places[digit.of(from[0])] == from.size()) return false;
    std::uint32_t next = 0;
    for (std::size_t value = kNumDigits; value-- > 0;) {
        const std::uint32_t count = places[value];
        places[value] = next;
        next += count;
    }
    for (const Key key : from) to[places[digit.of(key)]++] = key;
    return true;
}

void sort_descending(std::span<Key> keys, std::vector<Key>& scratch) {
    constexpr unsigned kBits = 64;
    if (scratch.size() < keys.size()) scratch.resize(keys.size());
    std::span<Key> from = keys;
    std::span<Key> to(scratch.data(), keys.size());
    for (unsigned shift = 0; shift < kBits; shift += kDigitBits) {
        const Key mask = (Key{1} << std::min(kDigitBits, kBits - shift)) - 1;
        if (sort_by_digit(from, to.data(), {shift, mask})) std::swap(from, to);
    }
    if (from.data() != keys.data()) std::copy(from.begin(), from.end(), keys.begin());
}

Key middle_of(Key a, Key b, Key c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }

// Near the middle, unless keys come in an odd order.
Key pivot_of(std::span<const Key> keys) {
    const std::size_t step = keys.size() / 9;
    const Key* const at = keys.data() + step / 2;
    const auto middle = [=](std::size_t i) {
        return middle_of(at[i * step], at[(i + 1) * step], at[(i + 2) * step]);
    };
    return middle_of(middle(0), middle(3), middle(6));
}

// Puts what is better than the pivot, one of the keys, before it and the others behind it; returns
// its place. Without a branch on what a key is, which none can predict. (Zen 5: a third of the time
// that std::nth_element takes, down to 150 keys.)
std::size_t part_at(Key pivot, std::span<Key> keys, std::span<Key> scratch) {
    std::size_t better = 0;
    std::size_t end = keys.size();  // of what is better, if all that is to come were
    for (const Key key : keys) {
        scratch[better] = key;
        scratch[--end + better] = key;
        better += static_cast<std::size_t>(key > pivot);
    }
    std::swap(
        *std::find(scratch.begin() + static_cast<std::ptrdiff_t>(better), scratch.end(), pivot),
        scratch[better]);
    std::copy_n(scratch.begin(), keys.size(), keys.begin());
    return better;
}

}  // namespace

void select_best(std::span<Key> keys, std::size_t count, std::vector<Key>& scratch) {
    constexpr std::size_t kFew = 24;
    // Many more than pivots that are not bad need.
    constexpr int kMostRounds = 64;
    if (scratch.size() < keys.size()) scratch.resize(keys.size());
    for (int round = 0; keys.size() > kFew && round < kMostRounds; ++round) {
        const std::size_t place = part_at(pivot_of(keys), keys, scratch);
        if (place + 1 == count) return;
        if (place >= count) {
            keys = keys.first(place);
        } else {
            keys = keys.subspan(place + 1);
            count -= place + 1;
        }
    }
    std::nth_element(keys.begin(),
                     keys.begin() + static_cast<std::ptrdiff_t>(count - 1),
                     keys.end(),
                     std::greater<>());
}

void sort_best_first(std::span<Key> keys, std::vector<Key>& scratch) {
    if (keys.size() < kLong)
        std::sort(keys.begin(), keys.end(), std::greater<>());
    else
        sort_descending(keys, scratch);
}

void group_by_rows(std::span<Key> keys,
                   unsigned shift,
                   std::span<std::uint32_t> ends,
                   std::vector<Key>& scratch) {
    if (scratch.size() < keys.size()) scratch.resize(keys.size());
    std::copy(keys.begin(), keys.end(), scratch.begin());
    const auto group_of = [shift](Key key) { return row_of(key) >> shift; };
    std::ranges::fill(ends, 0u);
    for (const Key key : keys) ++ends[group_of(key)];
    std::exclusive_scan(ends.begin(), ends.end(), ends.begin(), 0u);
    for (const Key key : std::span(scratch.data(), keys.size())) keys[ends[group_of(key)]++] = key;
}

}  // namespace nearmiss
