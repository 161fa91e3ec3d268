// SPDX-License-Identifier: Apache-2.0
#include "kernels/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "cpu.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/runtime.hpp"

namespace nearmiss {
namespace kernels {

// simd_targets.inc is written by cpp/isa.cmake: one line per target built, best first.
#define NEARMISS_SIMD_TARGET(name, condition) extern const KernelTable kernel_table_##name;
#include "simd_targets.inc"
#undef NEARMISS_SIMD_TARGET

namespace {

std::vector<const KernelTable*> runnable_tables() {
    [[maybe_unused]] const CpuFeatures cpu = detect_cpu();
    std::vector<const KernelTable*> tables;
#define NEARMISS_SIMD_TARGET(name, condition) \
    if (condition) tables.push_back(&kernel_table_##name);
#include "simd_targets.inc"
#undef NEARMISS_SIMD_TARGET
    return tables;
}

const std::vector<const KernelTable*>& runnable() {
    static const std::vector<const KernelTable*> tables = runnable_tables();
    return tables;
}

const KernelTable& find(const std::string& name, const std::string& source) {
    std::string known;
    for (const KernelTable* table : runnable()) {
        if (name == table->name) return *table;
        known += known.empty() ? table->name : std::string(", ") + table->name;
    }
    throw InvalidArgument(source + ": '" + name + "' cannot run here; choose one of " + known);
}

const KernelTable& first_choice() {
    const char* forced = std::getenv("NEARMISS_SIMD");
    if (forced != nullptr && *forced != '\0') return find(forced, "NEARMISS_SIMD");
    require(!runnable().empty(), "no SIMD target of this build can run here");
    return *runnable().front();
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
    for (const kernels::KernelTable* table : kernels::runnable()) names.emplace_back(table->name);
    return names;
}

std::string simd_target() { return kernels::active().name; }

void set_simd_target(const std::string& name) {
    kernels::current().store(&kernels::find(name, "simd target"), std::memory_order_release);
}

}  // namespace nearmiss
