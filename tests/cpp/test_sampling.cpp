// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "check.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/portable_math.hpp"
#include "nearmiss/random.hpp"
#include "nearmiss/runtime.hpp"
#include "nearmiss/sampling.hpp"
#include "query_stream.hpp"

namespace {

using namespace nearmiss;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Calls body on every target that runs here.
template <class Body>
void on_every_target(const Body& body) {
    const std::string before = simd_target();
    for (const std::string& name : simd_targets()) {
        set_simd_target(name);
        body();
    }
    set_simd_target(before);
}

std::vector<double> some_weights(std::size_t count) {
    std::vector<double> weights(count);
    std::uint64_t state = count;
    for (double& weight : weights) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        weight = static_cast<double>(state >> 40) * 0x1p-20;
    }
    return weights;
}

// What each item has in all slots together; the last entry is that of no item.
std::vector<std::uint64_t> masses_in(const AliasTable& table) {
    std::vector<std::uint64_t> masses(table.size() + 1);
    for (std::size_t i = 0; i < table.slots().size(); ++i) {
        masses[i] += table.slots()[i].own;
        masses[table.slots()[i].other] += table.capacity() - table.slots()[i].own;
    }
    return masses;
}

}  // namespace

TEST(logarithms_of_special_numbers) {
    on_every_target([] {
        CHECK(portable_log(1.0) == 0.0);
        CHECK(portable_log(0.0) == -kInfinity);
        CHECK(portable_log(-0.0) == -kInfinity);
        CHECK(portable_log(kInfinity) == kInfinity);
        CHECK(std::isnan(portable_log(-1.0)));
        CHECK(std::isnan(portable_log(-kInfinity)));
        CHECK(std::isnan(portable_log(std::numeric_limits<double>::quiet_NaN())));
        CHECK(portable_exp(0.0) == 1.0);
        CHECK(portable_exp(-kInfinity) == 0.0);
        CHECK(portable_exp(-746.0) == 0.0);
        CHECK(portable_exp(-745.0) == 0x1p-1074);
        CHECK(portable_exp(kInfinity) == kInfinity);
        CHECK(portable_exp(710.0) == kInfinity);
        CHECK(std::isfinite(portable_exp(709.7)));
        CHECK(std::isnan(portable_exp(std::numeric_limits<double>::quiet_NaN())));
    });
}

TEST(logarithms_are_near_those_of_the_library) {
    on_every_target([] {
        for (int i = -4000; i < 4000; ++i) {
            const double x = std::exp2(i / 4.1);
            CHECK(std::abs(portable_log(x) - std::log(x)) <= 3e-16 * std::abs(std::log(x)));
            const double y = i / 5.7;
            CHECK(std::abs(portable_exp(y) - std::exp(y)) <= 4e-16 * std::exp(y));
        }
    });
}

TEST(noisy_keys_are_those_of_the_random_stream) {
    constexpr std::size_t kCount = 150;
    const RandomStream stream(5, Stream::pool_noise, 9);
    const std::vector<double> weights = some_weights(kCount);
    on_every_target([&] {
        const Draws draws = sample_weighted(
            {weights, {}, 1, kCount}, kCount, false, {5, 9, std::vector<std::int64_t>{7}}, {});
        double last = kInfinity;
        for (const std::int64_t column : draws.indices) {
            const auto id = static_cast<std::uint64_t>(column);
            const auto top = static_cast<double>(stream.bits(7, id) >> 12);
            const double u = (top + 0.5) * 0x1p-52;
            const double key = weights[id] - portable_log(-portable_log(u));
            CHECK(key <= last);
            last = key;
        }
    });
}

TEST(bounds_are_above_keys_and_near_those_that_may_be_drawn) {
    constexpr std::size_t kCount = 1 << 16;
    const std::vector<double> weights(kCount, 0.0);
    const RandomStream stream(8, Stream::pool_noise, 0);
    on_every_target([&] {
        std::vector<double> keys(kCount);
        std::vector<double> bounds(kCount);
        const kernels::NoiseTask task{
            weights.data(), nullptr, 3, kCount, query_stream(stream.key(), 1)};
        CHECK(kernels::active().noisy_keys(task, keys.data()));
        CHECK(kernels::active().key_bounds(task, bounds.data()));
        for (std::size_t i = 0; i < kCount; ++i) {
            CHECK(bounds[i] >= keys[i]);
            CHECK(keys[i] < 0.0 || bounds[i] <= keys[i] + 0.25);
        }
    });
}

TEST(rows_of_any_shape_are_filled) {
    constexpr std::int64_t kRows = 3;
    for (const std::size_t columns : {1, 7, 130, 5000}) {
        const std::size_t cells = kRows * columns;
        const std::vector<double> weights = some_weights(cells);
        std::vector<std::int64_t> ids(cells);
        for (std::size_t i = 0; i < cells; ++i)
            ids[i] = i % 9 == 4 ? -1 : static_cast<std::int64_t>(5 * (cells - i));
        for (const std::size_t wanted : {std::size_t{1}, std::size_t{30}, columns + 3}) {
            const Draws draws =
                sample_weighted({weights, ids, kRows, columns}, wanted, true, {}, {});
            CHECK(draws.indices.size() == kRows * wanted);
            CHECK(draws.log_probs.size() == kRows * wanted);
            for (std::size_t i = 0; i < draws.indices.size(); ++i) {
                const auto count = static_cast<std::size_t>(draws.counts[i / wanted]);
                const bool drawn = draws.indices[i] >= 0;
                CHECK(drawn == (i % wanted < count));
                CHECK(std::isnan(draws.log_probs[i]) == !drawn);
            }
        }
    }
}

TEST(complements_hold_nothing_excluded) {
    const std::vector<std::int64_t> indptr{0, 3, 3, 8};
    const std::vector<std::int64_t> excluded{0, 2, 6, 0, 1, 3, 4, 5};
    const std::vector<double> weights{1, 2, 3, 4, 5, 0, 7};
    for (const bool replace : {false, true})
        for (const bool weighted : {false, true}) {
            ComplementRows rows{7, {indptr, excluded}, {}, 3, replace};
            if (weighted) rows.weights = weights;
            for (const std::size_t wanted : {1, 5, 200}) {
                const Draws draws = sample_complement(rows, wanted, {}, {});
                for (std::size_t i = 0; i < draws.indices.size(); ++i) {
                    const auto list = rows.excluded.list(i / wanted);
                    CHECK(std::find(list.begin(), list.end(), draws.indices[i]) == list.end());
                    CHECK(draws.indices[i] < 7);
                }
            }
        }
    const std::vector<std::int64_t> unsorted{2, 0, 6, 0, 1, 3, 4, 5};
    CHECK_THROWS(InvalidArgument,
                 sample_complement({7, {indptr, unsorted}, {}, 3, true}, 1, {}, {}));
    const std::vector<std::int64_t> outside{0, 2, 7, 0, 1, 3, 4, 5};
    CHECK_THROWS(InvalidArgument,
                 sample_complement({7, {indptr, outside}, {}, 3, true}, 1, {}, {}));
}

TEST(alias_draws_are_items) {
    const AliasTable table(std::vector<double>{1, 0, 2});
    for (const std::int64_t item : table.draw(3, 500, {}, {})) CHECK(item == 0 || item == 2);
}

TEST(slots_of_an_alias_table_hold_exactly_the_masses) {
    std::vector<std::vector<double>> problems{{1},
                                              {3, 0, 0},
                                              {1, 1, 1},
                                              {100, 10, 1},
                                              {1e-300, 1e300},
                                              {5e-324},
                                              {0, 1e308, 1e308, 1e308}};
    for (const std::size_t count : {2, 5, 64, 1000}) problems.push_back(some_weights(count));
    for (const std::vector<double>& weights : problems) {
        const AliasTable table(weights);
        std::uint64_t sum = 0;
        const auto masses = masses_in(table);
        const double largest = *std::max_element(weights.begin(), weights.end());
        for (std::size_t i = 0; i < weights.size(); ++i) {
            CHECK(masses[i] == table.masses()[i]);
            const bool nothing = weights[i] == 0 || weights[i] < largest * 0x1p-80;
            CHECK((table.masses()[i] == 0) == nothing);
            sum += table.masses()[i];
        }
        CHECK(sum >= std::uint64_t{1} << 60);
        CHECK(sum < std::uint64_t{1} << 63);
        CHECK(masses.back() <= weights.size());
    }
}

TEST(masses_of_integers_are_in_proportion) {
    const std::vector<double> counts{3, 0, 1, 1'000'000, 7};
    const AliasTable table(counts);
    const std::uint64_t unit = table.masses()[2];
    for (std::size_t i = 0; i < counts.size(); ++i)
        CHECK(table.masses()[i] == unit * static_cast<std::uint64_t>(counts[i]));
}

TEST(weights_that_cannot_be_used_are_named) {
    CHECK_THROWS(InvalidArgument, AliasTable(std::vector<double>{}));
    CHECK_THROWS(InvalidArgument, AliasTable(std::vector<double>{0, 0}));
    CHECK_THROWS(InvalidArgument, AliasTable(std::vector<double>{1, -1}));
    CHECK_THROWS(InvalidArgument, AliasTable(std::vector<double>{1, kInfinity}));
    CHECK_THROWS(InvalidArgument, power_weights(std::vector<double>{1, 0}, -1));
    CHECK_THROWS(InvalidArgument, power_weights(std::vector<double>{1}, kInfinity));
}
