// SPDX-License-Identifier: Apache-2.0
#include "choose/uniform_law.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "choose/choose.hpp"

namespace nearmiss {
namespace {

// The places a query may draw from: one or two intervals, less single places.
class Complement {
  public:
    explicit Complement(const UniformDraw& draw) {
        const std::size_t all = draw.rules.num_rows;
        const auto [begin, end] = draw.rules.use_groups()
                                      ? draw.order.group(draw.admission.group())
                                      : std::pair<std::size_t, std::size_t>{all, all};
        const bool within = draw.rules.use_groups() && draw.rules.limits->within_groups;
        first_ = within ? begin : 0;
        gap_begin_ = within ? end : begin;
        gap_ = within ? all - end : end - begin;
        last_ = within ? end : all;

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
        // excluded_[j] - j places are left before the j-th excluded one.
        std::size_t low = 0;
        std::size_t high = excluded_.size();
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (excluded_[middle] - middle <= i)
                low = middle + 1;
            else
                high = middle;
        }
        const std::size_t compacted = i + low;
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

}  // namespace

UniformOrder::UniformOrder(const AdmissionRules& rules) : rules_(rules) {
    if (!rules.use_groups()) return;
    row_at_.resize(rules.num_rows);
    std::iota(row_at_.begin(), row_at_.end(), 0u);
    std::stable_sort(row_at_.begin(), row_at_.end(), [&](auto a, auto b) {
        return rules.corpus_groups[a] < rules.corpus_groups[b];
    });
    place_of_.resize(rules.num_rows);
    for (std::size_t p = 0; p < rules.num_rows; ++p)
        place_of_[row_at_[p]] = static_cast<std::uint32_t>(p);
}

std::pair<std::size_t, std::size_t> UniformOrder::group(std::int64_t group) const noexcept {
    if (group < 0) return {rules_.num_rows, rules_.num_rows};
    const auto before = [&](std::int64_t g) {
        return static_cast<std::size_t>(
            std::partition_point(row_at_.begin(),
                                 row_at_.end(),
                                 [&](auto row) { return rules_.corpus_groups[row] < g; }) -
            row_at_.begin());
    };
    return {before(group), before(group + 1)};
}

std::vector<Key> choose_uniform(const UniformDraw& draw,
                                ExactScorer& scorer,
                                TaskContext& context) {
    const Complement complement(draw);
    SparseShuffle shuffle(complement.size(), draw.stream, draw.query_id);
    std::vector<Key> chosen;
    while (chosen.size() < draw.count && !shuffle.exhausted()) {
        const std::uint32_t row = draw.order.row(complement.place(shuffle.next()));
        context.checkpoint();
        if (draw.admission.ruled_out(row)) continue;  // a duplicate of a positive
        const float score = scorer.score(draw.query, row);
        if (draw.interval.contains(score)) chosen.push_back(make_key(score, row));
    }
    std::sort(chosen.begin(), chosen.end(), std::greater<>());
    return chosen;
}

}  // namespace nearmiss
