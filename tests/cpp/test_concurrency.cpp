// SPDX-License-Identifier: Apache-2.0
// Calls from several threads at once, stopping a call, and choosing a target meanwhile. What these
// tests are worth shows under ThreadSanitizer.
#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "instances.hpp"
#include "nearmiss/mine.hpp"

namespace {

using instances::Matrix;
using nearmiss::Choice;
using nearmiss::Corpus;
using nearmiss::Law;
using nearmiss::Limits;
using nearmiss::Metric;
using nearmiss::MineResult;

MineResult mine(const Matrix& queries, const Corpus& corpus, std::size_t num_threads) {
    return nearmiss::mine(
        queries.view(), corpus, Limits{}, Choice{Law::top, 5, 0, 0, {}}, {num_threads, {}});
}

}  // namespace

TEST(searches_updates_and_target_changes_at_once) {
    const Matrix queries = instances::normal(40, 24, 1);
    Matrix rows = instances::normal(2000, 24, 2);
    // The same values again: an update then changes no answer, whenever it happens.
    const Matrix same_rows{10, 24, {rows.values.begin(), rows.values.begin() + 10 * 24}};
    std::vector<std::int64_t> positions;
    for (std::int64_t i = 0; i < 10; ++i) positions.push_back(i);

    Corpus corpus(rows.view(), Metric::cosine, {}, {});
    const MineResult wanted = mine(queries, corpus, 1);
    const std::string before = nearmiss::simd_target();
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (std::size_t caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&, caller] {
            for (int round = 0; round < 5; ++round) {
                const MineResult result = mine(queries, corpus, 1 + caller);
                if (result.indices != wanted.indices) ++wrong;
            }
        });
    }
    callers.emplace_back([&] {
        for (int round = 0; round < 5; ++round) corpus.update(positions, same_rows.view(), {});
    });
    callers.emplace_back([&] {
        for (int round = 0; round < 5; ++round) {
            for (const std::string& target : nearmiss::simd_targets()) {
                nearmiss::set_simd_target(target);
            }
        }
    });
    for (std::thread& caller : callers) caller.join();
    nearmiss::set_simd_target(before);
    CHECK(wrong == 0);
}

TEST(an_exception_of_the_progress_callback_stops_the_call) {
    const Matrix queries = instances::normal(300, 64, 1);
    const Matrix rows = instances::normal(20000, 64, 2);
    const Corpus corpus(rows.view(), Metric::cosine, {}, {});
    for (const std::size_t num_threads : {1U, 2U}) {
        const nearmiss::Execution stopping{num_threads,
                                           [](double) { throw std::runtime_error("stop"); }};
        CHECK_THROWS(
            std::runtime_error,
            nearmiss::topk(queries.view(), corpus, 3, nearmiss::Precision::automatic, stopping));
        CHECK(nearmiss::topk(
                  queries.view(), corpus, 3, nearmiss::Precision::automatic, {num_threads, {}})
                  .indices.size() == 900);
    }
}

TEST(progress_grows_from_0_to_1_on_the_calling_thread) {
    const Matrix queries = instances::normal(300, 64, 1);
    const Matrix rows = instances::normal(20000, 64, 2);
    const Corpus corpus(rows.view(), Metric::cosine, {}, {});
    const std::thread::id caller = std::this_thread::get_id();
    double last = 0.0;
    bool on_caller = true;
    bool growing = true;
    const nearmiss::Execution watched{2, [&](double fraction) {
                                          on_caller &= std::this_thread::get_id() == caller;
                                          growing &= fraction >= last && fraction <= 1.0;
                                          last = fraction;
                                      }};
    static_cast<void>(
        nearmiss::topk(queries.view(), corpus, 3, nearmiss::Precision::automatic, watched));
    CHECK(on_caller);
    CHECK(growing);
}
