// SPDX-License-Identifier: Apache-2.0
// The portable exponential and logarithm against the C library's in long double (which is no wider
// than double on some machines; the tolerance allows for that), and their bits.
#include "choose/portable_math.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "check.hpp"
#include "nearmiss/portable_math.hpp"
#include "nearmiss/random.hpp"
#include "nearmiss/runtime.hpp"

namespace portable = nearmiss::portable;
using nearmiss::RandomStream;
using portable::kInfinity;

namespace {

// Without long double of its own, the reference may itself be half a unit off.
constexpr double kReference = std::numeric_limits<long double>::digits > 53 ? 0.0 : 0.5;

// How far `value` is from `truth`, in units of the last place of the truth.
double ulps_off(double value, long double truth) {
    const double magnitude = std::abs(static_cast<double>(truth));
    const double next = std::nextafter(magnitude, kInfinity);
    const long double unit = static_cast<long double>(next) - magnitude;
    return static_cast<double>(std::abs(static_cast<long double>(value) - truth) / unit);
}

// NaNs may differ in their sign.
bool same_bits(double a, double b) {
    return (std::isnan(a) && std::isnan(b)) ||
           std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

// Evenly on [low, high).
double between(double low, double high, std::uint64_t i) {
    static const RandomStream stream(7, 99u, 0);
    return low + (high - low) * stream.unit(0, i);
}

constexpr std::uint64_t kTries = 200'000;

}  // namespace

TEST(portable_exp_is_hardly_more_than_one_unit_off) {
    double worst = 0.0;
    for (std::uint64_t i = 0; i < kTries; ++i) {
        const double reach = i % 3 == 0 ? 700.0 : i % 3 == 1 ? 5.0 : 0.01;
        const double x = between(-reach, reach, i);
        worst = std::max(worst, ulps_off(portable::exp(x), std::exp(static_cast<long double>(x))));
    }
    CHECK(worst < 1.1 + kReference);
    CHECK(worst > 0.4);  // of so many, one lies between two numbers: the measure measures
}

TEST(portable_exp_of_subnormal_results) {
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        const double x = between(-746.0, -708.0, i);
        const long double truth = std::exp(static_cast<long double>(x));
        CHECK(std::abs(static_cast<long double>(portable::exp(x)) - truth) <=
              0x1.3p-1074L + truth * 0x1p-52L);
    }
}

TEST(portable_log_is_within_one_unit) {
    double worst = 0.0;
    for (std::uint64_t i = 0; i < kTries; ++i) {
        double x = between(0.5, 2.0, i);
        if (i % 2 == 0) x = std::ldexp(x, static_cast<int>(i % 2000) - 1000);
        worst = std::max(worst, ulps_off(portable::log(x), std::log(static_cast<long double>(x))));
    }
    CHECK(worst < 1.0 + kReference);
    CHECK(worst > 0.4);
}

TEST(portable_log1p_and_softplus_are_within_a_few_units) {
    double worst = 0.0;
    for (std::uint64_t i = 0; i < kTries; ++i) {
        const double x = std::exp(between(-40.0, 40.0, i));
        worst =
            std::max(worst, ulps_off(portable::log1p(x), std::log1p(static_cast<long double>(x))));
        const double y = between(-30.0, 30.0, i);
        const auto wide = static_cast<long double>(y);
        worst = std::max(worst, ulps_off(portable::softplus(y), std::log1p(std::exp(wide))));
    }
    CHECK(worst < 2.5);
}

TEST(portable_functions_at_the_ends) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double least = std::numeric_limits<double>::denorm_min();
    const double most = std::numeric_limits<double>::max();
    CHECK(portable::exp(0.0) == 1.0);
    CHECK(portable::exp(-kInfinity) == 0.0);
    CHECK(portable::exp(kInfinity) == kInfinity);
    CHECK(portable::exp(-most) == 0.0);
    CHECK(portable::exp(709.78) < kInfinity && portable::exp(709.79) == kInfinity);
    CHECK(portable::exp(-745.1) == least && portable::exp(-745.2) == 0.0);
    CHECK(std::isnan(portable::exp(nan)));
    CHECK(portable::log(1.0) == 0.0);
    CHECK(portable::log(0.0) == -kInfinity && portable::log(-0.0) == -kInfinity);
    CHECK(portable::log(kInfinity) == kInfinity);
    CHECK(std::isnan(portable::log(-1.0)) && std::isnan(portable::log(nan)));
    CHECK(ulps_off(portable::log(least), std::log(static_cast<long double>(least))) < 1.0);
    CHECK(ulps_off(portable::log(most), std::log(static_cast<long double>(most))) < 1.0);
    CHECK(portable::log1p(0.0) == 0.0 && portable::log1p(1e-300) == 1e-300);
    CHECK(portable::log1p(most) == portable::log(most));
    CHECK(portable::log1p(kInfinity) == kInfinity);
    CHECK(portable::softplus(-kInfinity) == 0.0 && portable::softplus(1e308) == 1e308);
}

// Every kernel computes eight at a time what these compute one by one.
TEST(kernels_have_the_bits_of_the_portable_functions) {
    std::vector<double> x{
        0.0, -0.0, 1.0, -1.0, kInfinity, -kInfinity, 5e-324, 1.7e308, 709.8, -745.2};
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        x.push_back(between(-760.0, 720.0, i));
        x.push_back(std::ldexp(between(1.0, 2.0, i), static_cast<int>(i % 2098) - 1074));
    }
    const std::string before = nearmiss::simd_target();
    for (const std::string& name : nearmiss::simd_targets()) {
        nearmiss::set_simd_target(name);
        std::vector<double> logs(x.size());
        std::vector<double> exps(x.size());
        nearmiss::portable_log(x, logs);
        nearmiss::portable_exp(x, exps);
        for (std::size_t i = 0; i < x.size(); ++i) {
            CHECK(same_bits(exps[i], portable::exp(x[i])));
            CHECK(same_bits(logs[i], portable::log(x[i])));
        }
    }
    nearmiss::set_simd_target(before);
}

// A fingerprint of many results. A machine, compiler or option that changes one bit changes it.
TEST(portable_functions_have_the_same_bits_everywhere) {
    std::uint64_t digest = 0;
    const auto add = [&](double value) {
        digest = (digest ^ std::bit_cast<std::uint64_t>(value)) * 0x9E3779B97F4A7C15u;
        digest ^= digest >> 29;
    };
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        add(portable::exp(between(-746.0, 710.0, i)));
        add(portable::log(std::ldexp(between(1.0, 2.0, i), static_cast<int>(i % 2098) - 1074)));
        add(portable::softplus(between(-50.0, 50.0, i)));
    }
    CHECK(digest == 0x76a61fa5ced89579);
}

// The compiler's arithmetic is that of the machine.
constexpr double kConstant = portable::log(portable::exp(1.5) + portable::softplus(-2.0));
TEST(portable_functions_are_constant_expressions) {
    volatile double x = 1.5;
    volatile double y = -2.0;
    CHECK(kConstant == portable::log(portable::exp(x) + portable::softplus(y)));
}
