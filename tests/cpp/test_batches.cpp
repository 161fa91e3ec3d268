// SPDX-License-Identifier: Apache-2.0
// Packing and trees from C++: what holds for odd shapes. Their results are compared with slow ones
// in Python.
#include "nearmiss/batches.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "instances.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/random.hpp"

using nearmiss::balanced_two_means;
using nearmiss::Conflicts;
using nearmiss::InvalidArgument;
using nearmiss::ListsView;
using nearmiss::pack_batches;
using nearmiss::PackedBatches;
using nearmiss::RandomStream;
using nearmiss::WantedRows;

namespace {

std::vector<std::int64_t> up_to(std::size_t n) {
    std::vector<std::int64_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
}

// Rows that hold one key each.
struct Grouped {
    Grouped(std::size_t rows, std::size_t num_groups)
        : indptr(up_to(rows + 1)),
          keys(rows),
          num_keys(num_groups) {
        const RandomStream random(5, 96u, rows);
        for (std::size_t i = 0; i < rows; ++i)
            keys[i] = static_cast<std::int64_t>(random.bits(i, 0) % num_groups);
    }

    [[nodiscard]] Conflicts conflicts() const {
        const ListsView lists{indptr, keys};
        return {lists, lists, num_keys};
    }

    std::vector<std::int64_t> indptr;
    std::vector<std::int64_t> keys;
    std::size_t num_keys;
};

}  // namespace

TEST(groups_never_share_a_batch_and_all_that_fit_are_placed) {
    for (const std::size_t rows : {1u, 7u, 64u, 501u}) {
        for (const std::size_t num_groups : {1u, 3u, 100u}) {
            const Grouped grouped(rows, num_groups);
            const std::size_t num_batches = (rows + 7) / 8;
            const PackedBatches packed = pack_batches(
                up_to(rows), grouped.conflicts(), WantedRows{}, 8, num_batches, {1, {}});
            CHECK(packed.indptr.size() == num_batches + 1);
            for (std::size_t b = 0; b < num_batches; ++b) {
                std::vector<bool> seen(num_groups);
                for (auto i = packed.indptr[b]; i < packed.indptr[b + 1]; ++i) {
                    const auto row =
                        static_cast<std::size_t>(packed.indices[static_cast<std::size_t>(i)]);
                    const auto key = static_cast<std::size_t>(grouped.keys[row]);
                    CHECK(!seen[key]);
                    seen[key] = true;
                }
            }
            std::vector<std::size_t> sizes(num_groups);
            for (const std::int64_t key : grouped.keys) ++sizes[static_cast<std::size_t>(key)];
            std::size_t placed = 0;
            for (const std::size_t size : sizes) placed += std::min(size, num_batches);
            CHECK(packed.indices.size() == placed);
            CHECK(packed.indices.size() + packed.unplaced.size() == rows);
        }
    }
}

TEST(leaves_of_a_tree_are_balanced_whatever_the_threads) {
    const instances::Matrix vectors = instances::small_integers(77, 5, 3);
    const auto leaves = balanced_two_means(vectors.view(), 4, 9, {1, {}});
    std::vector<std::size_t> sizes(16);
    for (const std::int64_t leaf : leaves) ++sizes[static_cast<std::size_t>(leaf)];
    const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
    CHECK(*most - *least <= 1);
    CHECK(balanced_two_means(vectors.view(), 4, 9, {7, {}}) == leaves);
    CHECK_THROWS(InvalidArgument, balanced_two_means(vectors.view(), 7, 9, {1, {}}));
}
