// SPDX-License-Identifier: Apache-2.0
// The certified bound between what the screening tile sums up and the score of promise 1. The proof
// is in cpp/README.md.
#pragma once

#include <cstddef>

#include "nearmiss/corpus.hpp"

namespace nearmiss {

// Screening works in its own units, in which a score s of this query reads
//   screened(s) = (s + offset) * factor,
// and a tile value a of a corpus row with score s satisfies |a - screened(s)| <= error.
struct ScreenScale {
    double offset = 0;  // l2: |q|^2
    double factor = 1;
    double error = 0;

    [[nodiscard]] double screened(double score) const noexcept { return (score + offset) * factor; }
};

// How a query is packed, and what that makes of its scores.
struct QueryScale {
    double multiplier = 1;  // packed element = float32(element * multiplier)
    float l2_element = 0;   // l2: the factor that meets the corpus's -|x|^2 / 2
    ScreenScale screen;
};

// `root_norm`: sqrt(D(q, q)), positive under cosine. `corpus_exponent` and `corpus_max_norm`: see
// PackedCorpus.
[[nodiscard]] QueryScale query_scale(Metric metric,
                                     std::size_t dim,
                                     double root_norm,
                                     int corpus_exponent,
                                     double corpus_max_norm) noexcept;

// The closest float32 not above (not below) a value; infinite when out of range.
[[nodiscard]] float round_down(double value) noexcept;
[[nodiscard]] float round_up(double value) noexcept;

}  // namespace nearmiss
