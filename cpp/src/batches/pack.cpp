// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "nearmiss/batches.hpp"
#include "nearmiss/error.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
// Rows of a key that is due which a batch tries: enough to get round chance conflicts, and few
// enough that a key none of whose rows fit costs little.
constexpr std::size_t kMostTried = 64;

// Rows are known by their places in the order from here on, so that what belongs to rows that are
// looked at one after the other lies side by side.
class PlacedConflicts {
  public:
    PlacedConflicts(std::span<const std::int64_t> order, const Conflicts& conflicts)
        : num_keys_(conflicts.num_keys),
          alike_(conflicts.brings.rows.data() == conflicts.refuses.rows.data() &&
                 conflicts.brings.indptr.data() == conflicts.refuses.indptr.data()),
          brings_(order, conflicts.brings),
          refuses_(alike_ ? Lists() : Lists(order, conflicts.refuses)) {}

    [[nodiscard]] std::size_t num_keys() const noexcept { return num_keys_; }
    // Whether every row brings what it refuses, and nothing else.
    [[nodiscard]] bool alike() const noexcept { return alike_; }
    [[nodiscard]] std::span<const std::size_t> brings(std::size_t row) const noexcept {
        return brings_.list(row);
    }
    [[nodiscard]] std::span<const std::size_t> refuses(std::size_t row) const noexcept {
        return (alike_ ? brings_ : refuses_).list(row);
    }

  private:
    struct Lists {
        Lists() = default;
        Lists(std::span<const std::int64_t> order, ListsView lists) {
            first.reserve(order.size() + 1);
            first.push_back(0);
            keys.reserve(lists.rows.size());
            for (const std::int64_t row : order) {
                for (const std::int64_t key : lists.list(static_cast<std::size_t>(row)))
                    keys.push_back(static_cast<std::size_t>(key));
                first.push_back(keys.size());
            }
        }

        [[nodiscard]] std::span<const std::size_t> list(std::size_t row) const noexcept {
            return std::span(keys).subspan(first[row], first[row + 1] - first[row]);
        }

        std::vector<std::size_t> first;  // of each row, in keys
        std::vector<std::size_t> keys;
    };

    std::size_t num_keys_;
    bool alike_;
    Lists brings_;
    Lists refuses_;  // empty where alike
};

// Calls visit(key) for each key that the row holds.
template <class Visit>
void for_each_held(const PlacedConflicts& conflicts, std::size_t row, const Visit& visit) {
    const auto brings = conflicts.brings(row);
    if (conflicts.alike()) {
        for (const std::size_t key : brings) visit(key);
        return;
    }
    const auto refuses = conflicts.refuses(row);
    auto a = brings.begin();
    auto b = refuses.begin();
    while (a != brings.end() && b != refuses.end()) {
        if (*a < *b)
            ++a;
        else if (*b < *a)
            ++b;
        else {
            visit(*a);
            ++a;
            ++b;
        }
    }
}

// The rows that hold each key, in order, and how many of them are left.
class Holders {
  public:
    Holders(std::size_t num_rows, const PlacedConflicts& conflicts)
        : left_(conflicts.num_keys()),
          first_(conflicts.num_keys() + 1) {
        for (std::size_t row = 0; row < num_rows; ++row)
            for_each_held(conflicts, row, [&](std::size_t key) { ++left_[key]; });
        for (std::size_t key = 0; key < left_.size(); ++key)
            first_[key + 1] = first_[key] + left_[key];
        rows_.resize(first_.back());
        next_.assign(first_.begin(), first_.end() - 1);
        for (std::size_t row = 0; row < num_rows; ++row)
            for_each_held(conflicts, row, [&](std::size_t key) { rows_[next_[key]++] = row; });
        next_.assign(first_.begin(), first_.end() - 1);
    }

    [[nodiscard]] std::size_t left(std::size_t key) const noexcept { return left_[key]; }
    void take(std::size_t key) noexcept { --left_[key]; }

    // All but those known to be placed already.
    [[nodiscard]] std::span<const std::size_t> rest(std::size_t key,
                                                    const std::vector<bool>& placed) noexcept {
        while (next_[key] < first_[key + 1] && placed[rows_[next_[key]]]) ++next_[key];
        return std::span(rows_).subspan(next_[key], first_[key + 1] - next_[key]);
    }

  private:
    std::vector<std::size_t> left_;
    std::vector<std::size_t> first_;  // of each key, in rows_
    std::vector<std::size_t> next_;   // of each key: all before it are placed
    std::vector<std::size_t> rows_;
};

// Held keys that must have a row in every batch to come, because they have as many rows left.
class DueKeys {
  public:
    DueKeys(const Holders& holders, std::size_t num_keys, std::size_t num_batches)
        : by_batches_left_(num_batches + 1) {
        for (std::size_t key = 0; key < num_keys; ++key) file(holders.left(key), key);
    }

    // Those due with so many batches left, this one included. Each key is looked at again only
    // when it could have become due.
    [[nodiscard]] const std::vector<std::size_t>& at(std::size_t batches_left,
                                                     const Holders& holders) {
        std::erase_if(due_, [&](std::size_t key) { return holders.left(key) == 0; });
        for (const std::size_t key : std::exchange(by_batches_left_[batches_left], {})) {
            if (holders.left(key) < batches_left)
                file(holders.left(key), key);
            else
                due_.push_back(key);
        }
        return due_;
    }

  private:
    // A single row can go into any batch.
    void file(std::size_t left, std::size_t key) {
        if (left > 1) by_batches_left_[std::min(left, by_batches_left_.size() - 1)].push_back(key);
    }

    std::vector<std::vector<std::size_t>> by_batches_left_;
    std::vector<std::size_t> due_;
};

// Why a row does not fit into a batch: a key it brings is refused there (2 * key), or one that it
// refuses was brought (2 * key + 1). It stands in the way of all rows that met it.
using Obstacle = std::size_t;

// Rows that were turned away, each waiting for its obstacle to go, first come, first served.
class WaitingRows {
  public:
    WaitingRows(std::size_t num_keys, std::size_t num_rows)
        : first_(2 * num_keys, kNone),
          last_(2 * num_keys, kNone),
          listed_(2 * num_keys),
          next_(num_rows, kNone) {}

    void begin_batch() {
        std::erase_if(obstacles_, [&](Obstacle obstacle) {
            const bool idle = first_[obstacle] == kNone;
            if (idle) listed_[obstacle] = false;
            return idle;
        });
        turn_ = 0;
    }

    // The obstacle whose rows have their turn; kNone when all have had theirs.
    [[nodiscard]] Obstacle turn() const noexcept {
        return turn_ < obstacles_.size() ? obstacles_[turn_] : kNone;
    }
    void next_turn() noexcept { ++turn_; }

    // The first row that waits; kNone if none does.
    [[nodiscard]] std::size_t front(Obstacle obstacle) const noexcept { return first_[obstacle]; }
    void pop(Obstacle obstacle) noexcept { first_[obstacle] = next_[first_[obstacle]]; }

    void push(Obstacle obstacle, std::size_t row) {
        next_[row] = kNone;
        (first_[obstacle] == kNone ? first_[obstacle] : next_[last_[obstacle]]) = row;
        last_[obstacle] = row;
        if (listed_[obstacle]) return;
        listed_[obstacle] = true;
        obstacles_.push_back(obstacle);
    }

  private:
    std::vector<std::size_t> first_, last_;  // rows, by obstacle
    std::vector<bool> listed_;               // by obstacle
    std::vector<std::size_t> next_;          // by row
    std::vector<Obstacle> obstacles_;
    std::size_t turn_ = 0;
};

class Packer {
  public:
    Packer(std::span<const std::int64_t> order,
           const Conflicts& conflicts,
           const WantedRows& wanted,
           std::size_t batch_size,
           std::size_t num_batches)
        : order_(order),
          conflicts_(order, conflicts),
          wanted_(wanted),
          place_of_(wanted.columns == 0 ? std::vector<std::size_t>() : places_of(order)),
          batch_size_(batch_size),
          num_batches_(num_batches),
          holders_(order.size(), conflicts_),
          due_(holders_, conflicts.num_keys, num_batches),
          waiting_(conflicts.num_keys, order.size()),
          last_(conflicts.num_keys),
          placed_(order.size()),
          came_wanted_(order.size()) {
        packed_.indptr.push_back(0);
        packed_.indices.reserve(std::min(order.size(), batch_size * num_batches));
    }

    void fill_next_batch() {
        first_ = packed_.indices.size();
        wanting_ = first_;
        wanted_column_ = 0;
        waiting_.begin_batch();
        for (const std::size_t key : due_.at(num_batches_ - batch_, holders_)) {
            if (is_full()) break;
            place_one_of(key);
        }
        while (!is_full() && (place_wanted() || place_waiting() || place_fresh())) {
        }
        packed_.indptr.push_back(static_cast<std::int64_t>(packed_.indices.size()));
        ++batch_;
    }

    [[nodiscard]] PackedBatches finish() {
        for (std::int64_t& row : packed_.indices) row = order_[static_cast<std::size_t>(row)];
        for (std::size_t row = 0; row < order_.size(); ++row)
            if (!placed_[row]) packed_.unplaced.push_back(order_[row]);
        return std::move(packed_);
    }

  private:
    [[nodiscard]] bool is_full() const noexcept {
        return packed_.indices.size() - first_ == batch_size_;
    }

    // The first thing that keeps the row out of this batch; kNone if nothing does.
    [[nodiscard]] Obstacle obstacle(std::size_t row) const noexcept {
        for (const std::size_t key : conflicts_.brings(row))
            if (last_[key].refused == batch_) return 2 * key;
        if (conflicts_.alike()) return kNone;
        for (const std::size_t key : conflicts_.refuses(row))
            if (last_[key].brought == batch_) return 2 * key + 1;
        return kNone;
    }

    void place(std::size_t row) {
        for (const std::size_t key : conflicts_.brings(row)) last_[key].brought = batch_;
        for (const std::size_t key : conflicts_.refuses(row)) last_[key].refused = batch_;
        for_each_held(conflicts_, row, [&](std::size_t key) { holders_.take(key); });
        placed_[row] = true;
        packed_.indices.push_back(static_cast<std::int64_t>(row));
    }

    void place_one_of(std::size_t key) {
        if (last_[key].brought == batch_ || last_[key].refused == batch_) return;
        std::size_t tried = 0;
        for (const std::size_t row : holders_.rest(key, placed_)) {
            if (placed_[row]) continue;
            if (obstacle(row) == kNone) return place(row);
            if (++tried == kMostTried) return;
        }
    }

    // The next row that a row of this batch wants. One that does not fit has another chance later.
    bool place_wanted() {
        for (; wanting_ < packed_.indices.size(); ++wanting_, wanted_column_ = 0) {
            const auto owner = static_cast<std::size_t>(packed_.indices[wanting_]);
            if (came_wanted_[owner] && !wanted_.onward) continue;
            const auto wants = wanted_.rows.subspan(
                static_cast<std::size_t>(order_[owner]) * wanted_.columns, wanted_.columns);
            while (wanted_column_ < wants.size()) {
                const std::int64_t want = wants[wanted_column_++];
                if (want < 0) continue;
                const std::size_t row = place_of_[static_cast<std::size_t>(want)];
                if (placed_[row] || obstacle(row) != kNone) continue;
                came_wanted_[row] = true;
                place(row);
                return true;
            }
        }
        return false;
    }

    bool place_waiting() {
        for (Obstacle turn = waiting_.turn(); turn != kNone; turn = waiting_.turn()) {
            const std::size_t row = waiting_.front(turn);
            if (row == kNone) {
                waiting_.next_turn();
                continue;
            }
            const Obstacle met = placed_[row] ? kNone : obstacle(row);
            if (met == turn) {
                waiting_.next_turn();
                continue;
            }
            waiting_.pop(turn);
            if (placed_[row]) continue;
            if (met == kNone) {
                place(row);
                return true;
            }
            // Within a batch a row meets ever earlier entries of its lists, so this ends.
            waiting_.push(met, row);
        }
        return false;
    }

    bool place_fresh() {
        while (fresh_ < order_.size()) {
            const std::size_t row = fresh_++;
            if (placed_[row]) continue;
            const Obstacle met = obstacle(row);
            if (met == kNone) {
                place(row);
                return true;
            }
            waiting_.push(met, row);
        }
        return false;
    }

    [[nodiscard]] static std::vector<std::size_t> places_of(std::span<const std::int64_t> order) {
        std::vector<std::size_t> places(order.size());
        for (std::size_t place = 0; place < order.size(); ++place)
            places[static_cast<std::size_t>(order[place])] = place;
        return places;
    }

    // The last batches with a row that brings a key, and with one that refuses it.
    struct LastBatches {
        std::size_t brought = kNone;
        std::size_t refused = kNone;
    };

    std::span<const std::int64_t> order_;
    PlacedConflicts conflicts_;
    WantedRows wanted_;
    std::vector<std::size_t> place_of_;  // of each row as it is known outside; empty: none wanted
    std::size_t batch_size_;
    std::size_t num_batches_;
    Holders holders_;
    DueKeys due_;
    WaitingRows waiting_;
    std::vector<LastBatches> last_;  // by key
    std::vector<bool> placed_;       // by row
    std::vector<bool> came_wanted_;  // by row
    PackedBatches packed_;           // places in place of rows, until it is finished
    std::size_t batch_ = 0;
    std::size_t first_ = 0;          // of this batch, in packed_.indices
    std::size_t wanting_ = 0;        // whose wanted rows are looked at, in packed_.indices
    std::size_t wanted_column_ = 0;  // the next of these
    std::size_t fresh_ = 0;          // the next row that was not tried yet
};

void check_lists(ListsView lists, std::size_t num_rows, std::size_t num_keys, const char* name) {
    if (lists.indptr.empty()) return;
    const std::string argument(name);
    require(lists.indptr.size() == num_rows + 1, argument + ": expected one list per row");
    require(lists.indptr.front() == 0 &&
                lists.indptr.back() == static_cast<std::int64_t>(lists.rows.size()) &&
                std::ranges::is_sorted(lists.indptr),
            argument + ": indptr does not fit the keys");
    for (std::size_t row = 0; row < num_rows; ++row) {
        std::int64_t least = 0;
        for (const std::int64_t key : lists.list(row)) {
            if (key < least || key >= static_cast<std::int64_t>(num_keys))
                throw InvalidArgument(argument + ": row " + std::to_string(row) +
                                      " holds a key out of range or out of order");
            least = key + 1;
        }
    }
}

void check_order(std::span<const std::int64_t> order) {
    std::vector<bool> seen(order.size());
    for (const std::int64_t row : order) {
        if (row < 0 || row >= static_cast<std::int64_t>(order.size()) ||
            seen[static_cast<std::size_t>(row)])
            throw InvalidArgument("order: expected every row once, got " + std::to_string(row));
        seen[static_cast<std::size_t>(row)] = true;
    }
}

void check_wanted(const WantedRows& wanted, std::size_t num_rows) {
    require(wanted.rows.size() == (wanted.columns == 0 ? 0 : num_rows * wanted.columns),
            "wanted: expected one list per row");
    for (const std::int64_t row : wanted.rows)
        if (row < -1 || row >= static_cast<std::int64_t>(num_rows))
            throw InvalidArgument("wanted: there is no row " + std::to_string(row));
}

}  // namespace

PackedBatches pack_batches(std::span<const std::int64_t> order,
                           const Conflicts& conflicts,
                           const WantedRows& wanted,
                           std::size_t batch_size,
                           std::size_t num_batches,
                           const Execution& execution) {
    require(batch_size >= 1, "batch_size: must be at least 1");
    require(num_batches <= order.size(), "num_batches: more than there are rows");
    check_order(order);
    check_lists(conflicts.brings, order.size(), conflicts.num_keys, "brings");
    check_lists(conflicts.refuses, order.size(), conflicts.num_keys, "refuses");
    check_wanted(wanted, order.size());
    PackedBatches packed;
    run_parallel(1, num_batches, execution, [&](std::size_t, TaskContext& context) {
        Packer packer(order, conflicts, wanted, batch_size, num_batches);
        for (std::size_t batch = 0; batch < num_batches; ++batch) {
            packer.fill_next_batch();
            context.checkpoint(1);
        }
        packed = packer.finish();
    });
    return packed;
}

}  // namespace nearmiss
