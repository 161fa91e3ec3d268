// SPDX-License-Identifier: Apache-2.0
#include "forms/coded_form.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "forms/coding.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {

using kernels::CodeStart;
using kernels::kPanelRows;
using kernels::kPanelStepBytes;
using kernels::kStepBytes;
using kernels::kTileQueries;
using kernels::kTileStepBytes;

namespace {

// The largest element of all rows, compared with that of the sample: 1.08 to 1.14 on embeddings.
constexpr float kHeadroom = 1.15f;
constexpr float kMaxCentreFactor = 0x1p30f;

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

}  // namespace

// Fewer steps to a segment leave room for finer codes but cost time. Rows use all their codes;
// queries make do with what is left of a sum.
static constexpr std::size_t kInt8SegmentSteps = 24;
const CodeFormat kInt8Codes{
    kernels::kCodesPerStep,
    kInt8SegmentSteps,
    kernels::kMaxRowCode,
    kernels::kCodeOffset,
    kernels::kMaxQueryCode,
    kernels::kMaxWideElements,
    kernels::kMaxWideQueryCode,
    kernels::kMaxSegmentSum,
    std::numeric_limits<float>::infinity(),
    &kernels::KernelTable::int8,
};

// Rows leave queries half of the 31 bits of a sum.
const CodeFormat kInt16Codes{
    kernels::kInt16CodesPerStep,
    std::numeric_limits<std::size_t>::max(),
    kernels::kMaxInt16Code,
    0,
    kernels::kMaxInt16Code,
    0,
    0,
    kernels::kMaxInt16Sum,
    46340.0f,  // sqrt(kMaxInt16Sum)
    &kernels::KernelTable::int16,
};

void CodedForm::Facts::include(const Facts& other) {
    squared_norm = std::max(squared_norm, other.squared_norm);
    peak = std::max(peak, other.peak);
    residual = std::max(residual, other.residual);
    segment_norms.resize(std::max(segment_norms.size(), other.segment_norms.size()));
    for (std::size_t i = 0; i < other.segment_norms.size(); ++i)
        segment_norms[i] = std::max(segment_norms[i], other.segment_norms[i]);
}

CodedForm::Scratch::Scratch(const CodedForm& form)
    : elements(form.steps_ * form.format_.codes_per_step * kPanelRows),
      segment_norms(form.num_sums() * kPanelRows) {
    const std::size_t used = form.corpus_.rows.cols * kPanelRows;
    std::fill(elements.data() + used, elements.data() + elements.size(), 0.0f);
}

CodedForm::CodedForm(const PackedCorpus& corpus, const CodeFormat& format)
    : corpus_(corpus),
      format_(format),
      steps_((corpus.rows.cols + format.codes_per_step - 1) / format.codes_per_step),
      block_(rotation_block(corpus.rows.cols)),
      places_(corpus.rows.cols),
      signs_(rotation_signs(corpus.rows.cols)) {
    const std::size_t segments = 1 + (steps_ - 1) / format.max_segment_steps;
    segment_steps_ = (steps_ + segments - 1) / segments;
    std::iota(places_.begin(), places_.end(), 0u);
}

CodedForm::CodedForm(const PackedCorpus& corpus,
                     const CodeFormat& format,
                     const kernels::KernelTable& kernel)
    : CodedForm(corpus, format) {
    centre_ = AlignedBuffer<float>(corpus.rows.cols);
    std::fill_n(centre_.data(), centre_.size(), 0.0f);
    codes_ = AlignedBuffer<std::uint8_t>(corpus.num_panels() * panel_bytes());
    row_terms_ = AlignedBuffer<float>(corpus.num_panels() * kPanelRows);
    const std::vector<std::uint32_t> sample = sample_rows(corpus);
    choose_centre(sample, kernel);
    choose_scale(sample, kernel);
}

CodedForm::CodedForm(const PackedCorpus& corpus, const CodeFormat& format, const PackedState& state)
    : CodedForm(corpus, format) {
    require(state.codes.size() == corpus.num_panels() * panel_bytes() &&
                state.row_terms.size() == corpus.num_panels() * kPanelRows &&
                state.centre.size() == corpus.rows.cols && state.segment_norms.size() == num_sums(),
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

void CodedForm::own_memory() {
    centre_.own();
    codes_.own();
    row_terms_.own();
}

void CodedForm::save(PackedState& state) const {
    state.codes = codes_.view();
    state.row_terms = row_terms_.view();
    state.centre = centre_.view();
    state.segment_norms = facts_.segment_norms;
    state.scale = scale_;
    state.squared_norm = facts_.squared_norm;
    state.peak = facts_.peak;
    state.residual = facts_.residual;
}

void CodedForm::choose_centre(const std::vector<std::uint32_t>& sample,
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

void CodedForm::choose_scale(const std::vector<std::uint32_t>& sample,
                             const kernels::KernelTable& kernel) {
    Scratch scratch(*this);
    float peak = 0;
    float squared_norm = 0;
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
        squared_norm = std::max(
            squared_norm, *std::max_element(scratch.squared_norms, scratch.squared_norms + used));
    }
    scale_ = fitting_scale(peak * kHeadroom, squared_norm);
}

float CodedForm::fitting_scale(float peak, float squared_norm) const noexcept {
    return std::min(code_scale(static_cast<float>(format_.max_row_code), peak),
                    code_scale(format_.wanted_norm, std::sqrt(squared_norm)));
}

void CodedForm::rotate(const kernels::KernelTable& kernel,
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

void CodedForm::quantise(const kernels::KernelTable& kernel,
                         Scratch& scratch,
                         std::int32_t limit,
                         std::int32_t offset,
                         std::uint8_t* codes) const {
    kernels_of(kernel).quantise({scratch.elements.data(),
                                 steps_,
                                 segment_steps_,
                                 scratch.scales,
                                 limit,
                                 offset,
                                 codes,
                                 scratch.residuals,
                                 scratch.segment_norms.data()});
}

void CodedForm::pack_panel(std::size_t panel,
                           const kernels::KernelTable& kernel,
                           Scratch& scratch,
                           Facts& facts) {
    const PanelRows rows = corpus_.panel_rows(panel);
    // Nothing is taken from lanes without a row: their codes stay zero, and sums with them small.
    std::fill_n(scratch.centre_factors, kPanelRows, 0.0f);
    std::fill_n(scratch.centre_factors, rows.count, 1.0f);
    std::fill_n(scratch.scales, kPanelRows, scale_);
    rotate(kernel, corpus_.rows.type, rows.elements, rows.multipliers, scratch);
    quantise(kernel,
             scratch,
             format_.max_row_code,
             format_.row_offset,
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
                std::vector<float>(num_sums())};
    for (std::size_t i = 0; i < found.segment_norms.size(); ++i)
        found.segment_norms[i] = largest(scratch.segment_norms.data() + i * kPanelRows);
    facts.include(found);
}

void CodedForm::pack_panels(std::size_t begin,
                            std::size_t end,
                            const kernels::KernelTable& kernel) {
    Scratch scratch(*this);
    Facts facts;
    for (std::size_t p = begin; p < end; ++p) pack_panel(p, kernel, scratch, facts);
    const std::lock_guard lock(mutex_);
    facts_.include(facts);
}

bool CodedForm::settle() {
    // Rounding leaves 1/12 of a squared code per element. Only where clamping the rows that stick
    // out cost much more is a scale that fits them all worth packing twice.
    const float rounding = static_cast<float>(corpus_.rows.cols) / 12;
    const float fitting = fitting_scale(facts_.peak, facts_.squared_norm);
    if (!(fitting < scale_)) return true;
    const float shrink = fitting / scale_;
    // Rows with codes of twice the norm wanted would cost queries a bit, too.
    if (!(facts_.residual * shrink * shrink > 2 * rounding) && shrink > 0.5f) return true;
    scale_ = fitting;
    facts_ = {};
    return false;
}

std::size_t CodedForm::nbytes() const noexcept {
    return codes_.size() + (row_terms_.size() + centre_.size() + signs_.size()) * sizeof(float) +
           places_.size() * sizeof(std::uint32_t);
}

class CodedQueries final : public PackedQueries {
  public:
    CodedQueries(const CodedForm& form, const kernels::KernelTable& kernel)
        : form_(form),
          kernel_(kernel),
          sums_are_wide_(form.kernels_of(kernel).sums_are_wide),
          scratch_(form),
          codes_(form.panel_bytes()),
          sums_(form.corpus_.rows.cols) {}

    void pack(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) override {
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        tiles_.reserve(tiles * form_.bytes_per_tile());
        std::memset(tiles_.data(), 0, tiles * form_.bytes_per_tile());
        starts_.assign(tiles * kTileQueries * num_segments(), {});
        term_factors_.assign(tiles * kTileQueries, 0.0f);
        for (std::size_t first = 0; first < queries.size(); first += kPanelRows) {
            const std::size_t count = std::min(kPanelRows, queries.size() - first);
            encode(queries.subspan(first, count), scales.subspan(first, count));
            for (std::size_t lane = 0; lane < count; ++lane) place(lane, first + lane);
        }
    }

    void gather(const PackedQueries& from, std::span<const std::uint32_t> queries) override {
        const auto& source = static_cast<const CodedQueries&>(from);
        const std::size_t tile_bytes = form_.bytes_per_tile();
        const std::size_t tiles = (queries.size() + kTileQueries - 1) / kTileQueries;
        const std::size_t segments = num_segments();
        tiles_.reserve(tiles * tile_bytes);
        // Places that stay empty.
        std::memset(tiles_.data() + (tiles - 1) * tile_bytes, 0, tile_bytes);
        starts_.assign(tiles * kTileQueries * segments, {});
        term_factors_.assign(tiles * kTileQueries, 0.0f);
        for (std::size_t i = 0; i < queries.size(); ++i) {
            const std::int8_t* in = source.tiles_.data() + codes_at(queries[i]);
            std::int8_t* out = tiles_.data() + codes_at(i);
            for (std::size_t step = 0; step < tile_bytes; step += kTileStepBytes)
                std::memcpy(out + step, in + step, kStepBytes);
            for (std::size_t s = 0; s < segments; ++s)
                starts_[start_at(i, s)] = source.starts_[start_at(queries[i], s)];
            term_factors_[i] = source.term_factors_[queries[i]];
        }
    }

    std::uint32_t screen(const PanelGroup& panels,
                         TileRange tiles,
                         const Thresholds& thresholds,
                         kernels::TileHit* hits) const override {
        kernels::CodeScreenTask task{{},
                                     {},
                                     {},
                                     panels.count,
                                     tiles_.data(),
                                     starts_.data(),
                                     term_factors_.data(),
                                     form_.steps_,
                                     sums_are_wide_ ? form_.steps_ : form_.segment_steps_,
                                     tiles.begin,
                                     tiles.end,
                                     thresholds.lower,
                                     thresholds.upper,
                                     thresholds.num_above};
        for (std::size_t p = 0; p < panels.count; ++p) {
            task.panels[p] = form_.codes_.data() + panels.at[p] * form_.panel_bytes();
            task.next[p] = form_.codes_.data() + panels.next[p] * form_.panel_bytes();
            task.row_terms[p] = form_.row_terms_.data() + panels.at[p] * kPanelRows;
        }
        return form_.kernels_of(kernel_).screen(task, hits);
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
            scales[i] = coded_scale(rows, scaled[i], coded_rows, coded[i]);
            unit_factors_[i] =
                static_cast<float>(coded[i].centre_factor * coded_rows.scale * coded[i].scale);
        }
    }

    // How much of the centre is taken from a query, and what that leaves out.
    void centre_query(const ScaledRows& rows,
                      const ExactQuery& query,
                      const ScaledQuery& scaled,
                      CodedQuery& coded) {
        if (rows.metric == Metric::l2) {
            coded.centre_factor = scaled.ratio;
            coded.constant = squared_gap(query.elements, std::ldexp(1.0, rows.exponent));
            return;
        }
        if (form_.squared_centre_norm_ == 0) return;
        // As much as makes the rest smallest.
        double product = 0;
        kernel_of_floats().inner_products(
            form_.centre_.data(), only(query.elements), sums_.data(), &product);
        product *= scaled.multiplier;
        auto factor = static_cast<float>(product / form_.squared_centre_norm_);
        // A centre that small beside other rows says nothing, and products with it would overflow.
        if (!(std::abs(factor) <= kMaxCentreFactor)) factor = 0;
        coded.centre_factor = static_cast<double>(factor);
        coded.constant = product - coded.centre_factor * form_.squared_centre_norm_;
    }

    // |elements - centre * unit|^2, unit being a power of two.
    [[nodiscard]] double squared_gap(const float* elements, double unit) {
        const std::size_t dim = form_.corpus_.rows.cols;
        constexpr double kLeast = 0x1p-60;  // so that products with it lose nothing that counts
        if (unit < kLeast || unit > 1 / kLeast)
            return sum_in_lanes(dim, [&](std::size_t i) {
                const double gap =
                    static_cast<double>(elements[i]) - static_cast<double>(form_.centre_[i]) * unit;
                return gap * gap;
            });
        if (centre_.empty())
            for (const float element : form_.centre_.view())
                centre_.push_back(element * static_cast<float>(unit));
        double squares = 0;
        kernel_of_floats().squared_distances(
            centre_.data(), only(elements), sums_.data(), &squares);
        return squares;
    }

    [[nodiscard]] const kernels::KernelTable::PerType& kernel_of_floats() const noexcept {
        return kernel_.of_type[static_cast<std::size_t>(ElementType::float32)];
    }
    [[nodiscard]] kernels::RowList only(const float* row) const noexcept {
        static constexpr std::uint32_t kFirst = 0;
        return {reinterpret_cast<const char*>(row), 0, &kFirst, 1, form_.corpus_.rows.cols};
    }

    // The finest scales whose codes are in range and whose sums fit.
    void fit_scales(std::size_t count) {
        const CodeFormat& format = form_.format_;
        const bool wide = sums_are_wide_ && form_.corpus_.rows.cols <= format.max_wide_elements;
        const std::int32_t limit = wide ? format.max_wide_query_code : format.max_query_code;
        for (std::size_t i = 0; i < kPanelRows; ++i)
            scratch_.scales[i] =
                i < count ? code_scale(static_cast<float>(limit), scratch_.peaks[i]) : 1.0f;
        for (;;) {
            form_.quantise(kernel_, scratch_, limit, 0, codes_.data());
            if (wide) return;
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

    // The largest possible sum of what is added up together, in units of what fits.
    [[nodiscard]] double segment_excess(std::size_t lane) const {
        const auto norm = [&](float sum) {
            return norm_from_float_sum(static_cast<double>(sum), form_.corpus_.rows.cols);
        };
        double largest = 0;
        for (std::size_t s = 0; s < form_.num_sums(); ++s)
            largest = std::max(largest,
                               norm(scratch_.segment_norms[s * kPanelRows + lane]) *
                                   norm(form_.facts_.segment_norms[s]));
        return largest / form_.format_.max_sum;
    }

    // Moves the codes of a lane to the place of query i.
    void place(std::size_t lane, std::size_t i) {
        std::int8_t* out = tiles_.data() + codes_at(i);
        const std::uint8_t* in = codes_.data() + lane * kStepBytes;
        term_factors_[i] = unit_factors_[lane];
        if (form_.format_.row_offset == 0) {
            for (std::size_t step = 0; step < form_.steps_; ++step)
                std::memcpy(out + step * kTileStepBytes, in + step * kPanelStepBytes, kStepBytes);
            return;
        }
        for (std::size_t s = 0; s < form_.num_segments(); ++s) {
            const std::size_t begin = s * form_.segment_steps_;
            const std::size_t end = std::min(begin + form_.segment_steps_, form_.steps_);
            const CodeStart start =
                move_codes(in + begin * kPanelStepBytes, end - begin, out + begin * kTileStepBytes);
            if (sums_are_wide_)
                starts_[start_at(i, 0)].sum += start.sum;
            else
                starts_[start_at(i, s)] = start;
        }
    }

    // Sums in 32 bits need no more than one.
    [[nodiscard]] std::size_t num_segments() const noexcept {
        return sums_are_wide_ ? 1 : form_.num_segments();
    }

    // Where the first codes of query i are, and what its sum over segment s starts from.
    [[nodiscard]] std::size_t codes_at(std::size_t i) const noexcept {
        return i / kTileQueries * form_.bytes_per_tile() + i % kTileQueries * kStepBytes;
    }
    [[nodiscard]] std::size_t start_at(std::size_t i, std::size_t s) const noexcept {
        return (i / kTileQueries * num_segments() + s) * kTileQueries + i % kTileQueries;
    }

    // Moves the int8 codes of one segment, and adds them up: two codes at a time, in the halves of
    // a word, and less their lowest value, which keeps the halves apart.
    static CodeStart move_codes(const std::uint8_t* in, std::size_t steps, std::int8_t* out) {
        static_assert(kInt8SegmentSteps * 2 * 255 < 0x10000);
        std::uint32_t sums = 0;
        for (std::size_t step = 0; step < steps; ++step) {
            std::uint32_t four;
            std::memcpy(&four, in + step * kPanelStepBytes, kStepBytes);
            std::memcpy(out + step * kTileStepBytes, &four, kStepBytes);
            const std::uint32_t above = four ^ 0x80808080u;
            sums += (above & 0x00ff00ffu) + (above >> 8 & 0x00ff00ffu);
        }
        const auto lowest = static_cast<std::int32_t>(2 * 128 * steps);
        const auto half = [&](unsigned shift) {
            return (static_cast<std::int32_t>(sums >> shift & 0xffffu) - lowest) *
                   -kernels::kCodeOffset;
        };
        const bool little = std::endian::native == std::endian::little;
        const std::int32_t even = half(little ? 0 : 16);
        const std::int32_t odd = half(little ? 16 : 0);
        return {static_cast<std::int16_t>(even), static_cast<std::int16_t>(odd), even + odd};
    }

    const CodedForm& form_;
    const kernels::KernelTable& kernel_;
    const bool sums_are_wide_;
    CodedForm::Scratch scratch_;
    AlignedBuffer<std::uint8_t> codes_;
    std::vector<double> sums_;             // scratch of the kernel
    std::vector<float> centre_;            // in the caller's units, once it is needed
    float unit_factors_[kPanelRows] = {};  // per lane: what row terms are multiplied by
    AlignedBuffer<std::int8_t> tiles_;
    std::vector<CodeStart> starts_;
    std::vector<float> term_factors_;
};

std::unique_ptr<PackedQueries> CodedForm::make_queries(const kernels::KernelTable& kernel) const {
    return std::make_unique<CodedQueries>(*this, kernel);
}

CodedRows CodedForm::coded_rows() const noexcept {
    const std::size_t dim = corpus_.rows.cols;
    CodedRows rows;
    rows.centre_norm = std::sqrt(squared_centre_norm_) * (1 + 0x1p-20);
    rows.max_norm = norm_from_float_sum(static_cast<double>(facts_.squared_norm), dim);
    rows.scale = static_cast<double>(scale_);
    rows.max_residual = norm_from_float_sum(static_cast<double>(facts_.residual), dim) / rows.scale;
    rows.rotation_roundings = rotation_roundings(dim);
    return rows;
}

}  // namespace nearmiss
