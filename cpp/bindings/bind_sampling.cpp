// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/portable_math.hpp"
#include "nearmiss/sampling.hpp"

namespace nearmiss::bindings {

namespace {

py::tuple to_tuple(Draws&& draws,
                   std::size_t num_rows,
                   std::size_t num_drawn,
                   bool with_log_probs) {
    const auto n = static_cast<py::ssize_t>(num_rows);
    const auto k = static_cast<py::ssize_t>(num_drawn);
    py::object log_probs = py::none();
    if (with_log_probs) log_probs = to_numpy(std::move(draws.log_probs), {n, k});
    return py::make_tuple(to_numpy(std::move(draws.indices), {n, k}),
                          to_numpy(std::move(draws.counts), {n}),
                          log_probs);
}

py::tuple bound_sample_weighted(const Array<double>& log_weights,
                                const OptionalArray<std::int64_t>& ids,
                                std::size_t num_drawn,
                                const Array<std::int64_t>& query_ids,
                                std::uint64_t seed,
                                std::uint64_t epoch,
                                bool with_log_probs,
                                std::size_t num_threads) {
    require(log_weights.ndim() == 2, "log_weights: expected two dimensions");
    const WeightedRows rows{span_of(log_weights),
                            span_of(ids),
                            static_cast<std::size_t>(log_weights.shape(0)),
                            static_cast<std::size_t>(log_weights.shape(1))};
    const DrawKey key{seed, epoch, span_of(query_ids)};
    auto draws = without_gil(num_threads, [&](const Execution& execution) {
        return sample_weighted(rows, num_drawn, with_log_probs, key, execution);
    });
    return to_tuple(std::move(draws), rows.num_rows, num_drawn, with_log_probs);
}

py::tuple bound_sample_complement(std::uint64_t num_items,
                                  const Csr& excluded,
                                  std::size_t num_drawn,
                                  const OptionalArray<double>& weights,
                                  bool replace,
                                  const Array<std::int64_t>& query_ids,
                                  std::uint64_t seed,
                                  std::uint64_t epoch,
                                  std::size_t num_threads) {
    const ComplementRows rows{num_items,
                              lists_view(excluded),
                              span_of(weights),
                              static_cast<std::size_t>(query_ids.size()),
                              replace};
    const DrawKey key{seed, epoch, span_of(query_ids)};
    auto draws = without_gil(num_threads, [&](const Execution& execution) {
        return sample_complement(rows, num_drawn, key, execution);
    });
    return to_tuple(std::move(draws), rows.num_rows, num_drawn, false);
}

py::array_t<std::int64_t> draw(const AliasTable& table,
                               std::size_t num_drawn,
                               const Array<std::int64_t>& query_ids,
                               std::uint64_t seed,
                               std::uint64_t epoch,
                               std::size_t num_threads) {
    const DrawKey key{seed, epoch, span_of(query_ids)};
    auto items = without_gil(num_threads, [&](const Execution& execution) {
        return table.draw(static_cast<std::size_t>(query_ids.size()), num_drawn, key, execution);
    });
    return to_numpy(std::move(items), {query_ids.size(), static_cast<py::ssize_t>(num_drawn)});
}

py::array_t<double> probabilities(const AliasTable& table) {
    const auto masses = table.masses();
    const auto sum =
        static_cast<double>(std::accumulate(masses.begin(), masses.end(), std::uint64_t{0}));
    std::vector<double> values(masses.size());
    std::transform(masses.begin(), masses.end(), values.begin(), [sum](std::uint64_t mass) {
        return static_cast<double>(mass) / sum;
    });
    return to_numpy(std::move(values), {static_cast<py::ssize_t>(masses.size())});
}

py::array_t<double> bound_power_weights(const Array<double>& values,
                                        double power,
                                        const std::string& name) {
    auto weights = power_weights(span_of(values), power, name);
    return to_numpy(std::move(weights), {values.size()});
}

py::array_t<double> bound_log(const Array<double>& x) {
    std::vector<double> out(static_cast<std::size_t>(x.size()));
    portable_log(span_of(x), out);
    return to_numpy(std::move(out), {x.size()});
}

py::array_t<double> bound_exp(const Array<double>& x) {
    std::vector<double> out(static_cast<std::size_t>(x.size()));
    portable_exp(span_of(x), out);
    return to_numpy(std::move(out), {x.size()});
}

}  // namespace

void bind_sampling(py::module_& module) {
    module.def("sample_weighted",
               &bound_sample_weighted,
               py::arg("log_weights").noconvert(),
               py::arg("ids").noconvert(),
               py::arg("num_drawn"),
               py::arg("query_ids").noconvert(),
               py::arg("seed"),
               py::arg("epoch"),
               py::arg("with_log_probs") = false,
               py::arg("num_threads") = 0);
    module.def("sample_complement",
               &bound_sample_complement,
               py::arg("num_items"),
               py::arg("excluded").noconvert(),
               py::arg("num_drawn"),
               py::arg("weights").noconvert(),
               py::arg("replace"),
               py::arg("query_ids").noconvert(),
               py::arg("seed"),
               py::arg("epoch"),
               py::arg("num_threads") = 0);
    py::class_<AliasTable>(module, "AliasTable")
        .def(py::init([](const Array<double>& weights) {
                 return std::make_unique<AliasTable>(span_of(weights));
             }),
             py::arg("weights").noconvert())
        .def("draw",
             &draw,
             py::arg("num_drawn"),
             py::arg("query_ids").noconvert(),
             py::arg("seed"),
             py::arg("epoch"),
             py::arg("num_threads") = 0)
        .def("probabilities", &probabilities);
    module.def("power_weights",
               &bound_power_weights,
               py::arg("values").noconvert(),
               py::arg("power"),
               py::arg("name"));
    module.def("log", &bound_log, py::arg("x").noconvert());
    module.def("exp", &bound_exp, py::arg("x").noconvert());
}

}  // namespace nearmiss::bindings
