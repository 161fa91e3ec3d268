// SPDX-License-Identifier: Apache-2.0
// Scopes with and without the GIL, for threads that may outlive the interpreter.
//
// When the interpreter ends, a daemon thread that waits for the GIL never gets it: CPython before
// 3.14 ends the thread, which on Linux unwinds its stack as an exception would. Through functions
// that throw nothing this aborts the process, objects on the way touch reference counts without
// the GIL, and what helpers still use lies on that stack. Here such a thread waits for the end of
// the process instead, as it does in CPython from 3.14 on.
#pragma once

#include <pybind11/pybind11.h>

namespace nearmiss::bindings {

class WithoutGil {
  public:
    WithoutGil();
    ~WithoutGil();
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

  private:
    PyThreadState* state_;
};

// Within a WithoutGil of the same thread. Not PyGILState_Ensure: after the end of the interpreter,
// which the process may outlive by long, that would make a new state for the thread of no
// interpreter.
class WithGil {
  public:
    WithGil();
    ~WithGil() { PyEval_SaveThread(); }
    WithGil(const WithGil&) = delete;
    WithGil& operator=(const WithGil&) = delete;
};

// These need the GIL, and may lose and get it back, or end the thread, on the way.
pybind11::object call(const pybind11::object& function, const pybind11::tuple& arguments);
void check_signals();

}  // namespace nearmiss::bindings
