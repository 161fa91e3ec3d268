// SPDX-License-Identifier: Apache-2.0
// The vectors negatives are drawn from, packed once for screening.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "nearmiss/runtime.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

enum class Metric : std::uint8_t { cosine, ip, l2 };

struct PackedCorpus;  // src/packed_corpus.hpp

// Thread-safety: any number of searches may run at once; update() waits for them and excludes them.
// A process forked while another thread is inside a search must not call update() in the child.
class Corpus {
  public:
    // Packs `rows`, which must stay alive and unchanged as long as the corpus. `groups`: empty, or
    // one code per row (-1: in no group), copied; packed rows are ordered by group.
    // Throws InvalidArgument naming the row for NaN or infinite elements, for zero rows under
    // cosine, for an empty corpus or more than 2^32 - 2 rows.
    Corpus(MatrixView rows,
           Metric metric,
           std::span<const std::int64_t> groups,
           const Execution& execution);
    ~Corpus();
    Corpus(const Corpus&) = delete;
    Corpus& operator=(const Corpus&) = delete;

    // Overwrites the corpus rows `positions` (in range, no duplicates) with `rows` (same width and
    // type), in the memory the corpus was built over, which must be writable. On error nothing
    // has changed.
    void update(std::span<const std::int64_t> positions,
                MatrixView rows,
                const Execution& execution);

    [[nodiscard]] std::size_t num_rows() const noexcept;
    [[nodiscard]] std::size_t dim() const noexcept;
    [[nodiscard]] Metric metric() const noexcept;
    [[nodiscard]] ElementType element_type() const noexcept;
    // Bytes held beyond the caller's rows.
    [[nodiscard]] std::size_t nbytes() const noexcept;

    [[nodiscard]] const PackedCorpus& packed() const noexcept { return *packed_; }

  private:
    std::unique_ptr<PackedCorpus> packed_;
};

}  // namespace nearmiss
