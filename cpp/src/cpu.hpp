// SPDX-License-Identifier: Apache-2.0
// What this processor and operating system can run; the conditions in isa.cmake refer to it.
#pragma once

namespace nearmiss {

struct CpuFeatures {
    bool avx2 = false;
    bool fma = false;
    bool f16c = false;
};

[[nodiscard]] CpuFeatures detect_cpu() noexcept;

}  // namespace nearmiss
