// SPDX-License-Identifier: Apache-2.0
// Chooses the kernels. A call reads active() once and passes the table on.
#pragma once

#include "kernels/kernels.hpp"

namespace nearmiss::kernels {

[[nodiscard]] const KernelTable& active();

}  // namespace nearmiss::kernels
