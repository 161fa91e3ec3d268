// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bindings.hpp"

namespace nearmiss::bindings {

namespace py = pybind11;

namespace {

std::string compiler() {
#if defined(__clang__)
    return "Clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__);
#elif defined(__GNUC__)
    return "GCC " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
#elif defined(_MSC_VER)
    return "MSVC " + std::to_string(_MSC_VER);
#else
    return "unknown";
#endif
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += text.empty() ? name : ", " + name;
    return text;
}

std::map<std::string, std::string> build_info() {
    return {{"version", NEARMISS_VERSION},
            {"compiler", compiler()},
            {"simd_targets", joined(simd_targets())},
            {"simd_target", simd_target()},
            {"rng_scheme", "1"}};
}

}  // namespace

Execution make_execution(std::size_t num_threads, py::object progress) {
    // Owned by shared_ptr: std::function copies must not touch reference counts without the GIL.
    return {num_threads,
            [callback = std::make_shared<py::object>(std::move(progress))](double fraction) {
                const WithGil gil;
                check_signals();
                if (!callback->is_none()) call(*callback, py::make_tuple(fraction));
            }};
}

void bind_runtime(py::module_& module) {
    module.def("simd_targets", &simd_targets);
    module.def("simd_target", &simd_target);
    module.def("set_simd_target", &set_simd_target, py::arg("name"));
    module.def("default_num_threads", &default_num_threads);
    module.def("build_info", &build_info);
}

}  // namespace nearmiss::bindings
