// SPDX-License-Identifier: Apache-2.0
// Which SIMD target is used, and that one with wrong answers is not.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "check.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/known_answers.hpp"
#include "kernels/targets.hpp"
#include "nearmiss/error.hpp"
#include "nearmiss/runtime.hpp"

namespace {

using namespace nearmiss;
using namespace nearmiss::kernels;

// Each function below calls the one it stands in for, and then spoils the least it can.
const KernelTable& right() {
    static const KernelTable& table = active();
    return table;
}

ScreenCounts misses_the_last_hit(const ScreenTask& task, TileHit* hits) {
    ScreenCounts counts = right().screen(task, hits);
    if (counts.hits > 1) --counts.hits;
    return counts;
}

ScreenCounts misses_equality(const ScreenTask& task, TileHit* hits) {
    const ScreenCounts counts = right().screen(task, hits);
    for (std::uint32_t i = 0; i < counts.hits; ++i)
        for (std::size_t q = 0; q < kTileQueries; ++q)
            for (std::size_t r = 0; r < kPanelRows; ++r)
                if (hits[i].scores[q][r] == task.lower[hits[i].tile * kTileQueries + q])
                    hits[i].passed[q] &= static_cast<std::uint16_t>(~(1u << r));
    return counts;
}

// As if nothing were left after early_depth.
ScreenCounts forgets_what_is_left(const ScreenTask& task, TileHit* hits) {
    const std::vector<float> none(task.tile_end * kTileQueries);
    ScreenTask without = task;
    without.query_rests = none.data();
    return right().screen(without, hits);
}

ScreenCounts forgets_the_ceiling(const ScreenTask& task, TileHit* hits) {
    ScreenTask without = task;
    without.upper = nullptr;
    return right().screen(without, hits);
}

// Of int8 or of int16 codes.
using Codes = KernelTable::Codes KernelTable::*;

std::uint32_t forgets_a_segment(const CodeScreenTask& task, TileHit* hits) {
    CodeScreenTask shorter = task;
    if (task.steps > task.segment_steps) shorter.steps -= task.segment_steps;
    return right().int8.screen(shorter, hits);
}

std::uint32_t misses_the_last_lane(const CodeScreenTask& task, TilePass* passes) {
    const std::uint32_t count = right().int8_passes(task, passes);
    for (std::uint32_t i = 0; i < count; ++i) passes[i].passed[kTileQueries - 1] &= 0x7fff;
    return count;
}

std::uint32_t adds_an_empty_pass(const CodeScreenTask& task, TilePass* passes) {
    const std::uint32_t count = right().int8_passes(task, passes);
    if (count == (task.tile_end - task.tile_begin) * task.num_panels) return count;
    passes[count] = {task.tile_begin, 0, {}};
    return count + 1;
}

// As if sums were kept in 31 bits.
std::uint32_t saturates_sums(const CodeScreenTask& task, TileHit* hits) {
    const std::uint32_t count = right().int16.screen(task, hits);
    for (std::uint32_t i = 0; i < count; ++i)
        for (auto& scores : hits[i].scores)
            for (float& score : scores) score = std::clamp(score, -0x1p30f, 0x1p30f);
    return count;
}

template <Codes codes>
std::uint32_t sums_are_one_off(const CodeScreenTask& task, TileHit* hits) {
    const std::uint32_t count = (right().*codes).screen(task, hits);
    for (std::uint32_t i = 0; i < count; ++i) hits[i].scores[5][15] += 1.0f;
    return count;
}

// As if products were added up in 16 bits.
void wraps_products(const CodePair* pairs,
                    std::size_t count,
                    std::size_t num_codes,
                    std::int32_t* out) {
    right().int8_products(pairs, count, num_codes, out);
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::int16_t>(out[i]);
}

void rotates_without_signs(const RotateTask& task) {
    right().rotate(task);
    task.elements[0] = -task.elements[0] + 1.0f;
}

template <Codes codes>
void loses_a_residual(const QuantiseTask& task) {
    (right().*codes).quantise(task);
    task.residuals[15] = 0.0f;
}

template <Codes codes>
void codes_are_one_off(const QuantiseTask& task) {
    (right().*codes).quantise(task);
    ++task.codes[task.steps * kPanelStepBytes - 1];
}

template <std::size_t kType>
void products_in_float32(const float* query, const RowList& rows, double* scratch, double* out) {
    right().of_type[kType].inner_products(query, rows, scratch, out);
    for (std::size_t i = 0; i < rows.count; ++i) out[i] = static_cast<float>(out[i]);
}

void distances_of_other_rows(const float* query,
                             const RowList& rows,
                             double* scratch,
                             double* out) {
    right().of_type[0].squared_distances(query, rows, scratch, out);
    std::swap(out[0], out[rows.count - 1]);
}

double no_norm(const void*, std::size_t) { return 0.0; }

void keeps_places(const void* const* rows,
                  const double* scales,
                  std::size_t lanes,
                  std::size_t cols,
                  const std::uint32_t* places,
                  float* out) {
    right().of_type[2].interleave(rows, scales, lanes, cols, places, out);
    std::swap(out[0], out[lanes * cols - 1]);
}

void converts_nothing(const void*, std::size_t cols, float* out) { std::fill_n(out, cols, 0.0f); }

void last_log_is_one_off(const double* x, std::size_t count, double* out) {
    right().log(x, count, out);
    out[count - 1] = std::nextafter(out[count - 1], 0.0);
}

void exp_flushes_small_results(const double* x, std::size_t count, double* out) {
    right().exp(x, count, out);
    for (std::size_t i = 0; i < count; ++i)
        if (out[i] < 0x1p-1022) out[i] = 0;
}

void carries_no_further_than_32_bits(const QueryStream& stream,
                                     std::uint64_t first,
                                     std::size_t count,
                                     std::uint64_t* bits) {
    for (std::size_t i = 0; i < count; ++i)
        right().random_bits(stream, (first + i) & 0xffffffff, 1, bits + i);
}

bool ignores_the_query(const NoiseTask& task, double* keys) {
    NoiseTask other = task;
    other.stream.query_id &= 0xffffffff;
    return right().noisy_keys(other, keys);
}

bool never_finds_fault(const NoiseTask& task, double* keys) {
    (void)right().noisy_keys(task, keys);
    return true;
}

bool bounds_of_the_next_query(const NoiseTask& task, double* bounds) {
    NoiseTask other = task;
    ++other.stream.query_id;
    return right().key_bounds(other, bounds);
}

double floor_of_the_next_rank(const double* keys, std::size_t count, std::size_t rank) {
    return right().rank_floor(keys, count, rank == 24 ? 25 : rank);
}

void forgets_equal_keys(const double* keys, std::size_t count, double least, std::uint64_t* bits) {
    right().keys_from(keys, count, std::nextafter(least, 1e9), bits);
}

void counts_equal_keys(const double* keys, std::size_t count, std::uint64_t* greater) {
    for (std::size_t i = 0; i < count; ++i)
        greater[i] = static_cast<std::uint64_t>(
            std::count_if(keys, keys + count, [&](double key) { return key >= keys[i]; }));
}

void misses_what_is_nearly_as_great(const NearTask& task) {
    NearTask other = task;
    other.slack /= 2;
    right().near_greatest(other);
}

template <class Spoil>
std::string wrong_after(const Spoil& spoil) {
    KernelTable table = right();
    spoil(table);
    return wrong_answer(table);
}

// The table in use under another name, right or wrong.
KernelTable named(const char* name, bool wrong = false) {
    KernelTable table = right();
    table.name = name;
    if (wrong) table.of_type[4].to_float = &converts_nothing;
    return table;
}

template <class Body>
std::string message_of(const Body& body) {
    try {
        body();
    } catch (const InvalidArgument& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST(a_table_with_one_wrong_function_is_found_out) {
    CHECK(wrong_answer(right()).empty());
    CHECK(wrong_after([](auto& t) { t.screen = &misses_the_last_hit; }) == "screen");
    CHECK(wrong_after([](auto& t) { t.screen = &misses_equality; }) == "screen");
    CHECK(wrong_after([](auto& t) { t.screen = &forgets_the_ceiling; }) == "screen");
    CHECK(wrong_after([](auto& t) { t.screen = &forgets_what_is_left; }) == "screen");
    CHECK(wrong_after([](auto& t) { t.near_greatest = &misses_what_is_nearly_as_great; }) ==
          "near_greatest");
    CHECK(wrong_after([](auto& t) { t.int8.screen = &forgets_a_segment; }) == "int8.screen");
    CHECK(wrong_after([](auto& t) { t.int8.screen = &sums_are_one_off<&KernelTable::int8>; }) ==
          "int8.screen");
    CHECK(wrong_after([](auto& t) { t.int16.screen = &saturates_sums; }) == "int16.screen");
    CHECK(wrong_after([](auto& t) { t.int16.screen = &sums_are_one_off<&KernelTable::int16>; }) ==
          "int16.screen");
    CHECK(wrong_after([](auto& t) { t.int8_passes = &misses_the_last_lane; }) == "int8_passes");
    CHECK(wrong_after([](auto& t) { t.int8_passes = &adds_an_empty_pass; }) == "int8_passes");
    CHECK(wrong_after([](auto& t) { t.int8_products = &wraps_products; }) == "int8_products");
    CHECK(wrong_after([](auto& t) { t.rotate = &rotates_without_signs; }) == "rotate");
    CHECK(wrong_after([](auto& t) { t.int8.quantise = &loses_a_residual<&KernelTable::int8>; }) ==
          "int8.quantise");
    CHECK(wrong_after([](auto& t) { t.int8.quantise = &codes_are_one_off<&KernelTable::int8>; }) ==
          "int8.quantise");
    CHECK(wrong_after([](auto& t) { t.int16.quantise = &loses_a_residual<&KernelTable::int16>; }) ==
          "int16.quantise");
    CHECK(wrong_after([](auto& t) {
              t.int16.quantise = &codes_are_one_off<&KernelTable::int16>;
          }) == "int16.quantise");
    CHECK(wrong_after([](auto& t) { t.log = &last_log_is_one_off; }) == "log");
    CHECK(wrong_after([](auto& t) { t.exp = &exp_flushes_small_results; }) == "exp");
    CHECK(wrong_after([](auto& t) { t.random_bits = &carries_no_further_than_32_bits; }) ==
          "random_bits");
    CHECK(wrong_after([](auto& t) { t.noisy_keys = &ignores_the_query; }) == "noisy_keys");
    CHECK(wrong_after([](auto& t) { t.noisy_keys = &never_finds_fault; }) == "noisy_keys");
    CHECK(wrong_after([](auto& t) { t.key_bounds = &bounds_of_the_next_query; }) == "key_bounds");
    CHECK(wrong_after([](auto& t) { t.rank_floor = &floor_of_the_next_rank; }) == "rank_floor");
    CHECK(wrong_after([](auto& t) { t.keys_from = &forgets_equal_keys; }) == "keys_from");
    CHECK(wrong_after([](auto& t) { t.count_greater = &counts_equal_keys; }) == "count_greater");
    CHECK(wrong_after([](auto& t) { t.of_type[0].inner_products = &products_in_float32<0>; }) ==
          "inner_products");
    CHECK(wrong_after([](auto& t) { t.of_type[1].inner_products = &products_in_float32<1>; }) ==
          "inner_products");
    CHECK(wrong_after([](auto& t) { t.of_type[0].squared_distances = &distances_of_other_rows; }) ==
          "squared_distances");
    CHECK(wrong_after([](auto& t) { t.of_type[3].squared_norm = &no_norm; }) == "squared_norm");
    CHECK(wrong_after([](auto& t) { t.of_type[2].interleave = &keeps_places; }) == "interleave");
    CHECK(wrong_after([](auto& t) { t.of_type[4].to_float = &converts_nothing; }) == "to_float");
}

TEST(an_opt_in_target_is_used_only_by_name) {
    const KernelTable fast = named("fast");
    const KernelTable known = named("known");
    Targets targets;
    targets.emplace_back(fast, false);
    targets.emplace_back(known, true);
    CHECK(&default_table(targets) == &known);
    CHECK(&table_named(targets, "fast", "here") == &fast);
}

TEST(a_target_with_wrong_answers_is_disabled) {
    const KernelTable broken = named("broken", true);
    const KernelTable known = named("known");
    Targets targets;
    targets.emplace_back(broken, true);
    targets.emplace_back(known, true);
    CHECK(&default_table(targets) == &known);
    const std::string message = message_of([&] { (void)table_named(targets, "broken", "here"); });
    CHECK(message.starts_with("here: 'broken' is disabled: its to_float gives wrong answers"));
    CHECK(message.ends_with("choose one of known"));
    CHECK(message_of([&] { (void)table_named(targets, "other", "here"); }) ==
          "here: 'other' cannot run here; choose one of broken, known");

    Targets only_broken;
    only_broken.emplace_back(broken, true);
    CHECK_THROWS(InvalidArgument, default_table(only_broken));
}

TEST(every_target_that_runs_here_has_right_answers) {
    const std::string before = simd_target();
    for (const std::string& name : simd_targets()) {
        set_simd_target(name);
        CHECK(active().name == name);
        CHECK(wrong_answer(active()).empty());
    }
    set_simd_target(before);
}
