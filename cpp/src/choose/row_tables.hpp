// SPDX-License-Identifier: Apache-2.0
// What works on tables row by row shares: blocks of rows over threads, checks of values.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "nearmiss/error.hpp"
#include "nearmiss/views.hpp"
#include "parallel.hpp"

namespace nearmiss {

inline constexpr std::size_t kRowsPerBlock = 16;

// Calls body(first, last, context) for blocks of consecutive rows, on all threads.
template <class Body>
void for_row_blocks(std::size_t rows, const Execution& execution, const Body& body) {
    const std::size_t tasks = (rows + kRowsPerBlock - 1) / kRowsPerBlock;
    run_parallel(tasks, rows, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t first = task * kRowsPerBlock;
        body(first, std::min(first + kRowsPerBlock, rows), context);
    });
}

[[nodiscard]] inline std::string number_text(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
}

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
                              std::to_string(i % table.cols) + " is " + number_text(table.data[i]) +
                              "; expected " + expected);
    }
}

}  // namespace nearmiss
