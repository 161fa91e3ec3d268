// SPDX-License-Identifier: Apache-2.0
// Rows as float32, strongest elements first.
#pragma once

#include <mutex>
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

    [[nodiscard]] std::size_t panel_size() const noexcept { return depth_ * kernels::kPanelRows; }
    // Returns the largest norm of what its rows have from early_depth on.
    double pack_panel(std::size_t panel,
                      const kernels::KernelTable& kernel,
                      AlignedBuffer<float>& scratch);

    const PackedCorpus& corpus_;
    std::size_t depth_;        // elements per packed row: dim, or dim + 1 under l2
    std::size_t early_depth_;  // where the screening tile may give up
    // Elements are packed in an order that leaves the weakest for last: element i at places[i].
    // Under l2 one more element, -|x|^2 / 2, comes first and turns the distance into an inner
    // product.
    std::vector<std::uint32_t> places_;
    AlignedBuffer<float> panels_;
    std::mutex mutex_;
    double max_rest_norm_ = 0;  // of what packed rows have from early_depth on, never too small
};

}  // namespace nearmiss
