// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/runtime.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <thread>

#include "nearmiss/error.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace nearmiss {
namespace {

std::size_t affinity_threads() {
#if defined(__linux__)
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(cpus));
        if (set == nullptr) break;
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
        const bool known = sched_getaffinity(0, bytes, set) == 0;
        const int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return static_cast<std::size_t>(count);
    }
#endif
    return std::max(1u, std::thread::hardware_concurrency());
}

// Threads worth `quota` microseconds per `period`, rounded up; "max" or nonsense: no limit.
std::size_t quota_threads(const std::string& quota, const std::string& period) {
    char* end = nullptr;
    const double limit = std::strtod(quota.c_str(), &end);
    if (end == quota.c_str() || limit <= 0) return 0;
    const double per = std::strtod(period.c_str(), &end);
    if (end == period.c_str() || per <= 0) return 0;
    return static_cast<std::size_t>(std::ceil(limit / per));
}

// The CPU quota of this process's cgroup, 0 where there is none.
std::size_t cgroup_threads() {
    std::string quota;
    std::string period;
    std::ifstream v2("/sys/fs/cgroup/cpu.max");
    if (v2 >> quota >> period) return quota_threads(quota, period);
    std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (v1_quota >> quota && v1_period >> period) return quota_threads(quota, period);
    return 0;
}

std::size_t threads_from_environment(std::string_view text) {
    std::size_t threads = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
    require(error == std::errc() && end == text.data() + text.size() && threads > 0,
            "NEARMISS_NUM_THREADS: expected a positive integer, got '" + std::string(text) + "'");
    return threads;
}

}  // namespace

std::size_t default_num_threads() {
    const char* forced = std::getenv("NEARMISS_NUM_THREADS");
    if (forced != nullptr && *forced != '\0') return threads_from_environment(forced);
    const std::size_t allowed = affinity_threads();
    const std::size_t quota = cgroup_threads();
    return quota > 0 ? std::clamp<std::size_t>(quota, 1, allowed) : allowed;
}

}  // namespace nearmiss
