// SPDX-License-Identifier: Apache-2.0
#include "choose/uniform_law.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <tuple>

#include "choose/choose.hpp"
#include "choose/left.hpp"

namespace nearmiss {
namespace {

// The places a query may draw from: one or two intervals, less single places.
class Complement {
  public:
    explicit Complement(const UniformDraw& draw) {
        const std::size_t all = draw.rules.num_rows;
        const auto [begin, end] = draw.order.by_group()
                                      ? draw.order.group(draw.admission.group())
                                      : std::pair<std::size_t, std::size_t>{all, all};
        const bool within = draw.order.by_group() && draw.rules.limits->within_groups;
        first_ = within ? begin : 0;
        gap_begin_ = within ? end : begin;
        gap_ = within ? all - end : end - begin;
        last_ = within ? end : all;
        if (draw.rules.use_values())
            std::tie(first_, last_) = draw.order.in_range(first_, last_, draw.admission);

        const auto exclude = [&](std::uint32_t row) {
            const std::size_t place = draw.order.place(row);
            if (place < first_ || place >= last_) return;
            if (place >= gap_begin_ && place < gap_begin_ + gap_) return;
            excluded_.push_back(compact(place));
        };
        for (const std::uint32_t row : draw.admission.listed()) exclude(row);
        for (const std::uint32_t row : draw.also_excluded) exclude(row);
        std::sort(excluded_.begin(), excluded_.end());
        excluded_.erase(std::unique(excluded_.begin(), excluded_.end()), excluded_.end());
    }

    [[nodiscard]] std::size_t size() const noexcept {
        const std::size_t gap = gap_begin_ < last_ ? gap_ : 0;
        return last_ - first_ - gap - excluded_.size();
    }

    // The i-th place that is left.
    [[nodiscard]] std::size_t place(std::size_t i) const noexcept {
        const std::size_t compacted = number_left(std::span<const std::size_t>(excluded_), i);
        const std::size_t place = compacted + first_;
        return place < gap_begin_ ? place : place + gap_;
    }

  private:
    [[nodiscard]] std::size_t compact(std::size_t place) const noexcept {
        return place < gap_begin_ ? place - first_ : place - first_ - gap_;
    }

    std::size_t first_;
    std::size_t last_;
    std::size_t gap_begin_;
    std::size_t gap_;
    std::vector<std::size_t> excluded_;  // numbered as if the gap were not there
};

// Compares rows with groups.
struct GroupOrder {
    std::span<const std::int64_t> groups;
    bool operator()(std::uint32_t row, std::int64_t group) const { return groups[row] < group; }
    bool operator()(std::int64_t group, std::uint32_t row) const { return group < groups[row]; }
};

}  // namespace

UniformOrder::UniformOrder(const AdmissionRules& rules)
    : rules_(rules),
      by_group_(rules.use_groups() && (!rules.use_values() || rules.limits->within_groups)) {
    if (!by_group_ && !rules.use_values()) return;
    row_at_.resize(rules.num_rows);
    std::iota(row_at_.begin(), row_at_.end(), 0u);
    std::stable_sort(row_at_.begin(), row_at_.end(), [&](auto a, auto b) {
        if (by_group_ && rules.corpus_groups[a] != rules.corpus_groups[b])
            return rules.corpus_groups[a] < rules.corpus_groups[b];
        return rules.use_values() && rules.corpus_values[a] < rules.corpus_values[b];
    });
    place_of_.resize(rules.num_rows);
    for (std::size_t p = 0; p < rules.num_rows; ++p)
        place_of_[row_at_[p]] = static_cast<std::uint32_t>(p);
}

std::pair<std::size_t, std::size_t> UniformOrder::group(std::int64_t group) const noexcept {
    if (group < 0) return {rules_.num_rows, rules_.num_rows};
    const auto places =
        std::equal_range(row_at_.begin(), row_at_.end(), group, GroupOrder{rules_.corpus_groups});
    return {static_cast<std::size_t>(places.first - row_at_.begin()),
            static_cast<std::size_t>(places.second - row_at_.begin())};
}

std::pair<std::size_t, std::size_t> UniformOrder::in_range(
    std::size_t first,
    std::size_t last,
    const Admission& admission) const noexcept {
    const auto at = [this](std::size_t place) {
        return row_at_.begin() + static_cast<std::ptrdiff_t>(place);
    };
    const auto below = [this](std::uint32_t row, double value) {
        return rules_.corpus_values[row] < value;
    };
    const auto begin = std::lower_bound(at(first), at(last), admission.min_value(), below);
    const auto end = std::lower_bound(begin, at(last), admission.max_value(), below);
    return {static_cast<std::size_t>(begin - row_at_.begin()),
            static_cast<std::size_t>(end - row_at_.begin())};
}

namespace {

// After so many draws that score limits turned away, looking at every row is cheaper than going on.
constexpr std::size_t kPatience = 4096;
constexpr std::size_t kRowsPerLook = 1024;

// The rows left for a query that all limits admit, `chosen` apart.
std::vector<Key> admissible_rows(const UniformDraw& draw,
                                 const Complement& complement,
                                 std::span<const Key> chosen,
                                 ExactScorer& scorer,
                                 TaskContext& context) {
    std::vector<Key> keys;
    std::vector<std::uint32_t> rows;
    std::vector<float> scores;
    for (std::size_t first = 0; first < complement.size(); first += kRowsPerLook) {
        rows.clear();
        const std::size_t end = std::min(first + kRowsPerLook, complement.size());
        for (std::size_t i = first; i < end; ++i) {
            const std::uint32_t row = draw.order.row(complement.place(i));
            if (!draw.admission.ruled_out(row)) rows.push_back(row);
        }
        scores.resize(rows.size());
        scorer.score(draw.query, rows, scores.data());
        for (std::size_t i = 0; i < rows.size(); ++i)
            if (draw.interval.contains(scores[i])) keys.push_back(make_key(scores[i], rows[i]));
        context.checkpoint();
    }
    std::erase_if(keys, [&](Key key) {
        return std::find(chosen.begin(), chosen.end(), key) != chosen.end();
    });
    return keys;
}

}  // namespace

std::vector<Key> choose_uniform(const UniformDraw& draw,
                                ExactScorer& scorer,
                                TaskContext& context) {
    const Complement complement(draw);
    DrawSequence draws(draw.stream, draw.query_id);
    SparseShuffle shuffle(complement.size(), draws);
    std::vector<Key> chosen;
    std::size_t turned_away = 0;
    while (chosen.size() < draw.count && !shuffle.exhausted() && turned_away < kPatience) {
        const std::uint32_t row = draw.order.row(complement.place(shuffle.next()));
        const bool duplicate = draw.admission.ruled_out(row);
        const float score = duplicate ? 0 : scorer.score(draw.query, row);
        if (!duplicate && draw.interval.contains(score))
            chosen.push_back(make_key(score, row));
        else
            ++turned_away;
    }
    context.checkpoint();
    if (chosen.size() < draw.count && !shuffle.exhausted()) {
        // Given what was drawn, all admissible rows not yet chosen are still equally likely.
        const std::vector<Key> left = admissible_rows(draw, complement, chosen, scorer, context);
        SparseShuffle rest(left.size(), draws);
        while (chosen.size() < draw.count && !rest.exhausted()) chosen.push_back(left[rest.next()]);
    }
    std::sort(chosen.begin(), chosen.end(), std::greater<>());
    return chosen;
}

}  // namespace nearmiss
