// SPDX-License-Identifier: Apache-2.0
// Runs numbered tasks on the calling thread and on helpers from one persistent pool.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>

#include "nearmiss/runtime.hpp"

namespace nearmiss {

// What a running task uses to report and to notice that it should stop.
class TaskContext {
  public:
    TaskContext(std::atomic<bool>& stop,
                std::atomic<std::size_t>& units_done,
                std::size_t units_total,
                const Progress* progress) noexcept
        : stop_(stop),
          units_done_(units_done),
          units_total_(units_total),
          progress_(progress) {}

    // Call at least every few milliseconds of work. `units`: work finished since the last call.
    // Throws Cancelled once the job is to stop, or what the progress callback throws.
    void checkpoint(std::size_t units = 0);

  private:
    std::atomic<bool>& stop_;
    std::atomic<std::size_t>& units_done_;
    std::size_t units_total_;
    const Progress* progress_;  // null on helpers: only the calling thread reports
    std::chrono::steady_clock::time_point last_report_{};
};

// The number of threads a call with this execution may use, at least 1.
[[nodiscard]] std::size_t resolve_threads(const Execution& execution);

// Calls task(index, context) once for every index below num_tasks, on up to
// resolve_threads(execution) threads, each in the default floating-point environment; the calling
// thread is one of them. `units_total` is what the checkpoints of all tasks add up to. Returns when
// all are done; the first exception is rethrown after every running task has stopped. May be
// called from several threads at once, but not from within a task.
void run_parallel(std::size_t num_tasks,
                  std::size_t units_total,
                  const Execution& execution,
                  const std::function<void(std::size_t index, TaskContext& context)>& task);

}  // namespace nearmiss
