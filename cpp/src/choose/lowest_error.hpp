// SPDX-License-Identifier: Apache-2.0
// Of the errors that rows of a parallel loop run into, the one of the lowest row is raised, so that
// what is reported does not depend on the threads.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <utility>

#include "nearmiss/error.hpp"

namespace nearmiss {

class LowestError {
  public:
    // From any thread.
    void note(std::size_t row, std::string message) {
        const std::lock_guard lock(mutex_);
        if (!message_.empty() && row >= row_) return;
        row_ = row;
        message_ = std::move(message);
    }

    // Throws InvalidArgument if anything was noted; after the loop.
    void raise() const { require(message_.empty(), message_); }

  private:
    std::mutex mutex_;
    std::size_t row_ = 0;
    std::string message_;
};

}  // namespace nearmiss
