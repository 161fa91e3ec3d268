// SPDX-License-Identifier: Apache-2.0
// Does a list name anything twice?
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nearmiss {

// Keeps its memory from list to list.
class RepeatFinder {
  public:
    // A number of the list from 0 on that occurs twice, if there is one: in the order of the list,
    // the first to occur again.
    [[nodiscard]] std::optional<std::int64_t> find(std::span<const std::int64_t> list) {
        if (ascends(list)) return std::nullopt;
        const std::size_t slots = std::bit_ceil(2 * list.size());
        if (seen_.size() < slots) seen_.assign(slots, Seen{});
        ++pass_;
        const std::size_t mask = seen_.size() - 1;
        for (const std::int64_t number : list) {
            if (number < 0) continue;
            const auto hash = static_cast<std::uint64_t>(number) * 0x9E3779B97F4A7C15u;
            std::size_t i = static_cast<std::size_t>(hash >> 32) & mask;
            while (seen_[i].pass == pass_ && seen_[i].number != number) i = (i + 1) & mask;
            if (seen_[i].pass == pass_) return number;
            seen_[i] = {number, pass_};
        }
        return std::nullopt;
    }

  private:
    struct Seen {
        std::int64_t number = 0;
        std::uint64_t pass = 0;  // of which list
    };

    static bool ascends(std::span<const std::int64_t> list) {
        for (std::size_t i = 1; i < list.size(); ++i)
            if (list[i] <= list[i - 1]) return false;
        return true;
    }

    std::vector<Seen> seen_;
    std::uint64_t pass_ = 0;
};

}  // namespace nearmiss
