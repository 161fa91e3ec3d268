// SPDX-License-Identifier: Apache-2.0
#include "kernels/targets.hpp"

#include "kernels/known_answers.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss::kernels {
namespace {

std::string names_of(const Targets& targets, const std::string& except) {
    std::string names;
    for (const Target& target : targets) {
        if (target.table().name == except) continue;
        names += (names.empty() ? "" : ", ") + std::string(target.table().name);
    }
    return names;
}

}  // namespace

const std::string& Target::wrong_answer() const {
    std::call_once(once_, [this] { wrong_answer_ = kernels::wrong_answer(table_); });
    return wrong_answer_;
}

const KernelTable& default_table(const Targets& targets) {
    for (const Target& target : targets)
        if (target.proven() && target.wrong_answer().empty()) return target.table();
    throw InvalidArgument("no SIMD target of this build can run here");
}

const KernelTable& table_named(const Targets& targets,
                               const std::string& name,
                               const std::string& source) {
    for (const Target& target : targets) {
        if (target.table().name != name) continue;
        require(target.wrong_answer().empty(),
                source + ": '" + name + "' is disabled: its " + target.wrong_answer() +
                    " gives wrong answers on this machine; choose one of " +
                    names_of(targets, name));
        return target.table();
    }
    throw InvalidArgument(source + ": '" + name + "' cannot run here; choose one of " +
                          names_of(targets, name));
}

}  // namespace nearmiss::kernels
