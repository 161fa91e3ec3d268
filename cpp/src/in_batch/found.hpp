// SPDX-License-Identifier: Apache-2.0
// What blocks of anchors found, joined in the order of the anchors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nearmiss/in_batch.hpp"

namespace nearmiss {

// Of one block: pairs, or with `thirds` triplets.
struct Found {
    std::vector<std::uint32_t> anchors;
    std::vector<std::uint32_t> seconds;
    std::vector<std::uint32_t> thirds;

    void add(std::size_t anchor, std::uint32_t second) {
        anchors.push_back(static_cast<std::uint32_t>(anchor));
        seconds.push_back(second);
    }
    void add(std::size_t anchor, std::uint32_t second, std::uint32_t third) {
        add(anchor, second);
        thirds.push_back(third);
    }
    // (anchor, second, third) for all thirds.
    void add(std::size_t anchor, std::uint32_t second, std::span<const std::uint32_t> all);
};

// Use up what is given.
[[nodiscard]] Pairs join_pairs(std::vector<Found>&& blocks, const Execution& execution);
[[nodiscard]] Triplets join_triplets(std::vector<Found>&& blocks, const Execution& execution);

// Which of `total` triplets are kept, ascending; uniform without replacement.
[[nodiscard]] std::vector<std::uint64_t> draw_triplets(std::uint64_t total,
                                                       std::size_t max_triplets,
                                                       const BatchDraw& draw);

// At most `max_triplets` of them, in their order; all without it.
[[nodiscard]] Triplets keep_some(Triplets&& triplets,
                                 std::optional<std::size_t> max_triplets,
                                 const BatchDraw& draw);

}  // namespace nearmiss
