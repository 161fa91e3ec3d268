// SPDX-License-Identifier: Apache-2.0
#include "large_memory.hpp"

#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nearmiss {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;

#if defined(__linux__)

// Of smaller blocks none is kept: searches hold many of them, of any size.
constexpr std::size_t kKeptFrom = std::size_t{32} << 20;
// Smaller blocks are often not filled, and would gain nothing by huge pages.
constexpr std::size_t kHugePagesFrom = std::size_t{8} << 20;

struct Block {
    std::byte* memory = nullptr;
    std::size_t bytes = 0;
};

// Those freed last: a corpus may have two forms, of int8 and of int16 codes.
constexpr std::size_t kMostKept = 2;
std::mutex kept_mutex;
Block kept[kMostKept];

// A kept block of this size, no longer kept; an empty one if there is none.
Block take_kept(std::size_t bytes) noexcept {
    const std::lock_guard lock(kept_mutex);
    for (Block& block : kept)
        if (block.bytes == bytes) return std::exchange(block, {});
    return {};
}

// Returns the block that is no longer kept for it, or an empty one.
Block keep(Block block) noexcept {
    const std::lock_guard lock(kept_mutex);
    for (Block& other : kept) {
        block = std::exchange(other, block);
        if (block.bytes == 0) break;
    }
    return block;
}

void unmap(Block block) noexcept {
    if (block.bytes != 0) munmap(block.memory, block.bytes);
}

std::size_t whole_huge_pages(std::size_t bytes) {
    if (bytes > static_cast<std::size_t>(-1) - 2 * kHugePage) throw std::bad_alloc();
    return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

Block map(std::size_t bytes) {
    const std::size_t padded = bytes + kHugePage;
    void* mapped =
        mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    auto* const first = static_cast<std::byte*>(mapped);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(first) % kHugePage;
    unmap({first, before});
    unmap({first + before + bytes, kHugePage - before});
    // Fewer page faults while filling and fewer TLB misses while reading.
    if (bytes >= kHugePagesFrom) madvise(first + before, bytes, MADV_HUGEPAGE);
    return {first + before, bytes};
}

#endif

}  // namespace

#if defined(__linux__)

void* allocate_large(std::size_t bytes) {
    const std::size_t whole = whole_huge_pages(bytes);
    if (whole < kKeptFrom) return map(whole).memory;
    const Block reused = take_kept(whole);
    return reused.bytes == whole ? reused.memory : map(whole).memory;
}

void free_large(void* memory, std::size_t bytes) noexcept {
    const Block block{static_cast<std::byte*>(memory), whole_huge_pages(bytes)};
#if defined(MADV_FREE)
    if (block.bytes >= kKeptFrom && madvise(block.memory, block.bytes, MADV_FREE) == 0) {
        unmap(keep(block));
        return;
    }
#endif
    unmap(block);
}

#else

void* allocate_large(std::size_t bytes) {
    return ::operator new(bytes, std::align_val_t{kHugePage});
}

void free_large(void* memory, std::size_t) noexcept {
    ::operator delete(memory, std::align_val_t{kHugePage});
}

#endif

}  // namespace nearmiss
