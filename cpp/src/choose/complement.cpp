// SPDX-License-Identifier: Apache-2.0
// Draws from what lists leave: by number, or by weight.
#include <algorithm>
#include <bit>
#include <optional>
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

// What one query gets, uniformly.
class UniformDraws {
  public:
    UniformDraws(const ComplementRows& rows, Items excluded, DrawSequence& draws)
        : excluded_(excluded),
          left_(rows.num_items - excluded.size()),
          draws_(draws) {
        if (!rows.replace) shuffle_.emplace(left_, draws);
    }

    [[nodiscard]] bool any_left() const noexcept {
        return shuffle_ ? !shuffle_->exhausted() : left_ > 0;
    }
    // Fills `items`, or the first of them; how many.
    [[nodiscard]] std::size_t fill(std::span<std::uint64_t> items) {
        std::size_t count = 0;
        while (count < items.size() && any_left())
            items[count++] = shuffle_ ? shuffle_->next() : draws_.below(left_);
        skip_excluded(excluded_, items.first(count));
        return count;
    }

  private:
    Items excluded_;
    std::uint64_t left_;
    DrawSequence& draws_;
    std::optional<SparseShuffle> shuffle_;
};

// Integer masses of all items and their sums, with a guide to where sums of each size are (Chen and
// Asau, "On generating random variates from an empirical distribution", AIIE Trans. 6(2), 1974).
class MassSums {
  public:
    explicit MassSums(std::span<const double> weights) {
        if (weights.empty()) return;
        sums_.reserve(weights.size() + 1);
        sums_.push_back(0);
        for (const std::uint64_t mass : integer_masses(weights))
            sums_.push_back(sums_.back() + mass);
        make_guide();
    }

    [[nodiscard]] std::uint64_t all() const noexcept { return sums_.back(); }
    [[nodiscard]] std::uint64_t before(std::size_t item) const noexcept { return sums_[item]; }
    [[nodiscard]] std::uint64_t of(std::size_t item) const noexcept {
        return sums_[item + 1] - sums_[item];
    }
    // The item that holds this unit; unit < all().
    [[nodiscard]] std::size_t item_of(std::uint64_t unit) const noexcept {
        const auto place = static_cast<std::size_t>(unit >> shift_);
        const auto first = sums_.begin() + static_cast<std::ptrdiff_t>(guide_[place]) + 1;
        const auto last = sums_.begin() + static_cast<std::ptrdiff_t>(guide_[place + 1]) + 1;
        return static_cast<std::size_t>(std::upper_bound(first, last, unit) - sums_.begin()) - 1;
    }

  private:
    // guide_[g]: the item that holds the unit g << shift_, or the last of those beyond all units;
    // about as many as there are items.
    void make_guide() {
        shift_ = static_cast<int>(std::bit_width(all() - 1));
        shift_ -= std::min(shift_, static_cast<int>(std::bit_width(sums_.size())));
        const std::size_t places = static_cast<std::size_t>((all() - 1) >> shift_) + 2;
        guide_.reserve(places);
        std::size_t item = 0;
        for (std::size_t g = 0; g < places; ++g) {
            while (item + 2 < sums_.size() && sums_[item + 1] <= std::uint64_t{g} << shift_) ++item;
            guide_.push_back(item);
        }
    }

    std::vector<std::uint64_t> sums_;
    std::vector<std::size_t> guide_;
    int shift_ = 0;
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

// What one query gets, by weight.
class WeightedDraws {
  public:
    WeightedDraws(MassesLeft& masses, bool replace, DrawSequence& draws)
        : masses_(masses),
          replace_(replace),
          draws_(draws) {}

    [[nodiscard]] std::size_t fill(std::span<std::uint64_t> items) {
        std::size_t count = 0;
        while (count < items.size() && masses_.left() > 0)
            items[count++] = masses_.take(draws_.below(masses_.left()), /*remove=*/!replace_);
        return count;
    }

  private:
    MassesLeft& masses_;
    bool replace_;
    DrawSequence& draws_;
};

// Some at a time, until the row is full or nothing is left.
template <class Source>
void fill_row(Source source, DrawnRow out, TaskContext& context) {
    std::uint64_t items[kAtOnce];
    for (;;) {
        const std::size_t wanted = std::min(kAtOnce, out.room());
        const std::size_t count = source.fill(std::span(items).first(wanted));
        out.add(std::span<const std::uint64_t>(items).first(count));
        if (count < kAtOnce) return;
        context.checkpoint();
    }
}

// Ascending and distinct, all of them items.
bool is_list_of(std::uint64_t num_items, Items list) {
    for (std::size_t i = 1; i < list.size(); ++i)
        if (list[i] <= list[i - 1]) return false;
    return list.empty() ||
           (list.front() >= 0 && static_cast<std::uint64_t>(list.back()) < num_items);
}

void check(const ComplementRows& rows, std::size_t num_drawn) {
    require(rows.num_items >= 1, "num_items: expected at least 1");
    require(num_drawn >= 1, "num_drawn: expected at least 1");
    require(rows.weights.empty() || rows.weights.size() == rows.num_items,
            "weights: expected one per item");
    require(rows.excluded.indptr.empty() || rows.excluded.indptr.size() == rows.num_rows + 1,
            "excluded: expected one list per row");
    for (std::size_t row = 0; row < rows.num_rows; ++row)
        if (!is_list_of(rows.num_items, rows.excluded.list(row)))
            throw InvalidArgument("excluded: row " + std::to_string(row) +
                                  " is not an ascending list of distinct items");
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
            DrawSequence draws(stream, key.query_id(row));
            const Items excluded = rows.excluded.list(row);
            if (rows.weights.empty()) {
                fill_row(UniformDraws(rows, excluded, draws), DrawnRow(result, row), context);
            } else {
                left.reset(excluded);
                fill_row(WeightedDraws(left, rows.replace, draws), DrawnRow(result, row), context);
            }
        }
    });
    return result;
}

}  // namespace nearmiss
