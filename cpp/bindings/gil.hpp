// SPDX-License-Identifier: Apache-2.0
// Scopes with and without the GIL, for threads that may outlive the interpreter.
//
// When the interpreter ends, a daemon thread that waits for the GIL never gets it: CPython before
// 3.14 ends the thread, which on Linux unwinds its stack as an exception would. Through functions
// that throw nothing this aborts the process, and what helpers still use lies on that stack. Here
// such a thread waits for the end of the process instead, as it does in CPython from 3.14 on.
#pragma once

#include <pybind11/pybind11.h>

namespace nearmiss::bindings {

class WithoutGil {
  public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil();
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

  private:
    PyThreadState* state_;
};

class WithGil {
  public:
    WithGil();
    ~WithGil() { PyGILState_Release(state_); }
    WithGil(const WithGil&) = delete;
    WithGil& operator=(const WithGil&) = delete;

  private:
    PyGILState_STATE state_;
};

}  // namespace nearmiss::bindings
