// SPDX-License-Identifier: Apache-2.0
// An uninitialised, 64-byte aligned array; or a view of somebody else's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "large_memory.hpp"

namespace nearmiss {

template <class T>
class AlignedBuffer {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t size) : data_(allocate(size)), size_(size) {}

    // Refers to `values`, which must outlive the buffer and not be written through it; copies them
    // if they are not aligned.
    [[nodiscard]] static AlignedBuffer borrow(std::span<const T> values) {
        AlignedBuffer buffer;
        if (reinterpret_cast<std::uintptr_t>(values.data()) % 64 != 0) {
            buffer = AlignedBuffer(values.size());
            std::copy(values.begin(), values.end(), buffer.data());
            return buffer;
        }
        buffer.data_ = Owner(const_cast<T*>(values.data()), Free{0, true});
        buffer.size_ = values.size();
        return buffer;
    }

    // From here on the buffer may be written.
    void own() {
        if (!data_.get_deleter().borrowed) return;
        AlignedBuffer copy(size_);
        std::copy(data(), data() + size_, copy.data());
        *this = std::move(copy);
    }

    [[nodiscard]] std::span<const T> view() const noexcept { return {data(), size_}; }
    [[nodiscard]] T* data() noexcept { return data_.get(); }
    [[nodiscard]] const T* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T& operator[](std::size_t i) noexcept { return data_.get()[i]; }
    [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data_.get()[i]; }

    // Makes room for at least `size` elements; their values are lost if it grows.
    void reserve(std::size_t size) {
        if (size > size_) *this = AlignedBuffer(size);
    }

  private:
    static constexpr std::align_val_t kAlignment{64};

    struct Free {
        std::size_t bytes = 0;
        bool borrowed = false;
        void operator()(T* p) const noexcept {
            if (borrowed) return;
            if (bytes >= kLargeBytes)
                free_large(p, bytes);
            else
                ::operator delete(p, kAlignment);
        }
    };
    using Owner = std::unique_ptr<T, Free>;

    static Owner allocate(std::size_t size) {
        if (size == 0) return {};
        if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
        const std::size_t bytes = size * sizeof(T);
        void* memory =
            bytes >= kLargeBytes ? allocate_large(bytes) : ::operator new(bytes, kAlignment);
        return Owner(static_cast<T*>(memory), Free{bytes, false});
    }

    Owner data_;
    std::size_t size_ = 0;
};

}  // namespace nearmiss
