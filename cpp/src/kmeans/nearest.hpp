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

// A scan for the nearest of some centres: a block of queries meets all of them, and those that
// reach a query's threshold are its candidates until it is settled. Not thread-safe.
class CenterScan {
  public:
    static constexpr Key kNone = 0;  // worse than every centre

    virtual ~CenterScan() = default;
    CenterScan(const CenterScan&) = delete;
    CenterScan& operator=(const CenterScan&) = delete;

    // best[i] becomes the best of itself and the keys of queries[i] and the corpus. It is the key
    // of a centre, in the corpus or not; the better it was, the faster. Returns how many centres
    // were scored exactly.
    std::size_t run(std::span<const std::uint32_t> queries,
                    std::span<Key> best,
                    TaskContext& context);

  protected:
    struct Candidate {
        std::uint32_t place;  // among those screened
        float screened;
        std::uint32_t before;  // the candidate before it of the same query, or kFirst
    };
    static constexpr std::uint32_t kFirst = 0xffff'ffff;

    // `search`: rows as queries, centres as the corpus. `screened`: what stands for both while they
    // are screened. `form`: of its corpus. All must outlive the scan.
    CenterScan(const Search& search,
               const Search& screened,
               const ScreeningForm& form,
               CenterNumbers numbers);

    // At the start, and whenever best_[i] has changed.
    virtual void raise_threshold(std::size_t i) = 0;
    // Where the centre of best_[i], which is not kNone, is among those screened; or kNowhere.
    [[nodiscard]] virtual std::uint32_t place_of_best(std::size_t i) const = 0;
    // After some candidates of query i, the best of which screened so.
    virtual void note_screened(std::size_t i, float highest);
    // Scores the candidates of query i, of which there are some, as far as need be.
    virtual void settle(std::size_t i) = 0;

    // Scores rows_, places in the corpus of `search`.
    void score_rows(const ExactQuery& query, std::size_t i);

    const Search& search_;
    const Search& screened_;
    const CenterNumbers numbers_;
    QueryBlock block_;
    std::span<Key> best_;
    std::vector<Candidate> candidates_;  // that may be better than best_
    std::vector<std::uint32_t> last_;    // candidate of each query, or kFirst
    std::vector<std::uint32_t> rows_;    // scratch of settle()

  private:
    void collect(const kernels::TileHit& hit, std::size_t panel);
    void settle();

    ExactScorer scorer_;
    std::vector<kernels::TileHit> hits_;
    std::vector<float> scores_;
    std::size_t num_scored_ = 0;
};

// By what rows and centres are themselves; best[i] may be kNone.
class NearestScan final : public CenterScan {
  public:
    // `search`, `form`: as for every scan; it is `search` that is screened.
    NearestScan(const Search& search, const ScreeningForm& form, CenterNumbers numbers)
        : CenterScan(search, search, form, numbers) {}

  private:
    void raise_threshold(std::size_t i) override;
    [[nodiscard]] std::uint32_t place_of_best(std::size_t i) const override;
    void note_screened(std::size_t i, float highest) override;
    void settle(std::size_t i) override;
};

}  // namespace nearmiss
