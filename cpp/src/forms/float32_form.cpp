// SPDX-License-Identifier: Apache-2.0
#include "forms/float32_form.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace nearmiss {

using kernels::kPanelRows;
using kernels::kTileQueries;

namespace {

// The strongest elements first, judged by some of the rows. Any order is right; a good one makes
// the rest of a row after early_depth small.
std::vector<std::uint32_t> choose_places(const PackedCorpus& corpus,
                                         const kernels::KernelTable& kernel,
                                         std::size_t first_place) {
    constexpr std::size_t kJudged = 1024;
    const std::size_t dim = corpus.rows.cols;
    const auto& typed = kernel.of_type[static_cast<std::size_t>(corpus.rows.type)];
    std::vector<float> elements(dim);
    std::vector<double> energy(dim, 0.0);
    const std::size_t stride = std::max<std::size_t>(1, corpus.num_rows() / kJudged);
    for (std::size_t row = 0; row < corpus.num_rows(); row += stride) {
        typed.to_float(corpus.rows.row(row), dim, elements.data());
        for (std::size_t i = 0; i < dim; ++i) {
            const double element = static_cast<double>(elements[i]);
            if (std::isfinite(element)) energy[i] += element * element;  // others raise later
        }
    }
    std::vector<std::uint32_t> order(dim);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(
        order.begin(), order.end(), [&](auto a, auto b) { return energy[a] > energy[b]; });
    std::vector<std::uint32_t> places(dim);
    for (std::size_t place = 0; place < dim; ++place)
        places[order[place]] = static_cast<std::uint32_t>(place + first_place);
    return places;
}

}  // namespace

class Float32Queries final : public PackedQueries {
  public:
    Float32Queries(const Float32Form& form, const kernels::KernelTable& kernel)
        : form_(form),
          kernel_(kernel) {}

    void pack(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) override {
        const ScaledRows rows = form_.corpus_.scaled_rows();
        const auto& typed = kernel_.of_type[static_cast<std::size_t>(ElementType::float32)];
        const std::size_t tile_size = form_.depth_ * kTileQueries;
        tiles_.reserve((queries.size() + kTileQueries - 1) / kTileQueries * tile_size);
        for (std::size_t first = 0; first < queries.size(); first += kTileQueries) {
            const void* elements[kTileQueries] = {};
            double multipliers[kTileQueries] = {};
            float l2_elements[kTileQueries] = {};
            float* tile = tiles_.data() + first / kTileQueries * tile_size;
            const std::size_t used = std::min(kTileQueries, queries.size() - first);
            for (std::size_t i = 0; i < used; ++i) {
                const ScaledQuery query = scale_query(rows, queries[first + i].root_norm);
                elements[i] = queries[first + i].elements;
                multipliers[i] = query.multiplier;
                l2_elements[i] = static_cast<float>(query.ratio);
                scales[first + i] = float32_scale(rows, query);
            }
            typed.interleave(
                elements, multipliers, kTileQueries, rows.dim, form_.places_.data(), tile);
            if (rows.metric == Metric::l2) std::copy_n(l2_elements, kTileQueries, tile);
            for (std::size_t i = 0; i < used; ++i) scales[first + i].rest = rest_of(tile + i);
        }
    }

    void gather(const PackedQueries& from, std::span<const std::uint32_t> queries) override {
        const float* source = static_cast<const Float32Queries&>(from).tiles_.data();
        const std::size_t tile_size = form_.depth_ * kTileQueries;
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        tiles_.reserve(tiles * tile_size);
        // Places that stay empty.
        std::fill_n(tiles_.data() + (tiles - 1) * tile_size, tile_size, 0.0f);
        for (std::size_t i = 0; i < queries.size(); ++i) {
            const float* in =
                source + queries[i] / kTileQueries * tile_size + queries[i] % kTileQueries;
            float* out = tiles_.data() + i / kTileQueries * tile_size + i % kTileQueries;
            for (std::size_t k = 0; k < tile_size; k += kTileQueries) out[k] = in[k];
        }
    }

    std::uint32_t screen(const PanelGroup& panels,
                         TileRange tiles,
                         const Thresholds& thresholds,
                         kernels::TileHit* hits) const override {
        kernels::ScreenTask task{{},
                                 {},
                                 panels.count,
                                 tiles_.data(),
                                 form_.depth_,
                                 tiles.begin,
                                 tiles.end,
                                 form_.early_depth_,
                                 thresholds.early,
                                 thresholds.lower,
                                 thresholds.upper,
                                 thresholds.num_above};
        for (std::size_t p = 0; p < panels.count; ++p) {
            task.panels[p] = form_.panels_.data() + panels.at[p] * form_.panel_size();
            task.next[p] = form_.panels_.data() + panels.next[p] * form_.panel_size();
        }
        return kernel_.screen(task, hits);
    }

  private:
    // The most that elements from early_depth on add to a screened score of the query.
    [[nodiscard]] double rest_of(const float* query) const noexcept {
        double sum = 0;
        for (std::size_t k = form_.early_depth_; k < form_.depth_; ++k) {
            const double element = static_cast<double>(query[k * kTileQueries]);
            sum += element * element;
        }
        return std::sqrt(sum) * form_.max_rest_norm_ * (1 + 0x1p-20);
    }

    const Float32Form& form_;
    const kernels::KernelTable& kernel_;
    AlignedBuffer<float> tiles_;
};

Float32Form::Float32Form(const PackedCorpus& corpus, const kernels::KernelTable& kernel)
    : corpus_(corpus),
      depth_(corpus.rows.cols + (corpus.metric == Metric::l2 ? 1 : 0)),
      early_depth_(depth_ - depth_ / 8),
      places_(choose_places(corpus, kernel, depth_ - corpus.rows.cols)),
      panels_(corpus.num_panels() * panel_size()) {}

void Float32Form::pack_panels(std::size_t begin,
                              std::size_t end,
                              const kernels::KernelTable& kernel) {
    // Lines are filled in no order that the memory behind a large corpus would like.
    AlignedBuffer<float> scratch(panel_size());
    double largest = 0;
    for (std::size_t p = begin; p < end; ++p)
        largest = std::max(largest, pack_panel(p, kernel, scratch));
    const std::lock_guard lock(mutex_);
    max_rest_norm_ = std::max(max_rest_norm_, largest);
}

double Float32Form::pack_panel(std::size_t panel,
                               const kernels::KernelTable& kernel,
                               AlignedBuffer<float>& scratch) {
    const PanelRows rows = corpus_.panel_rows(panel);
    float* packed = scratch.data();
    corpus_.typed(kernel).interleave(
        rows.elements, rows.multipliers, kPanelRows, corpus_.rows.cols, places_.data(), packed);
    if (corpus_.metric == Metric::l2)
        for (std::size_t r = 0; r < kPanelRows; ++r)
            packed[r] = static_cast<float>(-0.5 * rows.norms[r] * rows.norms[r]);
    std::memcpy(panels_.data() + panel * panel_size(), packed, panel_size() * sizeof(float));
    float sums[kPanelRows] = {};
    for (std::size_t k = early_depth_; k < depth_; ++k)
        for (std::size_t r = 0; r < kPanelRows; ++r)
            sums[r] += packed[k * kPanelRows + r] * packed[k * kPanelRows + r];
    const float largest = *std::max_element(sums, sums + kPanelRows);
    return norm_from_float_sum(static_cast<double>(largest), depth_ - early_depth_);
}

std::unique_ptr<PackedQueries> Float32Form::make_queries(const kernels::KernelTable& kernel) const {
    return std::make_unique<Float32Queries>(*this, kernel);
}

std::size_t Float32Form::nbytes() const noexcept {
    return panels_.size() * sizeof(float) + places_.size() * sizeof(std::uint32_t);
}

}  // namespace nearmiss
