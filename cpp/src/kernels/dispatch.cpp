// SPDX-License-Identifier: Apache-2.0
#include "kernels/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "cpu.hpp"
#include "kernels/targets.hpp"
#include "nearmiss/runtime.hpp"

namespace nearmiss {
namespace kernels {

// simd_targets.inc is written by cpp/isa.cmake: one line per target built, best first.
#define NEARMISS_SIMD_TARGET(name, proven, condition) extern const KernelTable kernel_table_##name;
#include "simd_targets.inc"
#undef NEARMISS_SIMD_TARGET

namespace {

const Targets& runnable() {
    static const Targets targets = [] {
        [[maybe_unused]] const CpuFeatures cpu = detect_cpu();
        Targets here;
#define NEARMISS_SIMD_TARGET(name, proven, condition) \
    if (condition) here.emplace_back(kernel_table_##name, proven);
#include "simd_targets.inc"
#undef NEARMISS_SIMD_TARGET
        return here;
    }();
    return targets;
}

const KernelTable& first_choice() {
    const char* forced = std::getenv("NEARMISS_SIMD");
    if (forced != nullptr && *forced != '\0')
        return table_named(runnable(), forced, "NEARMISS_SIMD");
    return default_table(runnable());
}

std::atomic<const KernelTable*>& current() {
    static std::atomic<const KernelTable*> table{&first_choice()};
    return table;
}

}  // namespace

const KernelTable& active() { return *current().load(std::memory_order_acquire); }

}  // namespace kernels

std::vector<std::string> simd_targets() {
    std::vector<std::string> names;
    for (const bool proven : {true, false})
        for (const kernels::Target& target : kernels::runnable())
            if (target.proven() == proven && target.wrong_answer().empty())
                names.emplace_back(target.table().name);
    return names;
}

std::string simd_target() { return kernels::active().name; }

void set_simd_target(const std::string& name) {
    kernels::current().store(&kernels::table_named(kernels::runnable(), name, "simd target"),
                             std::memory_order_release);
}

}  // namespace nearmiss
