// SPDX-License-Identifier: Apache-2.0
// A corpus packed once more, in the order of its clusters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nearmiss/corpus.hpp"
#include "nearmiss/runtime.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

// Thread-safe once made. Depends on rows, metric, number and seed alone.
class InvertedLists {
  public:
    // Positions in rows().
    struct Range {
        std::size_t begin;
        std::size_t end;
    };

    // `corpus` must outlive the lists and not change. `num_lists`: 0 for the default. Throws
    // InvalidArgument for rows that k-means cannot take.
    InvertedLists(const PackedCorpus& corpus,
                  std::size_t num_lists,
                  std::uint64_t seed,
                  const Execution& execution);

    [[nodiscard]] bool made_for(std::size_t num_lists, std::uint64_t seed) const noexcept {
        return num_lists == asked_for_ && seed == seed_;
    }

    // Lists without rows are left out.
    [[nodiscard]] std::size_t size() const noexcept { return starts_.size() - 1; }
    [[nodiscard]] Range range(std::size_t list) const noexcept {
        return {starts_[list], starts_[list + 1]};
    }
    // The same rows in the order of lists, by ascending row within a list.
    [[nodiscard]] const PackedCorpus& rows() const noexcept { return rows_; }
    // As rows of a corpus of the same metric.
    [[nodiscard]] const PackedCorpus& centers() const noexcept { return centers_->packed(); }
    [[nodiscard]] std::uint32_t list_of(std::size_t row) const noexcept;
    [[nodiscard]] std::size_t nbytes() const noexcept;

  private:
    void order(const PackedCorpus& corpus,
               std::span<const std::int32_t> labels,
               std::span<const float> centers);

    const std::size_t asked_for_;
    const std::uint64_t seed_;
    PackedCorpus rows_;
    std::vector<std::uint32_t> starts_;
    std::vector<float> center_elements_;
    std::unique_ptr<Corpus> centers_;
};

}  // namespace nearmiss
