// SPDX-License-Identifier: Apache-2.0
// For functions and lambdas of kernels that must not remain calls, and for those that must: the
// fewer loops a function has, the fewer loop counters GCC 12 keeps on the stack.
#pragma once

#if defined(__GNUC__)
#define NEARMISS_ALWAYS_INLINE __attribute__((always_inline))
#define NEARMISS_NEVER_INLINE __attribute__((noinline))
#else
#define NEARMISS_ALWAYS_INLINE
#define NEARMISS_NEVER_INLINE
#endif
