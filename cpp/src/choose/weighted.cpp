// SPDX-License-Identifier: Apache-2.0
// Weighted sampling without replacement: candidates with the greatest noisy keys.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "choose/lowest_error.hpp"
#include "choose/repeats.hpp"
#include "choose/rows_of_draws.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/portable_math.hpp"
#include "nearmiss/random.hpp"
#include "nearmiss/sampling.hpp"
#include "parallel.hpp"
#include "query_stream.hpp"

namespace nearmiss {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kChunk = 4096;               // candidates that get their noise together
constexpr std::size_t kCandidatesPerTask = 16384;  // about

// The candidates of a row that may be among its `wanted` best: those with the greatest keys, equal
// ones by lower id.
class BestKeys {
  public:
    // `most_at_once`: how many may be offered together.
    BestKeys(const kernels::KernelTable& kernel, std::size_t wanted, std::size_t most_at_once)
        : kernel_(kernel),
          wanted_(wanted),
          kept_(most_at_once),
          sorted_(kCounted),
          values_(most_at_once),
          bits_((most_at_once + 63) / 64),
          places_(most_at_once + kPlacesAtOnce) {}

    void clear() {
        size_ = 0;
        threshold_ = std::numeric_limits<double>::lowest();  // leaves out -infinity
    }

    // Candidates of which the first is in `column`. Whether all their weights are below infinity;
    // if not, what is kept means nothing.
    [[nodiscard]] bool offer(const kernels::NoiseTask& task, std::size_t column) {
        kept_.reserve(size_ + task.count);
        if (!bounds_pay(task.count)) return offer_keys(task, column);
        if (!kernel_.key_bounds(task, values_.data())) return false;
        // The greatest keys are nearly always among those with the greatest bounds; the keys
        // themselves tell whether all are.
        const double guess =
            std::max(threshold_, kernel_.rank_floor(values_.data(), task.count, wanted_ + kSpare));
        keep_bounded(task, column, guess);
        if (threshold_ < guess) keep_bounded(task, column, threshold_);
        return true;
    }

    // Columns of the best, best first.
    [[nodiscard]] std::span<const std::uint64_t> columns() {
        if (size_ > kCounted) sort();
        return std::span<const std::uint64_t>(kept_.columns).first(std::min(wanted_, size_));
    }

  private:
    static constexpr std::size_t kSpare = 2;  // so that a guess is seldom too high
    static constexpr std::size_t kCounted = kernels::kMostCounted;  // more are sorted by comparing
    static constexpr std::size_t kPlacesAtOnce = 8;

    struct Candidates {
        std::vector<double> keys;
        std::vector<std::uint64_t> ids;
        std::vector<std::uint64_t> columns;

        explicit Candidates(std::size_t size) { reserve(size); }

        void reserve(std::size_t size) {
            if (size <= keys.size()) return;
            keys.resize(size);
            ids.resize(size);
            columns.resize(size);
        }
    };

    struct Keyed {
        double key;
        std::uint64_t id;
        std::uint64_t column;

        // The better one.
        friend bool operator>(const Keyed& a, const Keyed& b) {
            return a.key != b.key ? a.key > b.key : a.id < b.id;
        }
    };

    // Whether few candidates will need more than their bound.
    [[nodiscard]] bool bounds_pay(std::size_t count) const {
        if (size_ >= wanted_) return true;
        return (wanted_ + kSpare <= kernels::kFewRanks && count >= kernels::kCountForFewRanks) ||
               (wanted_ + kSpare <= kernels::kSomeRanks && count >= kernels::kCountForSomeRanks);
    }

    [[nodiscard]] bool offer_keys(const kernels::NoiseTask& task, std::size_t column) {
        if (!kernel_.noisy_keys(task, values_.data())) return false;
        threshold_ = std::max(threshold_, kernel_.rank_floor(values_.data(), task.count, wanted_));
        keep(task, column, threshold_);
        raise_threshold();
        return true;
    }

    // Keeps candidates whose bound is at least `least`, and leaves -infinity in its place.
    void keep_bounded(const kernels::NoiseTask& task, std::size_t column, double least) {
        const std::size_t first = size_;
        for (const std::uint32_t place : keep(task, column, least)) values_[place] = -kInfinity;
        double* keys = kept_.keys.data() + first;
        for (std::size_t i = first; i < size_; ++i)
            kept_.keys[i] = task.log_weights[kept_.columns[i] - column];
        kernels::NoiseTask few = task;
        few.log_weights = keys;
        few.ids = kept_.ids.data() + first;
        few.count = size_ - first;
        (void)kernel_.noisy_keys(few, keys);
        raise_threshold();
    }

    // Keeps candidates with a value of at least `least`, as their key. Returns where they are.
    std::span<const std::uint32_t> keep(const kernels::NoiseTask& task,
                                        std::size_t column,
                                        double least) {
        const std::span<const std::uint32_t> places = places_from(task.count, least);
        for (std::size_t i = 0; i < places.size(); ++i) {
            const std::size_t place = places[i];
            kept_.keys[size_ + i] = values_[place];
            kept_.ids[size_ + i] = task.ids != nullptr ? task.ids[place] : task.first_id + place;
            kept_.columns[size_ + i] = column + place;
        }
        size_ += places.size();
        return places;
    }

    // Where values_ is at least `least`.
    [[nodiscard]] std::span<const std::uint32_t> places_from(std::size_t count, double least) {
        kernel_.keys_from(values_.data(), count, least, bits_.data());
        std::size_t end = 0;
        for (std::size_t begin = 0; begin < count; begin += 64) {
            std::uint64_t bits = bits_[begin / 64];
            const auto found = static_cast<std::size_t>(std::popcount(bits));
            // Often some more than there are: how many nobody could foresee.
            for (std::size_t done = 0; done < found; done += kPlacesAtOnce)
                for (std::size_t i = done; i < done + kPlacesAtOnce; ++i, bits &= bits - 1)
                    places_[end + i] = static_cast<std::uint32_t>(
                        begin + static_cast<std::size_t>(std::countr_zero(bits)));
            end += found;
        }
        return std::span<const std::uint32_t>(places_).first(end);
    }

    // To the last key that counts, beyond which all are dropped. At most kCounted are sorted, too;
    // of more than that, some may stay for a while.
    void raise_threshold() {
        if (size_ > kCounted) {
            if (wanted_ > kCounted && size_ < 2 * wanted_) return;
            drop_all_but_wanted();
        }
        if (size_ <= kCounted && !sort_by_counting()) sort();
        if (size_ < wanted_) return;
        size_ = wanted_;
        threshold_ = kept_.keys[wanted_ - 1];
    }

    // Leaves the least of them at the end.
    void drop_all_but_wanted() {
        rearrange([&](std::vector<Keyed>& all) {
            std::nth_element(all.begin(),
                             all.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1),
                             all.end(),
                             std::greater<>());
        });
        size_ = wanted_;
    }

    // What counts, and nothing else.
    void sort() {
        rearrange([&](std::vector<Keyed>& all) {
            const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(wanted_, size_));
            if (end != all.end()) std::nth_element(all.begin(), end, all.end(), std::greater<>());
            std::sort(all.begin(), end, std::greater<>());
        });
        size_ = std::min(wanted_, size_);
    }

    template <class F>
    void rearrange(const F& f) {
        compared_.clear();
        for (std::size_t i = 0; i < size_; ++i)
            compared_.push_back({kept_.keys[i], kept_.ids[i], kept_.columns[i]});
        f(compared_);
        for (std::size_t i = 0; i < size_; ++i) {
            kept_.keys[i] = compared_[i].key;
            kept_.ids[i] = compared_[i].id;
            kept_.columns[i] = compared_[i].column;
        }
    }

    // Whether it could: no two keys may be equal.
    [[nodiscard]] bool sort_by_counting() {
        std::array<std::uint64_t, kCounted> greater;
        kernel_.count_greater(kept_.keys.data(), size_, greater.data());
        std::uint64_t taken = 0;
        for (std::size_t i = 0; i < size_; ++i) {
            const auto place = static_cast<std::size_t>(greater[i]);
            sorted_.keys[place] = kept_.keys[i];
            sorted_.ids[place] = kept_.ids[i];
            sorted_.columns[place] = kept_.columns[i];
            taken |= std::uint64_t{1} << place;
        }
        if (static_cast<std::size_t>(std::popcount(taken)) != size_) return false;
        std::copy_n(sorted_.keys.data(), size_, kept_.keys.data());
        std::copy_n(sorted_.ids.data(), size_, kept_.ids.data());
        std::copy_n(sorted_.columns.data(), size_, kept_.columns.data());
        return true;
    }

    const kernels::KernelTable& kernel_;
    std::size_t wanted_;  // at least 1
    double threshold_ = std::numeric_limits<double>::lowest();
    Candidates kept_;
    std::size_t size_ = 0;  // of kept_
    Candidates sorted_;
    std::vector<Keyed> compared_;
    // Of what is offered at once:
    std::vector<double> values_;  // bounds or keys
    std::vector<std::uint64_t> bits_;
    std::vector<std::uint32_t> places_;
};

// log(sum e^x) = largest + excess: in two parts, so that nothing is lost where all x are far from
// 0.
struct LogSum {
    double largest = -kInfinity;
    double excess = 0;

    // Overwrites x.
    explicit LogSum(std::span<double> x) {
        for (const double value : x) largest = value > largest ? value : largest;
        if (largest == -kInfinity) return;
        for (double& value : x) value -= largest;
        portable_exp(x, x);
        double sums[8] = {};  // as those of a score
        for (std::size_t i = 0; i < x.size(); ++i) sums[i % 8] += x[i];
        excess = portable_log(((sums[0] + sums[4]) + (sums[2] + sums[6])) +
                              ((sums[1] + sums[5]) + (sums[3] + sums[7])));
    }

    void add(double x) {
        if (x > largest) {
            excess = portable_log(1.0 + portable_exp((largest - x) + excess));
            largest = x;
        } else {
            excess = portable_log(portable_exp(excess) + portable_exp(x - largest));
        }
    }
};

// What one thread needs for row after row.
class WeightedSampler {
  public:
    WeightedSampler(const WeightedRows& rows,
                    std::size_t num_drawn,
                    const DrawKey& key,
                    LowestError& errors)
        : rows_(rows),
          key_(key),
          errors_(errors),
          task_{},
          best_(kernels::active(), num_drawn, std::min(kChunk, rows.num_columns)) {
        const RandomStream noise(key.seed, Stream::pool_noise, key.epoch);
        task_.stream = query_stream(noise.key(), 0);
    }

    void sample(std::size_t row, Draws& draws, TaskContext& context) {
        const std::size_t first = row * rows_.num_columns;
        const std::span<const double> weights = rows_.log_weights.subspan(first, rows_.num_columns);
        const std::span<const std::int64_t> ids =
            rows_.ids.empty() ? rows_.ids : rows_.ids.subspan(first, rows_.num_columns);
        if (!check_ids(row, ids)) return;
        task_.stream.query_id = key_.query_id(row);
        best_.clear();
        for (std::size_t begin = 0; begin < weights.size(); begin += kChunk) {
            task_.count = std::min(kChunk, weights.size() - begin);
            task_.log_weights = weights.data() + begin;
            task_.ids =
                ids.empty() ? nullptr : reinterpret_cast<const std::uint64_t*>(ids.data() + begin);
            task_.first_id = begin;
            if (!best_.offer(task_, begin)) return report(row, weights, ids);
            if (begin > 0) context.checkpoint();
        }
        const std::span<const std::uint64_t> drawn = best_.columns();
        DrawnRow out(draws, row);
        out.add(drawn);
        if (!draws.log_probs.empty()) write_log_probs(weights, ids, drawn, out.log_probs());
    }

  private:
    bool check_ids(std::size_t row, std::span<const std::int64_t> ids) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] >= -1) continue;
            errors_.note(row,
                         "ids: row " + std::to_string(row) + ", column " + std::to_string(i) +
                             " has " + std::to_string(ids[i]) +
                             "; ids start at 0 and -1 means none");
            return false;
        }
        const auto twice = repeats_.find(ids);
        if (!twice) return true;
        errors_.note(row,
                     "ids: row " + std::to_string(row) + " holds " + std::to_string(*twice) +
                         " twice; a row's candidates must differ");
        return false;
    }

    void report(std::size_t row,
                std::span<const double> weights,
                std::span<const std::int64_t> ids) {
        for (std::size_t i = 0; i < weights.size(); ++i) {
            if ((!ids.empty() && ids[i] == -1) || weights[i] < kInfinity) continue;
            errors_.note(row,
                         "log_weights: row " + std::to_string(row) + ", column " +
                             std::to_string(i) + " has " +
                             (std::isnan(weights[i]) ? "nan" : "inf") +
                             "; expected finite numbers, or -inf for what cannot be drawn");
            return;
        }
    }

    // From the last draw to the first, so that nothing is ever subtracted.
    void write_log_probs(std::span<const double> weights,
                         std::span<const std::int64_t> ids,
                         std::span<const std::uint64_t> drawn,
                         std::span<double> out) {
        left_.assign(weights.begin(), weights.end());
        for (std::size_t i = 0; i < ids.size(); ++i)
            if (ids[i] == -1) left_[i] = -kInfinity;
        for (const std::uint64_t column : drawn) left_[column] = -kInfinity;
        LogSum sum(left_);
        for (std::size_t i = drawn.size(); i-- > 0;) {
            const double weight = weights[drawn[i]];
            sum.add(weight);
            out[i] = (weight - sum.largest) - sum.excess;
        }
    }

    const WeightedRows& rows_;
    const DrawKey& key_;
    LowestError& errors_;
    kernels::NoiseTask task_;
    BestKeys best_;
    RepeatFinder repeats_;
    std::vector<double> left_;
};

}  // namespace

Draws sample_weighted(const WeightedRows& rows,
                      std::size_t num_drawn,
                      bool with_log_probs,
                      const DrawKey& key,
                      const Execution& execution) {
    require(num_drawn >= 1, "num_drawn: expected at least 1");
    require(rows.log_weights.size() == rows.num_rows * rows.num_columns,
            "log_weights: expected num_rows x num_columns");
    require(rows.ids.empty() || rows.ids.size() == rows.log_weights.size(),
            "ids: expected the shape of log_weights");
    Draws draws = empty_draws(rows.num_rows, num_drawn, key, with_log_probs);
    const std::size_t per_task =
        std::max<std::size_t>(1, kCandidatesPerTask / std::max<std::size_t>(1, rows.num_columns));
    LowestError errors;
    for_row_blocks(rows.num_rows, per_task, execution, [&](RowBlock block, TaskContext& context) {
        WeightedSampler sampler(rows, num_drawn, key, errors);
        for (std::size_t row = block.begin; row < block.end; ++row)
            sampler.sample(row, draws, context);
    });
    errors.raise();
    return draws;
}

}  // namespace nearmiss
