// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "choose/designs.hpp"
#include "choose/row_tables.hpp"
#include "choose/vectors.hpp"
#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/random.hpp"

namespace nearmiss {
namespace {

// A probability as a multiple of 2^-62: sums of two fit, and nothing is ever rounded again.
constexpr std::uint64_t kOne = std::uint64_t{1} << 62;
constexpr auto kTolerance = static_cast<std::uint64_t>(kSumTolerance * 0x1p62);

std::uint64_t to_units(double p) noexcept {
    const double scaled = p * 0x1p62;
    const auto units = static_cast<std::uint64_t>(scaled);
    return units + (scaled - static_cast<double>(units) >= 0.5 ? 1 : 0);
}

// What the probabilities of a row add up to.
struct Total {
    std::size_t whole = 0;
    std::uint64_t fraction = 0;  // in units; 0 within the tolerance of an integer

    // The largest sample there can be.
    [[nodiscard]] std::size_t width() const noexcept { return whole + (fraction > 0 ? 1 : 0); }
};

Total total_of(std::span<const double> inclusion) noexcept {
    Total total;
    for (const double p : inclusion) {
        total.fraction += to_units(p);
        total.whole += total.fraction / kOne;
        total.fraction %= kOne;
    }
    if (total.fraction >= kOne - kTolerance) return {total.whole + 1, 0};
    if (total.fraction <= kTolerance) total.fraction = 0;
    return total;
}

// The items of a row that are undecided, and the columns decided for.
class Contest {
  public:
    struct Item {
        std::uint32_t column;
        std::uint64_t units;  // 0 and kOne: decided
    };

    Contest(std::span<const double> inclusion, std::int64_t* columns) : out_(columns) {
        for (std::size_t j = 0; j < inclusion.size(); ++j) {
            const Item item{static_cast<std::uint32_t>(j), to_units(inclusion[j])};
            if (item.units == kOne)
                *out_++ = item.column;
            else if (item.units > 0)
                items_.push_back(item);
        }
    }

    [[nodiscard]] std::vector<Item>& items() noexcept { return items_; }

    // Decides one of the two at least.
    void fight(Item& a, Item& b, DrawSequence& draws) noexcept {
        const std::uint64_t sum = a.units + b.units;
        if (sum < kOne) {
            const bool a_wins = draws.below(sum) < a.units;
            (a_wins ? a : b).units = sum;
            (a_wins ? b : a).units = 0;
        } else {
            const bool a_wins = draws.below(2 * kOne - sum) < kOne - b.units;
            (a_wins ? a : b).units = kOne;
            (a_wins ? b : a).units = sum - kOne;
        }
        for (const Item& item : {a, b})
            if (item.units == kOne) *out_++ = item.column;
    }

    [[nodiscard]] static bool undecided(const Item& item) noexcept {
        return item.units > 0 && item.units < kOne;
    }

    // The last one, whom nobody is left to fight. Sums that were taken for an integer are rounded
    // to it here.
    void finish(const Item& last, const Total& total, DrawSequence& draws) noexcept {
        const bool drawn =
            total.fraction > 0 ? draws.below(kOne) < last.units : last.units > kOne / 2;
        if (drawn) *out_++ = last.column;
    }

    [[nodiscard]] std::int64_t* end() const noexcept { return out_; }

  private:
    std::vector<Item> items_;
    std::int64_t* out_;
};

// Every item, in order, fights who is left of those before it.
void fight_in_order(Contest& contest, const Total& total, DrawSequence& draws) {
    Contest::Item* left = nullptr;
    for (Contest::Item& next : contest.items()) {
        if (left == nullptr) {
            left = &next;
            continue;
        }
        contest.fight(*left, next, draws);
        if (Contest::undecided(*left)) continue;
        left = Contest::undecided(next) ? &next : nullptr;
    }
    if (left != nullptr) contest.finish(*left, total, draws);
}

void shuffle(std::vector<Contest::Item>& items, DrawSequence& draws) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[draws.below(i)]);
}

std::vector<Total> totals_of(TableView inclusion) {
    require_values(inclusion, "inclusion", "a number from 0 to 1", [](double p) {
        return p >= 0.0 && p <= 1.0;
    });
    std::vector<Total> totals(inclusion.rows);
    for (std::size_t i = 0; i < inclusion.rows; ++i) totals[i] = total_of(inclusion.row(i));
    return totals;
}

PivotalSample empty_sample(std::span<const Total> totals) {
    std::size_t width = 0;
    for (const Total& total : totals) width = std::max(width, total.width());
    return {std::vector<std::int64_t>(totals.size() * width, -1), width};
}

}  // namespace

PivotalSample pivotal(TableView inclusion,
                      PivotalOrder order,
                      const DrawKey& key,
                      const Execution& execution) {
    const FloatEnvironment environment;
    require_one_id_per_row(key, inclusion.rows);
    const std::vector<Total> totals = totals_of(inclusion);
    PivotalSample sample = empty_sample(totals);
    const RandomStream stream(key.seed, Stream::pivotal, key.epoch);
    for_row_blocks(
        inclusion.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            for (std::size_t i = block.begin; i < block.end; ++i) {
                std::int64_t* columns = sample.columns.data() + i * sample.width;
                DrawSequence draws(stream, key.query_id(i));
                Contest contest(inclusion.row(i), columns);
                if (order == PivotalOrder::random) shuffle(contest.items(), draws);
                fight_in_order(contest, totals[i], draws);
                std::sort(columns, contest.end());
                context.checkpoint();
            }
        });
    return sample;
}

// ---- local pivotal -----------------------------------------------------------------------------

namespace {

// Finds the nearest of some items of one row.
class Neighbours {
  public:
    Neighbours(MatrixView vectors, const kernels::KernelTable& kernel)
        : vectors_(vectors),
          typed_(kernel.of_type[static_cast<std::size_t>(vectors.type)]),
          elements_(vectors.cols),
          scratch_(vectors.cols) {}

    // The index of the item nearest to items[self], ties to the lower column; at least two items.
    std::size_t nearest(std::span<const Contest::Item> items,
                        std::size_t self,
                        std::span<const std::int64_t> places) {
        positions_.clear();
        for (const Contest::Item& item : items)
            positions_.push_back(static_cast<std::uint32_t>(places[item.column]));
        distances_.resize(items.size());
        typed_.to_float(vectors_.row(positions_[self]), vectors_.cols, elements_.data());
        const kernels::RowList list{reinterpret_cast<const char*>(vectors_.data),
                                    vectors_.row_stride,
                                    positions_.data(),
                                    positions_.size(),
                                    vectors_.cols};
        typed_.squared_distances(elements_.data(), list, scratch_.data(), distances_.data());
        std::size_t best = self == 0 ? 1 : 0;
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (i == self) continue;
            const bool closer = distances_[i] < distances_[best];
            const bool earlier =
                distances_[i] == distances_[best] && items[i].column < items[best].column;
            if (closer || earlier) best = i;
        }
        return best;
    }

  private:
    MatrixView vectors_;
    const kernels::KernelTable::PerType& typed_;
    std::vector<float> elements_;
    std::vector<double> scratch_;
    std::vector<std::uint32_t> positions_;
    std::vector<double> distances_;
};

void fight_neighbours(Contest& contest,
                      const Total& total,
                      DrawSequence& draws,
                      Neighbours& neighbours,
                      std::span<const std::int64_t> places,
                      TaskContext& context) {
    std::vector<Contest::Item>& items = contest.items();
    const auto remove = [&](std::size_t i) {
        items[i] = items.back();
        items.pop_back();
    };
    while (items.size() > 1) {
        const std::size_t a = draws.below(items.size());
        const std::size_t b = neighbours.nearest(items, a, places);
        contest.fight(items[a], items[b], draws);
        // From the back, so that the other one stays where it is.
        for (const std::size_t i : {std::max(a, b), std::min(a, b)})
            if (!Contest::undecided(items[i])) remove(i);
        context.checkpoint();
    }
    if (!items.empty()) contest.finish(items.front(), total, draws);
}

}  // namespace

PivotalSample local_pivotal(TableView inclusion,
                            MatrixView vectors,
                            std::span<const std::int64_t> places,
                            const DrawKey& key,
                            const Execution& execution) {
    const FloatEnvironment environment;
    const kernels::KernelTable& kernel = kernels::active();
    require_one_id_per_row(key, inclusion.rows);
    const std::vector<Total> totals = totals_of(inclusion);
    require(places.size() == inclusion.rows * inclusion.cols,
            "candidates: expected as many as inclusion probabilities");
    require_places(
        places,
        inclusion.cols,
        vectors,
        [&](std::size_t i) { return inclusion.data[i] == 0.0; },
        " (none), but its inclusion probability is not 0");
    require_finite(vectors, kernel);
    PivotalSample sample = empty_sample(totals);
    const RandomStream stream(key.seed, Stream::local_pivotal, key.epoch);
    for_row_blocks(
        inclusion.rows, kRowsPerBlock, execution, [&](RowBlock block, TaskContext& context) {
            Neighbours neighbours(vectors, kernel);
            for (std::size_t i = block.begin; i < block.end; ++i) {
                std::int64_t* columns = sample.columns.data() + i * sample.width;
                DrawSequence draws(stream, key.query_id(i));
                Contest contest(inclusion.row(i), columns);
                const std::span<const std::int64_t> row =
                    places.subspan(i * inclusion.cols, inclusion.cols);
                fight_neighbours(contest, totals[i], draws, neighbours, row, context);
                std::sort(columns, contest.end());
                context.checkpoint();
            }
        });
    return sample;
}

}  // namespace nearmiss
