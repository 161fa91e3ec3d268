// SPDX-License-Identifier: Apache-2.0
#include "kmeans/sketch_scan.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "forms/coding.hpp"
#include "kernels/dispatch.hpp"
#include "kmeans/centers.hpp"
#include "panel_groups.hpp"

namespace nearmiss {

using kernels::CodeStart;
using kernels::kPanelRows;
using kernels::kPanelStepBytes;
using kernels::kStepBytes;
using kernels::kTileQueries;
using kernels::kTileStepBytes;

namespace {

constexpr std::size_t kWidth = SketchMap::kWidth;
constexpr std::size_t kSteps = kWidth / kernels::kCodesPerStep;
// Along these leading axes sketches are told to be alike.
constexpr std::size_t kLeads = 32;
constexpr std::size_t kTileBytes = kSteps * kTileStepBytes;
constexpr std::size_t kPanelBytes = kSteps * kPanelStepBytes;
// Where sums are kept in 16 bits: by Cauchy-Schwarz none of a segment, of the even or the odd pairs
// of codes, leaves them.
constexpr std::size_t kNarrowSegmentSteps = kSteps / 2;
constexpr float kMostNormOfRow = 128;
constexpr float kMostNormOfCenter = 255;
static_assert(kMostNormOfRow * kMostNormOfCenter <= kernels::kMaxSegmentSum);
constexpr std::size_t kMostSums = 2 * kSteps / kNarrowSegmentSteps;
// Comparing the codes of whole vectors costs so much less than an exact score.
constexpr std::size_t kComparedPerScored = 2;
// Where rows tie there are very many; they are then settled as they come.
constexpr std::size_t kMostCandidates = std::size_t{1} << 16;
constexpr std::size_t kMostToCompare = 512;
constexpr double kUnit = 0x1p-24;
// More than float64 arithmetic is off by.
constexpr double kSlack = 1 + 0x1p-40;

std::size_t num_tiles(std::size_t queries) { return (queries + kTileQueries - 1) / kTileQueries; }

// Codes of kPanelRows sketches.
struct SketchCodes {
    float scales[kPanelRows];
    float residuals[kPanelRows];
    float segment_norms[kMostSums * kPanelRows];

    void quantise(const kernels::KernelTable& kernel,
                  const float* sketches,
                  std::size_t segment_steps,
                  std::int32_t limit,
                  std::int32_t offset,
                  std::uint8_t* codes) {
        kernel.int8.quantise({sketches,
                              kSteps,
                              segment_steps,
                              scales,
                              limit,
                              offset,
                              codes,
                              residuals,
                              segment_norms});
    }
    [[nodiscard]] static std::size_t num_sums(std::size_t segment_steps) noexcept {
        return 2 * kSteps / segment_steps;
    }
    // The largest of a sum's norms; they are exact.
    [[nodiscard]] float norm(std::size_t lane, std::size_t segment_steps) const {
        float largest = 0;
        for (std::size_t s = 0; s < num_sums(segment_steps); ++s)
            largest = std::max(largest, segment_norms[s * kPanelRows + lane]);
        return std::sqrt(largest);
    }
    [[nodiscard]] std::int32_t squared_norm(std::size_t lane, std::size_t segment_steps) const {
        float sum = 0;
        for (std::size_t s = 0; s < num_sums(segment_steps); ++s)
            sum += segment_norms[s * kPanelRows + lane];
        return static_cast<std::int32_t>(sum);
    }
};

// What sums over a segment of a query's codes start from.
CodeStart start_of(const std::int8_t* codes, std::size_t steps) {
    std::int32_t even = 0;
    std::int32_t odd = 0;
    for (std::size_t step = 0; step < steps; ++step, codes += kTileStepBytes) {
        even -= kernels::kCodeOffset * (codes[0] + codes[1]);
        odd -= kernels::kCodeOffset * (codes[2] + codes[3]);
    }
    return {static_cast<std::int16_t>(even), static_cast<std::int16_t>(odd), even + odd};
}

// Orders `places` so that similar sketches are next to each other: halves along the coordinate of
// the widest spread, until they fit a panel.
void order_by_likeness(std::span<std::uint32_t> places, const float* leads) {
    if (places.size() <= kPanelRows) return;
    double sums[kLeads] = {};
    double squares[kLeads] = {};
    for (const std::uint32_t place : places)
        for (std::size_t k = 0; k < kLeads; ++k) {
            const auto element = static_cast<double>(leads[place * kLeads + k]);
            sums[k] += element;
            squares[k] += element * element;
        }
    std::size_t widest = 0;
    double spread = -1;
    for (std::size_t k = 0; k < kLeads; ++k) {
        const double here = squares[k] - sums[k] * sums[k] / static_cast<double>(places.size());
        if (here > spread) {
            spread = here;
            widest = k;
        }
    }
    const std::size_t panels = (places.size() + kPanelRows - 1) / kPanelRows;
    const std::size_t half = panels / 2 * kPanelRows;
    std::nth_element(places.begin(),
                     places.begin() + static_cast<std::ptrdiff_t>(half),
                     places.end(),
                     [&](std::uint32_t a, std::uint32_t b) {
                         const float left = leads[a * kLeads + widest];
                         const float right = leads[b * kLeads + widest];
                         return left < right || (left == right && a < b);
                     });
    order_by_likeness(places.first(half), leads);
    order_by_likeness(places.subspan(half), leads);
}

// Never too small: the distance of vectors of such a score; how much that may be short of it in
// float32 is within the last terms.
double distance(Metric metric, float score) {
    const auto wide = static_cast<double>(score);
    if (metric == Metric::l2) return std::sqrt(-wide) * (1 + 0x1p-20) + 0x1p-70;
    return std::sqrt(std::max(0.0, 2 - 2 * wide) + 0x1p-21) * (1 + 0x1p-20);
}

}  // namespace

SketchedPoints::SketchedPoints(const Points& points, const Execution& execution)
    : points_(points),
      kernel_(kernels::active()),
      map_(points, execution.at(0)),
      segment_steps_(kernel_.int8.sums_are_wide ? kSteps : kNarrowSegmentSteps),
      codes_(points.size() * map_.num_codes()),
      rows_(points.size()),
      tiles_(num_tiles(points.size()) * kTileBytes),
      sketches_(points.size()),
      starts_(num_tiles(points.size()) * kTileQueries * (kSteps / segment_steps_)),
      scales_(num_tiles(points.size()) * kTileQueries, 0.0f) {
    // Places that stay empty.
    std::fill_n(tiles_.data() + tiles_.size() - kTileBytes, kTileBytes, std::int8_t{0});
    constexpr std::size_t kRowsPerTask = 64 * kPanelRows;
    const std::size_t tasks = (points.size() + kRowsPerTask - 1) / kRowsPerTask;
    run_parallel(tasks, points.size(), execution, [&](std::size_t task, TaskContext& context) {
        VectorCoder coder(map_, kernel_);
        const std::size_t last = std::min(points.size(), (task + 1) * kRowsPerTask);
        for (std::size_t first = task * kRowsPerTask; first < last; first += kPanelRows) {
            const std::size_t count = std::min(kPanelRows, last - first);
            code_panel(coder, first, count);
            context.checkpoint(count);
        }
    });
}

void SketchedPoints::code_panel(VectorCoder& coder, std::size_t first, std::size_t count) {
    coder.read(points_.rows(), points_.root_norms(), first, count);
    coder.code(codes_.data() + first * map_.num_codes(), rows_.data() + first);
    alignas(64) float sketches[kWidth * kPanelRows];
    alignas(64) std::uint8_t codes[kPanelBytes];
    double errors[kPanelRows];
    float peaks[kPanelRows];
    coder.sketch(sketches, errors);
    coder.rotate_sketches(sketches, errors, peaks);
    const bool wide = kernel_.int8.sums_are_wide;
    const std::int32_t limit = wide ? kernels::kMaxWideQueryCode : kernels::kMaxQueryCode;
    SketchCodes coded;
    for (std::size_t i = 0; i < kPanelRows; ++i)
        coded.scales[i] = code_scale(static_cast<float>(limit), peaks[i]);
    for (bool fit = false; !fit;) {
        coded.quantise(kernel_, sketches, segment_steps_, limit, 0, codes);
        fit = true;
        for (std::size_t i = 0; i < count && !wide; ++i) {
            const float norm = coded.norm(i, segment_steps_);
            if (norm <= kMostNormOfRow) continue;
            coded.scales[i] *= 0.995f * kMostNormOfRow / norm;
            fit = false;
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        sketches_[first + i] = {
            coded.scales[i],
            code_residual(coded.residuals[i], kWidth, coded.scales[i], errors[i]),
            coded.squared_norm(i, segment_steps_)};
        place_sketch(first + i, codes + i * kStepBytes);
    }
}

void SketchedPoints::place_sketch(std::size_t row, const std::uint8_t* codes) {
    const std::size_t tile = row / kTileQueries;
    const std::size_t place = row % kTileQueries;
    std::int8_t* const to = tiles_.data() + tile * kTileBytes + place * kStepBytes;
    for (std::size_t step = 0; step < kSteps; ++step)
        std::memcpy(to + step * kTileStepBytes, codes + step * kPanelStepBytes, kStepBytes);
    const std::size_t segments = kSteps / segment_steps_;
    for (std::size_t s = 0; s < segments; ++s)
        starts_[(tile * segments + s) * kTileQueries + place] =
            start_of(to + s * segment_steps_ * kTileStepBytes, segment_steps_);
    scales_[row] = sketches_[row].scale;
}

bool SketchedCenters::serves(const SketchMap& map, std::span<const double> root_norms) {
    return std::ranges::all_of(root_norms, [&](double norm) {
        return norm * map.multiplier(norm) <= SketchMap::kMostNorm;
    });
}

SketchedCenters::SketchedCenters(const SketchedPoints& points,
                                 const PackedCorpus& centers,
                                 std::span<const std::uint8_t> changed,
                                 const Execution& execution)
    : points_(points),
      centers_(centers),
      codes_(centers.num_rows() * points.map().num_codes()),
      wholes_(centers.num_rows()),
      elements_(centers.num_rows() * kWidth),
      errors_(centers.num_rows()),
      peaks_(centers.num_rows()),
      leads_(centers.num_rows() * kLeads),
      order_(centers.num_rows()),
      panels_(num_panels() * kPanelBytes),
      row_terms_(num_panels() * kPanelRows) {
    code_wholes(execution);
    std::iota(order_.begin(), order_.end(), 0u);
    const auto rest = std::partition(
        order_.begin(), order_.end(), [&](std::uint32_t center) { return changed[center] != 0; });
    num_changed_ = static_cast<std::size_t>(rest - order_.begin());
    order_by_likeness({order_.begin(), rest}, leads_.data());
    order_by_likeness({rest, order_.end()}, leads_.data());
    code_sketches();
}

void SketchedCenters::code_wholes(const Execution& execution) {
    const std::size_t count = centers_.num_rows();
    run_parallel(num_panels(), num_panels(), execution, [&](std::size_t p, TaskContext& context) {
        VectorCoder coder(points_.map(), points_.kernel());
        const std::size_t first = p * kPanelRows;
        const std::size_t used = std::min(kPanelRows, count - first);
        coder.read(centers_.rows, centers_.root_norms.view(), first, used);
        CodedVector coded[kPanelRows];
        coder.code(codes_.data() + first * points_.map().num_codes(), coded);
        alignas(64) float sketches[kWidth * kPanelRows];
        double errors[kPanelRows];
        coder.sketch(sketches, errors);
        for (std::size_t i = 0; i < used; ++i)
            for (std::size_t k = 0; k < kLeads; ++k)
                leads_[(first + i) * kLeads + k] = sketches[k * kPanelRows + i];
        float peaks[kPanelRows];
        coder.rotate_sketches(sketches, errors, peaks);
        for (std::size_t i = 0; i < used; ++i) {
            const double step = 1 / static_cast<double>(coded[i].scale);
            wholes_[first + i] = {step,
                                  static_cast<double>(coded[i].squared_norm) * step * step,
                                  static_cast<double>(coded[i].residual)};
            errors_[first + i] = errors[i];
            peaks_[first + i] = peaks[i];
            for (std::size_t k = 0; k < kWidth; ++k)
                elements_[(first + i) * kWidth + k] = sketches[k * kPanelRows + i];
        }
        context.checkpoint(1);
    });
}

// All at one scale.
void SketchedCenters::code_sketches() {
    const bool wide = points_.kernel().int8.sums_are_wide;
    const std::size_t segment_steps = points_.segment_steps();
    const float peak = *std::ranges::max_element(peaks_);
    alignas(64) float lanes[kWidth * kPanelRows] = {};
    scale_ = code_scale(static_cast<float>(kernels::kMaxRowCode), peak);
    SketchCodes coded;
    for (std::size_t p = 0; p < num_panels();) {
        double errors[kPanelRows] = {};
        gather(p, lanes, errors);
        std::fill_n(coded.scales, kPanelRows, scale_);
        coded.quantise(points_.kernel(),
                       lanes,
                       segment_steps,
                       kernels::kMaxRowCode,
                       kernels::kCodeOffset,
                       panels_.data() + p * kPanelBytes);
        float norm = 0;
        for (std::size_t i = 0; i < kPanelRows; ++i)
            norm = std::max(norm, coded.norm(i, segment_steps));
        if (!wide && norm > kMostNormOfCenter) {
            scale_ *= 0.995f * kMostNormOfCenter / norm;
            greatest_norm_ = greatest_residual_ = 0;
            p = 0;
            continue;
        }
        for (std::size_t i = 0; i < kPanelRows; ++i) {
            const auto squares = static_cast<double>(coded.squared_norm(i, segment_steps));
            const auto scale = static_cast<double>(scale_);
            row_terms_[p * kPanelRows + i] = static_cast<float>(-0.5 * squares / scale);
            greatest_norm_ = std::max(greatest_norm_, std::sqrt(squares));
            const double residual =
                static_cast<double>(code_residual(coded.residuals[i], kWidth, scale_, errors[i]));
            greatest_residual_ = std::max(greatest_residual_, residual);
        }
        ++p;
    }
}

// The sketches at the places of a panel, one per lane.
void SketchedCenters::gather(std::size_t panel, float* lanes, double* errors) const {
    const std::size_t first = panel * kPanelRows;
    const std::size_t used = std::min(kPanelRows, order_.size() - first);
    for (std::size_t i = 0; i < kPanelRows; ++i) {
        const std::uint32_t center = order_[first + std::min(i, used - 1)];
        errors[i] = errors_[center];
        for (std::size_t k = 0; k < kWidth; ++k)
            lanes[k * kPanelRows + i] = elements_[center * kWidth + k];
    }
}

SketchScan::SketchScan(const Search& search,
                       const SketchedPoints& points,
                       const SketchedCenters& centers,
                       std::size_t num_panels)
    : search_(search),
      points_(points),
      centers_(centers),
      num_panels_(num_panels),
      reader_(search.queries, search.query_norms, search.kernel),
      scorer_(search.corpus, search.kernel),
      passes_(kernels::kMaxPanels * (num_tiles(kQueries) + 1)),
      passing_(passes_.size() * kTileQueries + 1),
      to_compare_(kMostToCompare + passes_.size() * kTileQueries * kPanelRows + 1) {}

std::size_t SketchScan::run(std::span<const std::uint32_t> queries,
                            std::span<Key> best,
                            TaskContext& context) {
    best_ = best;
    num_to_compare_ = 0;  // a run may have been stopped
    candidates_.clear();
    num_compared_ = num_scored_ = 0;
    take(queries);
    constexpr std::size_t kPanelsPerCheckpoint = 64;
    const std::size_t at_once = points_.kernel().panels_at_once;
    for (std::size_t panel = 0; panel < num_panels_; panel += at_once) {
        const std::size_t next = panel + at_once;
        screen(panel, std::min(at_once, num_panels_ - panel), next < num_panels_ ? next : panel);
        if (num_to_compare_ >= kMostToCompare) compare();
        if (candidates_.size() >= kMostCandidates) {
            settle();
            for (std::size_t i = 0; i < rows_.size(); ++i) set_threshold(i);
        }
        if (panel % kPanelsPerCheckpoint == 0) context.checkpoint();
    }
    compare();
    settle();
    return num_scored_ + num_compared_ / kComparedPerScored;
}

// What is to be known of the rows.
void SketchScan::take(std::span<const std::uint32_t> queries) {
    rows_ = queries;
    queries_.resize(queries.size());
    const bool together = queries.back() - queries.front() + 1 == queries.size();
    first_place_ = together ? queries.front() % kTileQueries : 0;
    const std::size_t places = num_tiles(first_place_ + queries.size()) * kTileQueries;
    lower_.assign(places, std::numeric_limits<float>::infinity());
    if (together) {
        const std::size_t tile = queries.front() / kTileQueries;
        const std::size_t segments = kSteps / points_.segment_steps();
        tiles_ = points_.tiles_.data() + tile * kTileBytes;
        starts_ = points_.starts_.data() + tile * segments * kTileQueries;
        scales_ = points_.scales_.data() + tile * kTileQueries;
    } else {
        gather();
    }
    for (std::size_t i = 0; i < queries.size(); ++i) {
        const CodedVector& coded = points_.rows_[queries[i]];
        const double step = 1 / static_cast<double>(coded.scale);
        queries_[i].codes = points_.codes_.data() + queries[i] * points_.map().num_codes();
        queries_[i].step = step;
        queries_[i].squared_norm = static_cast<double>(coded.squared_norm) * step * step;
        set_threshold(i);
    }
}

void SketchScan::gather() {
    const std::size_t tiles = num_tiles(rows_.size());
    const std::size_t segments = kSteps / points_.segment_steps();
    gathered_tiles_.reserve(tiles * kTileBytes);
    std::memset(gathered_tiles_.data() + (tiles - 1) * kTileBytes, 0, kTileBytes);
    gathered_starts_.assign(tiles * segments * kTileQueries, {});
    gathered_scales_.assign(tiles * kTileQueries, 0.0f);
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        const std::size_t from = rows_[i];
        const std::int8_t* const in = points_.tiles_.data() + from / kTileQueries * kTileBytes +
                                      from % kTileQueries * kStepBytes;
        std::int8_t* const out =
            gathered_tiles_.data() + i / kTileQueries * kTileBytes + i % kTileQueries * kStepBytes;
        for (std::size_t at = 0; at < kTileBytes; at += kTileStepBytes)
            std::memcpy(out + at, in + at, kStepBytes);
        for (std::size_t s = 0; s < segments; ++s)
            gathered_starts_[(i / kTileQueries * segments + s) * kTileQueries + i % kTileQueries] =
                points_.starts_[(from / kTileQueries * segments + s) * kTileQueries +
                                from % kTileQueries];
        gathered_scales_[i] = points_.scales_[from];
    }
    tiles_ = gathered_tiles_.data();
    starts_ = gathered_starts_.data();
    scales_ = gathered_scales_.data();
}

// Centres at least as good as the best are no farther, nor are their sketches; codes of these are
// at most as much farther as they miss.
void SketchScan::set_threshold(std::size_t i) {
    const CodedVector& sketch = points_.sketches_[rows_[i]];
    const double r = distance(search_.corpus.metric, score_of(best_[i])) * points_.map().unit();
    queries_[i].best = row_of(best_[i]);
    queries_[i].reach = r + static_cast<double>(points_.rows_[rows_[i]].residual);
    const auto scale = static_cast<double>(sketch.scale);
    const double both = scale * static_cast<double>(centers_.scale_);
    const double squares = static_cast<double>(sketch.squared_norm);
    const double reach =
        (r + static_cast<double>(sketch.residual) + centers_.greatest_residual_) * kSlack;
    // In float32 the term of a centre and its product and sum are rounded.
    const double greatest = centers_.greatest_norm_;
    const double error =
        4 * kUnit * greatest *
        (std::sqrt(squares) + greatest * scale / static_cast<double>(centers_.scale_));
    const double threshold =
        0.5 * (squares / scale * static_cast<double>(centers_.scale_) - reach * reach * both);
    // And so may be the threshold itself.
    lower_[first_place_ + i] =
        static_cast<float>(threshold - error - 2 * kUnit * std::abs(threshold - error));
}

void SketchScan::screen(std::size_t first_panel, std::size_t count, std::size_t next_panel) {
    const auto tiles = static_cast<std::uint32_t>(lower_.size() / kTileQueries);
    kernels::CodeScreenTask task{{},
                                 {},
                                 {},
                                 count,
                                 tiles_,
                                 starts_,
                                 scales_,
                                 kSteps,
                                 points_.segment_steps(),
                                 0,
                                 tiles,
                                 lower_.data(),
                                 nullptr,
                                 nullptr};
    for (std::size_t p = 0; p < count; ++p) {
        task.panels[p] = centers_.panels_.data() + (first_panel + p) * kPanelBytes;
        task.next[p] =
            centers_.panels_.data() + std::min(next_panel + p, num_panels_ - 1) * kPanelBytes;
        task.row_terms[p] = centers_.row_terms_.data() + (first_panel + p) * kPanelRows;
    }
    const std::uint32_t num_passes = points_.kernel().int8_passes(task, passes_.data());
    collect(std::span(passes_).first(num_passes), first_panel);
}

// Which queries of a pass have lanes cannot be foreseen: they are listed without a branch first.
// Most of these have one lane. A centre that is known already is written and forgotten.
void SketchScan::collect(std::span<const kernels::TilePass> passes, std::size_t first_panel) {
    std::size_t num_passing = 0;
    for (const kernels::TilePass& pass : passes) {
        const std::size_t panel = first_panel + pass.panel;
        const std::uint32_t used = used_lanes(panel, centers_.order_.size());
        for (std::size_t t = 0; t < kTileQueries; ++t) {
            const std::size_t i = pass.tile * kTileQueries + t - first_place_;
            const std::uint32_t lanes = pass.passed[t] & used;
            passing_[num_passing] = {
                static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(panel), lanes};
            num_passing += static_cast<std::size_t>(lanes != 0);
        }
    }
    std::size_t num_to_compare = num_to_compare_;
    for (const Passing& passing : std::span(passing_).first(num_passing)) {
        const std::uint32_t* const centers = centers_.order_.data() + passing.panel * kPanelRows;
        const std::uint32_t best = queries_[passing.query].best;
        std::uint32_t lanes = passing.lanes;
        do {
            const std::uint32_t center = centers[std::countr_zero(lanes)];
            to_compare_[num_to_compare] = {passing.query, center};
            num_to_compare += static_cast<std::size_t>(center != best);
            lanes &= lanes - 1;
        } while (lanes != 0);
    }
    num_to_compare_ = num_to_compare;
}

void SketchScan::compare() {
    const std::size_t num_codes = points_.map().num_codes();
    pairs_.clear();
    for (const auto& [i, center] : std::span(to_compare_).first(num_to_compare_))
        pairs_.push_back({queries_[i].codes, centers_.codes_.data() + center * num_codes});
    products_.resize(pairs_.size());
    points_.kernel().int8_products(pairs_.data(), pairs_.size(), num_codes, products_.data());
    for (std::size_t j = 0; j < pairs_.size(); ++j) {
        const Query& query = queries_[to_compare_[j].query];
        const SketchedCenters::Coded& coded = centers_.wholes_[to_compare_[j].center];
        const double squares = query.squared_norm + coded.squared_norm;
        const double product = static_cast<double>(products_[j]) * query.step * coded.step;
        const double reach = query.reach + coded.residual;
        if (squares - 2 * product <= reach * reach * kSlack + squares * (kSlack - 1))
            candidates_.push_back(to_compare_[j]);
    }
    num_compared_ += pairs_.size();
    num_to_compare_ = 0;
}

void SketchScan::settle() {
    // Those of a row come one after the other.
    std::ranges::sort(candidates_, {}, [](const Candidate& candidate) {
        return static_cast<std::uint64_t>(candidate.query) << 32 | candidate.center;
    });
    for (auto at = candidates_.begin(); at != candidates_.end();) {
        const std::size_t i = at->query;
        centers_to_score_.clear();
        for (; at != candidates_.end() && at->query == i; ++at)
            centers_to_score_.push_back(at->center);
        scores_.resize(centers_to_score_.size());
        scorer_.score(reader_.read(rows_[i]), centers_to_score_, scores_.data());
        for (std::size_t j = 0; j < scores_.size(); ++j)
            best_[i] = std::max(best_[i], make_key(scores_[j], centers_to_score_[j]));
        num_scored_ += scores_.size();
    }
    candidates_.clear();
}

}  // namespace nearmiss
