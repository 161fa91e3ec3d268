// SPDX-License-Identifier: Apache-2.0
#include "kmeans/least_losses.hpp"
#include "kmeans/seeder.hpp"

namespace nearmiss {

void continue_by_d2(Seeder& seeder, LeastLosses& losses, std::size_t trials) {
    const RandomStream stream = seeder.stream(Stream::kmeans_plus_plus);
    while (!seeder.complete()) {
        if (!(losses.total() > 0)) return seeder.choose_lowest();
        std::size_t best = losses.row_at(stream.unit(seeder.seed_number(), 0));
        double least = trials > 1 ? losses.total_with(best, seeder.at_present()) : 0;
        for (std::size_t trial = 1; trial < trials; ++trial) {
            const std::size_t row = losses.row_at(stream.unit(seeder.seed_number(), trial));
            const double total = losses.total_with(row, seeder.at_present());
            if (total >= least) continue;
            least = total;
            best = row;
        }
        seeder.choose(best);
        if (!seeder.complete()) losses.include(best, seeder.at_present());
    }
}

void choose_by_d2(Seeder& seeder, std::size_t trials) {
    LeastLosses losses(seeder.corpus);
    losses.include(seeder.chosen.front(), seeder.at_present());
    continue_by_d2(seeder, losses, trials);
}

}  // namespace nearmiss
