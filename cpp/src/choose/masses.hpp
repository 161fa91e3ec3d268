// SPDX-License-Identifier: Apache-2.0
// Weights as integers, so that probabilities add up and nothing is lost to rounding later on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nearmiss {

// weights * 2^e rounded to integers, with e so large that they add up to less than 2^63; see
// AliasTable. Throws InvalidArgument unless weights are finite, not negative, and one is positive.
[[nodiscard]] std::vector<std::uint64_t> integer_masses(std::span<const double> weights);

}  // namespace nearmiss
