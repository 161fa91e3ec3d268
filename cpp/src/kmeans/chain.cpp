// SPDX-License-Identifier: Apache-2.0
// AFK-MC^2 (Bachem, Lucic, Hassani and Krause, "Fast and provably good seedings for k-means",
// NeurIPS 2016): a Metropolis-Hastings chain per seed. Proposals are half by the D^2 law of the
// first seed and half by weight alone.
#include "kmeans/least_losses.hpp"
#include "kmeans/seeder.hpp"

namespace nearmiss {

void choose_by_chain(Seeder& seeder, const WeightLaw& weights) {
    const Points& points = seeder.points();
    LeastLosses to_first(seeder.corpus);
    to_first.include(seeder.chosen.front(), seeder.at_present());
    if (!(to_first.total() > 0)) return seeder.choose_lowest();
    std::vector<double> densities = to_first.masses();  // proposals over weight
    std::vector<double> masses(points.size());
    for (std::size_t row = 0; row < masses.size(); ++row) {
        const double weight = points.weight(row);
        const double loss = weight > 0 ? densities[row] / weight : 0;
        densities[row] = loss / to_first.total() + 1 / weights.total();
        masses[row] = weight * densities[row];
    }
    const MassTable proposals(std::move(masses));
    const RandomStream stream = seeder.stream(Stream::kmeans_chain);
    RowLosses losses(seeder.corpus);
    while (!seeder.complete()) {
        const std::uint64_t number = seeder.seed_number();
        std::size_t at = proposals.row_at(stream.unit(number, 0));
        losses.aim_at(at);
        double loss = losses.least_loss(seeder.chosen, 0);
        for (std::size_t step = 1; step < seeder.seeding.trials; ++step) {
            const std::size_t next = proposals.row_at(stream.unit(number, 2 * step));
            // Moves if its loss exceeds this.
            const double enough =
                stream.unit(number, 2 * step + 1) * loss * (densities[next] / densities[at]);
            losses.aim_at(next);
            const double next_loss = losses.least_loss(seeder.chosen, enough);
            if (step % 64 == 0) seeder.check_in();
            if (loss > 0 && !(next_loss > enough)) continue;
            at = next;
            loss = next_loss;
        }
        // Only where all that the chain met coincides with a seed.
        if (!(loss > 0)) {
            LeastLosses all(seeder.corpus);
            all.include(seeder.chosen, seeder.at_present());
            return continue_by_d2(seeder, all, 1);
        }
        seeder.choose(at);
        seeder.check_in();
    }
}

}  // namespace nearmiss
