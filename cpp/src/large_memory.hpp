// SPDX-License-Identifier: Apache-2.0
// Memory for packed corpora. The block freed last is kept for the next corpus of about its size:
// touching fresh pages costs several times what packing does. The kernel may take the pages of a
// kept block back whenever it needs them.
#pragma once

#include <cstddef>

namespace nearmiss {

// Aligned to a huge page, uninitialised. Throws std::bad_alloc. Thread-safe, as is freeing.
[[nodiscard]] void* allocate_large(std::size_t bytes);
void free_large(void* memory, std::size_t bytes) noexcept;

}  // namespace nearmiss
