// SPDX-License-Identifier: Apache-2.0
#include "collect/rescorer.hpp"

namespace nearmiss {

void Rescorer::add(const ExactQuery& query, std::span<Key> keys) {
    if (keys.empty()) return;
    added_.push_back({&query, keys});
    for (const Key key : keys) rows_.push_back(row_of(key));
}

void Rescorer::run() {
    std::size_t first = 0;
    for (const auto& [query, keys] : added_) {
        const std::span rows = std::span(rows_).subspan(first, keys.size());
        first += keys.size();
        scores_.resize(keys.size());
        scorer_.score(*query, rows, scores_.data(), rows_.size() - first);
        for (std::size_t j = 0; j < keys.size(); ++j) keys[j] = make_key(scores_[j], rows[j]);
    }
    added_.clear();
    rows_.clear();
}

}  // namespace nearmiss
