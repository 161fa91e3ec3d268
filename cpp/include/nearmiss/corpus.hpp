// SPDX-License-Identifier: Apache-2.0
// The vectors negatives are drawn from, packed once for screening.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

enum class Metric : std::uint8_t { cosine, ip, l2 };

// What rows are screened in. Changes the time, never the answer.
enum class Precision : std::uint8_t {
    automatic,  // int8 where it pays, int16 or float32 where it turns out not to
    float32,
    int8,
    int16,
};

// What packing made of the rows, to be saved and taken up again. Its meaning is the core's own and
// changes with `layout`.
struct PackedState {
    static constexpr std::uint32_t kLayout = 1;

    std::uint32_t layout = kLayout;
    std::int32_t scale_exponent = 0;
    double max_norm = 0;
    std::span<const double> root_norms;  // one per row
    // int8 codes; empty where the corpus is screened in float32.
    std::span<const std::uint8_t> codes;
    std::span<const float> row_terms;
    std::span<const float> centre;
    std::span<const float> segment_norms;
    float scale = 1;
    float squared_norm = 0;
    float peak = 0;
    float residual = 0;
};

// What approximate searches look at: see probes.hpp.
struct ListsOfRows {
    std::vector<float> centers;         // one row of `dim` elements per list
    std::vector<std::int64_t> of_rows;  // the list of each row
};

struct PackedCorpus;  // src/packed_corpus.hpp

// Thread-safety: any number of searches may run at once; update() waits for them and excludes them.
// A process forked while another thread is inside a search must not call update() in the child.
class Corpus {
  public:
    // Packs `rows`, which must stay alive and unchanged as long as the corpus. `groups`: empty, or
    // one code per row (-1: in no group), copied; packed rows are ordered by group. `precision`:
    // what searches to come will ask for; others will have to pack again. Throws InvalidArgument
    // naming the row for NaN or infinite elements, for zero rows under cosine, for an empty corpus
    // or more than 2^32 - 2 rows.
    Corpus(MatrixView rows,
           Metric metric,
           std::span<const std::int64_t> groups,
           const Execution& execution,
           Precision precision = Precision::automatic);
    // Takes up what state() of a corpus over the same rows, metric and groups returned; the arrays
    // it refers to must stay alive and unchanged as long as the corpus. Throws InvalidArgument for
    // another layout or sizes that do not match.
    [[nodiscard]] static Corpus restore(MatrixView rows,
                                        Metric metric,
                                        std::span<const std::int64_t> groups,
                                        const PackedState& state);
    ~Corpus();
    Corpus(const Corpus&) = delete;
    Corpus& operator=(const Corpus&) = delete;

    // Overwrites the corpus rows `positions` (in range, no duplicates) with `rows` (same width and
    // type), in the memory the corpus was built over, which must be writable. On error nothing
    // has changed.
    void update(std::span<const std::int64_t> positions,
                MatrixView rows,
                const Execution& execution);

    // From here on reads the rows at `rows`, which holds the same values.
    void move_rows(MatrixView rows);

    // Refers to the corpus; valid until the next update.
    [[nodiscard]] PackedState state() const;

    // Makes the lists unless these were the last; num_lists: 0 for the default.
    [[nodiscard]] ListsOfRows lists(std::size_t num_lists,
                                    std::uint64_t seed,
                                    const Execution& execution) const;

    [[nodiscard]] std::size_t num_rows() const noexcept;
    [[nodiscard]] std::size_t dim() const noexcept;
    [[nodiscard]] Metric metric() const noexcept;
    [[nodiscard]] ElementType element_type() const noexcept;
    // Bytes held beyond the caller's rows.
    [[nodiscard]] std::size_t nbytes() const noexcept;

    [[nodiscard]] const PackedCorpus& packed() const noexcept { return *packed_; }

  private:
    explicit Corpus(std::unique_ptr<PackedCorpus> packed);

    std::unique_ptr<PackedCorpus> packed_;
};

}  // namespace nearmiss
