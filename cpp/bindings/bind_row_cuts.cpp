// SPDX-License-Identifier: Apache-2.0
// Support truncation and thresholds, row by row.
#include <pybind11/stl.h>

#include <string>
#include <utility>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/thresholds.hpp"
#include "nearmiss/truncation.hpp"

namespace nearmiss::bindings {

namespace {

Truncation parse_truncation(const std::string& name) {
    if (name == "min_p") return Truncation::min_p;
    if (name == "top_p") return Truncation::top_p;
    if (name == "epsilon") return Truncation::epsilon;
    if (name == "eta") return Truncation::eta;
    throw InvalidArgument("rule: unknown '" + name + "'");
}

QuantileMethod parse_method(const std::string& name) {
    if (name == "linear") return QuantileMethod::linear;
    if (name == "inverted") return QuantileMethod::inverted;
    throw InvalidArgument("method: expected 'linear' or 'inverted', got '" + name + "'");
}

Whisker parse_side(const std::string& name) {
    if (name == "lower") return Whisker::lower;
    if (name == "upper") return Whisker::upper;
    throw InvalidArgument("side: expected 'lower' or 'upper', got '" + name + "'");
}

Array<double> bound_truncate(const Array<double>& values,
                             bool weights,
                             const std::string& rule,
                             double limit,
                             std::size_t min_keep,
                             std::size_t num_threads) {
    const TableView table = table_view(values);
    const TruncationRule parsed{parse_truncation(rule), limit, min_keep};
    return to_numpy_like(table, without_gil(num_threads, [&](const Execution& execution) {
                             return truncate(table, weights, parsed, execution);
                         }));
}

// One threshold per row, by thresholds(table, execution).
template <class Thresholds>
Array<double> per_row(const Array<double>& scores,
                      std::size_t num_threads,
                      const Thresholds& thresholds) {
    const TableView table = table_view(scores);
    auto found = without_gil(
        num_threads, [&](const Execution& execution) { return thresholds(table, execution); });
    return to_numpy(std::move(found), {static_cast<py::ssize_t>(table.rows)});
}

Array<double> bound_mean_plus_sd(const Array<double>& scores,
                                 double factor,
                                 std::size_t ddof,
                                 std::size_t num_threads) {
    return per_row(scores, num_threads, [&](TableView table, const Execution& execution) {
        return mean_plus_sd(table, factor, ddof, execution);
    });
}

Array<double> bound_quantile(const Array<double>& scores,
                             double q,
                             const std::string& method,
                             std::size_t num_threads) {
    const QuantileMethod parsed = parse_method(method);
    return per_row(scores, num_threads, [&](TableView table, const Execution& execution) {
        return quantile(table, q, parsed, execution);
    });
}

Array<double> bound_whisker(const Array<double>& scores,
                            double factor,
                            const std::string& side,
                            const std::string& method,
                            std::size_t num_threads) {
    const Whisker parsed_side = parse_side(side);
    const QuantileMethod parsed = parse_method(method);
    return per_row(scores, num_threads, [&](TableView table, const Execution& execution) {
        return whisker(table, factor, parsed_side, parsed, execution);
    });
}

}  // namespace

void bind_row_cuts(py::module_& module) {
    module.def("truncate",
               &bound_truncate,
               py::arg("values").noconvert(),
               py::arg("weights"),
               py::arg("rule"),
               py::arg("limit"),
               py::arg("min_keep"),
               py::arg("num_threads") = 0);
    module.def("mean_plus_sd",
               &bound_mean_plus_sd,
               py::arg("scores").noconvert(),
               py::arg("factor"),
               py::arg("ddof"),
               py::arg("num_threads") = 0);
    module.def("quantile",
               &bound_quantile,
               py::arg("scores").noconvert(),
               py::arg("q"),
               py::arg("method"),
               py::arg("num_threads") = 0);
    module.def("whisker",
               &bound_whisker,
               py::arg("scores").noconvert(),
               py::arg("factor"),
               py::arg("side"),
               py::arg("method"),
               py::arg("num_threads") = 0);
}

}  // namespace nearmiss::bindings
