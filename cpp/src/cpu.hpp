// SPDX-License-Identifier: Apache-2.0
// What this processor and operating system can run; the conditions in isa.cmake refer to it.
#pragma once

namespace nearmiss {

struct CpuFeatures {
    bool avx2 = false;
    bool fma = false;
    bool f16c = false;
    // All of F, CD, BW, DQ and VL (compilers may use CD where they may use the others), besides
    // avx2, fma and f16c.
    bool avx512 = false;
    bool avx512_vnni = false;
    bool dotprod = false;  // SDOT and UDOT of ARM
    bool i8mm = false;     // USMMLA and its like
};

[[nodiscard]] CpuFeatures detect_cpu() noexcept;

}  // namespace nearmiss
