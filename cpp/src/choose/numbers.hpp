// SPDX-License-Identifier: Apache-2.0
// Numbers in messages.
#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace nearmiss {

// Short where that says all of it.
[[nodiscard]] inline std::string as_text(double value) {
    if (std::isnan(value)) return "nan";
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%g", value);
    if (std::strtod(buffer.data(), nullptr) != value)
        std::snprintf(buffer.data(), buffer.size(), "%.17g", value);
    return buffer.data();
}

}  // namespace nearmiss
