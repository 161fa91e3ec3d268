// SPDX-License-Identifier: Apache-2.0
// Memory for large buffers, taken from the system and given back to it: an allocator would keep
// what it got back in each thread's arena, up to several times what a search holds. Of packed
// corpora the two blocks freed last are kept for the next corpus of the same size: touching fresh
// pages costs several times what packing does. The kernel may take the pages of a kept block back
// whenever it needs them.
#pragma once

#include <cstddef>

namespace nearmiss {

// Smaller buffers are the allocator's.
inline constexpr std::size_t kLargeBytes = std::size_t{4} << 20;

// Aligned to a huge page, uninitialised. Throws std::bad_alloc. Thread-safe, as is freeing.
[[nodiscard]] void* allocate_large(std::size_t bytes);
void free_large(void* memory, std::size_t bytes) noexcept;

}  // namespace nearmiss
