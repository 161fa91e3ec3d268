// SPDX-License-Identifier: Apache-2.0
// What a Corpus holds. "Row" is the caller's numbering; "position" is the packed order, which
// differs from it only when rows are ordered by group, or by list.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "aligned_buffer.hpp"
#include "duplicates.hpp"
#include "forms/bound.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/corpus.hpp"

namespace nearmiss {

class InvertedLists;
class ScreeningForm;
enum class FormKind : std::uint8_t { float32, int8, int16 };
inline constexpr std::size_t kNumForms = 3;

// The rows of a panel, in the order of its lanes.
struct PanelRows {
    std::size_t count = 0;
    const void* elements[kernels::kPanelRows] = {};  // null from `count` on
    double multipliers[kernels::kPanelRows] = {};    // row * multiplier is the scaled row
    double norms[kernels::kPanelRows] = {};          // of scaled rows
};

// The lowest and the highest group of a panel's rows.
struct GroupRange {
    std::int64_t lowest = 0;
    std::int64_t highest = 0;
};

struct PackedCorpus {
    PackedCorpus();
    ~PackedCorpus();

    MatrixView rows;
    Metric metric = Metric::cosine;
    int scale_exponent = 0;  // see ScaledRows
    double max_norm = 0;     // of scaled rows, never too small

    AlignedBuffer<double> root_norms;  // by row: sqrt(D(x, x))

    // Without an order both are empty: position = row.
    std::vector<std::uint32_t> row_of_position;
    std::vector<std::uint32_t> position_of_row;
    std::vector<std::int64_t> groups;  // by row; if there are any, rows are ordered by them
    std::vector<GroupRange> panel_groups;

    mutable std::shared_mutex mutex;  // searches share it, update() owns it
    mutable std::mutex forms_mutex;   // held only to read or set a pointer
    // By FormKind, null until first needed.
    mutable std::array<std::unique_ptr<ScreeningForm>, kNumForms> forms;
    mutable std::mutex duplicates_mutex;  // held only to read or set the pointer
    mutable std::shared_ptr<const DuplicateClasses> duplicates;  // null until first needed
    mutable std::mutex lists_mutex;                              // the same
    mutable std::shared_ptr<const InvertedLists> lists;          // those last asked for

    [[nodiscard]] std::size_t num_rows() const noexcept { return rows.rows; }
    [[nodiscard]] std::size_t num_panels() const noexcept {
        return (rows.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
    }
    [[nodiscard]] const kernels::KernelTable::PerType& typed(
        const kernels::KernelTable& kernel) const noexcept {
        return kernel.of_type[static_cast<std::size_t>(rows.type)];
    }
    [[nodiscard]] ScaledRows scaled_rows() const noexcept {
        return {metric, rows.cols, scale_exponent, max_norm};
    }
    // What a row of this norm is multiplied by.
    [[nodiscard]] double multiplier(double root_norm) const noexcept {
        return metric == Metric::cosine ? 1.0 / root_norm : std::ldexp(1.0, -scale_exponent);
    }
    // Before anything is packed.
    void set_order(std::vector<std::uint32_t> row_at_position);
    [[nodiscard]] PanelRows panel_rows(std::size_t panel) const noexcept;
    [[nodiscard]] std::uint32_t row_at(std::size_t position) const noexcept {
        return row_of_position.empty() ? static_cast<std::uint32_t>(position)
                                       : row_of_position[position];
    }
    [[nodiscard]] std::uint32_t position_of(std::size_t row) const noexcept {
        return position_of_row.empty() ? static_cast<std::uint32_t>(row) : position_of_row[row];
    }

    // The form, packed on first use.
    [[nodiscard]] const ScreeningForm& form(FormKind kind, const Execution& execution) const;
    [[nodiscard]] bool is_packed(FormKind kind) const;

    // The classes of bit-identical rows, computed on first use.
    [[nodiscard]] std::shared_ptr<const DuplicateClasses> duplicate_classes(
        const Execution& execution) const;

    // The lists of approximate searches, made on first use; num_lists: 0 for the default.
    [[nodiscard]] std::shared_ptr<const InvertedLists> inverted_lists(
        std::size_t num_lists,
        std::uint64_t seed,
        const Execution& execution) const;

    // Their rows are about to change, or to move.
    void drop_lists();

    // Of orders and forms.
    [[nodiscard]] std::size_t packed_bytes() const noexcept;
};

// The form a search screens in first.
[[nodiscard]] FormKind first_form(Precision precision,
                                  std::size_t dim,
                                  const kernels::KernelTable& kernel) noexcept;

// The form for queries for which another one is too coarse; float32 never is.
[[nodiscard]] FormKind finer_form(FormKind kind,
                                  std::size_t dim,
                                  const kernels::KernelTable& kernel) noexcept;

}  // namespace nearmiss
