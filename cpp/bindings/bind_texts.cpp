// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "arrow.hpp"
#include "bindings.hpp"
#include "nearmiss/texts.hpp"

namespace nearmiss::bindings {

namespace {

// The characters of a str, where they lie: they never change, and stay while the str does.
[[nodiscard]] Text text_of(PyObject* string) {
#if PY_VERSION_HEX < 0x030C0000  // until then, a str could be made in another form first
    if (PyUnicode_READY(string) != 0) throw py::error_already_set();
#endif
    const auto size = static_cast<std::size_t>(PyUnicode_GET_LENGTH(string));
    const void* data = PyUnicode_DATA(string);
    if (PyUnicode_IS_ASCII(string)) return {data, size, Coding::utf8};
    switch (PyUnicode_KIND(string)) {
    case PyUnicode_1BYTE_KIND:
        return {data, size, Coding::latin1};
    case PyUnicode_2BYTE_KIND:
        return {data, size, Coding::ucs2};
    default:
        return {data, size, Coding::ucs4};
    }
}

void append_strings(const std::string& name, const py::tuple& column, std::vector<Text>& texts) {
    const auto size = static_cast<Py_ssize_t>(column.size());
    texts.reserve(texts.size() + column.size());
    for (Py_ssize_t row = 0; row < size; ++row) {
        PyObject* item = PyTuple_GET_ITEM(column.ptr(), row);
        if (item == Py_None)
            texts.emplace_back();
        else if (PyUnicode_Check(item))
            texts.push_back(text_of(item));
        else
            throw py::type_error(name + ": expected all integers or all strings, but row " +
                                 std::to_string(row) + " holds " +
                                 py::repr(item).cast<std::string>());
    }
}

// Columns of texts; the tuples and Arrow's memory stay with this object.
Array<std::int64_t> bound_first_equal(const py::list& columns, std::size_t num_threads) {
    std::vector<Text> texts;
    std::vector<ArrowChunks> chunks;
    const py::tuple held(columns);  // the list may change while the GIL is away
    for (const py::handle entry : held) {
        const auto [name, column] = entry.cast<std::pair<std::string, py::object>>();
        if (py::isinstance<py::tuple>(column))
            append_strings(name, py::reinterpret_borrow<py::tuple>(column), texts);
        else
            chunks.push_back(append_arrow_texts(column, texts));
    }
    std::vector<std::int64_t> firsts = without_gil(
        num_threads, [&](const Execution& execution) { return first_equal(texts, execution); });
    const auto size = static_cast<py::ssize_t>(firsts.size());
    return to_numpy(std::move(firsts), {size});
}

}  // namespace

void bind_texts(py::module_& module) {
    module.def("is_arrow_text", &is_arrow_text, py::arg("column"));
    module.def("first_equal", &bound_first_equal, py::arg("columns"), py::arg("num_threads") = 0);
}

}  // namespace nearmiss::bindings
