// SPDX-License-Identifier: Apache-2.0
#include "query_block.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nearmiss {

using kernels::kTileQueries;

void QueryBlock::prepare(const Search& search, std::span<const std::uint32_t> queries) {
    queries_ = queries;
    dim_ = search.corpus.rows.cols;
    norms_.resize(size());
    intervals_.assign(size(), {});
    scales_.resize(size());
    elements_.reserve(size() * dim_);
    admissions_.clear();
    std::vector<QueryScale> scales(size());
    const auto& typed = search.kernel.of_type[static_cast<std::size_t>(search.queries.type)];
    for (std::size_t i = 0; i < size(); ++i) {
        const std::uint32_t q = queries[i];
        norms_[i] = search.query_norms[q];
        typed.to_float(search.queries.row(q), dim_, elements_.data() + i * dim_);
        scales[i] = query_scale(search.corpus.metric,
                                dim_,
                                norms_[i],
                                search.corpus.scale_exponent,
                                search.corpus.max_norm);
        scales_[i] = scales[i].screen;
        if (!search.intervals.empty()) intervals_[i] = search.intervals[q];
        if (search.rules != nullptr) admissions_.emplace_back(*search.rules, q);
    }
    pack_tiles(search, scales);
    rests_.resize(size());
    for (std::size_t i = 0; i < size(); ++i) rests_[i] = rest_of(search, i);
    set_thresholds();
}

void QueryBlock::pack_tiles(const Search& search, std::span<const QueryScale> scales) {
    const auto& float_kernels =
        search.kernel.of_type[static_cast<std::size_t>(ElementType::float32)];
    const std::size_t depth = search.corpus.depth;
    tiles_.reserve(num_tiles() * depth * kTileQueries);
    for (std::size_t t = 0; t < num_tiles(); ++t) {
        const void* rows[kTileQueries] = {};
        double multipliers[kTileQueries] = {};
        const std::size_t first = t * kTileQueries;
        const std::size_t used = std::min(kTileQueries, size() - first);
        float* out = tiles_.data() + t * depth * kTileQueries;
        for (std::size_t i = 0; i < used; ++i) {
            rows[i] = elements_.data() + (first + i) * dim_;
            multipliers[i] = scales[first + i].multiplier;
        }
        float_kernels.interleave(
            rows, multipliers, kTileQueries, dim_, search.corpus.places.data(), out);
        if (search.corpus.metric != Metric::l2) continue;
        for (std::size_t i = 0; i < kTileQueries; ++i)
            out[i] = i < used ? scales[first + i].l2_element : 0.0f;
    }
}

double QueryBlock::rest_of(const Search& search, std::size_t i) const noexcept {
    const PackedCorpus& corpus = search.corpus;
    const float* tile = tiles_.data() + i / kTileQueries * corpus.depth * kTileQueries;
    double sum = 0;
    for (std::size_t k = corpus.early_depth; k < corpus.depth; ++k) {
        const double element = static_cast<double>(tile[k * kTileQueries + i % kTileQueries]);
        sum += element * element;
    }
    return std::sqrt(sum) * corpus.max_rest_norm * (1 + 0x1p-20);
}

void QueryBlock::raise_lower(std::size_t i, double threshold) noexcept {
    lower_[i] = std::max(lower_[i], round_down(threshold));
    early_[i] = round_down(static_cast<double>(lower_[i]) - rests_[i]);
}

float QueryBlock::initial_lower(std::size_t i) const noexcept {
    // Where the ceiling is below the floor nothing is admissible, but rows above it are counted.
    const double floor = std::min(intervals_[i].floor, intervals_[i].ceiling);
    return std::max(std::numeric_limits<float>::lowest(),
                    round_down(scales_[i].screened(floor) - scales_[i].error));
}

void QueryBlock::set_thresholds() {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    lower_.assign(num_tiles() * kTileQueries, kInfinity);
    early_.assign(num_tiles() * kTileQueries, kInfinity);
    upper_.assign(num_tiles() * kTileQueries, kInfinity);
    has_ceiling_ = false;
    for (std::size_t i = 0; i < size(); ++i) {
        const ScreenScale& scale = scales_[i];
        const ScoreInterval& interval = intervals_[i];
        lower_[i] = initial_lower(i);
        early_[i] = round_down(static_cast<double>(lower_[i]) - rests_[i]);
        if (!interval.has_ceiling()) continue;
        upper_[i] = round_up(scale.screened(interval.ceiling) + scale.error);
        has_ceiling_ = true;
    }
}

QueryBlock::TileRanges QueryBlock::tiles_for_groups(std::int64_t lowest,
                                                    std::int64_t highest,
                                                    bool within_groups) const noexcept {
    // Queries [begin, end) have groups in [lowest, highest].
    const auto begin = static_cast<std::size_t>(
        std::partition_point(admissions_.begin(),
                             admissions_.end(),
                             [=](const Admission& a) { return a.group() < lowest; }) -
        admissions_.begin());
    const auto end = static_cast<std::size_t>(
        std::partition_point(admissions_.begin(),
                             admissions_.end(),
                             [=](const Admission& a) { return a.group() <= highest; }) -
        admissions_.begin());
    const std::uint32_t all = num_tiles();
    if (within_groups) {
        if (begin == end || highest < 0) return {{}, 0};
        return {{{static_cast<std::uint32_t>(begin / kTileQueries),
                  static_cast<std::uint32_t>((end - 1) / kTileQueries + 1)}},
                1};
    }
    if (lowest != highest || lowest < 0) return {{{0, all}}, 1};
    // Skip the tiles all of whose queries are of the panel's group.
    const std::size_t first_inside = (begin + kTileQueries - 1) / kTileQueries;
    const std::size_t last_inside = end == size() ? num_tiles() : end / kTileQueries;
    if (first_inside >= last_inside) return {{{0, all}}, 1};
    return {{{0, static_cast<std::uint32_t>(first_inside)},
             {static_cast<std::uint32_t>(last_inside), all}},
            2};
}

}  // namespace nearmiss
