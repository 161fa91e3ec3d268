// SPDX-License-Identifier: Apache-2.0
// A random stream in the form the kernels take.
#pragma once

#include "kernels/kernels.hpp"
#include "nearmiss/random.hpp"

namespace nearmiss {

[[nodiscard]] inline kernels::QueryStream query_stream(PhiloxKey key, std::uint64_t query_id) {
    kernels::QueryStream stream;
    stream.query_id = query_id;
    for (auto& of_round : stream.keys) {
        of_round[0] = key[0];
        of_round[1] = key[1];
        key[0] += kPhiloxSteps[0];
        key[1] += kPhiloxSteps[1];
    }
    return stream;
}

}  // namespace nearmiss
