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
// what is left of a row where the tile stops small.
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

// Of fewer elements, asking which pairs are left costs more than it saves. (Zen 5, d = 64: 5 %.)
constexpr std::size_t kLeastDepthToStop = 96;

// After which part of the depth a tile stops to ask which pairs are left, as these alone go on. The
// cheapest part depends on rows, queries and thresholds, which rise; it is found by trying a
// neighbour now and then.
class BestStop {
  public:
    BestStop(std::size_t least, std::size_t most) : least_(least), most_(most), best_(most) {}

    // For the next call.
    [[nodiscard]] std::size_t eighths() const noexcept { return trying_ ? tried() : best_; }

    // What that call cost.
    void learn(double cost) noexcept {
        if (least_ == most_) return;
        if (!trying_) {
            cost_ = cost;
            trying_ = ++calls_ % kCallsPerTrial == 0;
            if (best_ == (upwards_ ? most_ : least_)) upwards_ = !upwards_;
            return;
        }
        trying_ = false;
        if (cost < cost_) {
            best_ = tried();
            cost_ = cost;
        } else {
            upwards_ = !upwards_;
        }
    }

  private:
    static constexpr std::size_t kCallsPerTrial = 16;

    [[nodiscard]] std::size_t tried() const noexcept { return upwards_ ? best_ + 1 : best_ - 1; }

    std::size_t least_;
    std::size_t most_;
    std::size_t best_;
    double cost_ = 0;  // of the last call at best_
    std::size_t calls_ = 0;
    bool trying_ = false;
    bool upwards_ = false;
};

// More than what squares that underflow may miss; and products of two are not subnormal, so that
// their rounding is relative.
constexpr float kLeastRest = 0x1p-55f;

// Finishing a query costs so many times the tile's share of it for every element, and as much as so
// many elements of the tile in any case. (Zen 5.)
constexpr double kFinishingSlower = 3;
constexpr double kFinishingElements = 120;

}  // namespace

class Float32Queries final : public PackedQueries {
  public:
    Float32Queries(const Float32Form& form, const kernels::KernelTable& kernel)
        : form_(form),
          kernel_(kernel),
          stop_(form.depth_ < kLeastDepthToStop ? Float32Form::kAllEighths
                                                : Float32Form::kLeastEighths,
                Float32Form::kAllEighths) {}

    void pack(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) override {
        const ScaledRows rows = form_.corpus_.scaled_rows();
        const auto& typed = kernel_.of_type[static_cast<std::size_t>(ElementType::float32)];
        const std::size_t tile_size = form_.depth_ * kTileQueries;
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        tiles_.reserve(tiles * tile_size);
        reset_rests(tiles);
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
            float rests[Float32Form::kNumStops][kTileQueries];
            form_.write_rests<kTileQueries>(tile, rests[0]);
            for (std::size_t stop = 0; stop < Float32Form::kNumStops; ++stop)
                std::copy_n(rests[stop], used, &rests_[stop * num_places_ + first]);
        }
    }

    void gather(const PackedQueries& from, std::span<const std::uint32_t> queries) override {
        const auto& others = static_cast<const Float32Queries&>(from);
        const float* source = others.tiles_.data();
        const std::size_t tile_size = form_.depth_ * kTileQueries;
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        tiles_.reserve(tiles * tile_size);
        reset_rests(tiles);
        // Places that stay empty.
        std::fill_n(tiles_.data() + (tiles - 1) * tile_size, tile_size, 0.0f);
        for (std::size_t i = 0; i < queries.size(); ++i) {
            const float* in =
                source + queries[i] / kTileQueries * tile_size + queries[i] % kTileQueries;
            float* out = tiles_.data() + i / kTileQueries * tile_size + i % kTileQueries;
            for (std::size_t k = 0; k < tile_size; k += kTileQueries) out[k] = in[k];
            for (std::size_t stop = 0; stop < Float32Form::kNumStops; ++stop)
                rests_[stop * num_places_ + i] =
                    others.rests_[stop * others.num_places_ + queries[i]];
        }
    }

    std::uint32_t screen(const PanelGroup& panels,
                         TileRange tiles,
                         const Thresholds& thresholds,
                         kernels::TileHit* hits) const override {
        const std::size_t eighths = stop_.eighths();
        const std::size_t stop = eighths - Float32Form::kLeastEighths;
        kernels::ScreenTask task{{},
                                 {},
                                 panels.count,
                                 tiles_.data(),
                                 form_.depth_,
                                 tiles.begin,
                                 tiles.end,
                                 form_.depth_after(eighths),
                                 {},
                                 rests_.data() + stop * num_places_,
                                 thresholds.lower,
                                 thresholds.upper,
                                 thresholds.num_above};
        for (std::size_t p = 0; p < panels.count; ++p) {
            task.panels[p] = form_.panels_.data() + panels.at[p] * form_.panel_size();
            task.next[p] = form_.panels_.data() + panels.next[p] * form_.panel_size();
            task.row_rests[p] = form_.rests_.data() + form_.rests_at(panels.at[p], stop);
        }
        const kernels::ScreenCounts counts = kernel_.screen(task, hits);
        const std::size_t vectors = panels.count * (tiles.end - tiles.begin) * kTileQueries;
        stop_.learn(cost(task.early_depth, counts.finished, vectors));
        return counts.hits;
    }

  private:
    void reset_rests(std::size_t tiles) {
        num_places_ = tiles * kTileQueries;
        // After the last stop nothing is left.
        rests_.assign((Float32Form::kNumStops + 1) * num_places_, 0.0f);
    }
    // Of a call, in elements of the tile per query and panel.
    [[nodiscard]] double cost(std::size_t early_depth,
                              std::size_t finished,
                              std::size_t vectors) const noexcept {
        const auto left = static_cast<double>(form_.depth_ - early_depth);
        const double part = static_cast<double>(finished) / static_cast<double>(vectors);
        return static_cast<double>(early_depth) +
               part * (kFinishingSlower * left + kFinishingElements);
    }

    const Float32Form& form_;
    const kernels::KernelTable& kernel_;
    AlignedBuffer<float> tiles_;
    std::size_t num_places_ = 0;
    std::vector<float> rests_;  // stop by stop, and zeros
    mutable BestStop stop_;
};

Float32Form::Float32Form(const PackedCorpus& corpus, const kernels::KernelTable& kernel)
    : corpus_(corpus),
      depth_(corpus.rows.cols + (corpus.metric == Metric::l2 ? 1 : 0)),
      places_(choose_places(corpus, kernel, depth_ - corpus.rows.cols)),
      panels_(corpus.num_panels() * panel_size()),
      rests_(corpus.num_panels() * kNumStops * kPanelRows) {}

void Float32Form::pack_panels(std::size_t begin,
                              std::size_t end,
                              const kernels::KernelTable& kernel) {
    // Lines are filled in no order that the memory behind a large corpus would like.
    AlignedBuffer<float> scratch(panel_size());
    for (std::size_t p = begin; p < end; ++p) pack_panel(p, kernel, scratch);
}

void Float32Form::pack_panel(std::size_t panel,
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
    write_rests<kPanelRows>(packed, rests_.data() + rests_at(panel, 0));
}

template <std::size_t kWidth>
void Float32Form::write_rests(const float* packed, float* rests) const {
    float sums[kWidth] = {};
    std::size_t k = depth_;
    for (std::size_t stop = kNumStops; stop-- > 0;) {
        const std::size_t begin = depth_after(kLeastEighths + stop);
        for (; k > begin; --k)
            for (std::size_t r = 0; r < kWidth; ++r) {
                const float element = packed[(k - 1) * kWidth + r];
                sums[r] += element * element;
            }
        // As norm_from_float_sum, in float32: the last factor makes up for that.
        const float widened = 1 + static_cast<float>(depth_ - begin + 2) * 0x1p-22f;
        for (std::size_t r = 0; r < kWidth; ++r)
            rests[stop * kWidth + r] =
                std::sqrt(sums[r] * widened + kLeastRest * kLeastRest) * (1 + 0x1p-19f);
    }
}

std::unique_ptr<PackedQueries> Float32Form::make_queries(const kernels::KernelTable& kernel) const {
    return std::make_unique<Float32Queries>(*this, kernel);
}

std::size_t Float32Form::nbytes() const noexcept {
    return (panels_.size() + rests_.size()) * sizeof(float) +
           places_.size() * sizeof(std::uint32_t);
}

}  // namespace nearmiss
