// SPDX-License-Identifier: Apache-2.0
// One scan of lists for some of the queries, in tasks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "lists/list_scan.hpp"
#include "nearmiss/runtime.hpp"

namespace nearmiss {

// The query at place i, queries[i], looks at the lists nearest[i * width], …, nearest first.
struct Visits {
    std::span<const std::uint32_t> queries;
    std::span<const std::uint32_t> nearest;
    std::size_t width;
};

class ListPass {
  public:
    // Places of queries that there is more to do for.
    struct Rest {
        std::vector<std::uint32_t> misguessed;     // to be scanned again, without a guess
        std::vector<std::uint32_t> short_of_rows;  // whose lists hold too few admissible rows
    };

    // `search`: of lists.rows(). `form`: of the same. All must outlive the pass.
    ListPass(const Search& search,
             const InvertedLists& lists,
             const ScreeningForm& form,
             const Visits& visits)
        : search_(search),
          lists_(lists),
          form_(form),
          visits_(visits) {}

    // The places of all queries.
    [[nodiscard]] std::vector<std::uint32_t> all() const;

    // Calls sink, from worker threads, for the queries at `places` with full pools.
    Rest run(std::vector<std::uint32_t> places,
             Guess guess,
             const Execution& execution,
             const std::function<void(const Pool&)>& sink);

    [[nodiscard]] std::size_t num_rescored() const noexcept { return rescored_.load(); }

  private:
    void scan_block(std::span<const std::uint32_t> places,
                    Guess guess,
                    TaskContext& context,
                    const std::function<void(const Pool&)>& sink,
                    Rest& rest);

    const Search& search_;
    const InvertedLists& lists_;
    const ScreeningForm& form_;
    const Visits visits_;
    std::mutex rest_mutex_;
    std::atomic<std::size_t> rescored_{0};
};

}  // namespace nearmiss
