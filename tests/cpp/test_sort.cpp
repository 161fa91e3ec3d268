// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "check.hpp"
#include "collect/sort.hpp"

namespace nearmiss {
namespace {

// Few scores, so that many tie; every row once, in any order.
std::vector<Key> random_keys(std::size_t count, std::uint32_t first_row, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<Key> keys;
    for (std::size_t i = 0; i < count; ++i) {
        const float score = static_cast<float>(random() % 50) / 7.0f - 3.0f;
        keys.push_back(make_key(score, first_row + static_cast<std::uint32_t>(i)));
    }
    std::shuffle(keys.begin(), keys.end(), random);
    return keys;
}

constexpr std::size_t kSizes[] = {0, 1, 2, 767, 768, 769, 5000};
// The second makes rows use all of their bits.
constexpr std::uint32_t kFirstRows[] = {0, 0xffff'0000u};

TEST(best_first_is_descending_order_of_keys) {
    std::vector<Key> scratch;
    for (const std::uint32_t first_row : kFirstRows) {
        for (const std::size_t size : kSizes) {
            std::vector<Key> keys = random_keys(size, first_row, 1);
            std::vector<Key> expected = keys;
            std::sort(expected.begin(), expected.end(), std::greater<>());
            sort_best_first(keys, scratch);
            CHECK(keys == expected);
        }
    }
}

TEST(groups_of_rows_ascend_and_keep_the_order_within_them) {
    std::vector<Key> scratch;
    for (const std::uint32_t first_row : kFirstRows) {
        for (const std::size_t size : kSizes) {
            for (const unsigned shift : {0u, 3u, 16u, 31u}) {
                if (shift < 16 && first_row != 0) continue;  // a count for each of 2^28 groups
                std::vector<Key> keys = random_keys(size, first_row, 2);
                std::vector<Key> expected = keys;
                const auto group_of = [shift](Key key) { return row_of(key) >> shift; };
                std::ranges::stable_sort(expected, {}, group_of);
                std::vector<std::uint32_t> ends(((first_row + size) >> shift) + 1);
                group_by_rows(keys, shift, ends, scratch);
                CHECK(keys == expected);
                for (std::size_t group = 0; group < ends.size(); ++group)
                    CHECK(ends[group] == std::ranges::count_if(expected, [&](Key key) {
                              return group_of(key) <= group;
                          }));
            }
        }
    }
}

}  // namespace
}  // namespace nearmiss
