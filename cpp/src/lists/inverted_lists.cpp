// SPDX-License-Identifier: Apache-2.0
#include "lists/inverted_lists.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <numeric>

#include "aligned_buffer.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "lists/random_subset.hpp"
#include "nearmiss/kmeans.hpp"

namespace nearmiss {
namespace {

constexpr double kListsPerRoot = 4;
// Rows of which centres are the means; more make them hardly better.
constexpr std::size_t kTrainingRowsPerList = 32;
constexpr std::size_t kIterations = 10;

std::size_t resolve_count(std::size_t asked_for, std::size_t num_rows) {
    const double root = std::sqrt(static_cast<double>(num_rows));
    const std::size_t wanted =
        asked_for != 0 ? asked_for : static_cast<std::size_t>(kListsPerRoot * root);
    return std::clamp<std::size_t>(wanted, 1, num_rows);
}

// k-means has no inner product: it looks for lists of rows close to each other.
Metric metric_of_clusters(Metric metric) { return metric == Metric::ip ? Metric::l2 : metric; }

std::vector<float> find_centers(MatrixView rows,
                                Metric metric,
                                std::size_t count,
                                std::uint64_t seed,
                                const Execution& execution) {
    const Points points(rows, metric, {}, execution);
    const std::vector<std::int64_t> seeds =
        seed_rows(points, count, {SeedingLaw::random_rows, 0, seed, 0}, execution);
    const auto& typed = kernels::active().of_type[static_cast<std::size_t>(rows.type)];
    std::vector<float> centers(count * rows.cols);
    for (std::size_t c = 0; c < count; ++c)
        typed.to_float(rows.row(static_cast<std::size_t>(seeds[c])),
                       rows.cols,
                       centers.data() + c * rows.cols);
    return lloyd(points, view_of_centers(centers, rows.cols), {kIterations, 0}, execution).centers;
}

}  // namespace

InvertedLists::InvertedLists(const PackedCorpus& corpus,
                             std::size_t num_lists,
                             std::uint64_t seed,
                             const Execution& execution)
    : asked_for_(num_lists),
      seed_(seed) {
    const MatrixView rows = corpus.rows;
    const Metric metric = metric_of_clusters(corpus.metric);
    const std::size_t count = resolve_count(num_lists, rows.rows);
    const std::size_t training = std::min(rows.rows, count * kTrainingRowsPerList);
    // Next to each other, as they are walked over many times.
    AlignedBuffer<std::byte> sample(training * rows.row_bytes());
    std::vector<std::uint32_t> sampled =
        random_subset(rows.rows, training, seed, Stream::list_training);
    std::sort(sampled.begin(), sampled.end());
    for (std::size_t i = 0; i < training; ++i)
        std::memcpy(sample.data() + i * rows.row_bytes(), rows.row(sampled[i]), rows.row_bytes());
    const MatrixView view{sample.data(),
                          training,
                          rows.cols,
                          static_cast<std::ptrdiff_t>(rows.row_bytes()),
                          rows.type};
    const std::vector<float> centers = find_centers(view, metric, count, seed, execution);
    const Points points(rows, metric, {}, execution);
    const Assignment assignment = assign(points, view_of_centers(centers, rows.cols), execution);
    order(corpus, assignment.labels, centers);
    centers_ = std::make_unique<Corpus>(view_of_centers(center_elements_, rows.cols),
                                        corpus.metric,
                                        std::span<const std::int64_t>(),
                                        execution);
}

void InvertedLists::order(const PackedCorpus& corpus,
                          std::span<const std::int32_t> labels,
                          std::span<const float> centers) {
    const std::size_t dim = corpus.rows.cols;
    std::vector<std::uint32_t> ends(centers.size() / dim, 0);
    for (const std::int32_t label : labels) ++ends[static_cast<std::size_t>(label)];
    starts_.push_back(0);
    for (std::size_t c = 0; c < ends.size(); ++c) {
        if (ends[c] == 0) continue;
        starts_.push_back(starts_.back() + ends[c]);
        center_elements_.insert(center_elements_.end(), &centers[c * dim], &centers[c * dim] + dim);
    }
    std::vector<std::uint32_t> rows(labels.size());
    std::iota(rows.begin(), rows.end(), 0u);
    std::stable_sort(
        rows.begin(), rows.end(), [&](auto a, auto b) { return labels[a] < labels[b]; });

    rows_.rows = corpus.rows;
    rows_.metric = corpus.metric;
    rows_.scale_exponent = corpus.scale_exponent;
    rows_.max_norm = corpus.max_norm;
    rows_.root_norms = AlignedBuffer<double>::borrow(corpus.root_norms.view());
    rows_.set_order(std::move(rows));
}

std::uint32_t InvertedLists::list_of(std::size_t row) const noexcept {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), rows_.position_of(row));
    return static_cast<std::uint32_t>(after - starts_.begin() - 1);
}

std::size_t InvertedLists::nbytes() const noexcept {
    return rows_.packed_bytes() + starts_.size() * sizeof(std::uint32_t) +
           center_elements_.size() * sizeof(float) + centers_->nbytes();
}

}  // namespace nearmiss
