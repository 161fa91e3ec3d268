// SPDX-License-Identifier: Apache-2.0
// Errors that cross the core's border. Messages name the argument, the row and what was expected.
#pragma once

#include <stdexcept>
#include <string>

namespace nearmiss {

// The caller's input cannot be used; nothing was changed. Becomes ValueError in Python.
class InvalidArgument : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

// The caller asked for the work to stop; results are discarded.
class Cancelled : public std::runtime_error {
  public:
    Cancelled() : std::runtime_error("cancelled") {}
};

inline void require(bool condition, const std::string& message) {
    if (!condition) throw InvalidArgument(message);
}

}  // namespace nearmiss
