// SPDX-License-Identifier: Apache-2.0
// Small problems whose answers are known: those of the target "scalar". A target that was compiled
// wrongly, or written by somebody who had no such machine, gives itself away here and not in a
// search.
#pragma once

#include <string>

#include "kernels/kernels.hpp"

namespace nearmiss::kernels {

// The first function of `table` that gives a wrong answer; empty if there is none. Takes about a
// millisecond.
[[nodiscard]] std::string wrong_answer(const KernelTable& table);

}  // namespace nearmiss::kernels
