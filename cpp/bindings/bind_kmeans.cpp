// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss::bindings {

namespace {

// Points together with the arrays they refer to.
struct PyPoints {
    py::object rows;
    py::object weights;
    Points points;
};

Metric parse_cluster_metric(const std::string& name) {
    if (name == "cosine") return Metric::cosine;
    if (name == "l2") return Metric::l2;
    throw InvalidArgument("metric: expected 'cosine' or 'l2', got '" + name + "'");
}

SeedingLaw parse_seeding_law(const std::string& name) {
    if (name == "random") return SeedingLaw::random_rows;
    if (name == "k-means++") return SeedingLaw::plus_plus;
    if (name == "greedy-k-means++") return SeedingLaw::greedy_plus_plus;
    if (name == "rejection") return SeedingLaw::rejection;
    if (name == "afk-mc2") return SeedingLaw::afk_mc2;
    throw InvalidArgument("init: unknown '" + name + "'");
}

std::unique_ptr<PyPoints> make_points(const py::array& rows,
                                      const std::string& element_type,
                                      const std::string& metric,
                                      const OptionalArray<double>& weights,
                                      std::size_t num_threads) {
    const MatrixView view = matrix_view(rows, element_type);
    const Metric parsed = parse_cluster_metric(metric);
    const Execution execution = make_execution(num_threads, py::none());
    std::unique_ptr<PyPoints> made;
    {
        const WithoutGil release;
        made.reset(new PyPoints{{}, {}, Points(view, parsed, span_of(weights), execution)});
    }
    made->rows = rows;
    if (weights) made->weights = *weights;
    return made;
}

MatrixView centers_view(const Array<float>& centers) {
    require(centers.ndim() == 2, "centers: wrong rank");
    return {reinterpret_cast<const std::byte*>(centers.data()),
            static_cast<std::size_t>(centers.shape(0)),
            static_cast<std::size_t>(centers.shape(1)),
            static_cast<std::ptrdiff_t>(centers.shape(1) * py::ssize_t{sizeof(float)}),
            ElementType::float32};
}

py::array_t<std::int64_t> seed(const PyPoints& self,
                               std::size_t num_clusters,
                               const std::string& law,
                               std::size_t trials,
                               std::uint64_t seed,
                               std::uint64_t run,
                               std::size_t num_threads,
                               py::object progress) {
    const Seeding seeding{parse_seeding_law(law), trials, seed, run};
    const Execution execution = make_execution(num_threads, std::move(progress));
    std::vector<std::int64_t> rows;
    {
        const WithoutGil release;
        rows = seed_rows(self.points, num_clusters, seeding, execution);
    }
    const auto size = static_cast<py::ssize_t>(rows.size());
    return to_numpy(std::move(rows), {size});
}

py::tuple bound_assign(const PyPoints& self,
                       const Array<float>& centers,
                       std::size_t num_threads,
                       py::object progress) {
    const MatrixView view = centers_view(centers);
    const Execution execution = make_execution(num_threads, std::move(progress));
    Assignment assignment;
    {
        const WithoutGil release;
        assignment = assign(self.points, view, execution);
    }
    const auto n = static_cast<py::ssize_t>(self.points.size());
    return py::make_tuple(to_numpy(std::move(assignment.labels), {n}),
                          to_numpy(std::move(assignment.scores), {n}));
}

py::tuple bound_sum_clusters(const PyPoints& self,
                             const Array<std::int32_t>& labels,
                             std::size_t num_clusters,
                             std::size_t num_threads) {
    require(static_cast<std::size_t>(labels.size()) == self.points.size(),
            "labels: expected one per row");
    for (const std::int32_t label : span_of(labels))
        require(label >= 0 && static_cast<std::size_t>(label) < num_clusters,
                "labels: out of range");
    auto clusters = without_gil(num_threads, [&](const Execution& execution) {
        return sum_clusters(self.points, span_of(labels), num_clusters, execution);
    });
    const auto k = static_cast<py::ssize_t>(num_clusters);
    return py::make_tuple(
        to_numpy(std::move(clusters.sums), {k, static_cast<py::ssize_t>(self.points.dim())}),
        to_numpy(std::move(clusters.weights), {k}));
}

py::dict bound_lloyd(const PyPoints& self,
                     const Array<float>& centers,
                     std::size_t max_iter,
                     double tol,
                     const std::optional<std::pair<std::size_t, std::size_t>>& size_limits,
                     std::size_t num_threads,
                     py::object progress) {
    const MatrixView view = centers_view(centers);
    const Execution execution = make_execution(num_threads, std::move(progress));
    Clustering found;
    {
        const WithoutGil release;
        const Stopping stopping{max_iter, tol};
        found = size_limits ? limited_lloyd(self.points,
                                            view,
                                            {size_limits->first, size_limits->second},
                                            stopping,
                                            execution)
                            : lloyd(self.points, view, stopping, execution);
    }
    const auto k = static_cast<py::ssize_t>(view.rows);
    const auto iterations = static_cast<py::ssize_t>(found.losses.size());
    py::dict dict;
    dict["centers"] = to_numpy(std::move(found.centers), {k, static_cast<py::ssize_t>(view.cols)});
    dict["labels"] =
        to_numpy(std::move(found.labels), {static_cast<py::ssize_t>(self.points.size())});
    dict["loss"] = found.loss;
    dict["free_loss"] = found.free_loss;
    dict["losses"] = to_numpy(std::move(found.losses), {iterations});
    dict["cluster_weights"] = to_numpy(std::move(found.cluster_weights), {k});
    return dict;
}

}  // namespace

void bind_kmeans(py::module_& module) {
    py::class_<PyPoints>(module, "Points")
        .def(py::init(&make_points),
             py::arg("rows").noconvert(),
             py::arg("element_type"),
             py::arg("metric"),
             py::arg("weights").noconvert() = py::none(),
             py::arg("num_threads") = 0)
        .def("seed",
             &seed,
             py::arg("num_clusters"),
             py::arg("law"),
             py::arg("trials") = 0,
             py::arg("seed") = 0,
             py::arg("run") = 0,
             py::arg("num_threads") = 0,
             py::arg("progress") = py::none())
        .def("assign",
             &bound_assign,
             py::arg("centers").noconvert(),
             py::arg("num_threads") = 0,
             py::arg("progress") = py::none())
        .def("sum_clusters",
             &bound_sum_clusters,
             py::arg("labels").noconvert(),
             py::arg("num_clusters"),
             py::arg("num_threads") = 0)
        .def(
            "total_loss",
            [](const PyPoints& self, const Array<float>& scores) {
                require(static_cast<std::size_t>(scores.size()) == self.points.size(),
                        "scores: expected one per row");
                return total_loss(self.points, span_of(scores));
            },
            py::arg("scores").noconvert())
        .def("lloyd",
             &bound_lloyd,
             py::arg("centers").noconvert(),
             py::arg("max_iter"),
             py::arg("tol"),
             py::arg("size_limits") = py::none(),
             py::arg("num_threads") = 0,
             py::arg("progress") = py::none());
}

}  // namespace nearmiss::bindings
