// SPDX-License-Identifier: Apache-2.0
// Rows as float32, strongest elements first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned_buffer.hpp"
#include "forms/form.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

class Float32Form final : public ScreeningForm {
  public:
    // `corpus` must outlive the form.
    Float32Form(const PackedCorpus& corpus, const kernels::KernelTable& kernel);

    void pack_panels(std::size_t begin,
                     std::size_t end,
                     const kernels::KernelTable& kernel) override;
    [[nodiscard]] bool settle() override { return true; }
    [[nodiscard]] std::unique_ptr<PackedQueries> make_queries(
        const kernels::KernelTable& kernel) const override;
    [[nodiscard]] std::size_t bytes_per_tile() const noexcept override {
        return depth_ * kernels::kTileQueries * sizeof(float);
    }
    [[nodiscard]] std::size_t nbytes() const noexcept override;

  private:
    friend class Float32Queries;

    // The tile may stop and ask what is left after so many eighths of the depth; all of it: it
    // does not.
    static constexpr std::size_t kLeastEighths = 3;
    static constexpr std::size_t kAllEighths = 8;
    static constexpr std::size_t kNumStops = kAllEighths - kLeastEighths;

    [[nodiscard]] std::size_t panel_size() const noexcept { return depth_ * kernels::kPanelRows; }
    [[nodiscard]] std::size_t depth_after(std::size_t eighths) const noexcept {
        return std::max<std::size_t>(1, depth_ * eighths / kAllEighths);
    }
    // In rests_, the part of a panel and a stop.
    [[nodiscard]] static std::size_t rests_at(std::size_t panel, std::size_t stop) noexcept {
        return (panel * kNumStops + std::min(stop, kNumStops - 1)) * kernels::kPanelRows;
    }
    // rests[stop * kWidth + i]: at least the norm of what vector i of kWidth interleaved ones has
    // left at that stop, and by enough for a product of two to be rounded.
    template <std::size_t kWidth>
    void write_rests(const float* packed, float* rests) const;
    void pack_panel(std::size_t panel,
                    const kernels::KernelTable& kernel,
                    AlignedBuffer<float>& scratch);

    const PackedCorpus& corpus_;
    std::size_t depth_;  // elements per packed row: dim, or dim + 1 under l2
    // Elements are packed in an order that leaves the weakest for last: element i at places[i].
    // Under l2 one more element, -|x|^2 / 2, comes first and turns the distance into an inner
    // product.
    std::vector<std::uint32_t> places_;
    AlignedBuffer<float> panels_;
    AlignedBuffer<float> rests_;  // panels x kNumStops x kPanelRows
};

}  // namespace nearmiss
