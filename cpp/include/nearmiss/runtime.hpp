// SPDX-License-Identifier: Apache-2.0
// Threads, SIMD targets, progress: what every call shares.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace nearmiss {

// Called on the calling thread, some twenty times a second, with the fraction done in [0, 1]. An
// exception it throws stops the work within a fraction of a second and reaches the caller.
using Progress = std::function<void(double fraction)>;

struct Execution {
    std::size_t num_threads = 0;  // 0: default_num_threads()
    Progress progress;            // may be empty

    // For a step before (after) the main work: can be stopped alike, but reports `fraction`.
    [[nodiscard]] Execution at(double fraction) const {
        if (!progress) return *this;
        return {num_threads, [report = progress, fraction](double) { report(fraction); }};
    }

    // For one part of the work: its own fraction done counts from `begin` to `end` of the whole.
    [[nodiscard]] Execution part(double begin, double end) const {
        if (!progress) return *this;
        return {num_threads, [report = progress, begin, end](double fraction) {
                    report(begin + fraction * (end - begin));
                }};
    }
};

// NEARMISS_NUM_THREADS if set (InvalidArgument unless a positive integer); otherwise what the
// affinity mask and the cgroup's CPU quota allow, at least 1.
[[nodiscard]] std::size_t default_num_threads();

// The SIMD targets this machine can run and that give the right answers to a few small problems:
// those chosen by default, best first, then those that must be asked for by name.
[[nodiscard]] std::vector<std::string> simd_targets();

// The target in use: the first of these, or the one NEARMISS_SIMD names (InvalidArgument if it
// cannot run here or gives wrong answers).
[[nodiscard]] std::string simd_target();

// Chooses a target for calls that start later. Safe at any time; results never depend on it.
void set_simd_target(const std::string& name);

}  // namespace nearmiss
