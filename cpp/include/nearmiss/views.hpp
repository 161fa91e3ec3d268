// SPDX-License-Identifier: Apache-2.0
// Non-owning views of the caller's arrays. The caller keeps the memory alive and unchanged for as
// long as a view (or anything built over it) is in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nearmiss {

// Every value of every type is exact in float32.
enum class ElementType : std::uint8_t { float32, float16, bfloat16, int8, uint8 };

[[nodiscard]] constexpr std::size_t element_size(ElementType type) noexcept {
    switch (type) {
    case ElementType::float32:
        return 4;
    case ElementType::float16:
    case ElementType::bfloat16:
        return 2;
    case ElementType::int8:
    case ElementType::uint8:
        return 1;
    }
    return 0;
}

// A rows x cols matrix. The elements of a row are adjacent and aligned to their size; rows are
// row_stride bytes apart (any sign).
struct MatrixView {
    const std::byte* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::ptrdiff_t row_stride = 0;
    ElementType type = ElementType::float32;

    [[nodiscard]] const std::byte* row(std::size_t i) const noexcept {
        return data + static_cast<std::ptrdiff_t>(i) * row_stride;
    }
    [[nodiscard]] std::size_t row_bytes() const noexcept { return cols * element_size(type); }
};

// A rows x cols table of numbers, row after row.
struct TableView {
    const double* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;

    [[nodiscard]] std::span<const double> row(std::size_t i) const noexcept {
        return {data + i * cols, cols};
    }
};

// One ascending, duplicate-free list of corpus rows per query, in CSR form. An empty indptr stands
// for empty lists.
struct ListsView {
    std::span<const std::int64_t> indptr;
    std::span<const std::int64_t> rows;

    [[nodiscard]] std::span<const std::int64_t> list(std::size_t query) const noexcept {
        if (indptr.empty()) return {};
        const auto begin = static_cast<std::size_t>(indptr[query]);
        const auto end = static_cast<std::size_t>(indptr[query + 1]);
        return rows.subspan(begin, end - begin);
    }
};

}  // namespace nearmiss
