// SPDX-License-Identifier: Apache-2.0
#include "exact_scores.hpp"

#include "fetch_ahead.hpp"

namespace nearmiss {

void ExactScorer::score(const ExactQuery& query,
                        std::span<const std::uint32_t> rows,
                        float* out,
                        std::size_t num_next) {
    if (rows.empty()) return;
    sums_.resize(rows.size());
    scratch_.resize(rows_.cols);
    const kernels::RowList list{reinterpret_cast<const char*>(rows_.data),
                                rows_.row_stride,
                                rows.data(),
                                rows.size(),
                                rows_.cols,
                                num_next};
    switch (metric_) {
    case Metric::ip:
        typed_.inner_products(query.elements, list, scratch_.data(), sums_.data());
        break;
    case Metric::cosine:
        // Needed when the products are there.
        for (const std::uint32_t row : rows) fetch_ahead(&root_norms_[row]);
        typed_.inner_products(query.elements, list, scratch_.data(), sums_.data());
        for (std::size_t i = 0; i < rows.size(); ++i)
            sums_[i] /= query.root_norm * root_norms_[rows[i]];
        break;
    case Metric::l2:
        typed_.squared_distances(query.elements, list, scratch_.data(), sums_.data());
        for (double& sum : sums_) sum = -sum;
        break;
    }
    for (std::size_t i = 0; i < rows.size(); ++i) out[i] = static_cast<float>(sums_[i]) + 0.0f;
}

float ExactScorer::score(const ExactQuery& query, std::uint32_t row) {
    float result;
    score(query, {&row, 1}, &result);
    return result;
}

}  // namespace nearmiss
