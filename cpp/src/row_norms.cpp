// SPDX-License-Identifier: Apache-2.0
#include "row_norms.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kRowsPerTask = 2048;

[[noreturn]] void refuse(RowCheck check, std::size_t row, const char* why) {
    throw InvalidArgument(std::string(check.argument) + ": row " + std::to_string(row) + why);
}

}  // namespace

void root_norms(MatrixView rows, RowCheck check, const Execution& execution, double* out) {
    const auto& typed = kernels::active().of_type[static_cast<std::size_t>(rows.type)];
    const std::size_t tasks = (rows.rows + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t end = std::min(rows.rows, (task + 1) * kRowsPerTask);
        for (std::size_t i = task * kRowsPerTask; i < end; ++i)
            out[i] = std::sqrt(typed.squared_norm(rows.row(i), rows.cols));
        context.checkpoint(1);
    });
    // Afterwards and in order, so that the row named does not depend on the threads.
    check_norms({out, rows.rows}, check);
}

void check_norms(std::span<const double> norms, RowCheck check) {
    for (std::size_t i = 0; i < norms.size(); ++i) {
        if (!std::isfinite(norms[i])) refuse(check, i, " has a NaN or infinite element");
        if (check.refuse_zero && norms[i] == 0)
            refuse(check, i, " is zero, which has no cosine; drop it or use metric=\"ip\"");
    }
}

}  // namespace nearmiss
