// SPDX-License-Identifier: Apache-2.0
#include "kmeans/few_centers.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "collect/keys.hpp"
#include "forms/bound.hpp"
#include "kernels/dispatch.hpp"

namespace nearmiss {

using kernels::kNearWords;
using kernels::kPanelRows;

namespace {

constexpr std::size_t kRowsAtOnce = 64 * kernels::kTileQueries;
// Every few rows walk over all panels, which must not leave the cache near the core.
constexpr std::size_t kMostBytes = std::size_t{640} << 10;

// Nothing is scaled here.
ScaledRows unscaled(const PackedCorpus& centers) {
    ScaledRows rows = centers.scaled_rows();
    rows.max_norm = std::ldexp(rows.max_norm, rows.exponent);
    rows.exponent = 0;
    return rows;
}

}  // namespace

bool FewCenters::serve(const Points& points, std::size_t num_centers) noexcept {
    const std::size_t lanes = (num_centers + kPanelRows - 1) / kPanelRows * kPanelRows;
    return points.metric() == Metric::l2 && points.rows().type == ElementType::float32 &&
           lanes <= kernels::kMaxNearPanels * kPanelRows &&
           lanes * points.dim() * sizeof(float) <= kMostBytes;
}

FewCenters::FewCenters(const Points& points, const PackedCorpus& centers)
    : points_(points),
      centers_(centers),
      panels_(centers.num_panels() * points.dim() * kPanelRows),
      starts_(centers.num_panels() * kPanelRows, -std::numeric_limits<float>::infinity()) {
    std::fill_n(panels_.data(), panels_.size(), 0.0f);
    for (std::size_t c = 0; c < centers.num_rows(); ++c) {
        const auto* center = reinterpret_cast<const float*>(centers.rows.row(c));
        float* const lane =
            panels_.data() + c / kPanelRows * points.dim() * kPanelRows + c % kPanelRows;
        for (std::size_t k = 0; k < points.dim(); ++k) lane[k * kPanelRows] = center[k];
        const double norm = centers.root_norms[c];
        starts_[c] = static_cast<float>(-0.5 * norm * norm);
    }
}

float FewCenters::slack(std::size_t begin, std::size_t end) const noexcept {
    const ScaledRows rows = unscaled(centers_);
    const auto norms = points_.root_norms();
    ScaledQuery query;
    query.root_norm = *std::max_element(norms.begin() + static_cast<std::ptrdiff_t>(begin),
                                        norms.begin() + static_cast<std::ptrdiff_t>(end));
    query.norm = query.root_norm * (1 + 0x1p-20);
    const double error = float32_scale(rows, query).error;
    // And for what the kernel's subtraction of the slack rounds.
    const double greatest = (query.norm + rows.max_norm) * rows.max_norm;
    return round_up(2 * error + 0x1p-22 * greatest);
}

void FewCenters::assign(std::size_t begin, std::size_t end, Assignment& assignment) const {
    const kernels::KernelTable& kernel = kernels::active();
    const MatrixView rows = points_.rows();
    ExactScorer scorer(centers_, kernel);
    std::vector<std::uint64_t> near(kRowsAtOnce * kNearWords);
    std::vector<std::uint32_t> candidates;
    std::vector<float> scores(centers_.num_rows());
    for (std::size_t first = begin; first < end; first += kRowsAtOnce) {
        const std::size_t count = std::min(kRowsAtOnce, end - first);
        kernel.near_greatest({panels_.data(),
                              starts_.data(),
                              centers_.num_panels(),
                              rows.cols,
                              reinterpret_cast<const char*>(rows.row(first)),
                              rows.row_stride,
                              count,
                              slack(first, first + count),
                              near.data()});
        for (std::size_t i = 0; i < count; ++i) {
            candidates.clear();
            for (std::size_t word = 0; word < kNearWords; ++word)
                for (std::uint64_t bits = near[i * kNearWords + word]; bits != 0; bits &= bits - 1)
                    candidates.push_back(static_cast<std::uint32_t>(
                        word * 64 + static_cast<std::size_t>(std::countr_zero(bits))));
            const std::size_t row = first + i;
            scorer.score({reinterpret_cast<const float*>(rows.row(row)), points_.root_norms()[row]},
                         candidates,
                         scores.data());
            Key best = make_key(scores[0], candidates[0]);
            for (std::size_t j = 1; j < candidates.size(); ++j)
                best = std::max(best, make_key(scores[j], candidates[j]));
            assignment.labels[row] = static_cast<std::int32_t>(row_of(best));
            assignment.scores[row] = score_of(best);
        }
    }
}

}  // namespace nearmiss
