// SPDX-License-Identifier: Apache-2.0
// Scores that overflow float32 raise (promise 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

#include "collect/keys.hpp"

namespace nearmiss {

// Remembers the lowest offending query, so that the error does not depend on the threads.
class OverflowCheck {
  public:
    // From any thread. `keys`: a pool, best first; only its ends can be infinite.
    void note_pool(std::size_t query, std::span<const Key> keys);
    void note(std::size_t query, std::uint32_t row, float score);

    // Throws InvalidArgument if anything noted was infinite.
    void raise() const;

  private:
    std::mutex mutex_;
    bool found_ = false;
    std::size_t query_ = 0;
    std::uint32_t row_ = 0;
};

}  // namespace nearmiss
