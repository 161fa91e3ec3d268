// SPDX-License-Identifier: Apache-2.0
#include "duplicates.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "hash_bytes.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kRowsPerTask = 4096;

std::vector<std::uint64_t> hash_rows(MatrixView rows, const Execution& execution) {
    std::vector<std::uint64_t> hashes(rows.rows);
    const std::size_t tasks = (rows.rows + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t end = std::min(rows.rows, (task + 1) * kRowsPerTask);
        for (std::size_t i = task * kRowsPerTask; i < end; ++i)
            hashes[i] = hash_bytes(rows.row(i), rows.row_bytes());
        context.checkpoint(1);
    });
    return hashes;
}

}  // namespace

DuplicateClasses find_duplicates(MatrixView rows, const Execution& execution) {
    const std::vector<std::uint64_t> hashes = hash_rows(rows, execution);
    // Open addressing over the lowest row of every class; slots hold row + 1, 0 is empty.
    const std::size_t num_slots = std::bit_ceil(rows.rows * 2);
    std::vector<std::uint32_t> slots(num_slots, 0);
    std::vector<std::uint32_t> class_of_row(rows.rows);
    bool any = false;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        const auto row = static_cast<std::uint32_t>(i);
        std::size_t slot = hashes[i] & (num_slots - 1);
        for (;; slot = (slot + 1) & (num_slots - 1)) {
            if (slots[slot] == 0) {
                slots[slot] = row + 1;
                class_of_row[i] = row;
                break;
            }
            const std::uint32_t other = slots[slot] - 1;
            if (hashes[other] != hashes[i]) continue;
            if (std::memcmp(rows.row(other), rows.row(i), rows.row_bytes()) != 0) continue;
            class_of_row[i] = other;
            any = true;
            break;
        }
    }
    if (!any) return {};
    DuplicateClasses classes;
    classes.class_size.assign(rows.rows, 0);
    for (const std::uint32_t lowest : class_of_row) ++classes.class_size[lowest];
    std::vector<std::uint32_t> last(rows.rows);  // by class
    classes.next_row.resize(rows.rows);
    for (std::uint32_t row = 0; row < rows.rows; ++row) {
        const std::uint32_t lowest = class_of_row[row];
        if (row != lowest) classes.next_row[last[lowest]] = row;
        last[lowest] = classes.next_row[row] = row;
    }
    classes.class_of_row = std::move(class_of_row);
    return classes;
}

}  // namespace nearmiss
