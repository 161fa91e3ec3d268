// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/corpus.hpp"

namespace nearmiss::bindings {

Precision parse_precision(const std::string& name) {
    if (name == "auto") return Precision::automatic;
    if (name == "float32") return Precision::float32;
    if (name == "int8") return Precision::int8;
    if (name == "int16") return Precision::int16;
    throw InvalidArgument("precision: expected 'auto', 'float32', 'int16' or 'int8', got '" + name +
                          "'");
}

Metric parse_metric(const std::string& name) {
    if (name == "cosine") return Metric::cosine;
    if (name == "ip") return Metric::ip;
    if (name == "l2") return Metric::l2;
    throw InvalidArgument("metric: expected 'cosine', 'ip' or 'l2', got '" + name + "'");
}

namespace {

const char* metric_name(Metric metric) {
    static constexpr const char* kNames[] = {"cosine", "ip", "l2"};
    return kNames[static_cast<std::size_t>(metric)];
}

std::unique_ptr<PyCorpus> make_corpus(const py::array& rows,
                                      const std::string& element_type,
                                      const std::string& metric,
                                      const OptionalArray<std::int64_t>& groups,
                                      std::size_t num_threads,
                                      const std::string& precision) {
    const MatrixView view = matrix_view(rows, element_type);
    const Precision wanted = parse_precision(precision);
    const Metric parsed = parse_metric(metric);
    const Execution execution = make_execution(num_threads, py::none());
    const WithoutGil release;
    // Released only while packing: the array's reference is taken under the GIL.
    return std::unique_ptr<PyCorpus>(
        new PyCorpus{{}, py::none(), Corpus(view, parsed, span_of(groups), execution, wanted)});
}

// PackedState by the names of its members; codes and what belongs to them only if there are any.
py::dict save_state(const py::object& owner) {
    const auto& self = owner.cast<const PyCorpus&>();
    const PackedState state = self.corpus.state();
    py::dict dict;
    dict["layout"] = state.layout;
    dict["scale_exponent"] = state.scale_exponent;
    dict["max_norm"] = state.max_norm;
    dict["root_norms"] = view_of(state.root_norms, owner);
    if (state.codes.empty()) return dict;
    dict["codes"] = view_of(state.codes, owner);
    dict["row_terms"] = view_of(state.row_terms, owner);
    dict["centre"] = view_of(state.centre, owner);
    dict["segment_norms"] = view_of(state.segment_norms, owner);
    dict["scale"] = state.scale;
    dict["squared_norm"] = state.squared_norm;
    dict["peak"] = state.peak;
    dict["residual"] = state.residual;
    return dict;
}

template <class T>
std::span<const T> array_in(const py::dict& dict, const char* name) {
    if (!dict.contains(name)) return {};
    const py::object value = dict[name];
    if (!py::isinstance<Array<T>>(value))
        throw py::type_error(std::string("packed state: ") + name + " has the wrong type");
    return span_of(py::reinterpret_borrow<Array<T>>(value));
}

template <class T>
T scalar_in(const py::dict& dict, const char* name) {
    return dict.contains(name) ? dict[name].cast<T>() : T{};
}

std::unique_ptr<PyCorpus> restore_corpus(const py::array& rows,
                                         const std::string& element_type,
                                         const std::string& metric,
                                         const OptionalArray<std::int64_t>& groups,
                                         const py::dict& dict) {
    PackedState state;
    state.layout = scalar_in<std::uint32_t>(dict, "layout");
    state.scale_exponent = scalar_in<std::int32_t>(dict, "scale_exponent");
    state.max_norm = scalar_in<double>(dict, "max_norm");
    state.root_norms = array_in<double>(dict, "root_norms");
    state.codes = array_in<std::uint8_t>(dict, "codes");
    state.row_terms = array_in<float>(dict, "row_terms");
    state.centre = array_in<float>(dict, "centre");
    state.segment_norms = array_in<float>(dict, "segment_norms");
    state.scale = scalar_in<float>(dict, "scale");
    state.squared_norm = scalar_in<float>(dict, "squared_norm");
    state.peak = scalar_in<float>(dict, "peak");
    state.residual = scalar_in<float>(dict, "residual");
    return std::unique_ptr<PyCorpus>(new PyCorpus{
        rows,
        dict,
        Corpus::restore(
            matrix_view(rows, element_type), parse_metric(metric), span_of(groups), state)});
}

void move_rows(PyCorpus& self, const py::array& rows, const std::string& element_type) {
    const MatrixView view = matrix_view(rows, element_type);
    {
        const WithoutGil release;
        self.corpus.move_rows(view);
    }
    self.rows = rows;
}

void update(PyCorpus& self,
            const Array<std::int64_t>& positions,
            const py::array& rows,
            const std::string& element_type,
            std::size_t num_threads) {
    const MatrixView view = matrix_view(rows, element_type);
    for (const std::int64_t position : span_of(positions))
        require(position >= 0 && static_cast<std::size_t>(position) < self.corpus.num_rows(),
                "rows: " + std::to_string(position) + " is not a corpus row");
    const Execution execution = make_execution(num_threads, py::none());
    const WithoutGil release;
    self.corpus.update(span_of(positions), view, execution);
}

py::tuple lists(const PyCorpus& self,
                std::size_t num_lists,
                std::uint64_t seed,
                std::size_t num_threads) {
    ListsOfRows made = without_gil(num_threads, [&](const Execution& execution) {
        return self.corpus.lists(num_lists, seed, execution);
    });
    const auto dim = static_cast<py::ssize_t>(self.corpus.dim());
    const auto count = static_cast<py::ssize_t>(made.centers.size()) / dim;
    const auto num_rows = static_cast<py::ssize_t>(made.of_rows.size());
    return py::make_tuple(to_numpy(std::move(made.centers), {count, dim}),
                          to_numpy(std::move(made.of_rows), {num_rows}));
}

}  // namespace

void bind_corpus(py::module_& module) {
    py::class_<PyCorpus>(module, "Corpus")
        .def(py::init([](const py::array& rows,
                         const std::string& element_type,
                         const std::string& metric,
                         const OptionalArray<std::int64_t>& groups,
                         std::size_t num_threads,
                         const std::string& precision) {
                 auto made =
                     make_corpus(rows, element_type, metric, groups, num_threads, precision);
                 made->rows = rows;
                 return made;
             }),
             py::arg("rows").noconvert(),
             py::arg("element_type"),
             py::arg("metric"),
             py::arg("groups").noconvert() = py::none(),
             py::arg("num_threads") = 0,
             py::arg("precision") = "auto")
        .def_static("restore",
                    &restore_corpus,
                    py::arg("rows").noconvert(),
                    py::arg("element_type"),
                    py::arg("metric"),
                    py::arg("groups").noconvert(),
                    py::arg("state"))
        .def("state", &save_state)
        .def("move_rows", &move_rows, py::arg("rows").noconvert(), py::arg("element_type"))
        .def("update",
             &update,
             py::arg("positions").noconvert(),
             py::arg("rows").noconvert(),
             py::arg("element_type"),
             py::arg("num_threads") = 0)
        .def("lists",
             &lists,
             py::arg("num_lists") = 0,
             py::arg("seed") = 0,
             py::arg("num_threads") = 0)
        .def_property_readonly("num_rows", [](const PyCorpus& c) { return c.corpus.num_rows(); })
        .def_property_readonly("dim", [](const PyCorpus& c) { return c.corpus.dim(); })
        .def_property_readonly("metric",
                               [](const PyCorpus& c) { return metric_name(c.corpus.metric()); })
        .def_property_readonly(
            "element_type",
            [](const PyCorpus& c) { return element_type_name(c.corpus.element_type()); })
        .def_property_readonly("nbytes", [](const PyCorpus& c) { return c.corpus.nbytes(); });
}

}  // namespace nearmiss::bindings
