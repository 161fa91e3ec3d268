// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/error.hpp"

#include <exception>

#include "bindings.hpp"

namespace nearmiss::bindings {

// std::invalid_argument would become ValueError by itself; this says so where errors are looked
// for.
void register_errors() {
    pybind11::register_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const InvalidArgument& error) {
            PyErr_SetString(PyExc_ValueError, error.what());
        }
    });
}

}  // namespace nearmiss::bindings
