// SPDX-License-Identifier: Apache-2.0
#include "in_batch/found.hpp"

#include <algorithm>
#include <utility>

#include "choose/choose.hpp"
#include "nearmiss/random.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

using Part = std::vector<std::uint32_t> Found::*;

// Widens one part of all blocks, and lets go of it.
std::vector<std::int64_t> join(std::vector<Found>& blocks, Part part, const Execution& execution) {
    std::vector<std::size_t> starts;
    std::size_t total = 0;
    for (const Found& block : blocks) {
        starts.push_back(total);
        total += (block.*part).size();
    }
    std::vector<std::int64_t> joined(total);
    run_parallel(blocks.size(), 0, execution, [&](std::size_t b, TaskContext&) {
        std::vector<std::uint32_t> values = std::exchange(blocks[b].*part, {});
        std::copy(
            values.begin(), values.end(), joined.begin() + static_cast<std::ptrdiff_t>(starts[b]));
    });
    return joined;
}

}  // namespace

void Found::add(std::size_t anchor, std::uint32_t second, std::span<const std::uint32_t> all) {
    anchors.insert(anchors.end(), all.size(), static_cast<std::uint32_t>(anchor));
    seconds.insert(seconds.end(), all.size(), second);
    thirds.insert(thirds.end(), all.begin(), all.end());
}

Pairs join_pairs(std::vector<Found>&& blocks, const Execution& execution) {
    std::vector<Found> owned = std::move(blocks);
    return {join(owned, &Found::anchors, execution), join(owned, &Found::seconds, execution)};
}

Triplets join_triplets(std::vector<Found>&& blocks, const Execution& execution) {
    std::vector<Found> owned = std::move(blocks);
    return {join(owned, &Found::anchors, execution),
            join(owned, &Found::seconds, execution),
            join(owned, &Found::thirds, execution)};
}

std::vector<std::uint64_t> draw_triplets(std::uint64_t total,
                                         std::size_t max_triplets,
                                         const BatchDraw& draw) {
    const RandomStream stream(draw.seed, Stream::in_batch_triplets, draw.step);
    DrawSequence draws(stream, 0);
    SparseShuffle shuffle(total, draws);
    std::vector<std::uint64_t> kept;
    while (kept.size() < max_triplets && !shuffle.exhausted()) kept.push_back(shuffle.next());
    std::sort(kept.begin(), kept.end());
    return kept;
}

Triplets keep_some(Triplets&& triplets,
                   std::optional<std::size_t> max_triplets,
                   const BatchDraw& draw) {
    Triplets some = std::move(triplets);
    const std::size_t total = some.anchors.size();
    if (!max_triplets || total <= *max_triplets) return some;
    const std::vector<std::uint64_t> kept = draw_triplets(total, *max_triplets, draw);
    for (auto* part : {&some.anchors, &some.positives, &some.negatives}) {
        for (std::size_t i = 0; i < kept.size(); ++i) (*part)[i] = (*part)[kept[i]];
        part->resize(kept.size());
    }
    return some;
}

}  // namespace nearmiss
