// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/batches.hpp"

namespace nearmiss::bindings {

namespace {

py::tuple bound_pack_batches(const Array<std::int64_t>& order,
                             const std::optional<Csr>& brings,
                             const std::optional<Csr>& refuses,
                             std::size_t num_keys,
                             const OptionalArray<std::int64_t>& wanted,
                             bool onward,
                             std::size_t batch_size,
                             std::size_t num_batches) {
    require(!wanted || wanted->ndim() == 2, "wanted: wrong rank");
    const WantedRows wants{
        span_of(wanted), wanted ? static_cast<std::size_t>(wanted->shape(1)) : 0, onward};
    const Conflicts conflicts{lists_view(brings), lists_view(refuses), num_keys};
    PackedBatches packed = without_gil(1, [&](const Execution& execution) {
        return pack_batches(span_of(order), conflicts, wants, batch_size, num_batches, execution);
    });
    const auto array = [](std::vector<std::int64_t>&& values) {
        const auto size = static_cast<py::ssize_t>(values.size());
        return to_numpy(std::move(values), {size});
    };
    return py::make_tuple(array(std::move(packed.indptr)),
                          array(std::move(packed.indices)),
                          array(std::move(packed.unplaced)));
}

Array<std::int64_t> bound_balanced_two_means(const py::array& vectors,
                                             const std::string& element_type,
                                             std::size_t depth,
                                             std::uint64_t seed,
                                             std::size_t num_threads,
                                             py::object progress) {
    const MatrixView view = matrix_view(vectors, element_type);
    const Execution execution = make_execution(num_threads, std::move(progress));
    std::vector<std::int64_t> leaves;
    {
        const WithoutGil release;
        leaves = balanced_two_means(view, depth, seed, execution);
    }
    const auto size = static_cast<py::ssize_t>(leaves.size());
    return to_numpy(std::move(leaves), {size});
}

}  // namespace

void bind_batches(py::module_& module) {
    module.def("balanced_two_means",
               &bound_balanced_two_means,
               py::arg("vectors"),
               py::arg("element_type"),
               py::arg("depth"),
               py::arg("seed"),
               py::arg("num_threads") = 0,
               py::arg("progress") = py::none());
    module.def("pack_batches",
               &bound_pack_batches,
               py::arg("order").noconvert(),
               py::arg("brings"),
               py::arg("refuses"),
               py::arg("num_keys"),
               py::arg("wanted"),
               py::arg("onward"),
               py::arg("batch_size"),
               py::arg("num_batches"));
}

}  // namespace nearmiss::bindings
