// SPDX-License-Identifier: Apache-2.0
#include "arrow.hpp"

#include <stdexcept>
#include <utility>

namespace nearmiss::bindings {

namespace py = pybind11;

namespace {

constexpr const char* kStream = "__arrow_c_stream__";
constexpr const char* kArray = "__arrow_c_array__";

template <class Structure>
[[nodiscard]] Structure* structure_in(const py::handle& capsule, const char* name) {
    void* pointer = PyCapsule_GetPointer(capsule.ptr(), name);
    if (pointer == nullptr) throw py::error_already_set();
    return static_cast<Structure*>(pointer);
}

// Takes what a capsule or a stream holds.
[[nodiscard]] ArrowChunks::value_type taken(ArrowArray& array) {
    ArrowChunks::value_type owned(new ArrowArray(array));
    array.release = nullptr;
    return owned;
}

void check(ArrowArrayStream& stream, int status) {
    if (status == 0) return;
    const char* error = stream.get_last_error(&stream);
    throw std::runtime_error(std::string("Arrow: ") + (error == nullptr ? "cannot read" : error));
}

[[nodiscard]] std::string format_of(ArrowArrayStream& stream) {
    const std::unique_ptr<ArrowSchema, ReleaseArrow> schema(new ArrowSchema{});
    check(stream, stream.get_schema(&stream, schema.get()));
    return schema->dictionary == nullptr ? schema->format : "";
}

// The type of an object's values, as Arrow writes it; empty for what is no plain Arrow column.
[[nodiscard]] std::string format_of(const py::object& column) {
    if (py::hasattr(column, kStream)) {
        const py::object capsule = column.attr(kStream)();
        return format_of(*structure_in<ArrowArrayStream>(capsule, "arrow_array_stream"));
    }
    if (py::hasattr(column, kArray)) {
        const py::tuple capsules = column.attr(kArray)();
        const auto* schema = structure_in<ArrowSchema>(capsules[0], "arrow_schema");
        return schema->dictionary == nullptr ? schema->format : "";
    }
    return "";
}

[[nodiscard]] bool is_text(const std::string& format) {
    return format == "u" || format == "U" || format == "vu";
}

[[nodiscard]] ArrowChunks chunks_of(ArrowArrayStream& stream) {
    ArrowChunks chunks;
    for (;;) {
        ArrowArray array{};
        check(stream, stream.get_next(&stream, &array));
        if (array.release == nullptr) return chunks;
        chunks.push_back(taken(array));
    }
}

template <class Read>
void append(const ArrowArray& chunk, std::vector<Text>& texts, const Read& read) {
    const auto* valid = static_cast<const std::uint8_t*>(chunk.buffers[0]);
    for (std::int64_t i = chunk.offset; i < chunk.offset + chunk.length; ++i) {
        const bool is_null = valid != nullptr && (valid[i / 8] >> i % 8 & 1) == 0;
        texts.push_back(is_null ? Text{} : read(i));
    }
}

// Text i lies between offsets i and i + 1 of one buffer.
template <class Offset>
void append_adjacent(const ArrowArray& chunk, std::vector<Text>& texts) {
    const auto* offsets = static_cast<const Offset*>(chunk.buffers[1]);
    // Without a single character there need not be a buffer, which is not the same as no text.
    const auto* bytes = static_cast<const char*>(chunk.buffers[2]);
    if (bytes == nullptr) bytes = "";
    append(chunk, texts, [&](std::int64_t i) {
        return Text{bytes + offsets[i], static_cast<std::size_t>(offsets[i + 1] - offsets[i])};
    });
}

// Text i is 16 bytes: its length, then its up to 12 bytes; or four of them, a buffer and a place.
void append_views(const ArrowArray& chunk, std::vector<Text>& texts) {
    struct View {
        std::int32_t size;
        char prefix[4];
        std::int32_t buffer;
        std::int32_t offset;
    };
    static_assert(sizeof(View) == 16);
    const auto* views = static_cast<const View*>(chunk.buffers[1]);
    append(chunk, texts, [&](std::int64_t i) {
        const View& view = views[i];
        const auto size = static_cast<std::size_t>(view.size);
        if (size <= 12) return Text{reinterpret_cast<const char*>(&view) + 4, size};
        return Text{static_cast<const char*>(chunk.buffers[2 + view.buffer]) + view.offset, size};
    });
}

void append_chunk(const std::string& format, const ArrowArray& chunk, std::vector<Text>& texts) {
    if (chunk.length == 0) return;  // whose buffers may be missing
    if (format == "u") return append_adjacent<std::int32_t>(chunk, texts);
    if (format == "U") return append_adjacent<std::int64_t>(chunk, texts);
    append_views(chunk, texts);
}

}  // namespace

bool is_arrow_text(const py::object& column) {
    try {
        return is_text(format_of(column));
    } catch (py::error_already_set& error) {
        // An object that has the interface need not be able to export what it holds.
        if (!error.matches(PyExc_Exception)) throw;
        return false;
    }
}

ArrowChunks append_arrow_texts(const py::object& column, std::vector<Text>& texts) {
    const std::string format = format_of(column);
    if (!is_text(format)) throw py::type_error("expected an Arrow column of texts");
    ArrowChunks chunks;
    if (py::hasattr(column, kStream)) {
        const py::object capsule = column.attr(kStream)();
        chunks = chunks_of(*structure_in<ArrowArrayStream>(capsule, "arrow_array_stream"));
    } else {
        const py::tuple capsules = column.attr(kArray)();
        chunks.push_back(taken(*structure_in<ArrowArray>(capsules[1], "arrow_array")));
    }
    for (const auto& chunk : chunks) append_chunk(format, *chunk, texts);
    return chunks;
}

}  // namespace nearmiss::bindings
