// SPDX-License-Identifier: Apache-2.0
#include "cpu.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#define NEARMISS_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace nearmiss {

#if defined(NEARMISS_X86)
namespace {

struct CpuId {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

CpuId cpuid(unsigned leaf) noexcept {
    CpuId r;
#if defined(_MSC_VER)
    int out[4];
    __cpuidex(out, static_cast<int>(leaf), 0);
    r = {unsigned(out[0]), unsigned(out[1]), unsigned(out[2]), unsigned(out[3])};
#else
    __get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d);
#endif
    return r;
}

unsigned long long enabled_state() noexcept {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    unsigned low = 0, high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<unsigned long long>(high) << 32) | low;
#endif
}

constexpr bool bit(unsigned word, int index) { return (word >> index & 1u) != 0; }

}  // namespace

CpuFeatures detect_cpu() noexcept {
    const CpuId basic = cpuid(1);
    const bool os_saves_state = bit(basic.c, 27);
    if (!os_saves_state) return {};
    const unsigned long long state = enabled_state();
    const bool ymm = (state & 0x6) == 0x6;
    if (!ymm || !bit(basic.c, 28)) return {};
    CpuFeatures cpu;
    cpu.avx2 = bit(cpuid(7).b, 5);
    cpu.fma = bit(basic.c, 12);
    cpu.f16c = bit(basic.c, 29);
    return cpu;
}
#else
CpuFeatures detect_cpu() noexcept { return {}; }
#endif

}  // namespace nearmiss
