// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
    using namespace nearmiss::bindings;
    module.doc() = "The compiled core of nearmiss.";
    register_errors();
    bind_runtime(module);
    bind_random(module);
    bind_batches(module);
    bind_corpus(module);
    bind_kmeans(module);
    bind_mine(module);
    bind_designs(module);
    bind_in_batch(module);
    bind_row_cuts(module);
    bind_sampling(module);
    bind_texts(module);
}
