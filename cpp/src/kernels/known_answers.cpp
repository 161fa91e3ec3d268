// SPDX-License-Identifier: Apache-2.0
#include "kernels/known_answers.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "aligned_buffer.hpp"
#include "float_environment.hpp"

namespace nearmiss::kernels {

extern const KernelTable kernel_table_scalar;

namespace {

constexpr float kNever = 1e30f;

// A small generator of its own (Knuth's linear congruential one).
class Numbers {
  public:
    explicit Numbers(std::size_t seed) : state_(seed) {}

    std::uint32_t bits() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::uint32_t>(state_ >> 32);
    }
    int within(int limit) { return static_cast<int>(bits() % (2u * unsigned(limit) + 1)) - limit; }

    // Integers so small that float32 sums of their products are exact, in any order, fused or not.
    AlignedBuffer<float> integers(std::size_t size, int limit) {
        AlignedBuffer<float> buffer(size);
        for (std::size_t i = 0; i < size; ++i) buffer[i] = static_cast<float>(within(limit));
        return buffer;
    }

  private:
    std::uint64_t state_;
};

template <class T>
bool same(const T& a, const T& b) {
    return std::equal(a.data(), a.data() + a.size(), b.data(), b.data() + b.size());
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// ---- tiles -------------------------------------------------------------------------------------
bool same_hit(const TileHit& a, const TileHit& b) {
    return a.tile == b.tile && a.panel == b.panel && std::ranges::equal(a.passed, b.passed) &&
           std::ranges::equal(a.above, b.above) &&
           std::equal(a.scores[0], a.scores[0] + kTileQueries * kPanelRows, b.scores[0]);
}

std::uint32_t num_hits(std::uint32_t hits) { return hits; }
std::uint32_t num_hits(const ScreenCounts& counts) { return counts.hits; }

template <class Screen, class Task>
std::vector<TileHit> hits_of(Screen screen, const Task& task) {
    std::vector<TileHit> hits((task.tile_end - task.tile_begin) * task.num_panels);
    hits.resize(num_hits(screen(task, hits.data())));
    std::ranges::sort(hits, {}, [](const TileHit& hit) { return std::pair(hit.panel, hit.tile); });
    return hits;
}

struct Thresholds {
    std::vector<float> lower;
    std::vector<float> upper;
};

// Scores that occur, since equality decides; every fifth tile is not worth a look. `all` holds
// every tile of every panel.
Thresholds thresholds_among(const std::vector<TileHit>& all, std::uint32_t tile_end) {
    Thresholds at{std::vector<float>(tile_end * kTileQueries, kNever),
                  std::vector<float>(tile_end * kTileQueries, kNever)};
    for (const TileHit& hit : all) {
        if (hit.tile % 5 == 1) continue;
        for (std::size_t q = 0; q < kTileQueries; ++q) {
            const float one = hit.scores[q][(5 * q + hit.tile) % kPanelRows];
            const float other = hit.scores[q][(3 * q + 1) % kPanelRows];
            at.lower[hit.tile * kTileQueries + q] = std::min(one, other);
            at.upper[hit.tile * kTileQueries + q] = std::max(one, other);
        }
    }
    return at;
}

// Without thresholds, with them, and with a ceiling: hits tell what is above it, or counts do.
template <class Screen, class Task>
bool screens_right(Screen screen, Screen reference, Task task) {
    const std::vector<float> none(task.tile_end * kTileQueries, -kNever);
    const auto agree = [&] {
        return std::ranges::equal(hits_of(screen, task), hits_of(reference, task), same_hit);
    };
    task.lower = none.data();
    task.upper = nullptr;
    task.num_above = nullptr;
    if (!agree()) return false;
    const Thresholds at = thresholds_among(hits_of(reference, task), task.tile_end);
    task.lower = at.lower.data();
    if (!agree()) return false;
    task.upper = at.upper.data();
    if (!agree()) return false;
    const auto counted = [&](Screen counts) {
        std::vector<std::uint32_t> num_above(task.tile_end * kTileQueries);
        task.num_above = num_above.data();
        return std::pair(hits_of(counts, task), num_above);
    };
    const auto [hits, counts] = counted(screen);
    const auto [reference_hits, reference_counts] = counted(reference);
    return std::ranges::equal(hits, reference_hits, same_hit) && counts == reference_counts;
}

bool screen_is_right(const KernelTable& table) {
    struct Shape {
        std::size_t depth;
        std::size_t num_panels;
        std::uint32_t tile_begin, tile_end;
    };
    for (const Shape shape : {Shape{1, 1, 0, 1},
                              Shape{7, 2, 1, 4},
                              Shape{37, 2, 0, 9},
                              Shape{130, 1, 2, 7},
                              Shape{40, 2, 3, 4}}) {
        Numbers numbers(shape.depth);
        const std::size_t panel_size = shape.depth * kPanelRows;
        const auto panels = numbers.integers(kMaxPanels * panel_size, 99);
        const auto tiles = numbers.integers(shape.tile_end * shape.depth * kTileQueries, 20);
        const auto row_rests = numbers.integers(kMaxPanels * kPanelRows, 2000);
        std::vector<float> query_rests(shape.tile_end * kTileQueries, 0.0f);
        ScreenTask task{{panels.data(), panels.data() + panel_size},
                        {panels.data(), panels.data()},
                        shape.num_panels,
                        tiles.data(),
                        shape.depth,
                        shape.tile_begin,
                        shape.tile_end,
                        shape.depth,
                        {row_rests.data(), row_rests.data() + kPanelRows},
                        query_rests.data(),
                        nullptr,
                        nullptr,
                        nullptr};
        if (!screens_right(table.screen, kernel_table_scalar.screen, task)) return false;
        task.early_depth = shape.depth - shape.depth / 3;
        for (std::size_t i = 0; i < query_rests.size(); ++i)
            query_rests[i] = static_cast<float>(i % 5);
        if (!screens_right(table.screen, kernel_table_scalar.screen, task)) return false;
    }
    return true;
}

CodeStart start_of(const std::int8_t* codes, std::size_t steps) {
    std::int32_t even = 0;
    std::int32_t odd = 0;
    for (std::size_t step = 0; step < steps; ++step, codes += kTileStepBytes) {
        even -= kCodeOffset * (codes[0] + codes[1]);
        odd -= kCodeOffset * (codes[2] + codes[3]);
    }
    return {static_cast<std::int16_t>(even), static_cast<std::int16_t>(odd), even + odd};
}

// For every tile, segment and query.
std::vector<CodeStart> starts_of(const AlignedBuffer<std::int8_t>& tiles,
                                 std::size_t num_tiles,
                                 std::size_t steps,
                                 std::size_t segment_steps) {
    std::vector<CodeStart> starts;
    for (std::size_t t = 0; t < num_tiles; ++t)
        for (std::size_t begin = 0; begin < steps; begin += segment_steps)
            for (std::size_t q = 0; q < kTileQueries; ++q)
                starts.push_back(
                    start_of(tiles.data() + (t * steps + begin) * kTileStepBytes + 4 * q,
                             std::min(segment_steps, steps - begin)));
    return starts;
}

struct CodeShape {
    std::size_t steps;
    std::size_t segment_steps;
    std::size_t num_panels;
    std::uint32_t tile_begin, tile_end;
    // Of queries' int8 codes: 2 * segment_steps * kMaxRowCode * limit <= kMaxSegmentSum, or wide.
    // Of all int16 codes: 2 * steps * limit^2 <= kMaxInt16Sum.
    int limit;
};

// The codes of the panels and tiles of a task.
struct CodeBytes {
    AlignedBuffer<std::uint8_t> panels;
    AlignedBuffer<std::int8_t> tiles;

    explicit CodeBytes(const CodeShape& shape)
        : panels(kMaxPanels * shape.steps * kPanelStepBytes),
          tiles(shape.tile_end * shape.steps * kTileStepBytes) {}
};

// One in two is at a limit.
int some_code(Numbers& numbers, int limit) {
    return std::clamp(numbers.within(2 * limit), -limit, limit);
}

// check(task of such codes, without thresholds)
template <class Check>
bool check_codes(const CodeShape& shape,
                 const CodeBytes& bytes,
                 const std::vector<CodeStart>& starts,
                 const Check& check) {
    Numbers numbers(shape.steps);
    const std::size_t panel_bytes = shape.steps * kPanelStepBytes;
    const auto terms = numbers.integers(kMaxPanels * kPanelRows, 50);
    const auto factors = numbers.integers(shape.tile_end * kTileQueries, 9);
    return check(CodeScreenTask{{bytes.panels.data(), bytes.panels.data() + panel_bytes},
                                {bytes.panels.data(), bytes.panels.data()},
                                {terms.data(), terms.data() + kPanelRows},
                                shape.num_panels,
                                bytes.tiles.data(),
                                starts.data(),
                                factors.data(),
                                shape.steps,
                                shape.segment_steps,
                                shape.tile_begin,
                                shape.tile_end,
                                nullptr,
                                nullptr,
                                nullptr});
}

template <class Check>
bool check_int8_codes(const CodeShape& shape, const Check& check) {
    Numbers numbers(shape.steps);
    CodeBytes bytes(shape);
    for (std::size_t i = 0; i < bytes.panels.size(); ++i)
        bytes.panels[i] = static_cast<std::uint8_t>(kCodeOffset + some_code(numbers, kMaxRowCode));
    for (std::size_t i = 0; i < bytes.tiles.size(); ++i)
        bytes.tiles[i] = static_cast<std::int8_t>(some_code(numbers, shape.limit));
    return check_codes(shape,
                       bytes,
                       starts_of(bytes.tiles, shape.tile_end, shape.steps, shape.segment_steps),
                       check);
}

// What passes is what `screen` of the reference says.
bool passes_right(const KernelTable& table, CodeScreenTask task) {
    const auto reference = kernel_table_scalar.int8.screen;
    const std::vector<float> none(task.tile_end * kTileQueries, -kNever);
    task.lower = none.data();
    const Thresholds at = thresholds_among(hits_of(reference, task), task.tile_end);
    task.lower = at.lower.data();
    std::vector<TilePass> passes((task.tile_end - task.tile_begin) * task.num_panels);
    passes.resize(table.int8_passes(task, passes.data()));
    std::ranges::sort(
        passes, {}, [](const TilePass& pass) { return std::pair(pass.panel, pass.tile); });
    return std::ranges::equal(
        passes, hits_of(reference, task), [](const TilePass& pass, const TileHit& hit) {
            return pass.tile == hit.tile && pass.panel == hit.panel &&
                   std::ranges::equal(pass.passed, hit.passed);
        });
}

bool screens_int16_codes_right(const KernelTable& table, const CodeShape& shape) {
    Numbers numbers(shape.steps);
    CodeBytes bytes(shape);
    const auto fill = [&](auto& codes) {
        for (std::size_t i = 0; i < codes.size(); i += sizeof(std::int16_t)) {
            const auto code = static_cast<std::int16_t>(some_code(numbers, shape.limit));
            std::memcpy(codes.data() + i, &code, sizeof code);
        }
    };
    fill(bytes.panels);
    fill(bytes.tiles);
    const std::vector<CodeStart> starts(shape.tile_end * kTileQueries);
    return check_codes(shape, bytes, starts, [&](const CodeScreenTask& task) {
        return screens_right(table.int16.screen, kernel_table_scalar.int16.screen, task);
    });
}

// check(task) of several shapes
template <class Check>
bool check_int8_tasks(const KernelTable& table, const Check& check) {
    // The sums of the second wrap around 16 bits again and again.
    for (const CodeShape& shape : {CodeShape{1, 24, 1, 0, 1, kMaxQueryCode},
                                   CodeShape{7, 2, 2, 1, 4, kMaxQueryCode},
                                   CodeShape{33, 24, 2, 0, 9, 5},
                                   CodeShape{41, 8, 1, 2, 7, 16},
                                   CodeShape{12, 8, 2, 0, 13, 16},
                                   CodeShape{20, 8, 2, 1, 3, 16},
                                   CodeShape{9, 2, 2, 3, 4, kMaxQueryCode}})
        if (!check_int8_codes(shape, check)) return false;
    return !table.int8.sums_are_wide ||
           check_int8_codes({31, 16, 2, 0, 3, kMaxWideQueryCode}, check);
}

bool screen_int8_codes_is_right(const KernelTable& table) {
    return check_int8_tasks(table, [&](const CodeScreenTask& task) {
        return screens_right(table.int8.screen, kernel_table_scalar.int8.screen, task);
    });
}

bool int8_passes_is_right(const KernelTable& table) {
    return check_int8_tasks(table,
                            [&](const CodeScreenTask& task) { return passes_right(table, task); });
}

bool screen_int16_codes_is_right(const KernelTable& table) {
    for (const CodeShape& shape : {CodeShape{1, 1, 1, 0, 1, kMaxInt16Code},
                                   CodeShape{7, 7, 2, 1, 4, 12000},
                                   CodeShape{33, 33, 2, 0, 9, 5600},
                                   CodeShape{12, 12, 2, 0, 13, 5600},
                                   CodeShape{40, 40, 1, 2, 7, 5100}})
        if (!screens_int16_codes_right(table, shape)) return false;
    return true;
}

bool int8_products_is_right(const KernelTable& table) {
    constexpr std::size_t kVectors = 9;
    for (const std::size_t num_codes : {1, 16, 63, 64, 200, 384, 1001}) {
        Numbers numbers(num_codes);
        std::vector<std::int8_t> codes(kVectors * num_codes);
        for (std::int8_t& code : codes)
            code = static_cast<std::int8_t>(some_code(numbers, kMaxRowCode));
        std::vector<CodePair> pairs;
        for (std::size_t i = 0; i < kVectors; ++i)
            pairs.push_back(
                {codes.data() + i * num_codes, codes.data() + 5 * i % kVectors * num_codes});
        std::vector<std::int32_t> found(kVectors);
        std::vector<std::int32_t> wanted(kVectors);
        table.int8_products(pairs.data(), kVectors, num_codes, found.data());
        kernel_table_scalar.int8_products(pairs.data(), kVectors, num_codes, wanted.data());
        if (!same_bits(found, wanted)) return false;
    }
    return true;
}

// ---- few rows ------------------------------------------------------------------------------------
std::vector<std::uint64_t> near(const KernelTable& table,
                                std::size_t num_panels,
                                std::size_t depth,
                                std::size_t count) {
    Numbers numbers(depth);
    const auto panels = numbers.integers(num_panels * depth * kPanelRows, 20);
    const auto queries = numbers.integers(count * depth, 9);
    auto starts = numbers.integers(num_panels * kPanelRows, 300);
    starts[num_panels * kPanelRows - 1] = -std::numeric_limits<float>::infinity();
    std::vector<std::uint64_t> near(count * kNearWords);
    table.near_greatest({panels.data(),
                         starts.data(),
                         num_panels,
                         depth,
                         reinterpret_cast<const char*>(queries.data()),
                         static_cast<std::ptrdiff_t>(depth * sizeof(float)),
                         count,
                         100.0f,
                         near.data()});
    return near;
}

bool near_greatest_is_right(const KernelTable& table) {
    struct Shape {
        std::size_t num_panels, depth, count;
    };
    for (const Shape s : {Shape{1, 1, 1}, Shape{4, 7, 6}, Shape{7, 37, 13}, Shape{12, 20, 5}})
        if (!same_bits(near(table, s.num_panels, s.depth, s.count),
                       near(kernel_table_scalar, s.num_panels, s.depth, s.count)))
            return false;
    return true;
}

// ---- encoding ----------------------------------------------------------------------------------
struct Rotated {
    AlignedBuffer<float> elements;
    AlignedBuffer<float> of_lanes[3];
};

Rotated rotated(const KernelTable& table, std::size_t cols) {
    Numbers numbers(cols);
    Rotated result;
    result.elements = numbers.integers(cols * kPanelRows, 50);
    const auto centre = numbers.integers(cols, 9);
    const auto factors = numbers.integers(kPanelRows, 3);
    AlignedBuffer<float> signs(cols);
    for (std::size_t i = 0; i < cols; ++i) signs[i] = numbers.bits() >> 31 != 0 ? -1.0f : 1.0f;
    for (auto& values : result.of_lanes) values = AlignedBuffer<float>(kPanelRows);
    table.rotate({result.elements.data(),
                  cols,
                  std::bit_floor(cols),
                  centre.data(),
                  factors.data(),
                  signs.data(),
                  result.of_lanes[0].data(),
                  result.of_lanes[1].data(),
                  result.of_lanes[2].data()});
    return result;
}

bool close(const AlignedBuffer<float>& a, const AlignedBuffer<float>& b) {
    float largest = 0;
    for (std::size_t i = 0; i < b.size(); ++i) largest = std::max(largest, std::abs(b[i]));
    for (std::size_t i = 0; i < b.size(); ++i)
        if (!(std::abs(a[i] - b[i]) <= 1e-5f * largest)) return false;
    return true;
}

bool rotate_is_right(const KernelTable& table) {
    for (const std::size_t cols : {1, 2, 3, 19, 64, 100}) {
        const Rotated found = rotated(table, cols);
        const Rotated wanted = rotated(kernel_table_scalar, cols);
        if (!close(found.elements, wanted.elements)) return false;
        for (std::size_t i = 0; i < 3; ++i)
            if (!close(found.of_lanes[i], wanted.of_lanes[i])) return false;
    }
    return true;
}

struct Quantised {
    AlignedBuffer<std::uint8_t> codes;
    AlignedBuffer<float> residuals;
    AlignedBuffer<float> segment_norms;
};

struct QuantiseShape {
    std::size_t codes_per_step;
    std::size_t steps, segment_steps;
    std::int32_t limit, offset;
    int largest;  // element, in quarters of a code
};

Quantised quantised(const KernelTable::Codes& codes, const QuantiseShape& shape) {
    const auto& [codes_per_step, steps, segment_steps, limit, offset, largest] = shape;
    Numbers numbers(steps);
    // Quarters and halves: some lie in the middle between two codes, some beyond the last.
    const auto elements = numbers.integers(steps * codes_per_step * kPanelRows, largest);
    float scales[kPanelRows];
    for (std::size_t lane = 0; lane < kPanelRows; ++lane) scales[lane] = lane % 3 ? 0.25f : 0.5f;
    const std::size_t segments = (steps + segment_steps - 1) / segment_steps;
    Quantised result{AlignedBuffer<std::uint8_t>(steps * kPanelStepBytes),
                     AlignedBuffer<float>(kPanelRows),
                     AlignedBuffer<float>(segments * codes_per_step / 2 * kPanelRows)};
    codes.quantise({elements.data(),
                    steps,
                    segment_steps,
                    scales,
                    limit,
                    offset,
                    result.codes.data(),
                    result.residuals.data(),
                    result.segment_norms.data()});
    return result;
}

bool quantises_right(KernelTable::Codes KernelTable::* codes,
                     const KernelTable& table,
                     const QuantiseShape& shape) {
    const Quantised found = quantised(table.*codes, shape);
    const Quantised wanted = quantised(kernel_table_scalar.*codes, shape);
    return same(found.codes, wanted.codes) && same(found.residuals, wanted.residuals) &&
           same(found.segment_norms, wanted.segment_norms);
}

bool quantise_is_right(const KernelTable& table) {
    for (const QuantiseShape& shape :
         {QuantiseShape{kCodesPerStep, 1, 24, kMaxQueryCode, 0, 400},
          QuantiseShape{kCodesPerStep, 13, 4, kMaxRowCode, kCodeOffset, 400}})
        if (!quantises_right(&KernelTable::int8, table, shape)) return false;
    return true;
}

bool quantise_int16_is_right(const KernelTable& table) {
    // Squares small enough for their float32 sum to be exact, fused or not, and some beyond the
    // limit.
    for (const QuantiseShape& shape : {QuantiseShape{kInt16CodesPerStep, 1, 1, 80, 0, 400},
                                       QuantiseShape{kInt16CodesPerStep, 13, 13, 800, 0, 4000}})
        if (!quantises_right(&KernelTable::int16, table, shape)) return false;
    return true;
}

// ---- rows, whose results must agree to the last bit ----------------------------------------------
constexpr std::size_t kSizes[kNumElementTypes] = {4, 2, 2, 1, 1};

float any_float(Numbers& numbers) {
    return static_cast<float>(static_cast<std::int32_t>(numbers.bits()) >> 8) * 0x1p-20f;
}

// Rows of any finite elements, with room between them.
struct Rows {
    static constexpr std::size_t kGap = 3;

    Rows(std::size_t type, std::size_t count, std::size_t cols)
        : stride((cols + kGap) * kSizes[type]),
          data(count * stride) {
        Numbers numbers(cols);
        for (std::size_t i = 0; i < data.size(); i += kSizes[type]) {
            std::uint32_t bits = numbers.bits() >> (32 - 8 * kSizes[type]);
            if (kSizes[type] == 2) bits &= 0xbfffu;  // neither infinite nor NaN
            if (kSizes[type] == 4) bits = std::bit_cast<std::uint32_t>(any_float(numbers));
            for (std::size_t byte = 0; byte < kSizes[type]; ++byte)
                data[i + byte] = static_cast<char>(bits >> (8 * byte) & 0xff);
        }
    }
    [[nodiscard]] const void* row(std::size_t i) const { return data.data() + i * stride; }

    std::size_t stride;
    AlignedBuffer<char> data;
};

using ScoreRows = void (*)(const float*, const RowList&, double*, double*);

std::vector<double> scored(ScoreRows score, const Rows& rows, std::size_t count, std::size_t cols) {
    Numbers numbers(count);
    std::vector<float> query(cols);
    for (float& element : query) element = any_float(numbers);
    std::vector<std::uint32_t> positions(count);
    for (std::size_t i = 0; i < count; ++i)
        positions[i] = static_cast<std::uint32_t>((5 * i + 2) % count);
    std::vector<double> scratch(cols);
    std::vector<double> out(count);
    const auto stride = static_cast<std::ptrdiff_t>(rows.stride);
    score(query.data(),
          {rows.data.data(), stride, positions.data(), count, cols},
          scratch.data(),
          out.data());
    return out;
}

std::vector<float> interleaved(const KernelTable::PerType& kernel,
                               const Rows& rows,
                               std::size_t lanes,
                               std::size_t cols) {
    std::vector<const void*> pointers(lanes);
    std::vector<double> scales(lanes);
    for (std::size_t r = 0; r < lanes; ++r) {
        pointers[r] = r % 7 == 3 ? nullptr : rows.row(r);
        scales[r] = 1.0 / static_cast<double>(3 + r);
    }
    std::vector<std::uint32_t> places(cols);
    for (std::size_t k = 0; k < cols; ++k) places[k] = static_cast<std::uint32_t>(cols - 1 - k);
    std::vector<float> out(lanes * cols);
    kernel.interleave(pointers.data(), scales.data(), lanes, cols, places.data(), out.data());
    return out;
}

std::vector<float> converted(const KernelTable::PerType& kernel, const void* row, std::size_t n) {
    std::vector<float> out(n);
    kernel.to_float(row, n, out.data());
    return out;
}

std::vector<double> added_up(const KernelTable::PerType& kernel,
                             const Rows& rows,
                             std::size_t count,
                             std::size_t cols) {
    std::vector<std::uint32_t> positions(count);
    std::vector<double> multipliers(count);
    for (std::size_t i = 0; i < count; ++i) {
        positions[i] = static_cast<std::uint32_t>((5 * i + 2) % count);
        multipliers[i] = i % 3 == 0 ? 1.0 : 1.0 / static_cast<double>(3 + i);
    }
    std::vector<double> sums(cols);
    for (std::size_t k = 0; k < cols; ++k) sums[k] = 1.0 / static_cast<double>(1 + k);
    const auto stride = static_cast<std::ptrdiff_t>(rows.stride);
    kernel.add_rows(
        {rows.data.data(), stride, positions.data(), count, cols}, multipliers.data(), sums.data());
    return sums;
}

// Which function of an element type is wrong for rows of `cols` elements, or null.
const char* wrong_for_rows(const KernelTable& table, std::size_t type, std::size_t cols) {
    constexpr std::size_t kRows = 17;
    const KernelTable::PerType& found = table.of_type[type];
    const KernelTable::PerType& wanted = kernel_table_scalar.of_type[type];
    const Rows rows(type, kRows, cols);
    for (const std::size_t count : {std::size_t{1}, std::size_t{6}, kRows}) {
        const auto agree = [&](ScoreRows a, ScoreRows b) {
            return same_bits(scored(a, rows, count, cols), scored(b, rows, count, cols));
        };
        if (!agree(found.inner_products, wanted.inner_products)) return "inner_products";
        if (!agree(found.squared_distances, wanted.squared_distances)) return "squared_distances";
        if (!same_bits(added_up(found, rows, count, cols), added_up(wanted, rows, count, cols)))
            return "add_rows";
    }
    for (std::size_t i = 0; i < kRows; ++i)
        if (found.squared_norm(rows.row(i), cols) != wanted.squared_norm(rows.row(i), cols))
            return "squared_norm";
    for (const std::size_t lanes : {kTileQueries, kPanelRows})
        if (!same_bits(interleaved(found, rows, lanes, cols),
                       interleaved(wanted, rows, lanes, cols)))
            return "interleave";
    for (std::size_t i = 0; i < kRows; ++i)
        if (!same_bits(converted(found, rows.row(i), cols), converted(wanted, rows.row(i), cols)))
            return "to_float";
    return nullptr;
}

using OfPairs = void (*)(const PairBlock&);

std::vector<double> sums_of_pairs(OfPairs sum, std::size_t left, std::size_t right) {
    constexpr std::size_t kWidth = 24;
    Numbers numbers(left * 100 + right);
    std::vector<double> rows((left + right) * kWidth);
    for (double& element : rows) element = static_cast<double>(any_float(numbers));
    std::vector<double> sums(left * (right + 2), 0.0);
    sum({rows.data(), left, rows.data() + left * kWidth, right, kWidth, sums.data(), right + 2});
    return sums;
}

bool pairs_right(OfPairs found, OfPairs wanted) {
    for (const std::size_t left : {1, 2, 5, 8})
        for (const std::size_t right : {1, 3, 4, 9})
            if (!same_bits(sums_of_pairs(found, left, right), sums_of_pairs(wanted, left, right)))
                return false;
    return true;
}

// ---- randomness: all of it decides draws, so it must agree to the last bit -----------------------
using OfNumbers = void (*)(const double*, std::size_t, double*);

// Numbers of every magnitude, and of those that arguments usually have; the first are special.
std::vector<double> any_numbers(std::size_t count) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    std::vector<double> x{0.0,
                          -0.0,
                          kInfinity,
                          -kInfinity,
                          -1.0,
                          1.0,
                          0x1p-1074,
                          0x1p-1022,
                          0x1.fffffffffffffp+1023,
                          -745.2,
                          709.7,
                          -708.5};
    Numbers numbers(count);
    while (x.size() < count) {
        const std::uint64_t bits = std::uint64_t{numbers.bits()} << 32 | numbers.bits();
        const double any = std::bit_cast<double>(bits);
        if (!std::isnan(any)) x.push_back(any);
        x.push_back(any_float(numbers));
        x.push_back(std::abs(any_float(numbers)) * 0x1p-11);
    }
    x.resize(count);
    return x;
}

bool maps_right(OfNumbers found, OfNumbers wanted) {
    for (const std::size_t count : {1, 8, 13, 500}) {
        const std::vector<double> x = any_numbers(count);
        std::vector<double> of_found(count);
        std::vector<double> of_wanted(count);
        found(x.data(), count, of_found.data());
        wanted(x.data(), count, of_wanted.data());
        if (!same_bits(of_found, of_wanted)) return false;
    }
    const double nan = std::numeric_limits<double>::quiet_NaN();
    double of_nan = 0;
    found(&nan, 1, &of_nan);
    return std::isnan(of_nan);
}

QueryStream some_stream(Numbers& numbers) {
    QueryStream stream{0x123456789abcdef, {}};
    for (auto& keys : stream.keys)
        for (std::uint64_t& key : keys) key = numbers.bits();
    return stream;
}

bool random_bits_is_right(const KernelTable& table) {
    for (const std::size_t count : {1, 8, 15, 64}) {
        Numbers numbers(count);
        const QueryStream stream = some_stream(numbers);
        std::vector<std::uint64_t> found(count);
        std::vector<std::uint64_t> wanted(count);
        table.random_bits(stream, 0xfffffffb, count, found.data());
        kernel_table_scalar.random_bits(stream, 0xfffffffb, count, wanted.data());
        if (!same_bits(found, wanted)) return false;
    }
    return true;
}

struct Noisy {
    std::vector<double> keys;
    bool below_infinity;
};

using KeyKernel = bool (*)(const NoiseTask& task, double* keys);

Noisy noisy(KeyKernel kernel, std::size_t count, bool with_ids, double special) {
    Numbers numbers(count);
    std::vector<double> weights(count);
    std::vector<std::uint64_t> ids(count);
    for (std::size_t i = 0; i < count; ++i) {
        weights[i] = any_float(numbers);
        ids[i] = std::uint64_t{numbers.bits()} << 31 | numbers.bits();
        if (i % 5 == 3) ids[i] = ~std::uint64_t{0};
    }
    weights[count / 2] = special;
    const NoiseTask task{
        weights.data(), with_ids ? ids.data() : nullptr, 77, count, some_stream(numbers)};
    Noisy result{std::vector<double>(count), false};
    result.below_infinity = kernel(task, result.keys.data());
    return result;
}

bool makes_keys_right(KeyKernel kernel, KeyKernel reference) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (const std::size_t count : {1, 8, 15, 64, 71, 200})
        for (const bool with_ids : {false, true})
            for (const double special : {0.5, -kInfinity, kInfinity}) {
                const Noisy found = noisy(kernel, count, with_ids, special);
                const Noisy wanted = noisy(reference, count, with_ids, special);
                if (!same_bits(found.keys, wanted.keys) ||
                    found.below_infinity != wanted.below_infinity)
                    return false;
            }
    return !noisy(kernel, 71, false, std::numeric_limits<double>::quiet_NaN()).below_infinity;
}

// Keys of which many are equal.
std::vector<double> some_keys(std::size_t count) {
    Numbers numbers(count);
    std::vector<double> keys(count);
    for (double& key : keys) key = numbers.within(40);
    return keys;
}

bool rank_floor_is_right(const KernelTable& table) {
    for (const std::size_t count : {1, 127, 128, 200, 256, 1000})
        for (const std::size_t rank : {1, 15, 24, 25, 48, 49}) {
            const std::vector<double> keys = some_keys(count);
            if (table.rank_floor(keys.data(), count, rank) !=
                kernel_table_scalar.rank_floor(keys.data(), count, rank))
                return false;
        }
    return true;
}

bool keys_from_is_right(const KernelTable& table) {
    for (const std::size_t count : {1, 8, 63, 64, 70, 200}) {
        const std::vector<double> keys = some_keys(count);
        std::vector<std::uint64_t> found((count + 63) / 64);
        std::vector<std::uint64_t> wanted(found.size());
        table.keys_from(keys.data(), count, keys[count / 2], found.data());
        kernel_table_scalar.keys_from(keys.data(), count, keys[count / 2], wanted.data());
        if (!same_bits(found, wanted)) return false;
    }
    return true;
}

bool count_greater_is_right(const KernelTable& table) {
    for (const std::size_t count : std::initializer_list<std::size_t>{1, 8, 23, 32, kMostCounted}) {
        const std::vector<double> keys = some_keys(count);
        std::vector<std::uint64_t> found(count);
        std::vector<std::uint64_t> wanted(count);
        table.count_greater(keys.data(), count, found.data());
        kernel_table_scalar.count_greater(keys.data(), count, wanted.data());
        if (!same_bits(found, wanted)) return false;
    }
    return true;
}

}  // namespace

std::string wrong_answer(const KernelTable& table) {
    const FloatEnvironment environment;
    if (!screen_is_right(table)) return "screen";
    if (!near_greatest_is_right(table)) return "near_greatest";
    if (!screen_int8_codes_is_right(table)) return "int8.screen";
    if (!screen_int16_codes_is_right(table)) return "int16.screen";
    if (!int8_passes_is_right(table)) return "int8_passes";
    if (!int8_products_is_right(table)) return "int8_products";
    if (!rotate_is_right(table)) return "rotate";
    if (!quantise_is_right(table)) return "int8.quantise";
    if (!quantise_int16_is_right(table)) return "int16.quantise";
    if (!maps_right(table.log, kernel_table_scalar.log)) return "log";
    if (!maps_right(table.exp, kernel_table_scalar.exp)) return "exp";
    if (!random_bits_is_right(table)) return "random_bits";
    if (!makes_keys_right(table.noisy_keys, kernel_table_scalar.noisy_keys)) return "noisy_keys";
    if (!makes_keys_right(table.key_bounds, kernel_table_scalar.key_bounds)) return "key_bounds";
    if (!rank_floor_is_right(table)) return "rank_floor";
    if (!keys_from_is_right(table)) return "keys_from";
    if (!count_greater_is_right(table)) return "count_greater";
    if (!pairs_right(table.pair_products, kernel_table_scalar.pair_products))
        return "pair_products";
    if (!pairs_right(table.pair_distances, kernel_table_scalar.pair_distances))
        return "pair_distances";
    for (std::size_t type = 0; type < kNumElementTypes; ++type)
        for (const std::size_t cols : {1, 8, 19, 45})
            if (const char* wrong = wrong_for_rows(table, type, cols)) return wrong;
    return {};
}

}  // namespace nearmiss::kernels
