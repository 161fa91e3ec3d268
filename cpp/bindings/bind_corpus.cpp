// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/corpus.hpp"

namespace nearmiss::bindings {

namespace {

Metric parse_metric(const std::string& name) {
    if (name == "cosine") return Metric::cosine;
    if (name == "ip") return Metric::ip;
    if (name == "l2") return Metric::l2;
    throw InvalidArgument("metric: expected 'cosine', 'ip' or 'l2', got '" + name + "'");
}

const char* metric_name(Metric metric) {
    static constexpr const char* kNames[] = {"cosine", "ip", "l2"};
    return kNames[static_cast<std::size_t>(metric)];
}

std::unique_ptr<PyCorpus> make_corpus(const py::array& rows,
                                      const std::string& element_type,
                                      const std::string& metric,
                                      const OptionalArray<std::int64_t>& groups,
                                      std::size_t num_threads) {
    const MatrixView view = matrix_view(rows, element_type);
    const Metric parsed = parse_metric(metric);
    const Execution execution = make_execution(num_threads, py::none());
    const py::gil_scoped_release release;
    // Released only while packing: the array's reference is taken under the GIL.
    return std::unique_ptr<PyCorpus>(
        new PyCorpus{{}, Corpus(view, parsed, span_of(groups), execution)});
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
    const py::gil_scoped_release release;
    self.corpus.update(span_of(positions), view, execution);
}

}  // namespace

void bind_corpus(py::module_& module) {
    py::class_<PyCorpus>(module, "Corpus")
        .def(py::init([](const py::array& rows,
                         const std::string& element_type,
                         const std::string& metric,
                         const OptionalArray<std::int64_t>& groups,
                         std::size_t num_threads) {
                 auto made = make_corpus(rows, element_type, metric, groups, num_threads);
                 made->rows = rows;
                 return made;
             }),
             py::arg("rows").noconvert(),
             py::arg("element_type"),
             py::arg("metric"),
             py::arg("groups").noconvert() = py::none(),
             py::arg("num_threads") = 0)
        .def("update",
             &update,
             py::arg("positions").noconvert(),
             py::arg("rows").noconvert(),
             py::arg("element_type"),
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
