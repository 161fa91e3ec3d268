// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/mine.hpp"
#include "nearmiss/random.hpp"

namespace nearmiss::bindings {

namespace {

py::array_t<std::uint64_t> random_bits(std::uint64_t seed,
                                       std::uint32_t stream,
                                       std::uint64_t epoch,
                                       const Array<std::int64_t>& query_ids,
                                       const Array<std::int64_t>& counters) {
    const auto ids = span_of(query_ids);
    const auto counts = span_of(counters);
    require(ids.size() == counts.size(), "counters: expected one per query id");
    const RandomStream random(seed, stream, epoch);
    std::vector<std::uint64_t> bits(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
        bits[i] =
            random.bits(static_cast<std::uint64_t>(ids[i]), static_cast<std::uint64_t>(counts[i]));
    const auto size = static_cast<py::ssize_t>(bits.size());
    return to_numpy(std::move(bits), {size});
}

py::array_t<std::int64_t> sample(const Array<std::int64_t>& counts,
                                 std::int64_t num_columns,
                                 const Array<std::int64_t>& query_ids,
                                 std::size_t num_drawn,
                                 std::uint64_t seed,
                                 std::uint64_t epoch) {
    require(counts.size() == query_ids.size(), "query_ids: expected one per row");
    for (const std::int64_t count : span_of(counts))
        require(count >= 0 && count <= num_columns, "counts: expected 0 to num_columns");
    auto columns = sample_columns(span_of(counts), span_of(query_ids), num_drawn, seed, epoch);
    return to_numpy(std::move(columns), {counts.size(), static_cast<py::ssize_t>(num_drawn)});
}

}  // namespace

void bind_random(py::module_& module) {
    module.def("random_bits",
               &random_bits,
               py::arg("seed"),
               py::arg("stream"),
               py::arg("epoch"),
               py::arg("query_ids").noconvert(),
               py::arg("counters").noconvert());
    module.def("sample_columns",
               &sample,
               py::arg("counts").noconvert(),
               py::arg("num_columns"),
               py::arg("query_ids").noconvert(),
               py::arg("num_drawn"),
               py::arg("seed"),
               py::arg("epoch"));
}

}  // namespace nearmiss::bindings
