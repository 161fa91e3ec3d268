// SPDX-License-Identifier: Apache-2.0
// Approximate search: exact in the lists that a query looks at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lists/inverted_lists.hpp"
#include "nearmiss/probes.hpp"
#include "nearmiss/runtime.hpp"
#include "search.hpp"

namespace nearmiss {

// What it finds depends on the rows, the queries, their limits and `probes` alone.
class ProbedSearch {
  public:
    // Makes the lists, if those that the corpus has are others, and the sample; chooses num_probes
    // if it is not given. `search`: of all queries; it must outlive this object.
    ProbedSearch(const Search& search, const Probes& probes, const Execution& execution);

    // As search_pools(), for `queries`, ascending.
    SearchWork run(std::vector<std::uint32_t> queries,
                   const Execution& execution,
                   const std::function<void(const Pool&)>& sink);

    // After every query has been searched for.
    [[nodiscard]] ProbeReport report() const;

  private:
    // A query that is searched for exactly too.
    struct Sampled {
        std::uint32_t query;
        std::vector<Key> pool;  // of exact search
        std::size_t found = 0;  // of which the search found
    };

    // Ascending.
    [[nodiscard]] std::vector<Sampled> search_exactly(std::span<const std::uint32_t> queries,
                                                      const Execution& execution) const;
    // The least number of probes that finds the part `recall` of the rows in the pools of the
    // sample, which ascends.
    [[nodiscard]] std::size_t choose_width(std::span<const Sampled> sample,
                                           double recall,
                                           const Execution& execution) const;
    // How many of these rows are in queries' nearest lists, in the second nearest, …
    [[nodiscard]] std::vector<std::size_t> count_rows_by_rank(std::span<const Sampled> sample,
                                                              const Execution& execution) const;
    // If the pool is of a query in the sample. Calls for different queries may run at once.
    void count_found(const Pool& pool);

    [[nodiscard]] bool looks_at_all(std::size_t width) const noexcept {
        return width >= lists_->size();
    }
    // The `width` nearest lists of each of the queries, which ascend; nearest first.
    [[nodiscard]] std::vector<std::uint32_t> nearest_lists(std::span<const std::uint32_t> queries,
                                                           std::size_t width,
                                                           const Execution& execution) const;
    // Calls sink for those whose pools are full after `width` lists, and returns the others.
    [[nodiscard]] std::vector<std::uint32_t> scan(std::span<const std::uint32_t> queries,
                                                  std::size_t width,
                                                  const Execution& execution,
                                                  const std::function<void(const Pool&)>& sink,
                                                  SearchWork& work);
    // The same for as many as there is memory for.
    [[nodiscard]] std::vector<std::uint32_t> scan_part(std::span<const std::uint32_t> queries,
                                                       std::size_t width,
                                                       const Execution& execution,
                                                       const std::function<void(const Pool&)>& sink,
                                                       SearchWork& work);

    const Search& search_;
    const std::shared_ptr<const InvertedLists> lists_;
    const Search in_lists_;        // the same search of the lists' rows
    std::size_t width_;            // num_probes
    std::vector<Sampled> sample_;  // that recall is measured on, ascending
    std::size_t widened_ = 0;
};

}  // namespace nearmiss
