// SPDX-License-Identifier: Apache-2.0
#include "collect/rescorer.hpp"

#include "fetch_ahead.hpp"

namespace nearmiss {

void Rescorer::add(const ExactQuery& query, std::span<Key> keys) {
    if (keys.empty()) return;
    added_.push_back({&query, keys});
    for (const Key key : keys) rows_.push_back(row_of(key));
}

void Rescorer::run() {
    std::size_t first = 0;
    for (std::size_t i = 0; i < added_.size(); ++i) {
        if (i + 1 < added_.size()) fetch(added_[i + 1]);
        const auto& [query, keys] = added_[i];
        const std::span rows = std::span(rows_).subspan(first, keys.size());
        first += keys.size();
        scores_.resize(keys.size());
        scorer_.score(*query, rows, scores_.data(), rows_.size() - first);
        for (std::size_t j = 0; j < keys.size(); ++j) keys[j] = make_key(scores_[j], rows[j]);
    }
    added_.clear();
    rows_.clear();
}

// Lists of one query may be short, and come from all over memory.
void Rescorer::fetch(const Keys& next) const noexcept {
    fetch_ahead(next.query->elements, dim_ * sizeof(float));
    fetch_ahead(next.keys.data(), next.keys.size_bytes());
}

}  // namespace nearmiss
