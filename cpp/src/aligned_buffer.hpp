// SPDX-License-Identifier: Apache-2.0
// An uninitialised, 64-byte aligned array; large ones ask the kernel for huge pages.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nearmiss {

template <class T>
class AlignedBuffer {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t size) : data_(allocate(size)), size_(size) {}

    [[nodiscard]] T* data() noexcept { return data_.get(); }
    [[nodiscard]] const T* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_.get()[i]; }
    [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_.get()[i]; }

    // Makes room for at least `size` elements; their values are lost if it grows.
    void reserve(std::size_t size) {
        if (size <= size_) return;
        data_.reset();
        size_ = 0;
        data_ = allocate(size);
        size_ = size;
    }

  private:
    static constexpr std::size_t kHugePage = std::size_t{1} << 21;

    static std::align_val_t alignment(std::size_t bytes) noexcept {
        return std::align_val_t{bytes >= kHugePage ? kHugePage : 64};
    }

    struct Free {
        std::align_val_t alignment{64};
        void operator()(T* p) const noexcept { ::operator delete(p, alignment); }
    };
    using Owner = std::unique_ptr<T, Free>;

    static Owner allocate(std::size_t size) {
        if (size == 0) return {};
        if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
        const std::size_t bytes = size * sizeof(T);
        const std::align_val_t align = alignment(bytes);
        void* memory = ::operator new(bytes, align);
#if defined(__linux__)
        // Fewer page faults while packing and fewer TLB misses while screening.
        if (bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
        return Owner(static_cast<T*>(memory), Free{align});
    }

    Owner data_;
    std::size_t size_ = 0;
};

}  // namespace nearmiss
