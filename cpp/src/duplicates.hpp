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

    [[nodiscard]] bool any() const noexcept { return !class_of_row.empty(); }
    [[nodiscard]] std::size_t nbytes() const noexcept {
        return (class_of_row.size() + class_size.size()) * sizeof(std::uint32_t);
    }
};

[[nodiscard]] DuplicateClasses find_duplicates(MatrixView rows, const Execution& execution);

}  // namespace nearmiss
