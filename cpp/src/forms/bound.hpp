// SPDX-License-Identifier: Apache-2.0
// The certified bound between what a screening tile sums up and the score of promise 1. The proofs
// are in cpp/README.md.
#pragma once

#include <cstddef>

#include "nearmiss/corpus.hpp"

namespace nearmiss {

// Screening works in its own units, in which a score s of this query reads
//   screened(s) = (s + offset) * factor,
// and a tile value a of a corpus row with score s satisfies |a - screened(s)| <= error.
struct ScreenScale {
    double offset = 0;
    double factor = 1;
    double error = 0;

    [[nodiscard]] double screened(double score) const noexcept { return (score + offset) * factor; }
};

// Rows are screened scaled: under cosine x / |x|, otherwise x * 2^-exponent.
struct ScaledRows {
    Metric metric = Metric::cosine;
    std::size_t dim = 0;
    int exponent = 0;
    double max_norm = 0;  // of scaled rows, never too small
};

// A query is screened as query * multiplier, of norm at most about 1.
struct ScaledQuery {
    double root_norm = 0;  // sqrt(D(q, q)), positive under cosine
    double multiplier = 1;
    int exponent = 0;  // not under cosine: multiplier = 2^-exponent
    double norm = 1;   // of the scaled query, never too small
    double ratio = 1;  // l2: 2^(row exponent - query exponent), at most 1
};

[[nodiscard]] ScaledQuery scale_query(const ScaledRows& rows, double root_norm) noexcept;

// float32 tiles. Under l2 rows carry -|scaled row|^2 / 2, which meets `ratio` in the query.
[[nodiscard]] ScreenScale float32_scale(const ScaledRows& rows, const ScaledQuery& query) noexcept;

// Vectors that were scaled, centred, rotated and rounded to codes.
struct CodedRows {
    double centre_norm = 0;
    double max_norm = 0;      // of centred rows, as measured
    double max_residual = 0;  // of what codes miss, as measured
    double scale = 1;         // codes per unit
    std::size_t rotation_roundings = 0;
};

struct CodedQuery {
    double centre_factor = 0;  // the multiple of the centre taken from the scaled query
    double norm = 0;
    double residual = 0;
    double scale = 1;
    // l2: |q - centre|^2 in the caller's units; otherwise what centring leaves out:
    // query . centre - centre_factor * |centre|^2, in scaled units.
    double constant = 0;
};

[[nodiscard]] ScreenScale coded_scale(const ScaledRows& rows,
                                      const ScaledQuery& query,
                                      const CodedRows& coded_rows,
                                      const CodedQuery& coded_query) noexcept;

// Never too small: the root of a float32 sum of `terms` squares.
[[nodiscard]] double norm_from_float_sum(double sum, std::size_t terms) noexcept;

// The closest float32 not above (not below) a value; infinite when out of range.
[[nodiscard]] float round_down(double value) noexcept;
[[nodiscard]] float round_up(double value) noexcept;

}  // namespace nearmiss
