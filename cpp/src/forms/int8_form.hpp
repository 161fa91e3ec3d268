// SPDX-License-Identifier: Apache-2.0
// Rows as int8 codes: scaled, centred, rotated, rounded.
//
// Centring takes away what all rows have in common, and the rotation spreads outlier coordinates
// over all elements: codes then miss as little as eight bits allow. Neither changes scores but for
// terms that are known exactly (see cpp/README.md).
#pragma once

#include <mutex>
#include <vector>

#include "aligned_buffer.hpp"
#include "forms/form.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

class Int8Form final : public ScreeningForm {
  public:
    // `corpus` must outlive the form. Chooses centre and scale from some of the rows.
    Int8Form(const PackedCorpus& corpus, const kernels::KernelTable& kernel);

    // Takes up what save() wrote, and refers to it.
    Int8Form(const PackedCorpus& corpus, const PackedState& state);

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
    friend class Int8Queries;

    // The largest values among packed rows, as measured.
    struct Facts {
        float squared_norm = 0;            // of centred rows
        float peak = 0;                    // absolute element after rotation
        float residual = 0;                // squared, in codes
        std::vector<float> segment_norms;  // squared, in codes; 2 per segment

        void include(const Facts& other);
    };

    // Memory for the kPanelRows vectors in work.
    struct Scratch {
        explicit Scratch(const Int8Form& form);
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
    explicit Int8Form(const PackedCorpus& corpus);
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
