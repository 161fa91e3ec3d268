// SPDX-License-Identifier: Apache-2.0
// The engine's calls: exact top-k, mining, and the same limits over given candidates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "nearmiss/bands.hpp"
#include "nearmiss/corpus.hpp"
#include "nearmiss/limits.hpp"
#include "nearmiss/probes.hpp"
#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// What a search did, for benchmarks. Depends on the number of threads.
struct SearchWork {
    std::size_t rescored = 0;   // pairs scored exactly
    std::size_t rescanned = 0;  // queries whose guessed threshold was wrong: scanned twice
    std::size_t fallen_back =
        0;  // queries for which int8 codes were too coarse: scanned more finely
};

// How negatives are picked from the admissible rows of a query.
enum class Law : std::uint8_t {
    top,      // the first of the rank window
    random,   // uniform over the rank window, without replacement
    uniform,  // uniform over every admissible row from range_min on, without replacement
    bands,    // so many from each band of the rank window
};

struct Choice {
    Law law = Law::top;
    std::size_t num_negatives = 1;
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    std::span<const std::int64_t> query_ids;  // empty: 0, 1, 2, …
    Precision precision = Precision::automatic;
    Bands bands{};                   // of Law::bands
    std::optional<Probes> probes{};  // none: exact search
};

// Why a (query, row) pair was ruled out. A pair ruled out for several reasons counts under each of
// the first six; max_score counts pairs above the query's score ceiling that nothing else rules
// out (under raw_ranks: those inside the window; with probes: those in the lists looked at; under
// Law::uniform it is not counted and stays 0).
enum class Cause : std::uint8_t { positive, duplicate, exclude, self, group, value, max_score };
inline constexpr std::size_t kNumCauses = 7;

struct MineResult {
    std::size_t num_queries = 0;
    std::size_t num_negatives = 0;
    std::vector<std::int64_t> indices;   // num_queries x num_negatives, -1 padded
    std::vector<float> scores;           // the same shape, NaN padded
    std::vector<std::int64_t> counts;    // num_queries
    std::vector<float> positive_scores;  // num_queries: s+, NaN without a positive
    std::vector<std::int64_t> skipped;   // num_queries x kNumCauses
    std::vector<std::int64_t> strata;  // of Law::bands: which band each negative is from, -1 padded
    SearchWork work;
    std::optional<ProbeReport> probes;  // of an approximate search
};

struct TopkResult {
    std::vector<float> scores;          // num_queries x k, best first
    std::vector<std::int64_t> indices;  // the same shape
    SearchWork work;
    std::optional<ProbeReport> probes;  // of an approximate search
};

// The k best rows of each query: higher score first, ties to the lower row. 1 <= k <= rows.
// Throws InvalidArgument for NaN, infinite or (cosine) zero queries, naming the row, and for a
// returned score that overflows float32. `probes`: none for exact search.
[[nodiscard]] TopkResult topk(MatrixView queries,
                              const Corpus& corpus,
                              std::size_t k,
                              Precision precision,
                              const Execution& execution,
                              const std::optional<Probes>& probes = {});

// Requires ranges already checked against each other; rows, groups, values and bands are checked
// here. Law::uniform has no use for probes: InvalidArgument.
[[nodiscard]] MineResult mine(MatrixView queries,
                              const Corpus& corpus,
                              const Limits& limits,
                              const Choice& choice,
                              const Execution& execution);

// The same for given candidates: scores and rows are num_queries x num_candidates, row -1 for none,
// scores finite, higher closer; of a row listed twice the better score counts. Laws: top, random.
// Without limits.positive_scores, s+ is read from the positives found among the candidates; a
// margin then requires every query with positives to have at least one of them there.
// exclude_duplicates does not apply.
struct Candidates {
    std::span<const float> scores;
    std::span<const std::int64_t> rows;
    std::size_t num_queries = 0;
    std::size_t num_candidates = 0;
};
[[nodiscard]] MineResult mine_candidates(const Candidates& candidates,
                                         const Limits& limits,
                                         const Choice& choice,
                                         const Execution& execution);

// The rank windows of successive queries, for laws that are decided elsewhere.
struct PoolBlock {
    std::size_t first_query = 0;
    std::size_t num_queries = 0;
    std::size_t width = 0;                 // of the longest window there can be
    std::vector<float> scores;             // num_queries x width, best first, NaN padded
    std::vector<std::int64_t> rows;        // the same shape, -1 padded
    std::vector<std::uint8_t> admissible;  // the same shape, 0 padded. With raw_ranks windows hold
                                           // rows that may not be negatives: 0 for them
    std::vector<float> positive_scores;    // num_queries: s+, NaN without a positive
};
// Called on the calling thread, block after block; what it throws ends the call.
using PoolSink = std::function<void(PoolBlock&& block)>;

// mine() and mine_candidates() up to the choice: the sink gets the windows of all queries, in
// blocks of some million rows. Requires limits.range_max. The result is without a table
// (num_negatives = 0).
[[nodiscard]] MineResult mine_pools(MatrixView queries,
                                    const Corpus& corpus,
                                    const Limits& limits,
                                    Precision precision,
                                    const Execution& execution,
                                    const PoolSink& sink,
                                    const std::optional<Probes>& probes = {});
[[nodiscard]] MineResult candidate_pools(const Candidates& candidates,
                                         const Limits& limits,
                                         const Execution& execution,
                                         const PoolSink& sink);

// Scores of given (query, corpus row) pairs; both spans have the same length.
[[nodiscard]] std::vector<float> pair_scores(MatrixView queries,
                                             const Corpus& corpus,
                                             std::span<const std::int64_t> query_rows,
                                             std::span<const std::int64_t> corpus_rows,
                                             const Execution& execution);

// For each row of a table with counts[i] filled columns: num_drawn of them, uniform without
// replacement, ascending, -1 padded; num_rows x num_drawn.
[[nodiscard]] std::vector<std::int64_t> sample_columns(std::span<const std::int64_t> counts,
                                                       std::span<const std::int64_t> query_ids,
                                                       std::size_t num_drawn,
                                                       std::uint64_t seed,
                                                       std::uint64_t epoch);

}  // namespace nearmiss
