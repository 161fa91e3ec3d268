// SPDX-License-Identifier: Apache-2.0
// For functions and lambdas of kernels that must not remain calls.
#pragma once

#if defined(__GNUC__)
#define NEARMISS_ALWAYS_INLINE __attribute__((always_inline))
#else
#define NEARMISS_ALWAYS_INLINE
#endif
