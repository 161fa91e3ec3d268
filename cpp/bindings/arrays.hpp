// SPDX-License-Identifier: Apache-2.0
// Between numpy arrays and the core's views. The only file that knows numpy. Arguments arrive
// checked by the Python layer; what is checked again here protects the core's invariants.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nearmiss/error.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
template <class T>
using OptionalArray = std::optional<Array<T>>;
using Csr = std::pair<Array<std::int64_t>, Array<std::int64_t>>;

inline ElementType parse_element_type(const std::string& name) {
    if (name == "float32") return ElementType::float32;
    if (name == "float16") return ElementType::float16;
    if (name == "bfloat16") return ElementType::bfloat16;
    if (name == "int8") return ElementType::int8;
    if (name == "uint8") return ElementType::uint8;
    throw InvalidArgument("element_type: unknown '" + name + "'");
}

inline const char* element_type_name(ElementType type) {
    static constexpr const char* kNames[] = {"float32", "float16", "bfloat16", "int8", "uint8"};
    return kNames[static_cast<std::size_t>(type)];
}

inline MatrixView matrix_view(const py::array& array, const std::string& element_type) {
    const ElementType type = parse_element_type(element_type);
    const auto size = static_cast<py::ssize_t>(element_size(type));
    require(array.ndim() == 2 && array.itemsize() == size, "matrix: wrong rank or item size");
    require(array.shape(1) <= 1 || array.strides(1) == size, "matrix: rows are not contiguous");
    return {static_cast<const std::byte*>(array.data()),
            static_cast<std::size_t>(array.shape(0)),
            static_cast<std::size_t>(array.shape(1)),
            static_cast<std::ptrdiff_t>(array.strides(0)),
            type};
}

inline TableView table_view(const Array<double>& array) {
    require(array.ndim() == 2, "table: wrong rank");
    return {array.data(),
            static_cast<std::size_t>(array.shape(0)),
            static_cast<std::size_t>(array.shape(1))};
}

template <class T>
std::span<const T> span_of(const Array<T>& array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

template <class T>
std::span<const T> span_of(const OptionalArray<T>& array) {
    return array ? span_of(*array) : std::span<const T>();
}

inline ListsView lists_view(const std::optional<Csr>& csr) {
    if (!csr) return {};
    return {span_of(csr->first), span_of(csr->second)};
}

// Hands the vector's memory to numpy without a copy.
template <class T>
py::array_t<T> to_numpy(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    T* data = owned->data();
    const py::capsule owner(owned.release(),
                            [](void* p) { delete static_cast<std::vector<T>*>(p); });
    return py::array_t<T>(std::move(shape), data, owner);
}

// One value per entry of a table.
template <class T>
py::array_t<T> to_numpy_like(TableView table, std::vector<T>&& values) {
    return to_numpy(std::move(values),
                    {static_cast<py::ssize_t>(table.rows), static_cast<py::ssize_t>(table.cols)});
}

// A read-only array over memory that `owner` keeps alive.
template <class T>
py::array_t<T> view_of(std::span<const T> values, const py::object& owner) {
    py::array_t<T> array(static_cast<py::ssize_t>(values.size()), values.data(), owner);
    array.attr("setflags")(py::arg("write") = false);
    return array;
}

}  // namespace nearmiss::bindings
