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

}  // namespace

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
