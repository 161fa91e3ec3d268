// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>

#include "float_environment.hpp"
#include "kmeans/centers.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/kmeans.hpp"
#include "row_norms.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kMaxRows = 0xffff'fffe;
// Distances between vectors of at most this norm are below the largest float32.
constexpr double kMaxNorm = 0x1p62;

}  // namespace

std::vector<double> measure_rows(MatrixView rows,
                                 Metric metric,
                                 const char* argument,
                                 const Execution& execution) {
    std::vector<double> norms(rows.rows);
    root_norms(rows, {argument, false}, execution.at(0), norms.data());
    if (metric == Metric::cosine) {
        const auto zero = std::find(norms.begin(), norms.end(), 0.0);
        if (zero != norms.end())
            throw InvalidArgument(std::string(argument) + ": row " +
                                  std::to_string(zero - norms.begin()) +
                                  " is zero, which has no cosine; drop it or use "
                                  "metric=\"euclidean\"");
        return norms;
    }
    const auto large =
        std::find_if(norms.begin(), norms.end(), [](double norm) { return norm > kMaxNorm; });
    if (large != norms.end())
        throw InvalidArgument(std::string(argument) + ": row " +
                              std::to_string(large - norms.begin()) +
                              " is so large that squared distances overflow float32; scale the "
                              "embeddings down");
    return norms;
}

Points::Points(MatrixView rows,
               Metric metric,
               std::span<const double> weights,
               const Execution& execution)
    : rows_(rows),
      metric_(metric),
      weights_(weights) {
    const FloatEnvironment environment;
    require(metric != Metric::ip, "metric: clusters need l2 or cosine");
    require(rows.rows > 0 && rows.cols > 0, "X: has no rows");
    require(rows.rows <= kMaxRows, "X: more than 2^32 - 2 rows");
    require(weights.empty() || weights.size() == rows.rows, "sample_weight: expected one per row");
    for (const double weight : weights)
        require(std::isfinite(weight) && weight >= 0,
                "sample_weight: expected finite numbers >= 0");
    root_norms_ = measure_rows(rows, metric, "X", execution);
}

}  // namespace nearmiss
