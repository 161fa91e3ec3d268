// SPDX-License-Identifier: Apache-2.0
#include "overflow.hpp"

#include <cmath>
#include <string>

#include "nearmiss/error.hpp"

namespace nearmiss {

void OverflowCheck::note_pool(std::size_t query, std::span<const Key> keys) {
    if (keys.empty()) return;
    for (const Key key : {keys.front(), keys.back()}) note(query, row_of(key), score_of(key));
}

void OverflowCheck::note(std::size_t query, std::uint32_t row, float score) {
    if (std::isfinite(score)) return;
    const std::lock_guard lock(mutex_);
    if (found_ && query_ <= query) return;
    found_ = true;
    query_ = query;
    row_ = row;
}

void OverflowCheck::raise() const {
    if (!found_) return;
    throw InvalidArgument("the score of query " + std::to_string(query_) + " and corpus row " +
                          std::to_string(row_) + " overflows float32; scale the embeddings down");
}

}  // namespace nearmiss
