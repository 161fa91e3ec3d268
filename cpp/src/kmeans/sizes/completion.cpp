// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sizes/completion.hpp"

#include <algorithm>

namespace nearmiss {
namespace {

constexpr std::size_t kOffered = 16;

// One call of complete_sizes().
class Completion {
  public:
    Completion(const Points& points,
               MatrixView centers,
               NearCenters& candidates,
               std::vector<std::uint32_t>& columns,
               const Execution& execution)
        : points_(points),
          centers_(centers),
          candidates_(candidates),
          columns_(columns),
          execution_(execution),
          sizes_(centers.rows) {
        for (std::size_t row = 0; row < columns.size(); ++row) ++sizes_[cluster_of(row)];
    }

    void raise_to(std::size_t least) {
        while (std::ranges::min(sizes_) < least) move_rows(least);
    }
    void lower_to(std::size_t most) {
        while (std::ranges::max(sizes_) > most) move_rows(most);
    }

  private:
    struct Move {
        double cost;  // what it adds to the loss
        std::uint32_t row;
        std::uint32_t to;
        float score;  // there
    };

    // From clusters with more rows to clusters with fewer than `bound`: each row of those may go to
    // some near ones of these, which fill up.
    void move_rows(std::size_t bound) {
        std::vector<Move> moves = possible_moves(bound);
        // Ties to the lower row.
        std::ranges::stable_sort(moves, {}, &Move::cost);
        for (const Move& move : moves) {
            const std::uint32_t from = cluster_of(move.row);
            if (sizes_[from] <= bound || sizes_[move.to] >= bound) continue;
            --sizes_[from];
            ++sizes_[move.to];
            take(move);
        }
    }

    [[nodiscard]] std::vector<Move> possible_moves(std::size_t bound) const {
        std::vector<std::uint32_t> open;
        for (std::uint32_t c = 0; c < sizes_.size(); ++c)
            if (sizes_[c] < bound) open.push_back(c);
        const NearCenters offered = nearest_among(points_, centers_, open, kOffered, execution_);
        std::vector<Move> moves;
        for (std::uint32_t row = 0; row < columns_.size(); ++row) {
            if (sizes_[cluster_of(row)] <= bound) continue;
            const double here = points_.loss(candidates_.scores[place_of(row)]);
            for (std::size_t j = 0; j < offered.width; ++j) {
                const float score = offered.scores_of(row)[j];
                moves.push_back(
                    {points_.loss(score) - here, row, offered.centers_of(row)[j], score});
            }
        }
        return moves;
    }

    void take(const Move& move) {
        const std::span<const std::uint32_t> known = candidates_.centers_of(move.row);
        const auto column =
            static_cast<std::uint32_t>(std::ranges::find(known, move.to) - known.begin());
        columns_[move.row] = std::min(column, static_cast<std::uint32_t>(candidates_.width - 1));
        candidates_.centers[place_of(move.row)] = move.to;
        candidates_.scores[place_of(move.row)] = move.score;
    }

    [[nodiscard]] std::size_t place_of(std::size_t row) const noexcept {
        return row * candidates_.width + columns_[row];
    }
    [[nodiscard]] std::uint32_t cluster_of(std::size_t row) const noexcept {
        return candidates_.centers[place_of(row)];
    }

    const Points& points_;
    const MatrixView centers_;
    NearCenters& candidates_;
    std::vector<std::uint32_t>& columns_;
    const Execution& execution_;
    std::vector<std::size_t> sizes_;
};

}  // namespace

void complete_sizes(const Points& points,
                    MatrixView centers,
                    SizeLimits limits,
                    NearCenters& candidates,
                    std::vector<std::uint32_t>& columns,
                    const Execution& execution) {
    Completion completion(points, centers, candidates, columns, execution);
    completion.raise_to(limits.least);
    completion.lower_to(limits.most);
}

}  // namespace nearmiss
