// SPDX-License-Identifier: Apache-2.0
#include "gil.hpp"

#include <chrono>
#include <thread>

#if defined(__GLIBC__) && defined(__GLIBCXX__)
#include <cxxabi.h>
#define NEARMISS_ENDED_THREADS_UNWIND 1
#endif

namespace nearmiss::bindings {
namespace {

template <class Wait>
auto wait_for_gil(const Wait& wait) {
#if defined(NEARMISS_ENDED_THREADS_UNWIND)
    try {
        return wait();
    } catch (const abi::__forced_unwind&) {
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
#else
    return wait();
#endif
}

}  // namespace

WithoutGil::~WithoutGil() {
    wait_for_gil([this] { PyEval_RestoreThread(state_); });
}

WithGil::WithGil() : state_(wait_for_gil([] { return PyGILState_Ensure(); })) {}

}  // namespace nearmiss::bindings
