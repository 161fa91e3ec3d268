// SPDX-License-Identifier: Apache-2.0
// One function per noun, called by module.cpp, and what they share.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <optional>
#include <string>

#include "gil.hpp"
#include "nearmiss/corpus.hpp"
#include "nearmiss/runtime.hpp"

namespace nearmiss::bindings {

void register_errors();
void bind_batches(pybind11::module_& module);
void bind_corpus(pybind11::module_& module);
void bind_designs(pybind11::module_& module);
void bind_in_batch(pybind11::module_& module);
void bind_kmeans(pybind11::module_& module);
void bind_mine(pybind11::module_& module);
void bind_random(pybind11::module_& module);
void bind_runtime(pybind11::module_& module);
void bind_sampling(pybind11::module_& module);
void bind_texts(pybind11::module_& module);
void bind_row_cuts(pybind11::module_& module);

// A Corpus together with the arrays it refers to.
struct PyCorpus {
    pybind11::object rows;
    pybind11::object state;  // None, or what it was restored from
    Corpus corpus;
};

[[nodiscard]] Metric parse_metric(const std::string& name);
[[nodiscard]] Precision parse_precision(const std::string& name);

// Checks for signals between steps of the work, then calls `progress` (None: nothing).
[[nodiscard]] Execution make_execution(std::size_t num_threads, pybind11::object progress);

// Runs work(execution), which reports no progress, without the GIL.
template <class Work>
auto without_gil(std::size_t num_threads, const Work& work) {
    const Execution execution = make_execution(num_threads, pybind11::none());
    const WithoutGil release;
    return work(execution);
}

}  // namespace nearmiss::bindings
