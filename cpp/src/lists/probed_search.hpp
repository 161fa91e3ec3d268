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
    // Makes the lists if the corpus has none like that, and the sample; chooses num_probes if it is
    // not given. `search`: of all queries; it must outlive this object.
    ProbedSearch(const Search& search, const Probes& probes, const Execution& execution);

    // As search_pools(), for `queries`, ascending. Every query is searched for once.
    SearchWork run(std::vector<std::uint32_t> queries,
                   const Execution& execution,
                   const std::function<void(const Pool&)>& sink);

    // After all of the sample has been searched for.
    [[nodiscard]] ProbeReport report() const;

  private:
    // A query that was searched for exactly.
    struct Sampled {
        std::uint32_t query;
        std::vector<std::uint32_t> ranks;  // of the list of each row of its pool: 0 is the nearest
    };

    [[nodiscard]] std::vector<Sampled> take_sample(std::size_t size, std::uint64_t seed) const;
    [[nodiscard]] std::size_t choose_width(std::span<const Sampled> sample, double recall) const;

    // The `width` nearest lists of each of the queries, nearest first.
    [[nodiscard]] std::vector<std::uint32_t> nearest_lists(std::span<const std::uint32_t> queries,
                                                           std::size_t width,
                                                           const Execution& execution) const;
    // Calls sink for queries whose pools are full, and returns the others.
    [[nodiscard]] std::vector<std::uint32_t> scan(std::span<const std::uint32_t> queries,
                                                  std::size_t width,
                                                  const Execution& execution,
                                                  const std::function<void(const Pool&)>& sink);

    const Search& search_;
    const Execution& execution_;
    std::shared_ptr<const InvertedLists> lists_;
    const ScreeningForm* form_ = nullptr;  // of the lists' rows
    std::size_t width_ = 0;
    std::vector<Sampled> sample_;        // that recall is measured on
    std::vector<std::uint32_t> widths_;  // by query: how many lists it looked at
    ProbeReport report_;
    SearchWork work_;
};

}  // namespace nearmiss
