// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/corpus.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "float_environment.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/error.hpp"
#include "packed_corpus.hpp"
#include "parallel.hpp"
#include "row_norms.hpp"

namespace nearmiss {
namespace {

using kernels::KernelTable;
using kernels::kPanelRows;

constexpr std::size_t kMaxRows = 0xffff'fffe;
constexpr std::size_t kMaxDim = std::size_t{1} << 20;  // beyond it gamma_d(2^-24) is no bound
constexpr std::size_t kPanelsPerTask = 64;

// Norms inside 2^-+20 leave float32 sums far from overflow and underflow: no scaling needed.
int scale_exponent_for(Metric metric, double max_norm) {
    if (metric == Metric::cosine || max_norm == 0) return 0;
    const int exponent = std::ilogb(max_norm) + 1;
    return std::abs(exponent) <= 20 ? 0 : exponent;
}

// Rows of one group next to each other, by ascending row within a group.
void order_by_group(PackedCorpus& corpus) {
    const std::size_t n = corpus.num_rows();
    corpus.row_of_position.resize(n);
    std::iota(corpus.row_of_position.begin(), corpus.row_of_position.end(), 0u);
    std::stable_sort(corpus.row_of_position.begin(),
                     corpus.row_of_position.end(),
                     [&](auto a, auto b) { return corpus.groups[a] < corpus.groups[b]; });
    corpus.position_of_row.resize(n);
    for (std::size_t p = 0; p < n; ++p)
        corpus.position_of_row[corpus.row_of_position[p]] = static_cast<std::uint32_t>(p);
}

// The strongest elements first, judged by some of the rows. Any order is right; a good one makes
// the rest of a row after early_depth small.
std::vector<std::uint32_t> choose_places(const PackedCorpus& corpus, const KernelTable& kernel) {
    constexpr std::size_t kJudged = 1024;
    const std::size_t dim = corpus.rows.cols;
    const auto& typed = kernel.of_type[static_cast<std::size_t>(corpus.rows.type)];
    std::vector<float> elements(dim);
    std::vector<double> energy(dim, 0.0);
    const std::size_t stride = std::max<std::size_t>(1, corpus.num_rows() / kJudged);
    for (std::size_t row = 0; row < corpus.num_rows(); row += stride) {
        typed.to_float(corpus.rows.row(row), dim, elements.data());
        for (std::size_t i = 0; i < dim; ++i) {
            const double element = static_cast<double>(elements[i]);
            if (std::isfinite(element)) energy[i] += element * element;  // others raise later
        }
    }
    std::vector<std::uint32_t> order(dim);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(
        order.begin(), order.end(), [&](auto a, auto b) { return energy[a] > energy[b]; });
    std::vector<std::uint32_t> places(dim);
    for (std::size_t place = 0; place < dim; ++place)
        places[order[place]] = static_cast<std::uint32_t>(place + corpus.depth - dim);
    return places;
}

// The largest norm of what the rows of a packed panel have from early_depth on, never too small.
double panel_rest_norm(const PackedCorpus& corpus, const float* panel) {
    float sums[kPanelRows] = {};
    for (std::size_t k = corpus.early_depth; k < corpus.depth; ++k)
        for (std::size_t r = 0; r < kPanelRows; ++r)
            sums[r] += panel[k * kPanelRows + r] * panel[k * kPanelRows + r];
    const double largest = static_cast<double>(*std::max_element(sums, sums + kPanelRows));
    const double steps = static_cast<double>(corpus.depth - corpus.early_depth);
    return std::sqrt(largest * (1 + (steps + 2) * 0x1p-23) + steps * 0x1p-140);
}

// Returns the panel's rest norm. Packs by way of `scratch`, panel_size() floats: lines are filled
// in no order that the memory behind a large corpus would like.
double pack_panel(PackedCorpus& corpus,
                  const KernelTable& kernel,
                  std::size_t panel,
                  AlignedBuffer<float>& scratch) {
    const auto& typed = kernel.of_type[static_cast<std::size_t>(corpus.rows.type)];
    const void* rows[kPanelRows] = {};
    double scales[kPanelRows] = {};
    double l2_terms[kPanelRows] = {};
    const double scale = std::ldexp(1.0, -corpus.scale_exponent);
    const std::size_t first = panel * kPanelRows;
    const std::size_t lanes = std::min(kPanelRows, corpus.num_rows() - first);
    for (std::size_t r = 0; r < lanes; ++r) {
        const std::uint32_t row = corpus.row_at(first + r);
        const double norm = corpus.root_norms[row];
        rows[r] = corpus.rows.row(row);
        scales[r] = corpus.metric == Metric::cosine ? 1.0 / norm : scale;
        l2_terms[r] = -0.5 * (norm * scale) * (norm * scale);
    }
    float* packed = scratch.data();
    typed.interleave(rows, scales, kPanelRows, corpus.rows.cols, corpus.places.data(), packed);
    if (corpus.metric == Metric::l2)
        for (std::size_t r = 0; r < kPanelRows; ++r) packed[r] = static_cast<float>(l2_terms[r]);
    std::memcpy(corpus.panels.data() + panel * corpus.panel_size(),
                packed,
                corpus.panel_size() * sizeof(float));
    return panel_rest_norm(corpus, packed);
}

RowCheck check_for(const PackedCorpus& corpus) {
    return {"corpus", corpus.metric == Metric::cosine};
}

double largest_norm(const PackedCorpus& corpus) {
    return *std::max_element(corpus.root_norms.data(),
                             corpus.root_norms.data() + corpus.num_rows());
}

void set_scale(PackedCorpus& corpus) {
    const double largest = largest_norm(corpus);
    corpus.scale_exponent = scale_exponent_for(corpus.metric, largest);
    const double packed =
        corpus.metric == Metric::cosine ? 1.0 : std::ldexp(largest, -corpus.scale_exponent);
    corpus.max_norm = packed * (1 + 0x1p-20);
}

// The norms of a panel's rows, which its packing then finds in the cache along with the rows.
void measure_panel(PackedCorpus& corpus, const KernelTable& kernel, std::size_t panel) {
    const auto& typed = kernel.of_type[static_cast<std::size_t>(corpus.rows.type)];
    const std::size_t first = panel * kPanelRows;
    const std::size_t end = std::min(first + kPanelRows, corpus.num_rows());
    for (std::size_t position = first; position < end; ++position) {
        const std::uint32_t row = corpus.row_at(position);
        corpus.root_norms[row] =
            std::sqrt(typed.squared_norm(corpus.rows.row(row), corpus.rows.cols));
    }
}

enum class Norms { measure, keep };

void pack_all(PackedCorpus& corpus, Norms norms, const Execution& execution) {
    const KernelTable& kernel = kernels::active();
    const std::size_t panels = corpus.num_panels();
    const std::size_t tasks = (panels + kPanelsPerTask - 1) / kPanelsPerTask;
    std::vector<double> rest_norms(tasks, 0.0);
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        AlignedBuffer<float> scratch(corpus.panel_size());
        const std::size_t end = std::min(panels, (task + 1) * kPanelsPerTask);
        for (std::size_t p = task * kPanelsPerTask; p < end; ++p) {
            if (norms == Norms::measure) measure_panel(corpus, kernel, p);
            rest_norms[task] = std::max(rest_norms[task], pack_panel(corpus, kernel, p, scratch));
        }
        context.checkpoint(1);
    });
    corpus.max_rest_norm = *std::max_element(rest_norms.begin(), rest_norms.end());
}

}  // namespace

Corpus::Corpus(MatrixView rows,
               Metric metric,
               std::span<const std::int64_t> groups,
               const Execution& execution)
    : packed_(std::make_unique<PackedCorpus>()) {
    const FloatEnvironment environment;
    require(rows.rows > 0, "corpus: has no rows");
    require(rows.cols > 0, "corpus: rows have no elements");
    require(rows.rows <= kMaxRows, "corpus: more than 2^32 - 2 rows");
    require(rows.cols <= kMaxDim, "corpus: more than 2^20 elements per row");
    require(groups.empty() || groups.size() == rows.rows, "groups: expected one per corpus row");
    PackedCorpus& corpus = *packed_;
    corpus.rows = rows;
    corpus.metric = metric;
    corpus.depth = rows.cols + (metric == Metric::l2 ? 1 : 0);
    corpus.groups.assign(groups.begin(), groups.end());
    if (!groups.empty()) order_by_group(corpus);
    corpus.root_norms = AlignedBuffer<double>(rows.rows);
    corpus.early_depth = corpus.depth - corpus.depth / 8;
    corpus.places = choose_places(corpus, kernels::active());
    corpus.panels = AlignedBuffer<float>(corpus.num_panels() * corpus.panel_size());
    pack_all(corpus, Norms::measure, execution);
    check_norms({corpus.root_norms.data(), rows.rows}, check_for(corpus));
    set_scale(corpus);
    // Rare: norms far from 1, which nobody could know before.
    if (corpus.scale_exponent != 0) pack_all(corpus, Norms::keep, execution);
}

Corpus::~Corpus() = default;

void Corpus::update(std::span<const std::int64_t> positions,
                    MatrixView rows,
                    const Execution& execution) {
    const FloatEnvironment environment;
    PackedCorpus& corpus = *packed_;
    require(rows.cols == corpus.rows.cols && rows.type == corpus.rows.type,
            "embeddings: expected the corpus's width and element type");
    require(positions.size() == rows.rows, "rows: expected one per embedding");
    std::vector<double> norms(rows.rows);
    RowCheck check = check_for(corpus);
    check.argument = "embeddings";
    root_norms(rows, check, execution, norms.data());

    const std::unique_lock lock(corpus.mutex);
    // Nothing below may throw before the panels are packed again.
    std::vector<std::size_t> panels;
    for (const std::int64_t position : positions) {
        const auto row = static_cast<std::size_t>(position);
        require(position >= 0 && row < corpus.num_rows(), "rows: a row is not in the corpus");
        panels.push_back(corpus.position_of(row) / kPanelRows);
    }
    std::sort(panels.begin(), panels.end());
    panels.erase(std::unique(panels.begin(), panels.end()), panels.end());
    std::vector<double> rest_norms(panels.size());
    for (std::size_t i = 0; i < rows.rows; ++i) {
        const auto row = static_cast<std::size_t>(positions[i]);
        // The caller promises that this memory may be written.
        std::memmove(const_cast<std::byte*>(corpus.rows.row(row)), rows.row(i), rows.row_bytes());
        corpus.root_norms[row] = norms[i];
    }
    {
        const std::lock_guard duplicates_lock(corpus.duplicates_mutex);
        corpus.duplicates.reset();
    }
    const int exponent = corpus.scale_exponent;
    set_scale(corpus);
    if (corpus.scale_exponent != exponent) {
        pack_all(corpus, Norms::keep, {execution.num_threads, {}});
        return;
    }
    const KernelTable& kernel = kernels::active();
    run_parallel(panels.size(),
                 panels.size(),
                 {execution.num_threads, {}},
                 [&](std::size_t i, TaskContext&) {
                     AlignedBuffer<float> scratch(corpus.panel_size());
                     rest_norms[i] = pack_panel(corpus, kernel, panels[i], scratch);
                 });
    for (const double norm : rest_norms)
        corpus.max_rest_norm = std::max(corpus.max_rest_norm, norm);
}

std::shared_ptr<const DuplicateClasses> PackedCorpus::duplicate_classes(
    const Execution& execution) const {
    {
        const std::lock_guard lock(duplicates_mutex);
        if (duplicates) return duplicates;
    }
    // Not under the lock: progress callbacks run in between, and may ask for nbytes().
    auto found = std::make_shared<const DuplicateClasses>(find_duplicates(rows, execution));
    const std::lock_guard lock(duplicates_mutex);
    duplicates = found;
    return found;
}

std::size_t Corpus::num_rows() const noexcept { return packed_->rows.rows; }
std::size_t Corpus::dim() const noexcept { return packed_->rows.cols; }
Metric Corpus::metric() const noexcept { return packed_->metric; }
ElementType Corpus::element_type() const noexcept { return packed_->rows.type; }

std::size_t Corpus::nbytes() const noexcept {
    const PackedCorpus& corpus = *packed_;
    const std::lock_guard lock(corpus.duplicates_mutex);
    return corpus.panels.size() * sizeof(float) + corpus.root_norms.size() * sizeof(double) +
           (corpus.row_of_position.size() + corpus.position_of_row.size()) * 4 +
           corpus.groups.size() * 8 + (corpus.duplicates ? corpus.duplicates->nbytes() : 0);
}

}  // namespace nearmiss
