// SPDX-License-Identifier: Apache-2.0
//
// Measures the peak rate of float32 fused multiply-adds on this machine, for 1 and for N threads.
//
//     nearmiss_peak [threads [milliseconds]]      defaults: all processors, 300 ms
//
// Prints one line of JSON. Two operations are counted for each multiply-add. When N threads reach
// much less than N times one thread, the processors share cores or the host is busy.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
#define NEARMISS_PEAK_X86 1
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__GNUC__)
#define NEARMISS_PEAK_NEON 1
#include <arm_neon.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

// A burst runs `steps` rounds of independent multiply-adds from `start` and returns their sum.
// The compiler must know neither, or it may drop the work: it can see that 1 is a fixed point.
using Burst = float (*)(std::int64_t steps, float start);

struct Kernel {
    const char* isa;
    Burst burst;
    double operations_per_step;
};

constexpr std::int64_t kStepsPerBurst = 200'000;
// Contracting towards a fixed point keeps the accumulators finite and normal for ever.
constexpr float kFactor = 0.999F;
constexpr float kTerm = 0.001F;

// Enough chains to hide the latency of a multiply-add (4 or 5 cycles, 2 or 4 a cycle).
constexpr int kScalarChains = 8;

float burst_scalar(std::int64_t steps, float start) {
    float sums[kScalarChains];
    for (int i = 0; i < kScalarChains; ++i) {
        sums[i] = start + static_cast<float>(i);
    }
    for (std::int64_t step = 0; step < steps; ++step) {
        for (float& sum : sums) {
            sum = sum * kFactor + kTerm;
        }
    }
    float total = 0.0F;
    for (float sum : sums) {
        total += sum;
    }
    return total;
}

#if defined(NEARMISS_PEAK_X86)

constexpr int kX86Chains = 12;  // of 16 registers on AVX2

__attribute__((target("avx2,fma"))) float burst_avx2(std::int64_t steps, float start) {
    const __m256 factor = _mm256_set1_ps(kFactor);
    const __m256 term = _mm256_set1_ps(kTerm);
    __m256 sums[kX86Chains];
#pragma GCC unroll 12
    for (int i = 0; i < kX86Chains; ++i) {
        sums[i] = _mm256_set1_ps(start + static_cast<float>(i));
    }
    for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
        for (int i = 0; i < kX86Chains; ++i) {
            sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
        }
    }
    __m256 total = sums[0];
#pragma GCC unroll 12
    for (int i = 1; i < kX86Chains; ++i) {
        total = _mm256_add_ps(total, sums[i]);
    }
    return _mm256_cvtss_f32(total);
}

__attribute__((target("avx512f"))) float burst_avx512(std::int64_t steps, float start) {
    const __m512 factor = _mm512_set1_ps(kFactor);
    const __m512 term = _mm512_set1_ps(kTerm);
    __m512 sums[kX86Chains];
#pragma GCC unroll 12
    for (int i = 0; i < kX86Chains; ++i) {
        sums[i] = _mm512_set1_ps(start + static_cast<float>(i));
    }
    for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
        for (int i = 0; i < kX86Chains; ++i) {
            sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
        }
    }
    __m512 total = sums[0];
#pragma GCC unroll 12
    for (int i = 1; i < kX86Chains; ++i) {
        total = _mm512_add_ps(total, sums[i]);
    }
    return _mm512_cvtss_f32(total);
}

Kernel best_kernel() {
    if (__builtin_cpu_supports("avx512f")) {
        return {"avx512f", burst_avx512, 2.0 * 16 * kX86Chains};
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return {"avx2+fma", burst_avx2, 2.0 * 8 * kX86Chains};
    }
    return {"scalar", burst_scalar, 2.0 * kScalarChains};
}

#elif defined(NEARMISS_PEAK_NEON)

constexpr int kNeonChains = 20;  // of 32 registers; four units of latency 4 need 16

float burst_neon(std::int64_t steps, float start) {
    const float32x4_t factor = vdupq_n_f32(kFactor);
    const float32x4_t term = vdupq_n_f32(kTerm);
    float32x4_t sums[kNeonChains];
#pragma GCC unroll 20
    for (int i = 0; i < kNeonChains; ++i) {
        sums[i] = vdupq_n_f32(start + static_cast<float>(i));
    }
    for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 20
        for (int i = 0; i < kNeonChains; ++i) {
            sums[i] = vfmaq_f32(sums[i], factor, term);
        }
    }
    float32x4_t total = sums[0];
#pragma GCC unroll 20
    for (int i = 1; i < kNeonChains; ++i) {
        total = vaddq_f32(total, sums[i]);
    }
    return vaddvq_f32(total);
}

Kernel best_kernel() { return {"neon", burst_neon, 2.0 * 4 * kNeonChains}; }

#else

Kernel best_kernel() { return {"scalar", burst_scalar, 2.0 * kScalarChains}; }

#endif

// GFLOP/s of one thread, measured for `duration` after every thread is ready.
double thread_rate(const Kernel& kernel, std::atomic<int>& waiting, Clock::duration duration) {
    volatile float sink = 2.0F;
    sink = kernel.burst(kStepsPerBurst, sink);  // wakes the vector units
    waiting.fetch_sub(1);
    while (waiting.load() > 0) {
        std::this_thread::yield();
    }
    const Clock::time_point start = Clock::now();
    double operations = 0.0;
    Clock::time_point now = start;
    while (now - start < duration) {
        sink = kernel.burst(kStepsPerBurst, sink);
        operations += kernel.operations_per_step * static_cast<double>(kStepsPerBurst);
        now = Clock::now();
    }
    return operations / std::chrono::duration<double>(now - start).count() / 1e9;
}

double total_rate(const Kernel& kernel, int num_threads, Clock::duration duration) {
    std::atomic<int> waiting{num_threads};
    std::vector<double> rates(static_cast<std::size_t>(num_threads), 0.0);
    std::vector<std::thread> threads;
    for (double& rate : rates) {
        threads.emplace_back([&] { rate = thread_rate(kernel, waiting, duration); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    double total = 0.0;
    for (double rate : rates) {
        total += rate;
    }
    return total;
}

// The best of several short windows: what others take from the machine only ever lowers a rate.
double best_rate(const Kernel& kernel, int num_threads, Clock::duration duration) {
    constexpr int kWindows = 5;
    double best = 0.0;
    for (int window = 0; window < kWindows; ++window) {
        best = std::max(best, total_rate(kernel, num_threads, duration / kWindows));
    }
    return best;
}

int positive_argument(int argc, char** argv, int index, int otherwise) {
    return index < argc ? std::max(1, std::atoi(argv[index])) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
    const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    const int num_threads = positive_argument(argc, argv, 1, processors);
    const std::chrono::milliseconds duration{positive_argument(argc, argv, 2, 300)};
    const Kernel kernel = best_kernel();
    const double one = best_rate(kernel, 1, duration);
    const double all = num_threads == 1 ? one : best_rate(kernel, num_threads, duration);
    std::printf("{\"isa\": \"%s\", \"gflops_1\": %.2f, \"threads\": %d, \"gflops_n\": %.2f}\n",
                kernel.isa,
                one,
                num_threads,
                all);
    return 0;
}
