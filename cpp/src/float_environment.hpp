// SPDX-License-Identifier: Apache-2.0
// Round to nearest, keep subnormals: whatever the calling thread has set, for the guard's lifetime.
#pragma once

#include <cfenv>
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace nearmiss {

class FloatEnvironment {
  public:
#if defined(__x86_64__) || defined(_M_X64)
    FloatEnvironment() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(kDefault); }
    ~FloatEnvironment() { _mm_setcsr(saved_); }

  private:
    static constexpr unsigned kDefault = 0x1f80;  // all exceptions masked, nearest, no FTZ or DAZ
    unsigned saved_;

#elif defined(__aarch64__) && defined(__GNUC__)
    FloatEnvironment() noexcept {
        __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
        __asm__ volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
    }
    ~FloatEnvironment() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

  private:
    std::uint64_t saved_ = 0;
#else
    FloatEnvironment() noexcept {
        std::fegetenv(&saved_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~FloatEnvironment() { std::fesetenv(&saved_); }

  private:
    std::fenv_t saved_;
#endif

  public:
    FloatEnvironment(const FloatEnvironment&) = delete;
    FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

}  // namespace nearmiss
