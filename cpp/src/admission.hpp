// SPDX-License-Identifier: Apache-2.0
// Who may be a negative, apart from scores: positives and their duplicates, exclusions, self,
// groups, values.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "duplicates.hpp"
#include "nearmiss/limits.hpp"
#include "nearmiss/mine.hpp"

namespace nearmiss {

using CauseCounts = std::array<std::int64_t, kNumCauses>;

// The rules of one call, shared by all its tasks; read-only. Everything is by row.
struct AdmissionRules {
    const Limits* limits = nullptr;
    std::size_t num_rows = 0;
    std::span<const std::int64_t> corpus_groups;         // empty: groups play no part
    std::shared_ptr<const DuplicateClasses> duplicates;  // null: rows are not compared
    std::unordered_map<std::int64_t, std::int64_t> group_sizes;
    std::span<const double> corpus_values;  // empty: values play no part
    std::vector<double> sorted_values;      // the same, ascending, once sort_values() was called

    [[nodiscard]] bool use_groups() const noexcept { return !corpus_groups.empty(); }
    [[nodiscard]] bool use_values() const noexcept { return !corpus_values.empty(); }

    // Whether rows of a group are ruled out for a query of one. Only where groups are used.
    [[nodiscard]] bool wrong_group(std::int64_t of_query, std::int64_t of_row) const noexcept {
        return (of_query >= 0 && of_query == of_row) != limits->within_groups;
    }

    // Admission::count() needs it.
    void sort_values();

    // From here on rows bit-identical to a positive are ruled out.
    void use(std::shared_ptr<const DuplicateClasses> classes) {
        if (classes->any()) duplicates = std::move(classes);
    }
};

// Checks the limits' spans against the shapes (InvalidArgument) and gathers the rules.
[[nodiscard]] AdmissionRules make_rules(const Limits& limits,
                                        std::size_t num_queries,
                                        std::size_t num_rows,
                                        std::span<const std::int64_t> corpus_groups);

// The rules applied to one query.
class Admission {
  public:
    Admission(const AdmissionRules& rules, std::size_t query);

    // Whether a limit other than those on scores and ranks rules the row out.
    [[nodiscard]] bool ruled_out(std::uint32_t row) const noexcept {
        return ruled_out_in_group(row) ||
               (rules_->use_groups() && wrong_group(rules_->corpus_groups[row]));
    }
    // The same of a row whose group is known not to rule it out.
    [[nodiscard]] bool ruled_out_in_group(std::uint32_t row) const noexcept {
        return named(row) || (rules_->use_values() && wrong_value(rules_->corpus_values[row]));
    }
    // Whether the row is one of listed() or a duplicate of a positive.
    [[nodiscard]] bool named(std::uint32_t row) const noexcept {
        return ((listed_digest_ & digest(row)) != 0 &&
                std::binary_search(listed_.begin(), listed_.end(), row)) ||
               duplicate(row);
    }
    // Whether rows of this group are ruled out. Only where groups are used.
    [[nodiscard]] bool wrong_group(std::int64_t group) const noexcept {
        return rules_->wrong_group(group_, group);
    }

    // Whether rows of this value are ruled out. Only where values are used.
    [[nodiscard]] bool wrong_value(double value) const noexcept {
        return !(min_value_ <= value && value < max_value_);
    }

    // The rows named by positives, exclude and self_rows, ascending and unique.
    [[nodiscard]] std::span<const std::uint32_t> listed() const noexcept { return listed_; }
    // The classes of several rows that positives are of, ascending: all of these are ruled out.
    [[nodiscard]] std::span<const std::uint32_t> positive_classes() const noexcept {
        return positive_classes_;
    }
    [[nodiscard]] std::int64_t group() const noexcept { return group_; }
    [[nodiscard]] double min_value() const noexcept { return min_value_; }  // closed
    [[nodiscard]] double max_value() const noexcept { return max_value_; }  // open

    // Adds how many rows each cause rules out (all but max_score). Needs sorted values.
    void count(CauseCounts& counts) const;

    // Adds one to every cause that rules out `row` and returns whether any does.
    bool count_row(std::uint32_t row, CauseCounts& counts) const;

  private:
    [[nodiscard]] std::int64_t num_wrong_group() const;
    [[nodiscard]] std::int64_t num_wrong_value() const;
    [[nodiscard]] bool duplicate(std::uint32_t row) const noexcept {
        return !positive_classes_.empty() &&
               std::binary_search(positive_classes_.begin(),
                                  positive_classes_.end(),
                                  rules_->duplicates->class_of_row[row]);
    }
    // One of 64 bits.
    [[nodiscard]] static std::uint64_t digest(std::uint32_t row) noexcept {
        return std::uint64_t{1} << (row * 0x9E3779B1u >> 26);
    }

    const AdmissionRules* rules_;
    std::size_t query_;
    std::int64_t group_ = -1;
    double min_value_ = -std::numeric_limits<double>::infinity();
    double max_value_ = std::numeric_limits<double>::infinity();
    std::vector<std::uint32_t> listed_;
    std::uint64_t listed_digest_ = 0;              // of all of them: most rows are told at a glance
    std::vector<std::uint32_t> positive_classes_;  // ascending; only classes of several rows
};

}  // namespace nearmiss
