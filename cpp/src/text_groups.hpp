// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearmiss/texts.hpp"

namespace nearmiss {

using Hash = std::uint64_t (*)(const std::byte* bytes, std::size_t size) noexcept;

// `first_equal` by a given hash, however bad.
[[nodiscard]] std::vector<std::int64_t> first_equal_by(Hash hash,
                                                       std::span<const Text> texts,
                                                       const Execution& execution);

}  // namespace nearmiss
