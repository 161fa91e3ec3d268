// SPDX-License-Identifier: Apache-2.0
// Kernel 1 for small pools from a small corpus and very many queries: the few nearest centres of
// every row. In place of reservoirs there are plain lists, long enough for nearly all that passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "parallel.hpp"
#include "query_block.hpp"
#include "search.hpp"

namespace nearmiss {

// A block of queries meets all centres, and those that reach a query's threshold are listed.
// Thresholds rise now and then, for all queries one after the other, by what is listed if
// pool_size <= kernels::kFewRanks; that of a query whose list is full rises by exact scores. Not
// thread-safe.
class CandidateScan {
  public:
    static constexpr Key kNone = 0;  // worse than every centre

    // `search`: rows as queries, centres as the corpus. `form`: of the latter. Both must outlive
    // the scan.
    CandidateScan(const Search& search, const ScreeningForm& form);

    // best: search.pool_size keys of every query, best first: of different centres, then kNone.
    // They become the best of all centres; the better they were, the faster. Returns how many
    // centres had to be scored exactly.
    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<Key> best,
                    TaskContext& context);

  private:
    [[nodiscard]] std::size_t width() const noexcept { return search_.pool_size; }
    [[nodiscard]] std::span<Key> best_of(std::size_t i) const noexcept {
        return best_.subspan(i * width(), width());
    }
    void start(std::span<const std::uint32_t> queries, std::span<Key> best);
    void collect(const kernels::TileHit& hit, std::size_t panel);
    // Raise a threshold, by the exact scores of the best, or by what is known and listed. The
    // latter returns a number that width() of these reach, or -infinity.
    void raise_by_best(std::size_t i);
    double raise_by_listed(std::size_t i);
    // Scores the centres listed for queries [begin, end), as far as need be, which empties lists.
    void settle(std::size_t begin, std::size_t end);
    // Those of query i that screened in [from, below) and reach the threshold.
    void choose(std::size_t i, double from, double below);
    void score_chosen(std::size_t begin, std::size_t end);

    const Search& search_;
    QueryBlock block_;
    ExactScorer scorer_;
    std::span<Key> best_;
    std::size_t num_panels_ = 0;
    std::vector<std::uint16_t> known_lanes_;  // by query and panel: centres known from the start
    std::vector<double> known_;               // what they may screen at at most, width() of a query
    std::vector<kernels::TileHit> hits_;
    // The others, a list for each query: which they are, and at what they screened.
    AlignedBuffer<std::uint32_t> listed_;
    AlignedBuffer<float> screened_;
    std::vector<std::uint32_t> counts_;
    std::vector<double> ranked_;         // scratch of raise_by_listed()
    std::vector<double> likely_;         // scratch of settle()
    std::vector<std::uint32_t> chosen_;  // to be scored, query by query
    std::vector<std::size_t> ends_;      // of each query's
    std::vector<float> scores_;
    std::size_t num_scored_ = 0;
};

}  // namespace nearmiss
