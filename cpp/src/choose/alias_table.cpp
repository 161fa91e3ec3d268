// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "choose/masses.hpp"
#include "choose/rows_of_draws.hpp"
#include "nearmiss/random.hpp"
#include "nearmiss/sampling.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kDrawsPerTask = 8192;  // about

}  // namespace

// One slot more than items. What all slots hold together is more than all masses by less than the
// number of slots; the last slot stands for no item and has that as its mass.
AliasTable::AliasTable(std::span<const double> weights) : masses_(integer_masses(weights)) {
    const std::size_t num_slots = masses_.size() + 1;
    const std::uint64_t sum = std::accumulate(masses_.begin(), masses_.end(), std::uint64_t{0});
    capacity_ = (sum + num_slots - 1) / num_slots;
    slots_.resize(num_slots);
    std::vector<std::size_t> light;
    std::vector<std::size_t> heavy;
    for (std::size_t i = 0; i < num_slots; ++i) {
        slots_[i] = {i < masses_.size() ? masses_[i] : num_slots * capacity_ - sum, i};
        (slots_[i].own < capacity_ ? light : heavy).push_back(i);
    }
    // A heavy item gives to a light one's slot what is missing there. As all slots together hold
    // exactly all masses, a heavy one is left as long as a light one is.
    while (!light.empty()) {
        Slot& slot = slots_[light.back()];
        light.pop_back();
        slot.other = heavy.back();
        Slot& giver = slots_[slot.other];
        giver.own -= capacity_ - slot.own;
        if (giver.own >= capacity_) continue;
        light.push_back(slot.other);
        heavy.pop_back();
    }
}

std::vector<std::int64_t> AliasTable::draw(std::size_t num_rows,
                                           std::size_t num_drawn,
                                           const DrawKey& key,
                                           const Execution& execution) const {
    require_one_id_per_row(key, num_rows);
    std::vector<std::int64_t> items(num_rows * num_drawn);
    const RandomStream stream(key.seed, Stream::alias_draws, key.epoch);
    const std::size_t per_block =
        std::max<std::size_t>(1, kDrawsPerTask / std::max<std::size_t>(1, num_drawn));
    const auto draw_one = [&](DrawSequence& draws) {
        for (;;) {
            const std::uint64_t unit = draws.below(slots_.size() * capacity_);
            const std::size_t place = unit / capacity_;
            const Slot& slot = slots_[place];
            const std::uint64_t item = unit - place * capacity_ < slot.own ? place : slot.other;
            if (item < size()) return static_cast<std::int64_t>(item);  // nearly always
        }
    };
    for_row_blocks(num_rows, per_block, execution, [&](RowBlock block, TaskContext& context) {
        for (std::size_t row = block.begin; row < block.end; ++row) {
            DrawSequence draws(stream, key.query_id(row));
            for (std::size_t i = 0; i < num_drawn; ++i) {
                items[row * num_drawn + i] = draw_one(draws);
                if (i % kDrawsPerTask == kDrawsPerTask - 1) context.checkpoint();
            }
        }
    });
    return items;
}

}  // namespace nearmiss
