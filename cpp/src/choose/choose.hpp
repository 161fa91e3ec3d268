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

// What `choice` picks from the rank window of a query (laws top and random), best first; at most
// num_negatives. `window`: best first; used as scratch.
[[nodiscard]] std::span<const Key> choose_from_window(std::span<Key> window,
                                                      const Choice& choice,
                                                      const RandomStream& noise,
                                                      std::size_t query);

// The id that stands for a query in draws.
[[nodiscard]] inline std::uint64_t query_id(const Choice& choice, std::size_t query) noexcept {
    return choice.query_ids.empty() ? query : static_cast<std::uint64_t>(choice.query_ids[query]);
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

}  // namespace nearmiss
