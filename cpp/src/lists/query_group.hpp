// SPDX-License-Identifier: Apache-2.0
// Some queries of a block, in tiles of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "forms/form.hpp"
#include "query_block.hpp"

namespace nearmiss {

// Not thread-safe.
class QueryGroup {
  public:
    // `block`: of queries in `form`. Both must outlive the group.
    QueryGroup(const QueryBlock& block,
               const ScreeningForm& form,
               const kernels::KernelTable& kernel)
        : block_(block),
          packed_(form.make_queries(kernel)) {}

    // `members`: queries of the block, at least one; to stay as they are until the next call.
    void gather(std::span<const std::uint32_t> members) {
        constexpr float kInfinity = std::numeric_limits<float>::infinity();
        members_ = members;
        packed_->gather(block_.packed(), members);
        const std::size_t places = num_tiles() * kernels::kTileQueries;
        lower_.assign(places, kInfinity);
        upper_.assign(places, kInfinity);
        for (std::size_t place = 0; place < members.size(); ++place) refresh(place);
    }

    // Takes over the thresholds of a member, which rise while it is scanned.
    void refresh(std::size_t place) noexcept {
        const Thresholds thresholds = block_.thresholds();
        const std::uint32_t i = members_[place];
        lower_[place] = thresholds.lower[i];
        if (thresholds.upper != nullptr) upper_[place] = thresholds.upper[i];
    }

    [[nodiscard]] std::span<const std::uint32_t> members() const noexcept { return members_; }
    [[nodiscard]] std::uint32_t num_tiles() const noexcept {
        return static_cast<std::uint32_t>((members_.size() + kernels::kTileQueries - 1) /
                                          kernels::kTileQueries);
    }
    // A hit for every tile and panel with something to look at; returns how many.
    [[nodiscard]] std::uint32_t screen(const PanelGroup& panels, kernels::TileHit* hits) const {
        const float* upper = block_.thresholds().upper != nullptr ? upper_.data() : nullptr;
        return packed_->screen(panels, {0, num_tiles()}, {lower_.data(), upper, nullptr}, hits);
    }

  private:
    const QueryBlock& block_;
    std::unique_ptr<PackedQueries> packed_;
    std::span<const std::uint32_t> members_;
    std::vector<float> lower_;  // one per place
    std::vector<float> upper_;
};

}  // namespace nearmiss
