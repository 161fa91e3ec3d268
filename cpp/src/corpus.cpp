// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/corpus.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "float_environment.hpp"
#include "forms/coded_form.hpp"
#include "forms/float32_form.hpp"
#include "kernels/dispatch.hpp"
#include "lists/inverted_lists.hpp"
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
    std::vector<std::uint32_t> rows(corpus.num_rows());
    std::iota(rows.begin(), rows.end(), 0u);
    std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) {
        return corpus.groups[a] < corpus.groups[b];
    });
    corpus.set_order(std::move(rows));
    for (std::size_t first = 0; first < corpus.num_rows(); first += kPanelRows) {
        const std::size_t last = std::min(first + kPanelRows, corpus.num_rows()) - 1;
        corpus.panel_groups.push_back(
            {corpus.groups[corpus.row_at(first)], corpus.groups[corpus.row_at(last)]});
    }
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

std::unique_ptr<ScreeningForm> make_form(const PackedCorpus& corpus,
                                         FormKind kind,
                                         const KernelTable& kernel) {
    if (kind == FormKind::int8) return std::make_unique<CodedForm>(corpus, kInt8Codes, kernel);
    if (kind == FormKind::int16) return std::make_unique<CodedForm>(corpus, kInt16Codes, kernel);
    return std::make_unique<Float32Form>(corpus, kernel);
}

// Packs every panel, after `before` was called with it.
void pack_all(const PackedCorpus& corpus,
              ScreeningForm& form,
              const KernelTable& kernel,
              const Execution& execution,
              const std::function<void(std::size_t panel)>& before = {}) {
    const std::size_t panels = corpus.num_panels();
    const std::size_t tasks = (panels + kPanelsPerTask - 1) / kPanelsPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        const std::size_t begin = task * kPanelsPerTask;
        const std::size_t end = std::min(panels, begin + kPanelsPerTask);
        if (before)
            for (std::size_t p = begin; p < end; ++p) before(p);
        form.pack_panels(begin, end, kernel);
        context.checkpoint(1);
    });
}

std::unique_ptr<ScreeningForm> packed_form(const PackedCorpus& corpus,
                                           FormKind kind,
                                           const Execution& execution) {
    const KernelTable& kernel = kernels::active();
    auto form = make_form(corpus, kind, kernel);
    do pack_all(corpus, *form, kernel, execution);
    while (!form->settle());
    return form;
}

// All but what packing finds out.
void describe(PackedCorpus& corpus,
              MatrixView rows,
              Metric metric,
              std::span<const std::int64_t> groups) {
    require(rows.rows > 0, "corpus: has no rows");
    require(rows.cols > 0, "corpus: rows have no elements");
    require(rows.rows <= kMaxRows, "corpus: more than 2^32 - 2 rows");
    require(rows.cols <= kMaxDim, "corpus: more than 2^20 elements per row");
    require(groups.empty() || groups.size() == rows.rows, "groups: expected one per corpus row");
    corpus.rows = rows;
    corpus.metric = metric;
    corpus.groups.assign(groups.begin(), groups.end());
    if (!groups.empty()) order_by_group(corpus);
}

}  // namespace

Corpus::Corpus(MatrixView rows,
               Metric metric,
               std::span<const std::int64_t> groups,
               const Execution& execution,
               Precision precision)
    : packed_(std::make_unique<PackedCorpus>()) {
    const FloatEnvironment environment;
    PackedCorpus& corpus = *packed_;
    describe(corpus, rows, metric, groups);
    corpus.root_norms = AlignedBuffer<double>(rows.rows);
    const KernelTable& kernel = kernels::active();
    const FormKind kind = first_form(precision, rows.cols, kernel);
    auto form = make_form(corpus, kind, kernel);
    pack_all(corpus, *form, kernel, execution, [&](std::size_t panel) {
        measure_panel(corpus, kernel, panel);
    });
    check_norms({corpus.root_norms.data(), rows.rows}, check_for(corpus));
    set_scale(corpus);
    if (corpus.scale_exponent != 0)
        form = packed_form(corpus, kind, execution);  // rare: norms far from 1
    while (!form->settle()) pack_all(corpus, *form, kernel, execution);
    corpus.forms[static_cast<std::size_t>(kind)] = std::move(form);
}

Corpus::Corpus(std::unique_ptr<PackedCorpus> packed) : packed_(std::move(packed)) {}

Corpus Corpus::restore(MatrixView rows,
                       Metric metric,
                       std::span<const std::int64_t> groups,
                       const PackedState& state) {
    require(state.layout == PackedState::kLayout, "packed state: of another version");
    require(state.root_norms.size() == rows.rows, "packed state: sizes do not match the rows");
    auto corpus = std::make_unique<PackedCorpus>();
    describe(*corpus, rows, metric, groups);
    corpus->scale_exponent = state.scale_exponent;
    corpus->max_norm = state.max_norm;
    corpus->root_norms = AlignedBuffer<double>::borrow(state.root_norms);
    if (!state.codes.empty())
        corpus->forms[static_cast<std::size_t>(FormKind::int8)] =
            std::make_unique<CodedForm>(*corpus, kInt8Codes, state);
    return Corpus(std::move(corpus));
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
    corpus.root_norms.own();
    for (auto& form : corpus.forms)
        if (form) form->own_memory();
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
    corpus.drop_lists();
    const int exponent = corpus.scale_exponent;
    set_scale(corpus);
    const KernelTable& kernel = kernels::active();
    for (auto& form : corpus.forms) {
        if (!form) continue;
        if (corpus.scale_exponent != exponent) {
            // Another scale changes every packed row.
            form.reset();
            continue;
        }
        run_parallel(panels.size(),
                     panels.size(),
                     {execution.num_threads, {}},
                     [&](std::size_t i, TaskContext&) {
                         form->pack_panels(panels[i], panels[i] + 1, kernel);
                     });
        if (!form->settle()) form.reset();
    }
}

void Corpus::move_rows(MatrixView rows) {
    PackedCorpus& corpus = *packed_;
    require(rows.rows == corpus.rows.rows && rows.cols == corpus.rows.cols &&
                rows.type == corpus.rows.type,
            "rows: expected the shape and type of the corpus");
    const std::unique_lock lock(corpus.mutex);
    corpus.drop_lists();
    corpus.rows = rows;
}

PackedState Corpus::state() const {
    const PackedCorpus& corpus = *packed_;
    PackedState state;
    state.scale_exponent = corpus.scale_exponent;
    state.max_norm = corpus.max_norm;
    state.root_norms = corpus.root_norms.view();
    const std::lock_guard lock(corpus.forms_mutex);
    // The others would not be smaller than the rows, or not by much.
    if (const auto& form = corpus.forms[static_cast<std::size_t>(FormKind::int8)])
        form->save(state);
    return state;
}

ListsOfRows Corpus::lists(std::size_t num_lists,
                          std::uint64_t seed,
                          const Execution& execution) const {
    const FloatEnvironment environment;
    const PackedCorpus& corpus = *packed_;
    const std::shared_lock lock(corpus.mutex);
    const auto made = corpus.inverted_lists(num_lists, seed, execution);
    ListsOfRows lists;
    const auto* const centers = reinterpret_cast<const float*>(made->centers().rows.data);
    lists.centers.assign(centers, centers + made->size() * corpus.rows.cols);
    for (std::size_t row = 0; row < corpus.num_rows(); ++row)
        lists.of_rows.push_back(made->list_of(row));
    return lists;
}

PackedCorpus::PackedCorpus() = default;
PackedCorpus::~PackedCorpus() = default;

void PackedCorpus::set_order(std::vector<std::uint32_t> row_at_position) {
    row_of_position = std::move(row_at_position);
    position_of_row.resize(row_of_position.size());
    for (std::size_t p = 0; p < row_of_position.size(); ++p)
        position_of_row[row_of_position[p]] = static_cast<std::uint32_t>(p);
}

PanelRows PackedCorpus::panel_rows(std::size_t panel) const noexcept {
    PanelRows result;
    const std::size_t first = panel * kPanelRows;
    result.count = std::min(kPanelRows, num_rows() - first);
    for (std::size_t r = 0; r < result.count; ++r) {
        const std::uint32_t row = row_at(first + r);
        result.elements[r] = rows.row(row);
        result.multipliers[r] = multiplier(root_norms[row]);
        result.norms[r] = root_norms[row] * result.multipliers[r];
    }
    return result;
}

FormKind first_form(Precision precision,
                    std::size_t dim,
                    const kernels::KernelTable& kernel) noexcept {
    if (precision == Precision::float32) return FormKind::float32;
    if (precision == Precision::int8) return FormKind::int8;
    if (precision == Precision::int16) return FormKind::int16;
    // Few dimensions leave the codes' tile little to save.
    constexpr std::size_t kMinDim = 32;
    return dim >= kMinDim && kernel.int8.speed > 1 ? FormKind::int8 : FormKind::float32;
}

FormKind finer_form(FormKind kind, std::size_t dim, const kernels::KernelTable& kernel) noexcept {
    // Below these, there is too little to save for one more form of the corpus.
    constexpr std::size_t kMinDim = 128;
    constexpr float kMinSpeed = 1.5f;
    if (kind != FormKind::int8 || dim < kMinDim || kernel.int16.speed < kMinSpeed)
        return FormKind::float32;
    return FormKind::int16;
}

const ScreeningForm& PackedCorpus::form(FormKind kind, const Execution& execution) const {
    auto& place = forms[static_cast<std::size_t>(kind)];
    {
        const std::lock_guard lock(forms_mutex);
        if (place) return *place;
    }
    // Not under the lock: progress callbacks run in between, and may ask for nbytes().
    auto packed = packed_form(*this, kind, execution);
    const std::lock_guard lock(forms_mutex);
    if (!place) place = std::move(packed);
    return *place;
}

bool PackedCorpus::is_packed(FormKind kind) const {
    const std::lock_guard lock(forms_mutex);
    return forms[static_cast<std::size_t>(kind)] != nullptr;
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

std::shared_ptr<const InvertedLists> PackedCorpus::inverted_lists(
    std::size_t num_lists,
    std::uint64_t seed,
    const Execution& execution) const {
    {
        const std::lock_guard lock(lists_mutex);
        if (lists && lists->made_for(num_lists, seed)) return lists;
    }
    // Not under the lock: progress callbacks run in between, and may ask for nbytes().
    auto made = std::make_shared<const InvertedLists>(*this, num_lists, seed, execution);
    const std::lock_guard lock(lists_mutex);
    lists = made;
    return made;
}

void PackedCorpus::drop_lists() {
    const std::lock_guard lock(lists_mutex);
    lists.reset();
}

std::size_t PackedCorpus::packed_bytes() const noexcept {
    std::size_t bytes = (row_of_position.size() + position_of_row.size()) * sizeof(std::uint32_t);
    const std::lock_guard lock(forms_mutex);
    for (const auto& form : forms) bytes += form ? form->nbytes() : 0;
    return bytes;
}

std::size_t Corpus::num_rows() const noexcept { return packed_->rows.rows; }
std::size_t Corpus::dim() const noexcept { return packed_->rows.cols; }
Metric Corpus::metric() const noexcept { return packed_->metric; }
ElementType Corpus::element_type() const noexcept { return packed_->rows.type; }

std::size_t Corpus::nbytes() const noexcept {
    const PackedCorpus& corpus = *packed_;
    std::size_t bytes = corpus.root_norms.size() * sizeof(double) + corpus.groups.size() * 8 +
                        corpus.panel_groups.size() * sizeof(GroupRange) + corpus.packed_bytes();
    {
        const std::lock_guard lock(corpus.duplicates_mutex);
        bytes += corpus.duplicates ? corpus.duplicates->nbytes() : 0;
    }
    const std::lock_guard lock(corpus.lists_mutex);
    return bytes + (corpus.lists ? corpus.lists->nbytes() : 0);
}

}  // namespace nearmiss
