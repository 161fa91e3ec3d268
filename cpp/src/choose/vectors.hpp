// SPDX-License-Identifier: Apache-2.0
// Checks of vectors, and of the tables that say which of them a column stands for.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

inline void require_finite(MatrixView vectors, const kernels::KernelTable& kernel) {
    const auto& typed = kernel.of_type[static_cast<std::size_t>(vectors.type)];
    for (std::size_t i = 0; i < vectors.rows; ++i)
        if (!std::isfinite(typed.squared_norm(vectors.row(i), vectors.cols)))
            throw InvalidArgument("vectors: row " + std::to_string(i) +
                                  " holds a value that is not finite");
}

// Every place, `cols` to a row, must be a row of the vectors, or -1 where none(i) allows it; if it
// does not, `not_none` tells why.
template <class None>
void require_places(std::span<const std::int64_t> places,
                    std::size_t cols,
                    MatrixView vectors,
                    const None& none,
                    const std::string& not_none) {
    require(vectors.rows <= std::numeric_limits<std::uint32_t>::max(),
            "vectors: expected fewer than 2^32 rows");
    for (std::size_t i = 0; i < places.size(); ++i) {
        const bool known = places[i] >= 0 && static_cast<std::size_t>(places[i]) < vectors.rows;
        if (known || (places[i] == -1 && none(i))) continue;
        const std::string where = "candidates: row " + std::to_string(i / cols) + ", column " +
                                  std::to_string(i % cols) + " is " + std::to_string(places[i]);
        throw InvalidArgument(places[i] == -1
                                  ? where + not_none
                                  : where + "; expected a row of vectors, 0 to " +
                                        std::to_string(vectors.rows) + " exclusive, or -1");
    }
}

}  // namespace nearmiss
