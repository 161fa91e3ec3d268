// SPDX-License-Identifier: Apache-2.0
#include "forms/int8_form.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "nearmiss/error.hpp"

namespace nearmiss {

using kernels::CodeStart;
using kernels::kCodesPerStep;
using kernels::kPanelRows;
using kernels::kPanelStepBytes;
using kernels::kTileQueries;
using kernels::kTileStepBytes;

namespace {

// Dimensions summed up in 16 bits. Fewer leave room for finer codes but cost time.
constexpr std::size_t kSegmentSteps = 24;
// The largest element of all rows, compared with that of the sample: 1.08 to 1.14 on embeddings.
constexpr float kHeadroom = 1.15f;
constexpr float kMaxCentreFactor = 0x1p30f;
// Keeps every product of scales finite.
constexpr float kMaxScale = 0x1p40f;

std::vector<std::uint32_t> sample_rows(const PackedCorpus& corpus) {
    const std::size_t wanted = std::max<std::size_t>(1024, corpus.num_rows() / 64);
    const std::size_t stride = std::max<std::size_t>(1, corpus.num_rows() / wanted);
    std::vector<std::uint32_t> rows;
    for (std::size_t row = 0; row < corpus.num_rows(); row += stride)
        rows.push_back(static_cast<std::uint32_t>(row));
    return rows;
}

double squared_norm_of(std::span<const float> vector) {
    double sum = 0;
    for (const float element : vector)
        sum += static_cast<double>(element) * static_cast<double>(element);
    return sum;
}

// Several sums at a time keep the adder busy.
template <class Term>
double sum_in_lanes(std::size_t count, const Term& term) {
    constexpr std::size_t kLanes = 8;
    double lanes[kLanes] = {};
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    for (; i < count; ++i) lanes[0] += term(i);
    return std::accumulate(lanes, lanes + kLanes, 0.0);
}

float scale_for(float limit, float peak) {
    return peak > limit / kMaxScale ? limit / peak : kMaxScale;
}

}  // namespace

void Int8Form::Facts::include(const Facts& other) {
    squared_norm = std::max(squared_norm, other.squared_norm);
    peak = std::max(peak, other.peak);
    residual = std::max(residual, other.residual);
    segment_norms.resize(std::max(segment_norms.size(), other.segment_norms.size()));
    for (std::size_t i = 0; i < other.segment_norms.size(); ++i)
        segment_norms[i] = std::max(segment_norms[i], other.segment_norms[i]);
}

Int8Form::Scratch::Scratch(const Int8Form& form)
    : elements(form.steps_ * kCodesPerStep * kPanelRows),
      segment_norms(2 * form.num_segments() * kPanelRows) {
    const std::size_t used = form.corpus_.rows.cols * kPanelRows;
    std::fill(elements.data() + used, elements.data() + elements.size(), 0.0f);
}

Int8Form::Int8Form(const PackedCorpus& corpus)
    : corpus_(corpus),
      steps_((corpus.rows.cols + kCodesPerStep - 1) / kCodesPerStep),
      block_(std::bit_floor(corpus.rows.cols)),
      places_(corpus.rows.cols),
      signs_(corpus.rows.cols) {
    const std::size_t segments = (steps_ + kSegmentSteps - 1) / kSegmentSteps;
    segment_steps_ = (steps_ + segments - 1) / segments;
    std::iota(places_.begin(), places_.end(), 0u);
    for (std::size_t i = 0; i < signs_.size(); ++i)
        signs_[i] = (i * 0x9E3779B97F4A7C15u >> 40 & 1) != 0 ? -1.0f : 1.0f;
}

Int8Form::Int8Form(const PackedCorpus& corpus, const kernels::KernelTable& kernel)
    : Int8Form(corpus) {
    centre_ = AlignedBuffer<float>(corpus.rows.cols);
    std::fill_n(centre_.data(), centre_.size(), 0.0f);
    codes_ = AlignedBuffer<std::uint8_t>(corpus.num_panels() * panel_bytes());
    row_terms_ = AlignedBuffer<float>(corpus.num_panels() * kPanelRows);
    const std::vector<std::uint32_t> sample = sample_rows(corpus);
    choose_centre(sample, kernel);
    choose_scale(sample, kernel);
}

Int8Form::Int8Form(const PackedCorpus& corpus, const PackedState& state) : Int8Form(corpus) {
    require(state.codes.size() == corpus.num_panels() * panel_bytes() &&
                state.row_terms.size() == corpus.num_panels() * kPanelRows &&
                state.centre.size() == corpus.rows.cols &&
                state.segment_norms.size() == 2 * num_segments(),
            "packed state: sizes do not match the rows");
    centre_ = AlignedBuffer<float>::borrow(state.centre);
    codes_ = AlignedBuffer<std::uint8_t>::borrow(state.codes);
    row_terms_ = AlignedBuffer<float>::borrow(state.row_terms);
    scale_ = state.scale;
    facts_ = {state.squared_norm,
              state.peak,
              state.residual,
              {state.segment_norms.begin(), state.segment_norms.end()}};
    squared_centre_norm_ = squared_norm_of(centre_.view());
}

void Int8Form::own_memory() {
    centre_.own();
    codes_.own();
    row_terms_.own();
}

void Int8Form::save(PackedState& state) const {
    state.codes = codes_.view();
    state.row_terms = row_terms_.view();
    state.centre = centre_.view();
    state.segment_norms = facts_.segment_norms;
    state.scale = scale_;
    state.squared_norm = facts_.squared_norm;
    state.peak = facts_.peak;
    state.residual = facts_.residual;
}

void Int8Form::choose_centre(const std::vector<std::uint32_t>& sample,
                             const kernels::KernelTable& kernel) {
    const std::size_t dim = corpus_.rows.cols;
    const auto& typed = corpus_.typed(kernel);
    std::vector<double> sums(dim, 0.0);
    std::vector<float> elements(dim);
    double largest = 0;
    double count = 0;
    for (const std::uint32_t row : sample) {
        const double norm = std::sqrt(typed.squared_norm(corpus_.rows.row(row), dim));
        if (!std::isfinite(norm) || norm == 0) continue;  // those that are not finite raise later
        const double multiplier = corpus_.multiplier(norm);
        typed.to_float(corpus_.rows.row(row), dim, elements.data());
        for (std::size_t i = 0; i < dim; ++i)
            sums[i] += static_cast<double>(elements[i]) * multiplier;
        largest = std::max(largest, norm * multiplier);
        count += 1;
    }
    if (count == 0) return;
    double squares = 0;
    for (double& sum : sums) {
        sum /= count;
        squares += sum * sum;
    }
    // A centre this small changes nothing, and its square may underflow.
    if (!(squares > largest * largest * 0x1p-60)) return;
    for (std::size_t i = 0; i < dim; ++i) centre_[i] = static_cast<float>(sums[i]);
    squared_centre_norm_ = squared_norm_of(centre_.view());
}

void Int8Form::choose_scale(const std::vector<std::uint32_t>& sample,
                            const kernels::KernelTable& kernel) {
    Scratch scratch(*this);
    float peak = 0;
    for (std::size_t first = 0; first < sample.size(); first += kPanelRows) {
        const std::size_t used = std::min(kPanelRows, sample.size() - first);
        const void* vectors[kPanelRows] = {};
        double multipliers[kPanelRows] = {};
        for (std::size_t r = 0; r < used; ++r) {
            const void* row = corpus_.rows.row(sample[first + r]);
            const double norm =
                std::sqrt(corpus_.typed(kernel).squared_norm(row, corpus_.rows.cols));
            if (!std::isfinite(norm) || norm == 0) continue;
            vectors[r] = row;
            multipliers[r] = corpus_.multiplier(norm);
        }
        std::fill_n(scratch.centre_factors, kPanelRows, 1.0f);
        rotate(kernel, corpus_.rows.type, vectors, multipliers, scratch);
        peak = std::max(peak, *std::max_element(scratch.peaks, scratch.peaks + used));
    }
    scale_ = scale_for(static_cast<float>(kernels::kMaxRowCode), peak * kHeadroom);
}

void Int8Form::rotate(const kernels::KernelTable& kernel,
                      ElementType type,
                      const void* const* vectors,
                      const double* multipliers,
                      Scratch& scratch) const {
    const std::size_t dim = corpus_.rows.cols;
    kernel.of_type[static_cast<std::size_t>(type)].interleave(
        vectors, multipliers, kPanelRows, dim, places_.data(), scratch.elements.data());
    kernel.rotate({scratch.elements.data(),
                   dim,
                   block_,
                   centre_.data(),
                   scratch.centre_factors,
                   signs_.data(),
                   scratch.centre_products,
                   scratch.squared_norms,
                   scratch.peaks});
}

void Int8Form::quantise(const kernels::KernelTable& kernel,
                        Scratch& scratch,
                        std::int32_t limit,
                        std::int32_t offset,
                        std::uint8_t* codes) const {
    kernel.quantise({scratch.elements.data(),
                     steps_,
                     segment_steps_,
                     scratch.scales,
                     limit,
                     offset,
                     codes,
                     scratch.residuals,
                     scratch.segment_norms.data()});
}

void Int8Form::pack_panel(std::size_t panel,
                          const kernels::KernelTable& kernel,
                          Scratch& scratch,
                          Facts& facts) {
    const PanelRows rows = corpus_.panel_rows(panel);
    std::fill_n(scratch.centre_factors, kPanelRows, 1.0f);
    std::fill_n(scratch.scales, kPanelRows, scale_);
    rotate(kernel, corpus_.rows.type, rows.elements, rows.multipliers, scratch);
    quantise(kernel,
             scratch,
             kernels::kMaxRowCode,
             kernels::kCodeOffset,
             codes_.data() + panel * panel_bytes());
    float* terms = row_terms_.data() + panel * kPanelRows;
    for (std::size_t r = 0; r < kPanelRows; ++r)
        terms[r] = corpus_.metric == Metric::l2 ? -0.5f * scratch.squared_norms[r]
                                                : scratch.centre_products[r];
    const auto largest = [&](const float* lanes) {
        return *std::max_element(lanes, lanes + rows.count);
    };
    Facts found{largest(scratch.squared_norms),
                largest(scratch.peaks),
                largest(scratch.residuals),
                std::vector<float>(2 * num_segments())};
    for (std::size_t i = 0; i < found.segment_norms.size(); ++i)
        found.segment_norms[i] = largest(scratch.segment_norms.data() + i * kPanelRows);
    facts.include(found);
}

void Int8Form::pack_panels(std::size_t begin, std::size_t end, const kernels::KernelTable& kernel) {
    Scratch scratch(*this);
    Facts facts;
    for (std::size_t p = begin; p < end; ++p) pack_panel(p, kernel, scratch, facts);
    const std::lock_guard lock(mutex_);
    facts_.include(facts);
}

bool Int8Form::settle() {
    // Rounding leaves 1/12 of a squared code per element. Only where clamping the rows that stick
    // out cost much more is a scale that fits them all worth packing twice.
    const float rounding = static_cast<float>(corpus_.rows.cols) / 12;
    const float fitting = scale_for(static_cast<float>(kernels::kMaxRowCode), facts_.peak);
    if (!(fitting < scale_)) return true;
    const float shrink = fitting / scale_;
    if (!(facts_.residual * shrink * shrink > 2 * rounding)) return true;
    scale_ = fitting;
    facts_ = {};
    return false;
}

std::size_t Int8Form::nbytes() const noexcept {
    return codes_.size() + (row_terms_.size() + centre_.size() + signs_.size()) * sizeof(float) +
           places_.size() * sizeof(std::uint32_t);
}

class Int8Queries final : public PackedQueries {
  public:
    Int8Queries(const Int8Form& form, const kernels::KernelTable& kernel)
        : form_(form),
          kernel_(kernel),
          scratch_(form),
          codes_(form.panel_bytes()) {}

    void pack(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) override {
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        tiles_.reserve(tiles * form_.bytes_per_tile());
        std::memset(tiles_.data(), 0, tiles * form_.bytes_per_tile());
        starts_.assign(tiles * kTileQueries * form_.num_segments(), {});
        term_factors_.assign(tiles * kTileQueries, 0.0f);
        for (std::size_t first = 0; first < queries.size(); first += kPanelRows) {
            const std::size_t count = std::min(kPanelRows, queries.size() - first);
            encode(queries.subspan(first, count), scales.subspan(first, count));
            for (std::size_t lane = 0; lane < count; ++lane) place(lane, first + lane);
        }
    }

    void gather(const PackedQueries& from, std::span<const std::uint32_t> queries) override {
        const auto& source = static_cast<const Int8Queries&>(from);
        const std::size_t tile_bytes = form_.bytes_per_tile();
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        const std::size_t segments = form_.num_segments();
        tiles_.reserve(tiles * tile_bytes);
        // Places that stay empty.
        std::memset(tiles_.data() + (tiles - 1) * tile_bytes, 0, tile_bytes);
        starts_.assign(tiles * kTileQueries * segments, {});
        term_factors_.assign(tiles * kTileQueries, 0.0f);
        for (std::size_t i = 0; i < queries.size(); ++i) {
            const std::int8_t* in = source.tiles_.data() + codes_at(queries[i]);
            std::int8_t* out = tiles_.data() + codes_at(i);
            for (std::size_t step = 0; step < tile_bytes; step += kTileStepBytes)
                std::memcpy(out + step, in + step, kCodesPerStep);
            for (std::size_t s = 0; s < segments; ++s)
                starts_[start_at(i, s)] = source.starts_[start_at(queries[i], s)];
            term_factors_[i] = source.term_factors_[queries[i]];
        }
    }

    std::uint32_t screen(std::size_t panel,
                         TileRange tiles,
                         const Thresholds& thresholds,
                         kernels::TileHit* hits) const override {
        const kernels::CodeScreenTask task{form_.codes_.data() + panel * form_.panel_bytes(),
                                           form_.row_terms_.data() + panel * kPanelRows,
                                           tiles_.data(),
                                           starts_.data(),
                                           term_factors_.data(),
                                           form_.steps_,
                                           form_.segment_steps_,
                                           tiles.begin,
                                           tiles.end,
                                           thresholds.lower,
                                           thresholds.upper};
        return kernel_.screen_codes(task, hits);
    }

  private:
    // Up to kPanelRows queries to codes_, one per lane.
    void encode(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) {
        const PackedCorpus& corpus = form_.corpus_;
        const ScaledRows rows = corpus.scaled_rows();
        const void* vectors[kPanelRows] = {};
        double multipliers[kPanelRows] = {};
        ScaledQuery scaled[kPanelRows];
        CodedQuery coded[kPanelRows];
        std::fill_n(scratch_.centre_factors, kPanelRows, 0.0f);
        for (std::size_t i = 0; i < queries.size(); ++i) {
            scaled[i] = scale_query(rows, queries[i].root_norm);
            vectors[i] = queries[i].elements;
            multipliers[i] = scaled[i].multiplier;
            centre_query(rows, queries[i], scaled[i], coded[i]);
            scratch_.centre_factors[i] = static_cast<float>(coded[i].centre_factor);
        }
        form_.rotate(kernel_, ElementType::float32, vectors, multipliers, scratch_);
        fit_scales(queries.size());
        const CodedRows coded_rows = form_.coded_rows();
        for (std::size_t i = 0; i < queries.size(); ++i) {
            coded[i].scale = static_cast<double>(scratch_.scales[i]);
            coded[i].norm =
                norm_from_float_sum(static_cast<double>(scratch_.squared_norms[i]), rows.dim);
            coded[i].residual =
                norm_from_float_sum(static_cast<double>(scratch_.residuals[i]), rows.dim) /
                coded[i].scale;
            scales[i] = int8_scale(rows, scaled[i], coded_rows, coded[i]);
            unit_factors_[i] =
                static_cast<float>(coded[i].centre_factor * coded_rows.scale * coded[i].scale);
        }
    }

    // How much of the centre is taken from a query, and what that leaves out.
    void centre_query(const ScaledRows& rows,
                      const ExactQuery& query,
                      const ScaledQuery& scaled,
                      CodedQuery& coded) const {
        const float* centre = form_.centre_.data();
        if (rows.metric == Metric::l2) {
            coded.centre_factor = scaled.ratio;
            const double unit = std::ldexp(1.0, rows.exponent);
            coded.constant = sum_in_lanes(rows.dim, [&](std::size_t i) {
                const double gap =
                    static_cast<double>(query.elements[i]) - static_cast<double>(centre[i]) * unit;
                return gap * gap;
            });
            return;
        }
        if (form_.squared_centre_norm_ == 0) return;
        // As much as makes the rest smallest.
        const double product =
            scaled.multiplier * sum_in_lanes(rows.dim, [&](std::size_t i) {
                return static_cast<double>(query.elements[i]) * static_cast<double>(centre[i]);
            });
        auto factor = static_cast<float>(product / form_.squared_centre_norm_);
        // A centre that small beside other rows says nothing, and products with it would overflow.
        if (!(std::abs(factor) <= kMaxCentreFactor)) factor = 0;
        coded.centre_factor = static_cast<double>(factor);
        coded.constant = product - coded.centre_factor * form_.squared_centre_norm_;
    }

    // The finest scales whose codes are in range and whose sums over segments fit.
    void fit_scales(std::size_t count) {
        const auto limit = static_cast<float>(kernels::kMaxQueryCode);
        for (std::size_t i = 0; i < kPanelRows; ++i)
            scratch_.scales[i] = i < count ? scale_for(limit, scratch_.peaks[i]) : 1.0f;
        for (;;) {
            form_.quantise(kernel_, scratch_, kernels::kMaxQueryCode, 0, codes_.data());
            bool fit = true;
            for (std::size_t i = 0; i < count; ++i) {
                const double excess = segment_excess(i);
                if (excess <= 1) continue;
                scratch_.scales[i] *= static_cast<float>(0.995 / excess);
                fit = false;
            }
            if (fit) return;
        }
    }

    // The largest possible sum over a segment's even or odd pairs, in units of what fits.
    [[nodiscard]] double segment_excess(std::size_t lane) const {
        double largest = 0;
        for (std::size_t s = 0; s < 2 * form_.num_segments(); ++s)
            largest = std::max(largest,
                               static_cast<double>(scratch_.segment_norms[s * kPanelRows + lane]) *
                                   static_cast<double>(form_.facts_.segment_norms[s]));
        return std::sqrt(largest) / kernels::kMaxSegmentSum;
    }

    // Moves the codes of a lane to the place of query i.
    void place(std::size_t lane, std::size_t i) {
        std::int8_t* out = tiles_.data() + codes_at(i);
        const std::uint8_t* in = codes_.data() + lane * kCodesPerStep;
        for (std::size_t step = 0; step < form_.steps_; ++step)
            std::memcpy(out + step * kTileStepBytes, in + step * kPanelStepBytes, kCodesPerStep);
        for (std::size_t s = 0; s < form_.num_segments(); ++s) {
            const std::size_t begin = s * form_.segment_steps_;
            const std::size_t end = std::min(begin + form_.segment_steps_, form_.steps_);
            starts_[start_at(i, s)] = start_of(out, begin, end);
        }
        term_factors_[i] = unit_factors_[lane];
    }

    // Where the first codes of query i are, and what its sum over segment s starts from.
    [[nodiscard]] std::size_t codes_at(std::size_t i) const noexcept {
        return i / kTileQueries * form_.bytes_per_tile() + i % kTileQueries * kCodesPerStep;
    }
    [[nodiscard]] std::size_t start_at(std::size_t i, std::size_t s) const noexcept {
        return (i / kTileQueries * form_.num_segments() + s) * kTileQueries + i % kTileQueries;
    }

    static CodeStart start_of(const std::int8_t* codes, std::size_t begin, std::size_t end) {
        std::int32_t even = 0;
        std::int32_t odd = 0;
        for (std::size_t step = begin; step < end; ++step) {
            const std::int8_t* four = codes + step * kTileStepBytes;
            even += four[0] + four[1];
            odd += four[2] + four[3];
        }
        even *= -kernels::kCodeOffset;
        odd *= -kernels::kCodeOffset;
        return {static_cast<std::int16_t>(even), static_cast<std::int16_t>(odd), even + odd};
    }

    const Int8Form& form_;
    const kernels::KernelTable& kernel_;
    Int8Form::Scratch scratch_;
    AlignedBuffer<std::uint8_t> codes_;
    float unit_factors_[kPanelRows] = {};  // per lane: what row terms are multiplied by
    AlignedBuffer<std::int8_t> tiles_;
    std::vector<CodeStart> starts_;
    std::vector<float> term_factors_;
};

std::unique_ptr<PackedQueries> Int8Form::make_queries(const kernels::KernelTable& kernel) const {
    return std::make_unique<Int8Queries>(*this, kernel);
}

CodedRows Int8Form::coded_rows() const noexcept {
    const std::size_t dim = corpus_.rows.cols;
    CodedRows rows;
    rows.centre_norm = std::sqrt(squared_centre_norm_) * (1 + 0x1p-20);
    rows.max_norm = norm_from_float_sum(static_cast<double>(facts_.squared_norm), dim);
    rows.scale = static_cast<double>(scale_);
    rows.max_residual = norm_from_float_sum(static_cast<double>(facts_.residual), dim) / rows.scale;
    // Per pass log2(block) additions and the multiplication by 1 / sqrt(block), whose factor is
    // rounded too.
    const std::size_t per_pass = static_cast<std::size_t>(std::bit_width(block_)) + 1;
    rows.rotation_roundings = (block_ < dim ? 2 : 1) * per_pass;
    return rows;
}

}  // namespace nearmiss
