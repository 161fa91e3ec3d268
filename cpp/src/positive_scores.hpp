// SPDX-License-Identifier: Apache-2.0
// The scores of known positives, and what limits make of them.
#pragma once

#include <span>
#include <vector>

#include "exact_scores.hpp"
#include "nearmiss/limits.hpp"
#include "nearmiss/runtime.hpp"
#include "packed_corpus.hpp"
#include "score_limits.hpp"

namespace nearmiss {

// s+ per query: the given limits.positive_scores, else by margin_reference from the scores of the
// query's positives; NaN without any. Throws InvalidArgument for a positive whose score overflows.
[[nodiscard]] std::vector<float> reference_scores(const Limits& limits,
                                                  MatrixView queries,
                                                  std::span<const double> query_norms,
                                                  const PackedCorpus& corpus,
                                                  const kernels::KernelTable& kernel,
                                                  const Execution& execution);

[[nodiscard]] std::vector<ScoreInterval> score_intervals(const Limits& limits,
                                                         std::span<const float> references);

}  // namespace nearmiss
