// SPDX-License-Identifier: Apache-2.0
// What the seeding laws share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kmeans/row_losses.hpp"
#include "nearmiss/kmeans.hpp"
#include "nearmiss/random.hpp"

namespace nearmiss {

class LeastLosses;

// Draws rows in proportion to fixed masses, some of which are positive.
class MassTable {
  public:
    explicit MassTable(std::vector<double> masses);

    [[nodiscard]] double total() const noexcept { return up_to_.back(); }
    // `unit` in [0, 1). Never a row without mass.
    [[nodiscard]] std::size_t row_at(double unit) const;

  private:
    std::vector<double> up_to_;  // sums of masses up to and with each row
};

// Draws rows in proportion to weight.
class WeightLaw {
  public:
    explicit WeightLaw(const Points& points);

    [[nodiscard]] double total() const noexcept { return table_ ? table_->total() : count_; }
    [[nodiscard]] std::size_t row_at(double unit) const {
        return table_ ? table_->row_at(unit) : static_cast<std::size_t>(unit * count_);
    }

  private:
    double count_;
    std::optional<MassTable> table_;  // if the points are weighted
};

// A seeding in progress.
struct Seeder {
    const PointCorpus& corpus;
    const std::size_t num_clusters;
    const Seeding& seeding;
    const Execution& execution;
    std::vector<std::uint32_t> chosen;

    [[nodiscard]] const Points& points() const noexcept { return corpus.points(); }
    [[nodiscard]] RandomStream stream(Stream tag) const {
        return RandomStream(seeding.seed, tag, seeding.run);
    }
    // Of the seed to come.
    [[nodiscard]] std::uint64_t seed_number() const noexcept { return chosen.size(); }
    [[nodiscard]] bool complete() const noexcept { return chosen.size() == num_clusters; }
    [[nodiscard]] Execution at_present() const {
        return execution.at(static_cast<double>(chosen.size()) / static_cast<double>(num_clusters));
    }

    // Reports progress, and throws what the callback does.
    void check_in() const {
        if (execution.progress)
            execution.progress(static_cast<double>(chosen.size()) /
                               static_cast<double>(num_clusters));
    }

    void choose(std::size_t row) { chosen.push_back(static_cast<std::uint32_t>(row)); }
    // The lowest rows of positive weight not chosen yet, for all seeds still missing.
    void choose_lowest();
};

// Each of these takes the first seed as chosen, but for choose_random_rows, and leaves the seeding
// complete.
void choose_random_rows(Seeder& seeder);
// The best of `trials` draws from the D^2 law each.
void choose_by_d2(Seeder& seeder, std::size_t trials);
// The same where the losses to all seeds chosen so far are known.
void continue_by_d2(Seeder& seeder, LeastLosses& losses, std::size_t trials);
void choose_by_rejection(Seeder& seeder, const WeightLaw& weights);
void choose_by_chain(Seeder& seeder, const WeightLaw& weights);

}  // namespace nearmiss
