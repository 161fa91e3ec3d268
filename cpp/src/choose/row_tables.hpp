// SPDX-License-Identifier: Apache-2.0
// What works on tables row by row shares.
#pragma once

#include <cstddef>
#include <string>

#include "choose/numbers.hpp"
#include "choose/row_blocks.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// Enough to share what a block's loop keeps, few enough for threads to get equal parts.
inline constexpr std::size_t kRowsPerBlock = 16;

// Throws InvalidArgument "name: row i, column j is v; expected ..." for the first value that
// accept(value) refuses.
template <class Accept>
void require_values(TableView table,
                    const std::string& name,
                    const std::string& expected,
                    const Accept& accept) {
    for (std::size_t i = 0; i < table.rows * table.cols; ++i) {
        if (accept(table.data[i])) continue;
        throw InvalidArgument(name + ": row " + std::to_string(i / table.cols) + ", column " +
                              std::to_string(i % table.cols) + " is " + as_text(table.data[i]) +
                              "; expected " + expected);
    }
}

}  // namespace nearmiss
