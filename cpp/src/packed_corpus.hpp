// SPDX-License-Identifier: Apache-2.0
// What a Corpus holds. "Row" is the caller's numbering; "position" is the packed order, which
// differs from it only when rows are ordered by group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "aligned_buffer.hpp"
#include "duplicates.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/corpus.hpp"

namespace nearmiss {

struct PackedCorpus {
    MatrixView rows;
    Metric metric = Metric::cosine;

    // Screening form: cosine: unit rows; otherwise rows * 2^-scale_exponent. Under l2 one more
    // element, -|x|^2 / 2 in the same units, turns the distance into an inner product.
    std::size_t depth = 0;  // elements per packed row: dim, or dim + 1 under l2
    // Elements are packed in an order that leaves the weakest for last: element i at places[i].
    // Under l2 the added element comes first.
    std::vector<std::uint32_t> places;
    AlignedBuffer<float> panels;
    int scale_exponent = 0;
    double max_norm = 0;          // of the packed rows (without the l2 element), never too small
    std::size_t early_depth = 0;  // where the screening tile may give up
    double max_rest_norm = 0;     // of what packed rows have from early_depth on, never too small

    AlignedBuffer<double> root_norms;  // by row: sqrt(D(x, x))

    // Without groups both are empty: position = row.
    std::vector<std::uint32_t> row_of_position;
    std::vector<std::uint32_t> position_of_row;
    std::vector<std::int64_t> groups;  // by row

    mutable std::shared_mutex mutex;      // searches share it, update() owns it
    mutable std::mutex duplicates_mutex;  // held only to read or set the pointer
    mutable std::shared_ptr<const DuplicateClasses> duplicates;  // null until first needed

    [[nodiscard]] std::size_t num_rows() const noexcept { return rows.rows; }
    [[nodiscard]] std::size_t num_panels() const noexcept {
        return (rows.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
    }
    [[nodiscard]] std::size_t panel_size() const noexcept { return depth * kernels::kPanelRows; }
    [[nodiscard]] std::uint32_t row_at(std::size_t position) const noexcept {
        return row_of_position.empty() ? static_cast<std::uint32_t>(position)
                                       : row_of_position[position];
    }
    [[nodiscard]] std::uint32_t position_of(std::size_t row) const noexcept {
        return position_of_row.empty() ? static_cast<std::uint32_t>(row) : position_of_row[row];
    }

    // The classes of bit-identical rows, computed on first use.
    [[nodiscard]] std::shared_ptr<const DuplicateClasses> duplicate_classes(
        const Execution& execution) const;
};

}  // namespace nearmiss
