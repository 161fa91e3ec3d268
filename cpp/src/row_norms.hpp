// SPDX-License-Identifier: Apache-2.0
// Norms by the score definition; the check that every element is finite falls out of them.
#pragma once

#include <cstddef>
#include <span>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

struct RowCheck {
    const char* argument;  // named in errors
    bool refuse_zero;      // cosine has no answer for a zero row
};

// out[i] = sqrt(D(row i, row i)). Throws InvalidArgument as check_norms does.
void root_norms(MatrixView rows, RowCheck check, const Execution& execution, double* out);

// Throws InvalidArgument naming the lowest row that has a NaN or infinite element, which shows in
// its root norm, or is zero where that is refused.
void check_norms(std::span<const double> norms, RowCheck check);

}  // namespace nearmiss
