// SPDX-License-Identifier: Apache-2.0
// Rows of any type, one at a time, as queries to be scored exactly.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "exact_scores.hpp"
#include "fetch_ahead.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/views.hpp"

namespace nearmiss {

// Not thread-safe.
class RowReader {
  public:
    // `root_norms`: one per row. Both must outlive the reader.
    RowReader(MatrixView rows,
              std::span<const double> root_norms,
              const kernels::KernelTable& kernel)
        : rows_(rows),
          root_norms_(root_norms),
          typed_(kernel.of_type[static_cast<std::size_t>(rows.type)]),
          elements_(rows.type == ElementType::float32 ? 0 : rows.cols) {}

    // For a row that is to be read soon.
    void fetch_ahead(std::size_t row) const noexcept {
        nearmiss::fetch_ahead(rows_.row(row), rows_.row_bytes());
    }

    // Valid until the next call.
    [[nodiscard]] ExactQuery read(std::size_t row) {
        if (rows_.type == ElementType::float32)
            return {reinterpret_cast<const float*>(rows_.row(row)), root_norms_[row]};
        typed_.to_float(rows_.row(row), rows_.cols, elements_.data());
        return {elements_.data(), root_norms_[row]};
    }

  private:
    const MatrixView rows_;
    const std::span<const double> root_norms_;
    const kernels::KernelTable::PerType& typed_;
    std::vector<float> elements_;
};

}  // namespace nearmiss
