// SPDX-License-Identifier: Apache-2.0
// Which rows are bit-identical to which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

struct DuplicateClasses {
    // By row: the lowest row with the same bytes. Empty when all rows differ.
    std::vector<std::uint32_t> class_of_row;
    // By class (a lowest row): how many rows it has. Empty when all rows differ.
    std::vector<std::uint32_t> class_size;
    // By row: the next one of its class, ascending; its own number at the end. Empty when all rows
    // differ.
    std::vector<std::uint32_t> next_row;

    [[nodiscard]] bool any() const noexcept { return !class_of_row.empty(); }
    [[nodiscard]] std::size_t nbytes() const noexcept {
        return (class_of_row.size() + class_size.size() + next_row.size()) * sizeof(std::uint32_t);
    }
    // f(row) for the rows of a class. Only where there are duplicates.
    template <class F>
    void for_each_row(std::uint32_t lowest, const F& f) const {
        std::uint32_t row = lowest;
        f(row);
        while (next_row[row] != row) f(row = next_row[row]);
    }
};

[[nodiscard]] DuplicateClasses find_duplicates(MatrixView rows, const Execution& execution);

}  // namespace nearmiss
