// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/runtime.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <thread>
#include <utility>

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

// The first two words of a file, or nothing.
std::pair<std::string, std::string> read_words(const std::string& path) {
    std::pair<std::string, std::string> words;
    std::ifstream(path) >> words.first >> words.second;
    return words;
}

// What the cgroup in `folder` allows; 0: no limit. Version 2 names both numbers in one file.
std::size_t quota_of(const std::string& folder) {
    const auto [quota, period] = read_words(folder + "/cpu.max");
    if (!quota.empty()) return quota_threads(quota, period);
    return quota_threads(read_words(folder + "/cpu.cfs_quota_us").first,
                         read_words(folder + "/cpu.cfs_period_us").first);
}

// The tightest CPU quota of this process's cgroup and those around it; 0: none.
std::size_t cgroup_threads() {
    std::size_t tightest = 0;
    std::ifstream memberships("/proc/self/cgroup");  // lines "id:controllers:path"
    for (std::string line; std::getline(memberships, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (!controllers.empty() && controllers.find("cpu") == std::string::npos) continue;
        const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
        for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
            const std::size_t quota = quota_of(root + path);
            if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
            if (path.rfind('/') == std::string::npos) break;
        }
    }
    return tightest;
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
