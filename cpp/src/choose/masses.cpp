// SPDX-License-Identifier: Apache-2.0
#include "choose/masses.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "choose/numbers.hpp"
#include "float_environment.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/portable_math.hpp"
#include "nearmiss/sampling.hpp"

namespace nearmiss {
namespace {

constexpr int kSumBits = 62;

// x * 2^exponent, exactly unless the result is tiny.
class PowerOfTwo {
  public:
    explicit PowerOfTwo(int exponent)
        : half_(std::ldexp(1.0, exponent / 2)),
          rest_(std::ldexp(1.0, exponent - exponent / 2)) {}
    double operator*(double x) const { return x * half_ * rest_; }

  private:
    double half_;
    double rest_;
};

std::uint64_t rounded(double x) {
    const auto whole = static_cast<std::uint64_t>(x);
    return whole + (x - static_cast<double>(whole) >= 0.5 ? 1 : 0);
}

// All finite and not negative.
void check_not_negative(std::span<const double> values, const std::string& name) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (std::isfinite(values[i]) && values[i] >= 0) continue;
        throw InvalidArgument(name + ": item " + std::to_string(i) + " has " + as_text(values[i]) +
                              "; expected a finite number of at least 0");
    }
}

}  // namespace

std::vector<std::uint64_t> integer_masses(std::span<const double> weights) {
    const FloatEnvironment environment;
    check_not_negative(weights, "weights");
    const double largest = weights.empty() ? 0 : *std::max_element(weights.begin(), weights.end());
    require(largest > 0, "weights: expected at least one that is positive");
    int exponent = 0;
    (void)std::frexp(largest, &exponent);
    double sum = 0;
    const PowerOfTwo to_one(-exponent);
    for (const double weight : weights) sum += to_one * weight;
    int sum_exponent = 0;
    (void)std::frexp(sum, &sum_exponent);
    std::vector<std::uint64_t> masses(weights.size());
    const PowerOfTwo to_units(kSumBits - sum_exponent - exponent);
    std::transform(weights.begin(), weights.end(), masses.begin(), [&](double weight) {
        return rounded(to_units * weight);
    });
    return masses;
}

std::vector<double> power_weights(std::span<const double> values,
                                  double power,
                                  const std::string& name) {
    const FloatEnvironment environment;
    require(std::isfinite(power), "power: expected a finite number, got " + as_text(power));
    check_not_negative(values, name);
    std::vector<double> weights(values.begin(), values.end());
    if (power == 1) return weights;
    if (power == 0) {
        std::fill(weights.begin(), weights.end(), 1.0);
        return weights;
    }
    const auto zero = std::find(weights.begin(), weights.end(), 0.0);
    require(power > 0 || zero == weights.end(),
            name + ": item " + std::to_string(zero - weights.begin()) +
                " has 0, which has no negative power");
    portable_log(weights, weights);
    double largest = -HUGE_VAL;
    for (double& weight : weights) largest = std::max(largest, weight *= power);
    if (largest == -HUGE_VAL) return std::vector<double>(values.size());  // nothing but zeros
    for (double& weight : weights) weight -= largest;
    portable_exp(weights, weights);
    return weights;
}

}  // namespace nearmiss
