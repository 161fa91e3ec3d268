// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sketch_scan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kmeans/centers.hpp"

namespace nearmiss {

using kernels::kPanelRows;

namespace {

// Orders `places` so that similar sketches are next to each other: halves along the coordinate of
// the widest spread, until they fit a panel.
void order_by_likeness(std::span<std::uint32_t> places, const float* sketches) {
    if (places.size() <= kPanelRows) return;
    constexpr std::size_t kWidth = SketchMap::kWidth;
    double sums[kWidth] = {};
    double squares[kWidth] = {};
    for (const std::uint32_t place : places)
        for (std::size_t k = 0; k < kWidth; ++k) {
            const auto element = static_cast<double>(sketches[place * kWidth + k]);
            sums[k] += element;
            squares[k] += element * element;
        }
    std::size_t widest = 0;
    double spread = -1;
    for (std::size_t k = 0; k < kWidth; ++k) {
        const double here = squares[k] - sums[k] * sums[k] / static_cast<double>(places.size());
        if (here > spread) {
            spread = here;
            widest = k;
        }
    }
    const std::size_t panels = (places.size() + kPanelRows - 1) / kPanelRows;
    const std::size_t half = panels / 2 * kPanelRows;
    std::nth_element(places.begin(),
                     places.begin() + static_cast<std::ptrdiff_t>(half),
                     places.end(),
                     [&](std::uint32_t a, std::uint32_t b) {
                         const float left = sketches[a * kWidth + widest];
                         const float right = sketches[b * kWidth + widest];
                         return left < right || (left == right && a < b);
                     });
    order_by_likeness(places.first(half), sketches);
    order_by_likeness(places.subspan(half), sketches);
}

// Never too small: the distance of vectors of such a score; how much that may be short of it in
// float32 is within the last terms.
double distance(Metric metric, float score) {
    const auto wide = static_cast<double>(score);
    if (metric == Metric::l2) return std::sqrt(-wide) * (1 + 0x1p-20) + 0x1p-70;
    return std::sqrt(std::max(0.0, 2 - 2 * wide) + 0x1p-21) * (1 + 0x1p-20);
}

}  // namespace

SketchedCenters::SketchedCenters(const SketchMap& map,
                                 const PackedCorpus& centers,
                                 const Execution& execution)
    : center_at_(centers.num_rows()),
      place_of_(centers.num_rows()),
      elements_(centers.num_rows() * SketchMap::kWidth),
      rounding_(map.rounding()) {
    constexpr std::size_t kWidth = SketchMap::kWidth;
    const Sketches sketches = map.sketch(centers.rows, centers.root_norms.view(), execution);
    greatest_norm_ = *std::ranges::max_element(sketches.root_norms);
    std::iota(center_at_.begin(), center_at_.end(), 0u);
    order_by_likeness(center_at_, sketches.elements.data());
    for (std::size_t place = 0; place < center_at_.size(); ++place) {
        place_of_[center_at_[place]] = static_cast<std::uint32_t>(place);
        std::copy_n(sketches.elements.data() + center_at_[place] * kWidth,
                    kWidth,
                    elements_.data() + place * kWidth);
    }
    packed_ = std::make_unique<Corpus>(view_of_centers(elements_.view(), kWidth),
                                       Metric::l2,
                                       std::span<const std::int64_t>(),
                                       execution);
}

SketchScan::SketchScan(const Search& search,
                       const Search& sketches,
                       const SketchedCenters& centers,
                       const ScreeningForm& form,
                       CenterNumbers numbers)
    : CenterScan(search, sketches, form, numbers),
      centers_(centers),
      reader_(search.queries, search.query_norms, search.kernel) {}

// Centres at least as good as the best are no farther, nor are their sketches.
void SketchScan::raise_threshold(std::size_t i) {
    const ScreenScale& scale = block_.scale(i);
    const double norms = screened_.query_norms[block_.query(i)] + centers_.greatest_norm();
    const double reach =
        distance(search_.corpus.metric, score_of(best_[i])) + centers_.rounding() * norms;
    block_.raise_lower(i, scale.screened(-reach * reach) - scale.error);
}

std::uint32_t SketchScan::place_of_best(std::size_t i) const {
    const std::uint32_t center = numbers_.place_of(row_of(best_[i]));
    return center == CenterNumbers::kNowhere ? center : centers_.place_of(center);
}

// The candidate of the nearest sketch first: it may leave others no chance.
void SketchScan::settle(std::size_t i) {
    std::uint32_t nearest = last_[i];
    for (std::uint32_t at = nearest; at != kFirst; at = candidates_[at].before)
        if (candidates_[at].screened > candidates_[nearest].screened) nearest = at;
    const ExactQuery query = reader_.read(block_.query(i));
    rows_.assign(1, centers_.center_at(candidates_[nearest].place));
    score_rows(query, i);
    rows_.clear();
    for (std::uint32_t at = last_[i]; at != kFirst; at = candidates_[at].before)
        if (at != nearest && candidates_[at].screened >= block_.lower(i))
            rows_.push_back(centers_.center_at(candidates_[at].place));
    if (!rows_.empty()) score_rows(query, i);
}

}  // namespace nearmiss
