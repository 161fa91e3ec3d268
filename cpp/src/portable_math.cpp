// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/portable_math.hpp"

#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"

namespace nearmiss {

void portable_log(std::span<const double> x, std::span<double> out) {
    require(x.size() == out.size(), "out: expected as many elements as x");
    const FloatEnvironment environment;
    kernels::active().log(x.data(), x.size(), out.data());
}

void portable_exp(std::span<const double> x, std::span<double> out) {
    require(x.size() == out.size(), "out: expected as many elements as x");
    const FloatEnvironment environment;
    kernels::active().exp(x.data(), x.size(), out.data());
}

double portable_log(double x) {
    double result = 0;
    portable_log({&x, 1}, {&result, 1});
    return result;
}

double portable_exp(double x) {
    double result = 0;
    portable_exp({&x, 1}, {&result, 1});
    return result;
}

}  // namespace nearmiss
