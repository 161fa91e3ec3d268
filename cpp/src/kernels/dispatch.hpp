// SPDX-License-Identifier: Apache-2.0
// Chooses the kernels. Read once per step of a call, never per row; any mixture gives the same
// bits.
#pragma once

#include "kernels/kernels.hpp"

namespace nearmiss::kernels {

[[nodiscard]] const KernelTable& active();

}  // namespace nearmiss::kernels
