// SPDX-License-Identifier: Apache-2.0
#include "cpu.hpp"

#include <cstddef>

#if defined(__x86_64__) || defined(_M_X64)
#define NEARMISS_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_M_ARM64)
#include <windows.h>
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
    const CpuId extended = cpuid(7);
    CpuFeatures cpu;
    cpu.avx2 = bit(extended.b, 5);
    cpu.fma = bit(basic.c, 12);
    cpu.f16c = bit(basic.c, 29);
    // Besides, the system must save mask registers and the upper halves and upper sixteen of zmm.
    constexpr int kFoundation = 16, kConflict = 28, kBytes = 30, kDoubles = 17, kLengths = 31;
    cpu.avx512 = (state & 0xe0) == 0xe0 && cpu.avx2 && cpu.fma && cpu.f16c &&
                 bit(extended.b, kFoundation) && bit(extended.b, kConflict) &&
                 bit(extended.b, kBytes) && bit(extended.b, kDoubles) && bit(extended.b, kLengths);
    cpu.avx512_vnni = cpu.avx512 && bit(extended.c, 11);
    return cpu;
}
#elif defined(__aarch64__) && defined(__linux__)
CpuFeatures detect_cpu() noexcept {
    constexpr unsigned long kDotProduct = 1ul << 20;     // HWCAP_ASIMDDP
    constexpr unsigned long kMatrixProduct = 1ul << 13;  // HWCAP2_I8MM
    CpuFeatures cpu;
    cpu.dotprod = (getauxval(AT_HWCAP) & kDotProduct) != 0;
    cpu.i8mm = (getauxval(AT_HWCAP2) & kMatrixProduct) != 0;
    return cpu;
}
#elif defined(__aarch64__) && defined(__APPLE__)
namespace {

bool has(const char* feature) noexcept {
    int value = 0;
    std::size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace

CpuFeatures detect_cpu() noexcept {
    CpuFeatures cpu;
    cpu.dotprod = has("hw.optional.arm.FEAT_DotProd");
    cpu.i8mm = has("hw.optional.arm.FEAT_I8MM");
    return cpu;
}
#elif defined(_M_ARM64)
CpuFeatures detect_cpu() noexcept {
    constexpr DWORD kDotProduct = 43;     // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
    constexpr DWORD kMatrixProduct = 66;  // PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE
    CpuFeatures cpu;
    cpu.dotprod = IsProcessorFeaturePresent(kDotProduct) != 0;
    cpu.i8mm = IsProcessorFeaturePresent(kMatrixProduct) != 0;
    return cpu;
}
#else
CpuFeatures detect_cpu() noexcept { return {}; }
#endif

}  // namespace nearmiss
