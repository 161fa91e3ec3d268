// SPDX-License-Identifier: Apache-2.0
#include "gil.hpp"

#include <chrono>
#include <thread>

#if defined(__GLIBC__) && defined(__GLIBCXX__)
#include <cxxabi.h>
#define NEARMISS_ENDED_THREADS_UNWIND 1
#endif

namespace nearmiss::bindings {

namespace py = pybind11;

namespace {

// Of this thread, while it is without the GIL.
thread_local PyThreadState* released_state = nullptr;

// Runs code of CPython; if that ends the thread, waits for the end of the process instead.
template <class Code>
auto wait_if_ended(const Code& code) {
#if defined(NEARMISS_ENDED_THREADS_UNWIND)
    try {
        return code();
    } catch (const abi::__forced_unwind&) {
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
#else
    return code();
#endif
}

void take_gil(PyThreadState* state) {
    wait_if_ended([state] { PyEval_RestoreThread(state); });
}

}  // namespace

WithoutGil::WithoutGil() : state_(PyEval_SaveThread()) { released_state = state_; }

WithoutGil::~WithoutGil() { take_gil(state_); }

WithGil::WithGil() { take_gil(released_state); }

py::object call(const py::object& function, const py::tuple& arguments) {
    PyObject* result =
        wait_if_ended([&] { return PyObject_CallObject(function.ptr(), arguments.ptr()); });
    if (result == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(result);
}

void check_signals() {
    if (wait_if_ended([] { return PyErr_CheckSignals(); }) != 0) throw py::error_already_set();
}

}  // namespace nearmiss::bindings
