// SPDX-License-Identifier: Apache-2.0
#include "parallel.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "float_environment.hpp"
#include "nearmiss/error.hpp"

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace nearmiss {
namespace {

using Task = std::function<void(std::size_t, TaskContext&)>;
constexpr std::chrono::milliseconds kReportInterval{50};

// One run_parallel call. Lives on the caller's stack: the caller leaves only when no helper is in.
struct Job {
    Job(std::size_t num_tasks, std::size_t units, std::size_t helpers, const Task& function)
        : task_count(num_tasks),
          units_total(units),
          helpers_wanted(helpers),
          task(function) {}

    const std::size_t task_count;
    const std::size_t units_total;
    std::size_t helpers_wanted;      // guarded by the pool's mutex
    std::size_t helpers_inside = 0;  // guarded by the pool's mutex
    const Task& task;

    std::atomic<std::size_t> next_task{0};
    std::atomic<std::size_t> units_done{0};
    std::atomic<bool> stop{false};
    std::mutex error_mutex;
    std::exception_ptr error;

    void work(const Progress* progress) noexcept {
        const FloatEnvironment environment;
        TaskContext context(stop, units_done, units_total, progress);
        try {
            for (;;) {
                const std::size_t index = next_task.fetch_add(1, std::memory_order_relaxed);
                if (index >= task_count || stop.load(std::memory_order_relaxed)) return;
                task(index, context);
                context.checkpoint();
            }
        } catch (...) {
            fail(std::current_exception());
        }
    }

    void fail(std::exception_ptr reason) noexcept {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::move(reason);
        stop.store(true, std::memory_order_relaxed);
    }
};

class Pool {
  public:
    void run(Job& job, const Progress* progress) {
        start_threads(job.helpers_wanted);
        {
            const std::lock_guard lock(mutex_);
            if (job.helpers_wanted > 0) jobs_.push_back(&job);
        }
        work_.notify_all();
        job.work(progress);
        wait_for_helpers(job, progress);
    }

  private:
    void start_threads(std::size_t wanted) {
        const std::lock_guard lock(mutex_);
        try {
            for (; num_threads_ < wanted; ++num_threads_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            // No more threads to be had: the work gets done with those there are.
        }
    }

    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            work_.wait(lock, [this] { return !jobs_.empty(); });
            Job& job = *jobs_.front();
            ++job.helpers_inside;
            if (--job.helpers_wanted == 0) jobs_.pop_front();
            lock.unlock();
            job.work(nullptr);
            lock.lock();
            if (--job.helpers_inside == 0) done_.notify_all();
        }
    }

    void wait_for_helpers(Job& job, const Progress* progress) {
        TaskContext context(job.stop, job.units_done, job.units_total, progress);
        std::unique_lock lock(mutex_);
        std::erase(jobs_, &job);  // the tasks are taken: latecomers would find nothing
        while (!done_.wait_for(lock, kReportInterval, [&] { return job.helpers_inside == 0; })) {
            if (progress == nullptr || job.stop.load(std::memory_order_relaxed)) continue;
            lock.unlock();
            try {
                context.checkpoint();
            } catch (...) {
                job.fail(std::current_exception());
            }
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable done_;
    std::deque<Job*> jobs_;
    std::size_t num_threads_ = 0;
};

// Never destroyed: its detached threads may outlive static destruction. After a fork the child has
// none of the threads, so it starts over with a new pool and abandons the old one.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    static std::once_flag once;
    std::call_once(once, [] {
#if !defined(_WIN32)
        pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
#endif
    });
    Pool* current = the_pool.load();
    if (current != nullptr) return *current;
    auto fresh = std::make_unique<Pool>();
    if (the_pool.compare_exchange_strong(current, fresh.get())) return *fresh.release();
    return *current;
}

}  // namespace

void TaskContext::checkpoint(std::size_t units) {
    if (units > 0) units_done_.fetch_add(units, std::memory_order_relaxed);
    if (stop_.load(std::memory_order_relaxed)) throw Cancelled();
    if (progress_ == nullptr) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_report_ < kReportInterval) return;
    last_report_ = now;
    const double done = static_cast<double>(units_done_.load(std::memory_order_relaxed));
    (*progress_)(units_total_ ? std::min(1.0, done / static_cast<double>(units_total_)) : 0.0);
}

std::size_t resolve_threads(const Execution& execution) {
    return execution.num_threads > 0 ? execution.num_threads : default_num_threads();
}

void run_parallel(std::size_t num_tasks,
                  std::size_t units_total,
                  const Execution& execution,
                  const Task& task) {
    if (num_tasks == 0) return;
    const std::size_t threads = std::min(resolve_threads(execution), num_tasks);
    const Progress* progress = execution.progress ? &execution.progress : nullptr;
    Job job(num_tasks, units_total, threads - 1, task);
    if (threads == 1)
        job.work(progress);
    else
        pool().run(job, progress);
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace nearmiss
