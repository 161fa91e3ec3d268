// SPDX-License-Identifier: Apache-2.0
// The scan of an approximate search: a block of queries meets the lists they look at, one list
// after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/collector.hpp"
#include "lists/inverted_lists.hpp"
#include "lists/query_group.hpp"
#include "parallel.hpp"
#include "search.hpp"

namespace nearmiss {

// Not thread-safe.
class ListScan {
  public:
    // `search`: of lists.rows(). `form`: of the same. All must outlive the scan.
    ListScan(const Search& search, const InvertedLists& lists, const ScreeningForm& form);

    // Query i looks at the `width` lists nearest[i * width], …, nearest first.
    void run(std::span<const std::uint32_t> queries,
             std::span<const std::uint32_t> nearest,
             std::size_t width,
             Guess guess,
             TaskContext& context);

    // The best admissible rows of query i in its lists.
    [[nodiscard]] Pool pool(std::size_t i) const noexcept { return collector_.pool(i); }
    // False if query i must be scanned again, without a guess.
    [[nodiscard]] bool complete(std::size_t i) noexcept {
        return collector_.reservoirs().complete(i);
    }
    [[nodiscard]] std::size_t num_rescored() noexcept {
        return collector_.reservoirs().num_rescored();
    }

  private:
    void sort_by_list(std::span<const std::uint32_t> nearest,
                      std::size_t width,
                      std::size_t first,
                      std::size_t last);
    void scan_lists(TaskContext& context);
    void scan(InvertedLists::Range range);
    void collect(const kernels::TileHit& hit, std::size_t panel, InvertedLists::Range range);

    const InvertedLists& lists_;
    Collector collector_;
    QueryGroup group_;
    std::vector<std::uint32_t> ends_;     // by list, of its queries in
    std::vector<std::uint32_t> members_;  // queries of the block, list by list
    std::vector<kernels::TileHit> hits_;
};

}  // namespace nearmiss
