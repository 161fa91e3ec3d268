// SPDX-License-Identifier: Apache-2.0
// Prices of clusters at which, if every row goes where cost + price is least, sizes are about
// right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kmeans/sizes/candidates.hpp"

namespace nearmiss {

// A row that takes one cluster but nearly prefers another: the more nearly, the greater the share
// of it, up to a half, that counts as there.
struct NearTie {
    std::uint32_t best;
    std::uint32_t second;
    double share;
};

// Newton's method on the dual of the assignment problem, as for semi-discrete optimal transport
// (Kitagawa, Merigot and Thibert 2019). How sizes change with prices is the Laplacian of a graph
// over the clusters: an edge for every row that nearly prefers another, within a band that narrows
// as prices come right. A step that does not raise the dual is tried again, shorter and in a
// narrower band (Levenberg's damping).
class PriceSearch {
  public:
    PriceSearch(const Costs& costs,
                std::size_t num_clusters,
                SizeLimits limits,
                const Execution& execution);

    // `prices`, one per cluster, not negative, are where it starts and what it finds. It stops when
    // no more than `enough` rows are beyond what clusters may have.
    void run(std::vector<Cost>& prices, std::size_t enough);

    // By row, the column that it then prefers, ties to the first.
    [[nodiscard]] const std::vector<std::uint32_t>& columns() const noexcept { return columns_; }
    // What its next best column costs more; the greatest Cost if there is none.
    [[nodiscard]] const std::vector<Cost>& regrets() const noexcept { return regrets_; }

  private:
    struct Choice {
        double regret;  // of taking the next best, in losses
        std::uint32_t best;
    };

    void improve(std::vector<Cost>& prices, std::size_t enough);
    [[nodiscard]] std::vector<double> in_losses(const std::vector<Cost>& prices) const;
    // Returns the dual value.
    [[nodiscard]] double choose(const std::vector<Cost>& prices,
                                std::vector<Choice>& choices) const;
    [[nodiscard]] std::uint32_t second_best(std::size_t row,
                                            const std::vector<double>& prices) const;
    void prefer(const std::vector<Cost>& prices);
    [[nodiscard]] std::size_t count_surplus();
    [[nodiscard]] double band_of(double share) const;
    [[nodiscard]] std::vector<NearTie> near_ties(double band,
                                                 const std::vector<double>& prices) const;
    [[nodiscard]] std::vector<double> newton_step(double band,
                                                  double damping,
                                                  const std::vector<Cost>& prices) const;

    const Costs& costs_;
    const std::size_t num_clusters_;
    const SizeLimits limits_;
    const double goal_;  // size of clusters that have a price
    const Execution execution_;
    std::vector<std::size_t> sizes_;  // by cluster, as chosen
    std::vector<std::uint32_t> columns_;
    std::vector<Cost> regrets_;
    std::vector<Choice> choices_;
    std::vector<Choice> others_;  // at prices that are tried
};

}  // namespace nearmiss
