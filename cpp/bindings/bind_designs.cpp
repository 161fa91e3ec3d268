// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <string>
#include <utility>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/designs.hpp"

namespace nearmiss::bindings {

namespace {

Array<double> bound_inclusion_probabilities(const Array<double>& weights,
                                            const Array<std::int64_t>& sizes,
                                            std::size_t num_threads) {
    const TableView table = table_view(weights);
    return to_numpy_like(table, without_gil(num_threads, [&](const Execution& execution) {
                             return inclusion_probabilities(table, span_of(sizes), execution);
                         }));
}

py::tuple bound_conditional_poisson(const Array<double>& log_weights,
                                    const Array<std::int64_t>& sizes,
                                    const Array<std::int64_t>& query_ids,
                                    std::uint64_t seed,
                                    std::uint64_t epoch,
                                    std::size_t num_threads) {
    const TableView table = table_view(log_weights);
    const DrawKey key{seed, epoch, span_of(query_ids)};
    auto sample = without_gil(num_threads, [&](const Execution& execution) {
        return conditional_poisson(table, span_of(sizes), key, execution);
    });
    const auto rows = static_cast<py::ssize_t>(table.rows);
    const auto width = rows == 0 ? 0 : static_cast<py::ssize_t>(sample.columns.size() / table.rows);
    return py::make_tuple(to_numpy(std::move(sample.columns), {rows, width}),
                          to_numpy(std::move(sample.log_probabilities), {rows}));
}

Array<double> bound_conditional_poisson_inclusion(const Array<double>& log_weights,
                                                  const Array<std::int64_t>& sizes,
                                                  std::size_t num_threads) {
    const TableView table = table_view(log_weights);
    return to_numpy_like(table, without_gil(num_threads, [&](const Execution& execution) {
                             return conditional_poisson_inclusion(table, span_of(sizes), execution);
                         }));
}

Array<double> bound_conditional_poisson_weights(const Array<double>& inclusion,
                                                std::size_t num_threads) {
    const TableView table = table_view(inclusion);
    return to_numpy_like(table, without_gil(num_threads, [&](const Execution& execution) {
                             return conditional_poisson_weights(table, execution);
                         }));
}

PivotalOrder parse_order(const std::string& name) {
    if (name == "given") return PivotalOrder::given;
    if (name == "random") return PivotalOrder::random;
    throw InvalidArgument("order: expected 'given' or 'random', got '" + name + "'");
}

Array<std::int64_t> sample_to_numpy(TableView table, PivotalSample&& sample) {
    return to_numpy(std::move(sample.columns),
                    {static_cast<py::ssize_t>(table.rows), static_cast<py::ssize_t>(sample.width)});
}

Array<std::int64_t> bound_pivotal(const Array<double>& inclusion,
                                  const std::string& order,
                                  const Array<std::int64_t>& query_ids,
                                  std::uint64_t seed,
                                  std::uint64_t epoch,
                                  std::size_t num_threads) {
    const TableView table = table_view(inclusion);
    const PivotalOrder parsed = parse_order(order);
    const DrawKey key{seed, epoch, span_of(query_ids)};
    return sample_to_numpy(table, without_gil(num_threads, [&](const Execution& execution) {
                               return pivotal(table, parsed, key, execution);
                           }));
}

Array<std::int64_t> bound_local_pivotal(const Array<double>& inclusion,
                                        const py::array& vectors,
                                        const std::string& element_type,
                                        const Array<std::int64_t>& candidates,
                                        const Array<std::int64_t>& query_ids,
                                        std::uint64_t seed,
                                        std::uint64_t epoch,
                                        std::size_t num_threads) {
    const TableView table = table_view(inclusion);
    const MatrixView matrix = matrix_view(vectors, element_type);
    const DrawKey key{seed, epoch, span_of(query_ids)};
    return sample_to_numpy(table, without_gil(num_threads, [&](const Execution& execution) {
                               return local_pivotal(
                                   table, matrix, span_of(candidates), key, execution);
                           }));
}

Array<double> bound_leverage_scores(const py::array& vectors,
                                    const std::string& element_type,
                                    const Array<std::int64_t>& candidates,
                                    std::size_t num_threads) {
    const MatrixView matrix = matrix_view(vectors, element_type);
    const py::ssize_t rows = candidates.shape(0);
    const py::ssize_t cols = candidates.shape(1);
    auto scores = without_gil(num_threads, [&](const Execution& execution) {
        return leverage_scores(
            matrix, span_of(candidates), static_cast<std::size_t>(cols), execution);
    });
    return to_numpy(std::move(scores), {rows, cols});
}

}  // namespace

void bind_designs(py::module_& module) {
    module.def("inclusion_probabilities",
               &bound_inclusion_probabilities,
               py::arg("weights").noconvert(),
               py::arg("sizes").noconvert(),
               py::arg("num_threads") = 0);
    module.def("conditional_poisson",
               &bound_conditional_poisson,
               py::arg("log_weights").noconvert(),
               py::arg("sizes").noconvert(),
               py::arg("query_ids").noconvert(),
               py::arg("seed"),
               py::arg("epoch"),
               py::arg("num_threads") = 0);
    module.def("conditional_poisson_inclusion",
               &bound_conditional_poisson_inclusion,
               py::arg("log_weights").noconvert(),
               py::arg("sizes").noconvert(),
               py::arg("num_threads") = 0);
    module.def("conditional_poisson_weights",
               &bound_conditional_poisson_weights,
               py::arg("inclusion").noconvert(),
               py::arg("num_threads") = 0);
    module.def("pivotal",
               &bound_pivotal,
               py::arg("inclusion").noconvert(),
               py::arg("order"),
               py::arg("query_ids").noconvert(),
               py::arg("seed"),
               py::arg("epoch"),
               py::arg("num_threads") = 0);
    module.def("local_pivotal",
               &bound_local_pivotal,
               py::arg("inclusion").noconvert(),
               py::arg("vectors"),
               py::arg("element_type"),
               py::arg("candidates").noconvert(),
               py::arg("query_ids").noconvert(),
               py::arg("seed"),
               py::arg("epoch"),
               py::arg("num_threads") = 0);
    module.def("leverage_scores",
               &bound_leverage_scores,
               py::arg("vectors"),
               py::arg("element_type"),
               py::arg("candidates").noconvert(),
               py::arg("num_threads") = 0);
}

}  // namespace nearmiss::bindings
