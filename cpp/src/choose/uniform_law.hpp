// SPDX-License-Identifier: Apache-2.0
// The law "uniform": every admissible row of the corpus is equally likely. Samples the complement
// of what is ruled out directly; no search.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "admission.hpp"
#include "collect/keys.hpp"
#include "exact_scores.hpp"
#include "nearmiss/random.hpp"
#include "parallel.hpp"
#include "score_limits.hpp"

namespace nearmiss {

// Rows in the order draws refer to, in which a query's rows by group and value lie together: by
// group where groups play a part, then by value where values do, else as they are. Where a query's
// own group is ruled out and values play a part, by value alone: draws are then turned away by
// group.
class UniformOrder {
  public:
    explicit UniformOrder(const AdmissionRules& rules);

    [[nodiscard]] std::uint32_t row(std::size_t place) const noexcept {
        return row_at_.empty() ? static_cast<std::uint32_t>(place) : row_at_[place];
    }
    [[nodiscard]] std::size_t place(std::uint32_t row) const noexcept {
        return place_of_.empty() ? row : place_of_[row];
    }
    [[nodiscard]] bool by_group() const noexcept { return by_group_; }
    // The places of one group: [first, second). Only in an order by group.
    [[nodiscard]] std::pair<std::size_t, std::size_t> group(std::int64_t group) const noexcept;
    // Those of [first, last), places in the order of values, whose values the query admits.
    [[nodiscard]] std::pair<std::size_t, std::size_t> in_range(
        std::size_t first,
        std::size_t last,
        const Admission& admission) const noexcept;

  private:
    const AdmissionRules& rules_;
    bool by_group_;
    std::vector<std::uint32_t> row_at_;
    std::vector<std::uint32_t> place_of_;
};

struct UniformDraw {
    const AdmissionRules& rules;
    const UniformOrder& order;
    const Admission& admission;
    std::span<const std::uint32_t> also_excluded;  // rows before range_min, any order
    const ScoreInterval& interval;
    const ExactQuery& query;
    const RandomStream& stream;
    std::uint64_t query_id;
    std::size_t count;
};

// `count` rows, or all there are if fewer, best score first.
[[nodiscard]] std::vector<Key> choose_uniform(const UniformDraw& draw,
                                              ExactScorer& scorer,
                                              TaskContext& context);

}  // namespace nearmiss
