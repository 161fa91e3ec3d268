// SPDX-License-Identifier: Apache-2.0
// Kernel 1 for k = 1: the nearest row of a small corpus for very many queries. In place of the
// reservoirs of a search there is one threshold per query, that of the best row so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "parallel.hpp"
#include "query_block.hpp"
#include "search.hpp"

namespace nearmiss {

// A corpus of some of the centres: which they are, ascending, and where each centre is among them
// (kNowhere: it is not). Both empty: all centres, in their order.
struct CenterNumbers {
    static constexpr std::uint32_t kNowhere = 0xffff'ffff;

    std::span<const std::uint32_t> of_place;
    std::span<const std::uint32_t> places;

    [[nodiscard]] std::uint32_t at(std::uint32_t place) const noexcept {
        return of_place.empty() ? place : of_place[place];
    }
    [[nodiscard]] std::uint32_t place_of(std::uint32_t center) const noexcept {
        return places.empty() ? center : places[center];
    }
};

// The most queries for which their tiles stay in the cache.
[[nodiscard]] std::size_t queries_per_scan(const ScreeningForm& form) noexcept;

// Finds the nearest of some centres. Not thread-safe.
class CenterScan {
  public:
    static constexpr Key kNone = 0;  // worse than every centre

    virtual ~CenterScan() = default;

    // best[i] becomes the best of itself and the keys of queries[i], of which there is one at
    // least, and the centres. It is the key of a centre, one of these or not; the better it was,
    // the faster. Returns the cost of telling apart those that screening left, in centres scored
    // exactly.
    virtual std::size_t run(std::span<const std::uint32_t> queries,
                            std::span<Key> best,
                            TaskContext& context) = 0;
};

// A block of queries meets all centres of a corpus, and those that reach a query's threshold are
// its candidates until it is settled; best[i] may be kNone.
class NearestScan final : public CenterScan {
  public:
    // `search`: rows as queries, centres as the corpus. `form`: of the latter. Both must outlive
    // the scan.
    NearestScan(const Search& search, const ScreeningForm& form, CenterNumbers numbers);

    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<Key> best,
                    TaskContext& context) override;

  private:
    struct Candidate {
        std::uint32_t place;  // in the corpus
        float screened;
        std::uint32_t before;  // the candidate before it of the same query, or kFirst
    };
    static constexpr std::uint32_t kFirst = 0xffff'ffff;

    void raise_threshold(std::size_t i);
    void collect(const kernels::TileHit& hit, std::size_t panel);
    void settle();
    // Scores the candidates of query i, of which there are some, as far as need be.
    void settle(std::size_t i);

    const Search& search_;
    const CenterNumbers numbers_;
    QueryBlock block_;
    ExactScorer scorer_;
    std::span<Key> best_;
    std::vector<kernels::TileHit> hits_;
    std::vector<Candidate> candidates_;  // that may be better than best_
    std::vector<std::uint32_t> last_;    // candidate of each query, or kFirst
    std::vector<std::uint32_t> rows_;    // scratch of settle()
    std::vector<float> scores_;
    std::size_t num_scored_ = 0;
};

}  // namespace nearmiss
