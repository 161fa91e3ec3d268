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

// Descending, ascending, and up and down again, where pivots are bad; and in no order.
std::vector<std::vector<Key>> orders_of(std::vector<Key> keys) {
    std::vector<std::vector<Key>> orders{keys};
    std::sort(keys.begin(), keys.end());
    orders.push_back(keys);
    std::vector<Key> pipe;
    for (std::size_t i = 0; i < keys.size(); i += 2) pipe.push_back(keys[i]);
    for (std::size_t i = keys.size() / 2 * 2; i-- > 0;)
        if (i % 2 == 1) pipe.push_back(keys[i]);
    orders.push_back(pipe);
    std::reverse(keys.begin(), keys.end());
    orders.push_back(keys);
    return orders;
}

TEST(the_best_come_first_and_the_worst_of_them_last) {
    std::vector<Key> scratch;
    for (const std::size_t size : {1, 2, 24, 25, 26, 100, 317, 5000}) {
        for (const std::vector<Key>& order : orders_of(random_keys(size, 0xffff'0000u, 3))) {
            CHECK(order.size() == size);
            std::vector<Key> expected = order;
            std::sort(expected.begin(), expected.end(), std::greater<>());
            for (const std::size_t count : {std::size_t{1}, size / 3 + 1, size - size / 9, size}) {
                std::vector<Key> keys = order;
                select_best(keys, count, scratch);
                const auto end = static_cast<std::ptrdiff_t>(count);
                CHECK(keys[count - 1] == expected[count - 1]);
                std::sort(keys.begin(), keys.begin() + end, std::greater<>());
                std::sort(keys.begin() + end, keys.end(), std::greater<>());
                CHECK(keys == expected);
            }
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
