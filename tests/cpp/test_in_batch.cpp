// SPDX-License-Identifier: Apache-2.0
// Miners inside a batch from C++: against loops over all triplets, and independent of threads.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "instances.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/in_batch.hpp"

using nearmiss::Batch;
using nearmiss::Execution;
using nearmiss::Gauge;
using nearmiss::MarginRule;
using nearmiss::Metric;
using nearmiss::Triplets;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::int64_t> labels_of(std::size_t rows, std::int64_t classes) {
    std::vector<std::int64_t> labels;
    for (std::size_t i = 0; i < rows; ++i)
        labels.push_back(static_cast<std::int64_t>(i * i + i / 3) % classes);
    return labels;
}

Batch among_themselves(const instances::Matrix& rows, const std::vector<std::int64_t>& labels) {
    Batch batch;
    batch.anchors = rows.view();
    batch.metric = Metric::ip;
    batch.labels = labels;
    batch.candidate_labels = labels;
    return batch;
}

bool same(const Triplets& a, const Triplets& b) {
    return a.anchors == b.anchors && a.positives == b.positives && a.negatives == b.negatives;
}

}  // namespace

TEST(batch_hard_finds_the_extremes_with_the_lowest_rows) {
    for (const std::size_t n : {0u, 1u, 2u, 63u, 64u, 65u, 200u}) {
        const auto rows = instances::small_integers(n, 9, 5);  // ties are common
        const auto labels = labels_of(n, 7);
        Triplets expected;
        for (std::size_t i = 0; i < n; ++i) {
            std::int64_t farthest = -1;
            std::int64_t nearest = -1;
            double least = kInfinity;
            double most = -kInfinity;
            for (std::size_t j = 0; j < n; ++j) {
                const double score = instances::inner_product(rows.row(i), rows.row(j));
                if (labels[i] != labels[j] && score > most) {
                    most = score;
                    nearest = static_cast<std::int64_t>(j);
                } else if (labels[i] == labels[j] && i != j && score < least) {
                    least = score;
                    farthest = static_cast<std::int64_t>(j);
                }
            }
            if (farthest < 0 || nearest < 0) continue;
            expected.anchors.push_back(static_cast<std::int64_t>(i));
            expected.positives.push_back(farthest);
            expected.negatives.push_back(nearest);
        }
        for (const std::size_t threads : {1u, 2u, 7u})
            CHECK(same(batch_hard(among_themselves(rows, labels), {threads, {}}), expected));
    }
}

TEST(margin_triplets_are_all_there_are_and_some_of_them) {
    const auto rows = instances::normal(70, 20, 3);
    const auto labels = labels_of(70, 4);
    const Batch batch = among_themselves(rows, labels);
    const MarginRule everything{Gauge::score, -kInfinity, kInfinity};
    std::size_t expected = 0;
    for (std::size_t i = 0; i < 70; ++i) {
        const auto alike =
            static_cast<std::size_t>(std::count(labels.begin(), labels.end(), labels[i]));
        expected += (alike - 1) * (70 - alike);
    }
    const Triplets all = margin_triplets(batch, everything, {}, {}, {2, {}});
    CHECK(all.anchors.size() == expected);
    const Triplets some = margin_triplets(batch, everything, 50, {7, 1}, {7, {}});
    CHECK(some.anchors.size() == 50);
    CHECK(std::is_sorted(some.anchors.begin(), some.anchors.end()));
    CHECK(same(some, margin_triplets(batch, everything, 50, {7, 1}, {1, {}})));
    CHECK(!same(some, margin_triplets(batch, everything, 50, {7, 2}, {1, {}})));
    CHECK(same(all, margin_triplets(batch, everything, expected, {7, 1}, {1, {}})));
}

TEST(batches_that_do_not_match_are_refused) {
    const auto rows = instances::normal(5, 3, 1);
    const auto labels = labels_of(5, 2);
    Batch batch = among_themselves(rows, labels);
    const MarginRule distances{Gauge::distance, 0, 1};
    CHECK_THROWS(nearmiss::InvalidArgument, margin_triplets(batch, distances, {}, {}, {1, {}}));
    CHECK_THROWS(nearmiss::InvalidArgument, nearest_negatives(batch, 0, {1, {}}));
    batch.labels = std::span(labels).first(4);
    CHECK_THROWS(nearmiss::InvalidArgument, batch_hard(batch, {1, {}}));
}
