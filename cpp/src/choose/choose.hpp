// SPDX-License-Identifier: Apache-2.0
// Laws: which of the admissible rows to pick.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collect/keys.hpp"
#include "nearmiss/mine.hpp"
#include "nearmiss/random.hpp"

namespace nearmiss {

// Uniform over `window` without replacement: the `count` keys with the greatest noise, where a
// row's noise is 64 bits of (stream, query id, row); ties to the lower row. Returned best score
// first. Uses `window` as scratch.
[[nodiscard]] std::span<const Key> choose_random(std::span<Key> window,
                                                 std::size_t count,
                                                 const RandomStream& stream,
                                                 std::uint64_t query_id);

// What a law picks from.
struct RankWindow {
    std::vector<Key> keys;                 // best first
    std::vector<std::uint8_t> admissible;  // 1 or 0 for each; empty: all may be negatives
    std::size_t first_rank = 0;
    float reference = 0;  // s+, NaN without a positive

    [[nodiscard]] bool may_be_negative(std::size_t place) const noexcept {
        return admissible.empty() || admissible[place] != 0;
    }
};

struct Stratified {
    std::vector<Key> keys;             // best first
    std::vector<std::int64_t> strata;  // which band each is from; of Law::bands only
};

// What `choice` picks from the window of a query (laws top, random and bands). Uses it up.
[[nodiscard]] Stratified choose_from_window(RankWindow&& window,
                                            const Choice& choice,
                                            const RandomStream& noise,
                                            std::size_t query);

// Throws InvalidArgument for bands that are empty, ask for nothing or overlap.
void require_bands(const Bands& bands);

[[nodiscard]] Stratified choose_from_bands(const RankWindow& window,
                                           const Bands& bands,
                                           const RandomStream& noise,
                                           std::uint64_t query_id);

// The id that stands for a query in draws.
[[nodiscard]] inline std::uint64_t query_id(const Choice& choice, std::size_t query) noexcept {
    return DrawKey{choice.seed, choice.epoch, choice.query_ids}.query_id(query);
}

// A random order of 0 .. size - 1, drawn one by one (Fisher-Yates over a sparse array): every
// ordered sample without replacement is equally likely, at a cost that grows with the draws only.
class SparseShuffle {
  public:
    SparseShuffle(std::uint64_t size, DrawSequence& draws);

    [[nodiscard]] bool exhausted() const noexcept { return drawn_ == size_; }
    [[nodiscard]] std::uint64_t next();

  private:
    struct Moved {
        std::uint64_t place;  // kEmpty: slot free
        std::uint64_t value;
    };
    [[nodiscard]] Moved& slot(std::uint64_t place) noexcept;
    void grow();

    std::uint64_t size_;
    std::uint64_t drawn_ = 0;
    DrawSequence& draws_;
    std::vector<Moved> moved_;  // open addressing; places whose value is no longer their own
    std::size_t used_ = 0;
};

// The same draws for many shuffles of up to `most` places, over one array that each leaves in
// order.
class ReusedShuffle {
  public:
    explicit ReusedShuffle(std::size_t most);

    // out.size() <= size <= most. What SparseShuffle(size, draws) would give first.
    void draw(std::size_t size, DrawSequence& draws, std::span<std::int64_t> out);

  private:
    std::vector<std::int64_t> values_;  // 0, 1, 2, … between two draws
    std::vector<std::size_t> places_;
};

}  // namespace nearmiss
