// SPDX-License-Identifier: Apache-2.0
// Which texts are equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/runtime.hpp"

namespace nearmiss {

// How the characters of a text are stored: as UTF-8, or each as a code point of 1, 2 or 4 bytes.
enum class Coding : std::uint8_t { utf8, latin1, ucs2, ucs4 };

// A text of somebody else. `size` counts bytes of UTF-8, or else characters, which are aligned to
// their size.
struct Text {
    const void* data = nullptr;  // null: there is none
    std::size_t size = 0;
    Coding coding = Coding::utf8;
};

// For each text, the place of the first one that is equal to it; -1 where there is none. Texts are
// equal if their characters are, however they are stored: hashes only tell which ones to compare.
// The result does not depend on the number of threads.
//
// Memory beyond the result: up to 48 bytes per text, and the longest text for each thread.
[[nodiscard]] std::vector<std::int64_t> first_equal(std::span<const Text> texts,
                                                    const Execution& execution);

}  // namespace nearmiss
