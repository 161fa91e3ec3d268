// SPDX-License-Identifier: Apache-2.0
// A screening form: the corpus packed for one kind of screening tile, and queries packed to meet
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "exact_scores.hpp"
#include "forms/bound.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/corpus.hpp"
#include "panel_groups.hpp"

namespace nearmiss {

// Tiles [begin, end) of a block.
struct TileRange {
    std::uint32_t begin;
    std::uint32_t end;
};

// Screening thresholds of a block, one per place in its tiles, in screening units.
struct Thresholds {
    const float* lower;
    const float* upper;  // null: no ceiling
    // What rows above `upper` are counted in; null: hits tell.
    std::uint32_t* num_above;
};

// The queries of a block in one form, for one SIMD target. Not thread-safe.
class PackedQueries {
  public:
    virtual ~PackedQueries() = default;

    // Query i goes to place i % kTileQueries of tile i / kTileQueries; scales[i] is its scale.
    virtual void pack(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) = 0;

    // Takes these queries of `from`, which is of the same form and target, in this order.
    virtual void gather(const PackedQueries& from, std::span<const std::uint32_t> queries) = 0;

    // Writes a hit for every tile of the range and panel of the group with something to look at;
    // returns how many. Neither is empty.
    [[nodiscard]] virtual std::uint32_t screen(const PanelGroup& panels,
                                               TileRange tiles,
                                               const Thresholds& thresholds,
                                               kernels::TileHit* hits) const = 0;
};

// Thread-safe but for the packing functions; those on different panels may run at once.
class ScreeningForm {
  public:
    virtual ~ScreeningForm() = default;

    // The rows' norms must be known. Before it the form must own its memory.
    virtual void own_memory() {}
    virtual void pack_panels(std::size_t begin,
                             std::size_t end,
                             const kernels::KernelTable& kernel) = 0;
    // After packing, all of it or some. False: packing everything again, now that more is known,
    // would make a better form.
    [[nodiscard]] virtual bool settle() = 0;

    // Adds what a form like this one can be restored from, if it can.
    virtual void save(PackedState&) const {}

    [[nodiscard]] virtual std::unique_ptr<PackedQueries> make_queries(
        const kernels::KernelTable& kernel) const = 0;
    [[nodiscard]] virtual std::size_t bytes_per_tile() const noexcept = 0;
    [[nodiscard]] virtual std::size_t nbytes() const noexcept = 0;
};

}  // namespace nearmiss
