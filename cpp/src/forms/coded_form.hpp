// SPDX-License-Identifier: Apache-2.0
// Rows as int8 or int16 codes: scaled, centred, rotated, rounded.
//
// Centring takes away what all rows have in common, and the rotation spreads outlier coordinates
// over all elements: codes then miss as little as their bits allow. Neither changes scores but for
// terms that are known exactly (see cpp/README.md).
#pragma once

#include <mutex>
#include <vector>

#include "aligned_buffer.hpp"
#include "forms/form.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

// A width of codes.
struct CodeFormat {
    std::size_t codes_per_step;
    std::size_t max_segment_steps;
    std::int32_t max_row_code;
    std::int32_t row_offset;  // added to rows' codes
    std::int32_t max_query_code;
    // For vectors of so many elements at most: where sums are kept in 32 bits, none leaves them.
    std::size_t max_wide_elements;
    std::int32_t max_wide_query_code;
    std::int32_t max_sum;  // of what is added up together: a segment's even or odd pairs, or all
    float wanted_norm;     // of a row's codes: not more, to leave queries room
    kernels::KernelTable::Codes kernels::KernelTable::* kernels;

    // Sums that are kept apart over a segment.
    [[nodiscard]] std::size_t sums_per_segment() const noexcept { return codes_per_step / 2; }
};

extern const CodeFormat kInt8Codes;
extern const CodeFormat kInt16Codes;

class CodedForm final : public ScreeningForm {
  public:
    // `corpus` and `format` must outlive the form. Chooses centre and scale from some of the rows.
    CodedForm(const PackedCorpus& corpus,
              const CodeFormat& format,
              const kernels::KernelTable& kernel);

    // Takes up what save() wrote, and refers to it.
    CodedForm(const PackedCorpus& corpus, const CodeFormat& format, const PackedState& state);

    void own_memory() override;
    void save(PackedState& state) const override;
    void pack_panels(std::size_t begin,
                     std::size_t end,
                     const kernels::KernelTable& kernel) override;
    [[nodiscard]] bool settle() override;
    [[nodiscard]] std::unique_ptr<PackedQueries> make_queries(
        const kernels::KernelTable& kernel) const override;
    [[nodiscard]] std::size_t bytes_per_tile() const noexcept override {
        return steps_ * kernels::kTileStepBytes;
    }
    [[nodiscard]] std::size_t nbytes() const noexcept override;

  private:
    friend class CodedQueries;

    // The largest values among packed rows, as measured.
    struct Facts {
        float squared_norm = 0;            // of centred rows
        float peak = 0;                    // absolute element after rotation
        float residual = 0;                // squared, in codes
        std::vector<float> segment_norms;  // squared, in codes; sums_per_segment() for each

        void include(const Facts& other);
    };

    // Memory for the kPanelRows vectors in work.
    struct Scratch {
        explicit Scratch(const CodedForm& form);
        AlignedBuffer<float> elements;
        AlignedBuffer<float> segment_norms;
        // One per lane:
        float centre_factors[kernels::kPanelRows] = {};
        float centre_products[kernels::kPanelRows];
        float squared_norms[kernels::kPanelRows];
        float peaks[kernels::kPanelRows];
        float scales[kernels::kPanelRows];
        float residuals[kernels::kPanelRows];
    };

    [[nodiscard]] std::size_t panel_bytes() const noexcept {
        return steps_ * kernels::kPanelStepBytes;
    }
    [[nodiscard]] std::size_t num_segments() const noexcept {
        return (steps_ + segment_steps_ - 1) / segment_steps_;
    }
    [[nodiscard]] std::size_t num_sums() const noexcept {
        return num_segments() * format_.sums_per_segment();
    }
    [[nodiscard]] const kernels::KernelTable::Codes& kernels_of(
        const kernels::KernelTable& kernel) const noexcept {
        return kernel.*format_.kernels;
    }
    CodedForm(const PackedCorpus& corpus, const CodeFormat& format);
    // The finest scale for rows of such elements and norms.
    [[nodiscard]] float fitting_scale(float peak, float squared_norm) const noexcept;
    [[nodiscard]] CodedRows coded_rows() const noexcept;
    void choose_centre(const std::vector<std::uint32_t>& sample,
                       const kernels::KernelTable& kernel);
    void choose_scale(const std::vector<std::uint32_t>& sample, const kernels::KernelTable& kernel);
    // Scaled rows (or queries) -> centred and rotated, in scratch.
    void rotate(const kernels::KernelTable& kernel,
                ElementType type,
                const void* const* vectors,
                const double* multipliers,
                Scratch& scratch) const;
    void quantise(const kernels::KernelTable& kernel,
                  Scratch& scratch,
                  std::int32_t limit,
                  std::int32_t offset,
                  std::uint8_t* codes) const;
    void pack_panel(std::size_t panel,
                    const kernels::KernelTable& kernel,
                    Scratch& scratch,
                    Facts& facts);

    const PackedCorpus& corpus_;
    const CodeFormat& format_;
    std::size_t steps_;
    std::size_t segment_steps_;
    std::size_t block_;                  // of the rotation
    std::vector<std::uint32_t> places_;  // the order of elements is left alone
    std::vector<float> signs_;
    AlignedBuffer<float> centre_;
    double squared_centre_norm_ = 0;
    float scale_ = 1;
    AlignedBuffer<std::uint8_t> codes_;
    AlignedBuffer<float> row_terms_;
    std::mutex mutex_;
    Facts facts_;
};

}  // namespace nearmiss
