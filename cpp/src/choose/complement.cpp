// SPDX-License-Identifier: Apache-2.0
// Draws from what lists leave: by number, or by weight.
#include <algorithm>
#include <string>

#include "choose/choose.hpp"
#include "choose/left.hpp"
#include "choose/masses.hpp"
#include "choose/rows_of_draws.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/sampling.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kDrawsPerTask = 8192;  // about
using Items = std::span<const std::int64_t>;

// The row of one query being filled, and a look around now and then.
class Row {
  public:
    Row(Draws& result, std::size_t row, TaskContext& context)
        : drawn_(result, row),
          context_(context) {}

    [[nodiscard]] bool full() const noexcept { return drawn_.room() == 0; }
    void add(std::uint64_t item) {
        drawn_.add(static_cast<std::int64_t>(item));
        if (drawn_.room() % kDrawsPerTask == 0) context_.checkpoint();
    }

  private:
    DrawnRow drawn_;
    TaskContext& context_;
};

void draw_uniform(const ComplementRows& rows, Items excluded, DrawSequence& draws, Row out) {
    const std::uint64_t left = rows.num_items - excluded.size();
    if (rows.replace) {
        while (left > 0 && !out.full()) {
            const std::uint64_t i = draws.below(left);
            out.add(i + excluded_before(excluded, i));
        }
        return;
    }
    SparseShuffle shuffle(left, draws);
    while (!shuffle.exhausted() && !out.full()) {
        const std::uint64_t i = shuffle.next();
        out.add(i + excluded_before(excluded, i));
    }
}

// Integer masses of all items and their sums.
class MassSums {
  public:
    explicit MassSums(std::span<const double> weights) {
        if (weights.empty()) return;
        sums_.reserve(weights.size() + 1);
        sums_.push_back(0);
        for (const std::uint64_t mass : integer_masses(weights))
            sums_.push_back(sums_.back() + mass);
    }

    [[nodiscard]] std::uint64_t all() const noexcept { return sums_.back(); }
    [[nodiscard]] std::uint64_t before(std::size_t item) const noexcept { return sums_[item]; }
    [[nodiscard]] std::uint64_t of(std::size_t item) const noexcept {
        return sums_[item + 1] - sums_[item];
    }
    // The item that holds this unit; unit < all().
    [[nodiscard]] std::size_t item_of(std::uint64_t unit) const noexcept {
        const auto after = std::upper_bound(sums_.begin(), sums_.end(), unit);
        return static_cast<std::size_t>(after - sums_.begin()) - 1;
    }

  private:
    std::vector<std::uint64_t> sums_;
};

// The masses that are left for one row.
class MassesLeft {
  public:
    explicit MassesLeft(const MassSums& masses) : masses_(masses) {}

    void reset(Items excluded) {
        gone_.clear();
        left_ = 0;
        std::size_t next = 0;
        for (const std::int64_t one : excluded) {
            const auto item = static_cast<std::size_t>(one);
            left_ += masses_.before(item) - masses_.before(next);
            gone_.push_back({item, left_});
            next = item + 1;
        }
        left_ += masses_.all() - masses_.before(next);
    }

    [[nodiscard]] std::uint64_t left() const noexcept { return left_; }

    // The item that holds this unit of what is left; with `remove` it is gone from then on.
    [[nodiscard]] std::size_t take(std::uint64_t unit, bool remove) {
        const auto next = std::partition_point(
            gone_.begin(), gone_.end(), [&](const Gone& gone) { return gone.left_before <= unit; });
        const std::uint64_t gone_before = next == gone_.begin() ? 0 : gone_up_to(*(next - 1));
        const std::size_t item = masses_.item_of(unit + gone_before);
        if (!remove) return item;
        const std::uint64_t mass = masses_.of(item);
        std::for_each(next, gone_.end(), [&](Gone& gone) { gone.left_before -= mass; });
        gone_.insert(next, {item, masses_.before(item) - gone_before});
        left_ -= mass;
        return item;
    }

  private:
    struct Gone {
        std::size_t item;
        std::uint64_t left_before;  // the mass that is left of all items before it
    };

    // The mass gone of all items up to this one.
    [[nodiscard]] std::uint64_t gone_up_to(const Gone& gone) const noexcept {
        return masses_.before(gone.item + 1) - gone.left_before;
    }

    const MassSums& masses_;
    std::vector<Gone> gone_;  // ascending
    std::uint64_t left_ = 0;
};

void draw_weighted(MassesLeft& masses, bool replace, DrawSequence& draws, Row out) {
    while (masses.left() > 0 && !out.full())
        out.add(masses.take(draws.below(masses.left()), /*remove=*/!replace));
}

void check(const ComplementRows& rows, std::size_t num_drawn) {
    require(rows.num_items >= 1, "num_items: expected at least 1");
    require(num_drawn >= 1, "num_drawn: expected at least 1");
    require(rows.weights.empty() || rows.weights.size() == rows.num_items,
            "weights: expected one per item");
    require(rows.excluded.indptr.empty() || rows.excluded.indptr.size() == rows.num_rows + 1,
            "excluded: expected one list per row");
    for (std::size_t row = 0; row < rows.num_rows; ++row) {
        std::int64_t last = -1;
        for (const std::int64_t item : rows.excluded.list(row)) {
            require(item > last && static_cast<std::uint64_t>(item) < rows.num_items,
                    "excluded: row " + std::to_string(row) +
                        " is not an ascending list of distinct items");
            last = item;
        }
    }
}

}  // namespace

Draws sample_complement(const ComplementRows& rows,
                        std::size_t num_drawn,
                        const DrawKey& key,
                        const Execution& execution) {
    check(rows, num_drawn);
    Draws result = empty_draws(rows.num_rows, num_drawn, key, false);
    const MassSums masses(rows.weights);
    const RandomStream stream(key.seed, Stream::complement_items, key.epoch);
    const std::size_t per_block = std::max<std::size_t>(1, kDrawsPerTask / num_drawn);
    for_row_blocks(rows.num_rows, per_block, execution, [&](RowBlock block, TaskContext& context) {
        MassesLeft left(masses);
        for (std::size_t row = block.begin; row < block.end; ++row) {
            DrawSequence draws(stream, row_query_id(key, row));
            const Items excluded = rows.excluded.list(row);
            if (rows.weights.empty()) {
                draw_uniform(rows, excluded, draws, Row(result, row, context));
            } else {
                left.reset(excluded);
                draw_weighted(left, rows.replace, draws, Row(result, row, context));
            }
            context.checkpoint();
        }
    });
    return result;
}

}  // namespace nearmiss
