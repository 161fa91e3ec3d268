// SPDX-License-Identifier: Apache-2.0
// Which SIMD target to use.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "kernels/kernels.hpp"

namespace nearmiss::kernels {

// A target that this build holds and whose instructions this machine has.
class Target {
  public:
    Target(const KernelTable& table, bool proven) : table_(table), proven_(proven) {}

    [[nodiscard]] const KernelTable& table() const noexcept { return table_; }
    // Others are used only by those who name them: nobody has seen them run.
    [[nodiscard]] bool proven() const noexcept { return proven_; }
    // See known_answers.hpp. Found out when first asked for, so that no target runs unasked.
    [[nodiscard]] const std::string& wrong_answer() const;

  private:
    const KernelTable& table_;
    bool proven_;
    mutable std::once_flag once_;
    mutable std::string wrong_answer_;
};

// Best first.
using Targets = std::deque<Target>;

// The best proven target with right answers. InvalidArgument if there is none.
[[nodiscard]] const KernelTable& default_table(const Targets& targets);

// The target of that name. InvalidArgument, said to come from `source`, if it is not among
// `targets` or gives wrong answers.
[[nodiscard]] const KernelTable& table_named(const Targets& targets,
                                             const std::string& name,
                                             const std::string& source);

}  // namespace nearmiss::kernels
