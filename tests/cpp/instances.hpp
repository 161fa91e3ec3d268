// SPDX-License-Identifier: Apache-2.0
// Small random problems, and the definition of a score in its plainest form to compare with.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "nearmiss/corpus.hpp"
#include "nearmiss/views.hpp"

namespace instances {

struct Matrix {
    std::size_t rows;
    std::size_t cols;
    std::vector<float> values;

    [[nodiscard]] std::span<const float> row(std::size_t i) const {
        return std::span(values).subspan(i * cols, cols);
    }
    [[nodiscard]] nearmiss::MatrixView view() const {
        return {reinterpret_cast<const std::byte*>(values.data()),
                rows,
                cols,
                static_cast<std::ptrdiff_t>(cols * sizeof(float)),
                nearmiss::ElementType::float32};
    }
};

// Few distinct values, so that ties and duplicate rows are common; no zero row.
inline Matrix small_integers(std::size_t rows, std::size_t cols, unsigned seed) {
    Matrix matrix{rows, cols, std::vector<float>(rows * cols)};
    std::mt19937 engine(seed);
    for (float& value : matrix.values) value = static_cast<float>(engine() % 3);
    for (std::size_t i = 0; i < rows; ++i) matrix.values[i * cols] += 1.0F;
    return matrix;
}

inline Matrix normal(std::size_t rows, std::size_t cols, unsigned seed) {
    Matrix matrix{rows, cols, std::vector<float>(rows * cols)};
    std::mt19937 engine(seed);
    std::normal_distribution<float> distribution;
    for (float& value : matrix.values) value = distribution(engine);
    return matrix;
}

inline double lane_sum(const double (&lanes)[8]) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
           ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

inline double inner_product(std::span<const float> a, std::span<const float> b) {
    double lanes[8] = {};
    for (std::size_t i = 0; i < a.size(); ++i) {
        lanes[i % 8] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    return lane_sum(lanes);
}

inline double squared_distance(std::span<const float> a, std::span<const float> b) {
    double lanes[8] = {};
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        lanes[i % 8] += difference * difference;
    }
    return lane_sum(lanes);
}

inline float score(nearmiss::Metric metric, std::span<const float> q, std::span<const float> x) {
    switch (metric) {
    case nearmiss::Metric::cosine:
        return static_cast<float>(inner_product(q, x) / (std::sqrt(inner_product(q, q)) *
                                                         std::sqrt(inner_product(x, x)))) +
               0.0F;
    case nearmiss::Metric::ip:
        return static_cast<float>(inner_product(q, x)) + 0.0F;
    case nearmiss::Metric::l2:
        return static_cast<float>(-squared_distance(q, x)) + 0.0F;
    }
    return 0.0F;
}

// Equal bits, so that NaN equals NaN and 0 differs from -0.
template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace instances
