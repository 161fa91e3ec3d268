// SPDX-License-Identifier: Apache-2.0
// The conditional Poisson design of one row.
//
// Items enter independently, item i with probability p_i = w_i / (1 + w_i); of these samples only
// those of the right size count. All that is asked of the design comes from tables of Poisson
// binomial probabilities, which are sums of products of positive numbers: nothing cancels, so they
// are right to some cols * 2^-52 relatively. Multiplying all weights by a constant changes nothing,
// and with sum(p_i) near the size the size is a likely one: nothing that matters underflows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/random.hpp"
#include "parallel.hpp"

namespace nearmiss {

class ConditionalPoissonDesign {
  public:
    // The items of a row; call first. Requires, of `size`, what require_drawable demands.
    void set_log_weights(std::span<const double> log_weights, std::size_t size);

    // `size` columns, ascending.
    void draw(const RandomStream& stream, std::uint64_t query_id, std::int64_t* columns) const;

    // Of a set of `size` ascending columns.
    [[nodiscard]] double log_probability(std::span<const std::int64_t> columns) const;

    // Sets inclusion[j] of every column.
    void inclusion(std::span<double> inclusion) const;

    // Looks for weights with these inclusion probabilities, of which `size` is the sum. Sets the
    // log-weight of every column; false if there is no convergence. Calls checkpoint().
    [[nodiscard]] bool solve(std::span<const double> inclusion,
                             std::size_t size,
                             std::span<double> log_weights,
                             TaskContext& context);

  private:
    // The chances of all items in play but one.
    struct Others {
        double one_short;  // that size - 1 of them are drawn
        double enough;     // that size of them are
    };

    // How far the worst item is from its inclusion probability p.
    struct Distance {
        double relative = 0.0;    // to min(p, 1 - p)
        double acceptable = 0.0;  // the same, but less where p is within rounding of 0 or 1
    };

    void centre();
    void build();
    Distance sweep(std::span<const double> wanted);
    [[nodiscard]] const double* tail(std::size_t i) const noexcept {
        return tails_.data() + i * (size_ + 1);
    }
    [[nodiscard]] Others others(std::size_t i, std::span<const double> heads) const noexcept;
    void extend(std::size_t i, std::span<double> heads) const noexcept;

    // Items in play: neither never nor always drawn.
    std::vector<std::uint32_t> columns_;
    std::vector<std::uint32_t> certain_;
    std::size_t size_ = 0;             // of the sample among the items in play
    std::vector<double> log_weights_;  // such that the chances add up to about size_
    std::vector<double> chances_;      // w / (1 + w)
    std::vector<double> complements_;  // 1 / (1 + w)
    // tails_[i * (size_ + 1) + k] = P(k of the items from i on); tails of the whole row at 0.
    std::vector<double> tails_;
};

}  // namespace nearmiss
