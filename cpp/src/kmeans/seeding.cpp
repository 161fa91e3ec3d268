// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <string>

#include "collect/keys.hpp"
#include "float_environment.hpp"
#include "kmeans/seeder.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/portable_math.hpp"
#include "query_stream.hpp"

namespace nearmiss {

MassTable::MassTable(std::vector<double> masses) : up_to_(std::move(masses)) {
    std::partial_sum(up_to_.begin(), up_to_.end(), up_to_.begin());
}

std::size_t MassTable::row_at(double unit) const {
    auto place = std::upper_bound(up_to_.begin(), up_to_.end(), unit * total());
    // The product may have been rounded up to the total.
    if (place == up_to_.end()) place = std::lower_bound(up_to_.begin(), up_to_.end(), total());
    return static_cast<std::size_t>(place - up_to_.begin());
}

WeightLaw::WeightLaw(const Points& points) : count_(static_cast<double>(points.size())) {
    if (!points.weighted()) return;
    std::vector<double> masses(points.size());
    for (std::size_t row = 0; row < points.size(); ++row) masses[row] = points.weight(row);
    table_.emplace(std::move(masses));
}

void Seeder::choose_lowest() {
    std::vector<bool> taken(points().size(), false);
    for (const std::uint32_t row : chosen) taken[row] = true;
    for (std::size_t row = 0; row < points().size() && !complete(); ++row)
        if (!taken[row] && points().weight(row) > 0) choose(row);
    // A row may have been drawn twice; then there are enough of them.
}

void choose_random_rows(Seeder& seeder) {
    const Points& points = seeder.points();
    struct Keyed {
        double key;
        std::uint32_t row;
    };
    std::vector<double> keys(points.size());
    for (std::size_t row = 0; row < points.size(); ++row) keys[row] = points.weight(row);
    portable_log(keys, keys);
    // Noise is added in place: a key depends on nothing but its own weight.
    const kernels::NoiseTask task{keys.data(),
                                  nullptr,
                                  0,
                                  keys.size(),
                                  query_stream(seeder.stream(Stream::kmeans_rows).key(), 0)};
    seeder.corpus.kernel().noisy_keys(task, keys.data());
    std::vector<Keyed> order;
    order.reserve(points.size());
    for (std::size_t row = 0; row < points.size(); ++row)
        order.push_back({keys[row], static_cast<std::uint32_t>(row)});
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(seeder.num_clusters);
    std::partial_sort(order.begin(), end, order.end(), [](const Keyed& a, const Keyed& b) {
        return a.key != b.key ? a.key > b.key : a.row < b.row;
    });
    for (auto keyed = order.begin(); keyed != end; ++keyed) seeder.choose(keyed->row);
}

namespace {

void require_rows_with_weight(const Points& points, std::size_t num_clusters) {
    require(num_clusters >= 1, "n_clusters: expected at least 1");
    require(num_clusters <= points.size(),
            "n_clusters: expected at most " + std::to_string(points.size()) +
                ", the number of rows, got " + std::to_string(num_clusters));
    std::size_t count = 0;
    for (std::size_t row = 0; row < points.size(); ++row) count += points.weight(row) > 0;
    require(num_clusters <= count,
            "sample_weight: expected at least n_clusters = " + std::to_string(num_clusters) +
                " rows of positive weight, got " + std::to_string(count));
}

}  // namespace

std::vector<std::int64_t> seed_rows(const Points& points,
                                    std::size_t num_clusters,
                                    const Seeding& seeding,
                                    const Execution& execution) {
    const FloatEnvironment environment;
    require_rows_with_weight(points, num_clusters);
    const PointCorpus corpus(points);
    Seeder seeder{corpus, num_clusters, seeding, execution, {}};
    if (seeding.law == SeedingLaw::random_rows) {
        choose_random_rows(seeder);
    } else {
        const WeightLaw weights(points);
        seeder.choose(weights.row_at(seeder.stream(Stream::kmeans_first).unit(0, 0)));
        switch (seeding.law) {
        case SeedingLaw::random_rows:
            break;
        case SeedingLaw::plus_plus:
            choose_by_d2(seeder, 1);
            break;
        case SeedingLaw::greedy_plus_plus:
            require(seeding.trials >= 1, "init_trials: expected at least 1");
            choose_by_d2(seeder, seeding.trials);
            break;
        case SeedingLaw::rejection:
            choose_by_rejection(seeder, weights);
            break;
        case SeedingLaw::afk_mc2:
            require(seeding.trials >= 1, "init_trials: expected at least 1");
            choose_by_chain(seeder, weights);
            break;
        }
    }
    return {seeder.chosen.begin(), seeder.chosen.end()};
}

}  // namespace nearmiss
