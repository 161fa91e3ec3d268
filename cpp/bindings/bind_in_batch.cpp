// SPDX-License-Identifier: Apache-2.0
// Miners inside a batch.
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/in_batch.hpp"

namespace nearmiss::bindings {

namespace {

Gauge parse_gauge(const std::string& name) {
    if (name == "score") return Gauge::score;
    if (name == "distance") return Gauge::distance;
    if (name == "squared_distance") return Gauge::squared_distance;
    throw InvalidArgument("gauge: unknown '" + name + "'");
}

// A Batch together with the arrays it refers to.
struct PyBatch {
    PyBatch(py::array anchors,
            const std::string& anchor_type,
            std::optional<py::array> candidates,
            const std::string& candidate_type,
            Array<std::int64_t> labels,
            Array<std::int64_t> candidate_labels,
            const std::string& metric,
            OptionalArray<float> scores)
        : arrays(py::make_tuple(anchors, candidates, labels, candidate_labels, scores)) {
        batch.anchors = matrix_view(anchors, anchor_type);
        if (candidates) batch.candidates = matrix_view(*candidates, candidate_type);
        batch.metric = parse_metric(metric);
        batch.labels = span_of(labels);
        batch.candidate_labels = span_of(candidate_labels);
        batch.among_themselves = !candidates;
        batch.scores = span_of(scores);
    }

    py::tuple arrays;
    Batch batch;
};

py::array_t<std::int64_t> to_indices(std::vector<std::int64_t>&& values) {
    const auto size = static_cast<py::ssize_t>(values.size());
    return to_numpy(std::move(values), {size});
}

py::tuple to_tuple(Triplets&& triplets) {
    return py::make_tuple(to_indices(std::move(triplets.anchors)),
                          to_indices(std::move(triplets.positives)),
                          to_indices(std::move(triplets.negatives)));
}

py::tuple to_tuple(MinedPairs&& pairs) {
    return py::make_tuple(to_indices(std::move(pairs.positives.anchors)),
                          to_indices(std::move(pairs.positives.candidates)),
                          to_indices(std::move(pairs.negatives.anchors)),
                          to_indices(std::move(pairs.negatives.candidates)));
}

template <class Mine>
py::tuple mined(std::size_t num_threads, const Mine& mine) {
    return to_tuple(without_gil(num_threads, mine));
}

py::tuple bound_batch_hard(const PyBatch& self, std::size_t num_threads) {
    return mined(num_threads, [&](const Execution& e) { return batch_hard(self.batch, e); });
}

py::tuple bound_margin_triplets(const PyBatch& self,
                                const std::string& gauge,
                                double above,
                                double most,
                                std::optional<std::size_t> max_triplets,
                                std::uint64_t seed,
                                std::uint64_t step,
                                std::size_t num_threads) {
    const MarginRule rule{parse_gauge(gauge), above, most};
    return mined(num_threads, [&](const Execution& e) {
        return margin_triplets(self.batch, rule, max_triplets, {seed, step}, e);
    });
}

py::tuple bound_semi_hard(const PyBatch& self,
                          const std::string& gauge,
                          double margin,
                          bool nearest,
                          bool or_any_negative,
                          std::optional<std::size_t> max_triplets,
                          std::uint64_t seed,
                          std::uint64_t step,
                          std::size_t num_threads) {
    const SemiHardRule rule{parse_gauge(gauge), margin, nearest, or_any_negative};
    return mined(num_threads, [&](const Execution& e) {
        return semi_hard(self.batch, rule, max_triplets, {seed, step}, e);
    });
}

py::tuple bound_soft_hard(const PyBatch& self,
                          bool or_any,
                          std::uint64_t seed,
                          std::uint64_t step,
                          std::size_t num_threads) {
    return mined(num_threads, [&](const Execution& e) {
        return soft_hard(self.batch, or_any, {seed, step}, e);
    });
}

py::tuple bound_distance_weighted(const PyBatch& self,
                                  double dimensions,
                                  double nearest,
                                  double farthest,
                                  std::optional<std::size_t> max_triplets,
                                  std::uint64_t seed,
                                  std::uint64_t step,
                                  std::size_t num_threads) {
    const DistanceWeights weights{dimensions, nearest, farthest};
    return mined(num_threads, [&](const Execution& e) {
        return distance_weighted(self.batch, weights, max_triplets, {seed, step}, e);
    });
}

py::tuple bound_multi_similarity(const PyBatch& self,
                                 const std::string& gauge,
                                 double epsilon,
                                 std::size_t num_threads) {
    const Gauge parsed = parse_gauge(gauge);
    return mined(num_threads, [&](const Execution& e) {
        return multi_similarity(self.batch, parsed, epsilon, e);
    });
}

py::tuple bound_nearest_negatives(const PyBatch& self, std::size_t k, std::size_t num_threads) {
    return mined(num_threads,
                 [&](const Execution& e) { return nearest_negatives(self.batch, k, e); });
}

Array<double> bound_log_distance_weights(const Array<double>& distances,
                                         double dimensions,
                                         double nearest,
                                         double farthest) {
    return to_numpy(log_distance_weights(span_of(distances), {dimensions, nearest, farthest}),
                    {distances.size()});
}

}  // namespace

void bind_in_batch(py::module_& module) {
    py::class_<PyBatch>(module, "Batch", py::is_final())
        .def(py::init<py::array,
                      const std::string&,
                      std::optional<py::array>,
                      const std::string&,
                      Array<std::int64_t>,
                      Array<std::int64_t>,
                      const std::string&,
                      OptionalArray<float>>(),
             py::arg("anchors"),
             py::arg("anchor_type"),
             py::arg("candidates"),
             py::arg("candidate_type"),
             py::arg("labels").noconvert(),
             py::arg("candidate_labels").noconvert(),
             py::arg("metric"),
             py::arg("scores").noconvert() = py::none())
        .def("batch_hard", &bound_batch_hard, py::arg("num_threads") = 0)
        .def("margin_triplets",
             &bound_margin_triplets,
             py::arg("gauge"),
             py::arg("above"),
             py::arg("most"),
             py::arg("max_triplets"),
             py::arg("seed"),
             py::arg("step"),
             py::arg("num_threads") = 0)
        .def("semi_hard",
             &bound_semi_hard,
             py::arg("gauge"),
             py::arg("margin"),
             py::arg("nearest"),
             py::arg("or_any_negative"),
             py::arg("max_triplets"),
             py::arg("seed"),
             py::arg("step"),
             py::arg("num_threads") = 0)
        .def("soft_hard",
             &bound_soft_hard,
             py::arg("or_any"),
             py::arg("seed"),
             py::arg("step"),
             py::arg("num_threads") = 0)
        .def("distance_weighted",
             &bound_distance_weighted,
             py::arg("dimensions"),
             py::arg("nearest"),
             py::arg("farthest"),
             py::arg("max_triplets"),
             py::arg("seed"),
             py::arg("step"),
             py::arg("num_threads") = 0)
        .def("multi_similarity",
             &bound_multi_similarity,
             py::arg("gauge"),
             py::arg("epsilon"),
             py::arg("num_threads") = 0)
        .def("nearest_negatives",
             &bound_nearest_negatives,
             py::arg("k"),
             py::arg("num_threads") = 0);
    module.def("log_distance_weights",
               &bound_log_distance_weights,
               py::arg("distances").noconvert(),
               py::arg("dimensions"),
               py::arg("nearest"),
               py::arg("farthest"));
}

}  // namespace nearmiss::bindings
