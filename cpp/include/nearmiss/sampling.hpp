// SPDX-License-Identifier: Apache-2.0
// Random draws by weight: without replacement, with replacement, and from the complement of lists.
// Every draw is a function of (seed, epoch, query id) and of the data of its row, see random.hpp:
// threads, SIMD targets and the other rows play no part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nearmiss/random.hpp"
#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// What was drawn for every row, in the order of the draws.
struct Draws {
    std::vector<std::int64_t> indices;  // num_rows x num_drawn, -1 padded
    std::vector<std::int64_t> counts;   // num_rows: how many each row has
    std::vector<double> log_probs;      // num_rows x num_drawn, NaN padded; empty if not asked for
};

// ---- by weight, without replacement ---------------------------------------------------------------

struct WeightedRows {
    std::span<const double> log_weights;  // num_rows x num_columns, finite or -infinity
    // The same shape; -1 where there is no candidate, whatever its weight. Empty: column numbers.
    std::span<const std::int64_t> ids;
    std::size_t num_rows = 0;
    std::size_t num_columns = 0;
};

// Successive draws of columns, each with probability proportional to its weight among those left
// (Plackett-Luce), found as those with the greatest keys log w + g (Gumbel-top-k; Kool et al.,
// "Stochastic beams and where to find them", ICML 2019, §2 and appendix A), equal keys by lower id.
// A candidate's noise is g = -log(-log((b + 1/2) / 2^52)), where b is the upper 52 bits of
// RandomStream(seed, Stream::pool_noise, epoch).bits(query id, id), and both logarithms are
// portable. A weight of 0, log -infinity, is never drawn; a row with fewer others comes out short.
// log_probs: of each draw given those before it, log w_i - log(sum of the weights left).
// Throws InvalidArgument for a weight that is NaN or infinite, an id below -1, and an id that a row
// lists twice, naming the row.
[[nodiscard]] Draws sample_weighted(const WeightedRows& rows,
                                    std::size_t num_drawn,
                                    bool with_log_probs,
                                    const DrawKey& key,
                                    const Execution& execution);

// ---- with replacement -----------------------------------------------------------------------------

// values[i]^power, divided by the greatest of them, by portable logarithms; the values themselves
// for power 1. 0^0 is 1. Throws InvalidArgument, calling the values `name`, for one that is
// negative or not finite, a power that is not finite, and 0 to a negative power.
[[nodiscard]] std::vector<double> power_weights(std::span<const double> values,
                                                double power,
                                                const std::string& name = "values");

// Draws of i with probability proportional to weights[i] in constant time (Walker, "An efficient
// method for generating discrete random variables with general distributions", ACM TOMS 3(3), 1977;
// construction of Vose, IEEE TSE 17(9), 1991). All of it is integer arithmetic on `masses`:
// probabilities are exactly masses[i] over their sum.
class AliasTable {
  public:
    // Throws InvalidArgument unless weights are finite, not negative, and one is positive.
    explicit AliasTable(std::span<const double> weights);

    [[nodiscard]] std::size_t size() const noexcept { return masses_.size(); }
    // weights * 2^e rounded to integers, e so large that they add up to 2^61 to 2^62 (about; less
    // than 2^63): exact for weights that are integers of moderate size.
    [[nodiscard]] std::span<const std::uint64_t> masses() const noexcept { return masses_; }

    // A slot holds `own` units of its item, the one of the same number, and is filled up to
    // `capacity` by those of `other`. The item size() stands for no item.
    struct Slot {
        std::uint64_t own;
        std::uint64_t other;
    };
    [[nodiscard]] std::span<const Slot> slots() const noexcept { return slots_; }
    [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }

    // num_rows x num_drawn items.
    [[nodiscard]] std::vector<std::int64_t> draw(std::size_t num_rows,
                                                 std::size_t num_drawn,
                                                 const DrawKey& key,
                                                 const Execution& execution) const;

  private:
    std::vector<std::uint64_t> masses_;
    std::vector<Slot> slots_;
    std::uint64_t capacity_ = 0;
};

// ---- from the complement --------------------------------------------------------------------------

struct ComplementRows {
    std::uint64_t num_items = 0;      // at least 1
    ListsView excluded;               // one list per row, of items
    std::span<const double> weights;  // one per item, as for AliasTable; empty: all alike
    std::size_t num_rows = 0;
    bool replace = false;
};

// Successive draws of items that the row's list does not hold, uniform or by weight, with or
// without replacement (then as sample_weighted's law). A draw among what is left is mapped to its
// item by search in the list, so nothing is drawn in vain. A row with too little left comes out
// short, with replacement only one with nothing left.
[[nodiscard]] Draws sample_complement(const ComplementRows& rows,
                                      std::size_t num_drawn,
                                      const DrawKey& key,
                                      const Execution& execution);

}  // namespace nearmiss
