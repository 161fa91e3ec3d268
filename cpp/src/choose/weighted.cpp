// SPDX-License-Identifier: Apache-2.0
// Weighted sampling without replacement: candidates with the greatest noisy keys.
#include <algorithm>
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

struct Keyed {
    double key;
    std::uint64_t id;
    std::uint64_t column;

    // The better one.
    friend bool operator>(const Keyed& a, const Keyed& b) {
        return a.key != b.key ? a.key > b.key : a.id < b.id;
    }
};

// Keeps the `wanted` best of what it is offered.
class BestKeys {
  public:
    BestKeys(const kernels::KernelTable& kernel, std::size_t wanted)
        : kernel_(kernel),
          wanted_(wanted),
          bits_(kChunk / 64) {}

    void clear() {
        kept_.clear();
        threshold_ = std::numeric_limits<double>::lowest();  // leaves out -infinity
    }

    // At most kChunk keys. `ids` as in NoiseTask; the first key is that of `column`.
    void offer(std::span<const double> keys, const std::uint64_t* ids, std::size_t column) {
        threshold_ = std::max(threshold_, kernel_.rank_floor(keys.data(), keys.size(), wanted_));
        kernel_.keys_from(keys.data(), keys.size(), threshold_, bits_.data());
        for (std::size_t word = 0; word * 64 < keys.size(); ++word)
            for (std::uint64_t bits = bits_[word]; bits != 0; bits &= bits - 1) {
                const std::size_t i = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
                kept_.push_back({keys[i], ids != nullptr ? ids[i] : column + i, column + i});
            }
        if (kept_.size() > 2 * wanted_ + kFew) prune();
    }

    // Best first.
    [[nodiscard]] std::span<const Keyed> sorted() {
        if (kept_.size() > wanted_ + kFew) prune();
        std::sort(kept_.begin(), kept_.end(), std::greater<>());
        return std::span<const Keyed>(kept_).first(std::min(wanted_, kept_.size()));
    }

  private:
    static constexpr std::size_t kFew = 64;

    void prune() {
        const auto middle = kept_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
        std::nth_element(kept_.begin(), middle, kept_.end(), std::greater<>());
        threshold_ = middle->key;
        kept_.resize(wanted_);
    }

    const kernels::KernelTable& kernel_;
    std::size_t wanted_;  // at least 1
    double threshold_ = 0;
    std::vector<Keyed> kept_;
    std::vector<std::uint64_t> bits_;
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
          kernel_(kernels::active()),
          task_{},
          best_(kernel_, num_drawn),
          keys_(std::min(kChunk, rows.num_columns)) {
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
            if (!kernel_.noisy_keys(task_, keys_.data())) return report(row, weights, ids);
            best_.offer({keys_.data(), task_.count}, task_.ids, begin);
            if (begin > 0) context.checkpoint();
        }
        const std::span<const Keyed> drawn = best_.sorted();
        DrawnRow out(draws, row);
        columns_.clear();
        for (const Keyed& one : drawn) columns_.push_back(one.column);
        out.add(columns_);
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
                         std::span<const Keyed> drawn,
                         std::span<double> out) {
        left_.assign(weights.begin(), weights.end());
        for (std::size_t i = 0; i < ids.size(); ++i)
            if (ids[i] == -1) left_[i] = -kInfinity;
        for (const Keyed& one : drawn) left_[one.column] = -kInfinity;
        LogSum sum(left_);
        for (std::size_t i = drawn.size(); i-- > 0;) {
            const double weight = weights[drawn[i].column];
            sum.add(weight);
            out[i] = (weight - sum.largest) - sum.excess;
        }
    }

    const WeightedRows& rows_;
    const DrawKey& key_;
    LowestError& errors_;
    const kernels::KernelTable& kernel_;
    kernels::NoiseTask task_;
    BestKeys best_;
    RepeatFinder repeats_;
    std::vector<double> keys_;
    std::vector<std::uint64_t> columns_;
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
