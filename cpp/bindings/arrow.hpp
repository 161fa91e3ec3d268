// SPDX-License-Identifier: Apache-2.0
// Texts of Arrow columns, read where they lie: the only file that knows Arrow. Columns come by its
// PyCapsule interface (pyarrow, pandas, polars, …), whose C structures are spelt out here as
// https://arrow.apache.org/docs/format/CDataInterface.html has them. Call with the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "nearmiss/texts.hpp"

namespace nearmiss::bindings {

struct ArrowSchema {
    const char* format;
    const char* name;
    const char* metadata;
    std::int64_t flags;
    std::int64_t n_children;
    ArrowSchema** children;
    ArrowSchema* dictionary;
    void (*release)(ArrowSchema*);
    void* private_data;
};

struct ArrowArray {
    std::int64_t length;
    std::int64_t null_count;
    std::int64_t offset;
    std::int64_t n_buffers;
    std::int64_t n_children;
    const void** buffers;
    ArrowArray** children;
    ArrowArray* dictionary;
    void (*release)(ArrowArray*);
    void* private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(ArrowArrayStream*, ArrowSchema* out);
    int (*get_next)(ArrowArrayStream*, ArrowArray* out);
    const char* (*get_last_error)(ArrowArrayStream*);
    void (*release)(ArrowArrayStream*);
    void* private_data;
};

struct ReleaseArrow {
    template <class Structure>
    void operator()(Structure* structure) const {
        if (structure->release != nullptr) structure->release(structure);
        delete structure;
    }
};

// The memory of a column's chunks, for as long as its texts are read.
using ArrowChunks = std::vector<std::unique_ptr<ArrowArray, ReleaseArrow>>;

// Whether an object is an Arrow column whose texts can be read: utf8, large_utf8 or utf8_view.
[[nodiscard]] bool is_arrow_text(const pybind11::object& column);

// Appends the texts of such a column; nulls are none.
[[nodiscard]] ArrowChunks append_arrow_texts(const pybind11::object& column,
                                             std::vector<Text>& texts);

}  // namespace nearmiss::bindings
