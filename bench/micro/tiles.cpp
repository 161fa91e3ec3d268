// SPDX-License-Identifier: Apache-2.0
//
// Measures the screening tiles of the SIMD target in use (NEARMISS_SIMD chooses), on one thread.
//
//     nearmiss_tiles [dimensions ...]      default: 64 128 384 768
//
// "L1": one panel of the corpus meets the queries of a block again and again. "in place": a block
// of queries meets a corpus far larger than the caches, as in a search. Nothing passes the
// thresholds. Rates are useful multiply-adds.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "aligned_buffer.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/kernels.hpp"
#include "nearmiss/runtime.hpp"

namespace {

using namespace nearmiss;
using namespace nearmiss::kernels;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kL1Bytes = std::size_t{16} << 10;  // of tiles; the panel needs room too
constexpr std::size_t kBlockBytes = std::size_t{400} << 10;
constexpr std::size_t kCorpusBytes = std::size_t{64} << 20;
constexpr std::size_t kSegmentSteps = 24;
constexpr int kRounds = 7;

struct Shape {
    std::size_t dim;
    std::size_t panels;
    std::size_t at_once;  // panels
    std::uint32_t tiles;
};

// Best of several rounds, each at least a few milliseconds.
template <class Pass>
double gmacs(const Shape& shape, const Pass& pass) {
    const double work = static_cast<double>(shape.dim) * static_cast<double>(shape.panels) *
                        kPanelRows * shape.tiles * kTileQueries;
    const auto repeats = static_cast<std::size_t>(std::max(1.0, 1e9 / work));
    double best = std::numeric_limits<double>::max();
    for (int round = 0; round < kRounds; ++round) {
        const auto start = Clock::now();
        for (std::size_t i = 0; i < repeats; ++i)
            for (std::size_t p = 0; p < shape.panels; p += shape.at_once) pass(p);
        const std::chrono::duration<double> seconds = Clock::now() - start;
        best = std::min(best, seconds.count() / static_cast<double>(repeats));
    }
    return work / best / 1e9;
}

double float32_rate(const KernelTable& kernel, const Shape& shape) {
    const std::size_t panel_size = shape.dim * kPanelRows;
    AlignedBuffer<float> panels((shape.panels + 2 * kMaxPanels) * panel_size);
    AlignedBuffer<float> tiles(shape.tiles * shape.dim * kTileQueries);
    std::fill_n(panels.data(), panels.size(), 0.01f);
    std::fill_n(tiles.data(), tiles.size(), 0.01f);
    const std::vector<float> never(shape.tiles * kTileQueries, 1e30f);
    const std::vector<float> none(std::max(shape.tiles * kTileQueries, kPanelRows));
    std::vector<TileHit> hits(shape.tiles * shape.at_once);
    return gmacs(shape, [&](std::size_t p) {
        const float* at = panels.data() + p * panel_size;
        const float* next = at + shape.at_once * panel_size;
        kernel.screen({{at, at + panel_size},
                       {next, next + panel_size},
                       shape.at_once,
                       tiles.data(),
                       shape.dim,
                       0,
                       shape.tiles,
                       shape.dim,  // never given up early
                       {none.data(), none.data()},
                       none.data(),
                       never.data(),
                       nullptr,
                       nullptr},
                      hits.data());
    });
}

// In segments where sums are kept in 16 bits, otherwise in one.
double codes_rate(const KernelTable::Codes& codes, std::size_t codes_per_step, const Shape& shape) {
    const std::size_t steps = shape.dim / codes_per_step;
    const bool narrow = codes_per_step == kCodesPerStep && !codes.sums_are_wide;
    const std::size_t segments = narrow ? (steps + kSegmentSteps - 1) / kSegmentSteps : 1;
    const std::size_t panel_bytes = steps * kPanelStepBytes;
    AlignedBuffer<std::uint8_t> panels((shape.panels + 2 * kMaxPanels) * panel_bytes);
    AlignedBuffer<std::int8_t> tiles(shape.tiles * steps * kTileStepBytes);
    std::fill_n(panels.data(), panels.size(), std::uint8_t{1});
    std::fill_n(tiles.data(), tiles.size(), std::int8_t{1});
    const float terms[kPanelRows] = {};
    const std::vector<CodeStart> starts(shape.tiles * segments * kTileQueries);
    const std::vector<float> factors(shape.tiles * kTileQueries, 1.0f);
    const std::vector<float> never(shape.tiles * kTileQueries, 1e30f);
    std::vector<TileHit> hits(shape.tiles * shape.at_once);
    return gmacs(shape, [&](std::size_t p) {
        const std::uint8_t* at = panels.data() + p * panel_bytes;
        const std::uint8_t* next = at + shape.at_once * panel_bytes;
        codes.screen({{at, at + panel_bytes},
                      {next, next + panel_bytes},
                      {terms, terms},
                      shape.at_once,
                      tiles.data(),
                      starts.data(),
                      factors.data(),
                      steps,
                      (steps + segments - 1) / segments,
                      0,
                      shape.tiles,
                      never.data(),
                      nullptr,
                      nullptr},
                     hits.data());
    });
}

std::uint32_t fitting(std::size_t room, std::size_t tile_bytes) {
    return static_cast<std::uint32_t>(std::max<std::size_t>(2, room / tile_bytes));
}

void report(const char* tile, std::size_t dim, double in_l1, double in_place) {
    std::printf("%-8s %-8s %5zu %8.1f %9.1f\n", simd_target().c_str(), tile, dim, in_l1, in_place);
}

void measure(std::size_t dim) {
    const KernelTable& kernel = active();
    const std::size_t at_once = kernel.panels_at_once;
    const auto in_l1 = [&](std::size_t bytes) {
        return Shape{dim, at_once, at_once, fitting(kL1Bytes, bytes * dim * kTileQueries)};
    };
    const auto in_place = [&](std::size_t bytes) {
        return Shape{dim,
                     kCorpusBytes / (bytes * dim * kPanelRows) / at_once * at_once,
                     at_once,
                     fitting(kBlockBytes, bytes * dim * kTileQueries)};
    };
    report("float32",
           dim,
           float32_rate(kernel, in_l1(sizeof(float))),
           float32_rate(kernel, in_place(sizeof(float))));
    report("int16",
           dim,
           codes_rate(kernel.int16, kInt16CodesPerStep, in_l1(2)),
           codes_rate(kernel.int16, kInt16CodesPerStep, in_place(2)));
    report("int8",
           dim,
           codes_rate(kernel.int8, kCodesPerStep, in_l1(1)),
           codes_rate(kernel.int8, kCodesPerStep, in_place(1)));
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::size_t> dims;
    for (int i = 1; i < argc; ++i)
        dims.push_back(static_cast<std::size_t>(std::max(4, std::atoi(argv[i]))));
    if (dims.empty()) dims = {64, 128, 384, 768};
    std::printf("target   tile       dim  L1 GMAC/s  in place\n");
    for (const std::size_t dim : dims) measure(dim);
    return 0;
}
