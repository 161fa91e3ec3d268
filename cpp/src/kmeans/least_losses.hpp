// SPDX-License-Identifier: Apache-2.0
// Every row's loss to the nearest seed: the D^2 law in the open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kmeans/row_losses.hpp"

namespace nearmiss {

// The mass of a row is its weight times its loss to the nearest seed. Masses are summed up over
// blocks of rows, then over the blocks, both ascending.
class LeastLosses {
  public:
    explicit LeastLosses(const PointCorpus& corpus);

    // Further seeds: one, or many at once.
    void include(std::size_t seed, const Execution& execution);
    void include(std::span<const std::uint32_t> seeds, const Execution& execution);

    // The sum of all masses, and what it would be with one more seed.
    [[nodiscard]] double total() const noexcept;
    [[nodiscard]] double total_with(std::size_t seed, const Execution& execution) const;

    [[nodiscard]] std::vector<double> masses() const;
    // In proportion to mass; some must be positive. `unit` in [0, 1).
    [[nodiscard]] std::size_t row_at(double unit) const;

  private:
    [[nodiscard]] double mass(std::size_t row) const noexcept {
        return corpus_.points().weight(row) * losses_[row];
    }
    [[nodiscard]] std::size_t end_of(std::size_t block) const noexcept;
    void add_up(std::size_t block);

    const PointCorpus& corpus_;
    std::vector<double> losses_;
    std::vector<double> block_sums_;
};

}  // namespace nearmiss
