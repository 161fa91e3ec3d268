// SPDX-License-Identifier: Apache-2.0
#include "lists/probed_search.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "lists/list_scan.hpp"
#include "nearmiss/random.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

// Exact search is faster than lists in no order of memory where more than this part is looked at.
constexpr std::size_t kExactFrom = 4;
constexpr std::size_t kReservoirBytesPerBlock = std::size_t{32} << 20;

// `count` of num_queries, in random order; each such list is equally likely.
std::vector<std::uint32_t> draw_queries(std::size_t num_queries,
                                        std::size_t count,
                                        std::uint64_t seed) {
    std::vector<std::uint64_t> bits(num_queries);
    RandomStream(seed, Stream::recall_sample, 0).fill(0, 0, bits);
    std::vector<std::uint32_t> queries(num_queries);
    std::iota(queries.begin(), queries.end(), 0u);
    const auto end = queries.begin() + static_cast<std::ptrdiff_t>(std::min(count, num_queries));
    std::partial_sort(queries.begin(), end, queries.end(), [&](std::uint32_t a, std::uint32_t b) {
        return bits[a] != bits[b] ? bits[a] < bits[b] : a < b;
    });
    queries.erase(end, queries.end());
    return queries;
}

std::size_t place_of(std::span<const std::uint32_t> ascending, std::size_t query) {
    return static_cast<std::size_t>(std::lower_bound(ascending.begin(), ascending.end(), query) -
                                    ascending.begin());
}

void add(SearchWork& sum, const SearchWork& work) noexcept {
    sum.rescored += work.rescored;
    sum.rescanned += work.rescanned;
    sum.fallen_back += work.fallen_back;
}

}  // namespace

ProbedSearch::ProbedSearch(const Search& search, const Probes& probes, const Execution& execution)
    : search_(search),
      execution_(execution),
      lists_(search.corpus.inverted_lists(probes.num_lists, probes.seed, execution.at(0))),
      form_(
          &lists_->rows().form(first_form(search.precision, search.corpus.rows.cols, search.kernel),
                               execution.at(0))),
      width_(std::min(probes.num_probes, lists_->size())),
      sample_(take_sample(probes.sample, probes.seed)),
      widths_(search.queries.rows) {
    if (probes.num_probes == 0) {
        const std::size_t half = (sample_.size() + 1) / 2;
        width_ = choose_width(std::span(sample_).first(half), probes.recall);
        // What chose the number of probes would flatter it.
        if (sample_.size() > 1)
            sample_.erase(sample_.begin(), sample_.begin() + static_cast<std::ptrdiff_t>(half));
    }
    report_.num_lists = lists_->size();
    report_.num_probes = width_;
}

std::vector<ProbedSearch::Sampled> ProbedSearch::take_sample(std::size_t size,
                                                             std::uint64_t seed) const {
    const std::vector<std::uint32_t> drawn = draw_queries(search_.queries.rows, size, seed);
    std::vector<std::uint32_t> ascending = drawn;
    std::sort(ascending.begin(), ascending.end());
    const std::vector<std::uint32_t> nearest =
        nearest_lists(ascending, lists_->size(), execution_.at(0));
    std::vector<Sampled> sample(drawn.size());
    std::vector<std::uint32_t> sample_of(drawn.size());
    for (std::size_t i = 0; i < drawn.size(); ++i) {
        sample[i].query = drawn[i];
        sample_of[place_of(ascending, drawn[i])] = static_cast<std::uint32_t>(i);
    }
    Search exact = search_;
    exact.only = ascending;
    search_pools(exact, execution_.at(0), [&](const Pool& pool) {
        const std::size_t place = place_of(ascending, pool.query);
        std::vector<std::uint32_t> rank_of(lists_->size());
        for (std::size_t r = 0; r < lists_->size(); ++r)
            rank_of[nearest[place * lists_->size() + r]] = static_cast<std::uint32_t>(r);
        std::vector<std::uint32_t>& ranks = sample[sample_of[place]].ranks;
        for (const Key key : pool.keys) ranks.push_back(rank_of[lists_->list_of(row_of(key))]);
    });
    return sample;
}

std::size_t ProbedSearch::choose_width(std::span<const Sampled> sample, double recall) const {
    std::vector<std::size_t> rows_at(lists_->size(), 0);
    std::size_t expected = 0;
    for (const Sampled& of : sample) {
        for (const std::uint32_t rank : of.ranks) ++rows_at[rank];
        expected += of.ranks.size();
    }
    std::size_t found = 0;
    for (std::size_t width = 1; width < lists_->size(); ++width) {
        found += rows_at[width - 1];
        if (static_cast<double>(found) >= recall * static_cast<double>(expected)) return width;
    }
    return lists_->size();
}

SearchWork ProbedSearch::run(std::vector<std::uint32_t> queries,
                             const Execution& execution,
                             const std::function<void(const Pool&)>& sink) {
    work_ = {};
    std::size_t width = width_;
    if (width < lists_->size()) {
        std::vector<std::uint32_t> rest = scan(queries, width, execution, sink);
        report_.widened += rest.size();
        for (width *= 2; !rest.empty() && width * kExactFrom <= lists_->size(); width *= 2)
            rest = scan(rest, width, execution.at(1), sink);
        queries = std::move(rest);
    }
    Search exact = search_;
    exact.only = queries;
    for (const std::uint32_t query : queries)
        widths_[query] = static_cast<std::uint32_t>(lists_->size());
    add(work_, search_pools(exact, width == width_ ? execution : execution.at(1), sink));
    return work_;
}

ProbeReport ProbedSearch::report() const {
    ProbeReport report = report_;
    report.sampled = sample_.size();
    for (const Sampled& of : sample_) {
        report.expected += of.ranks.size();
        report.found += static_cast<std::size_t>(std::ranges::count_if(
            of.ranks, [&](std::uint32_t rank) { return rank < widths_[of.query]; }));
    }
    return report;
}

std::vector<std::uint32_t> ProbedSearch::nearest_lists(std::span<const std::uint32_t> queries,
                                                       std::size_t width,
                                                       const Execution& execution) const {
    std::vector<std::uint32_t> nearest(queries.size() * width);
    const Search search{.corpus = lists_->centers(),
                        .kernel = search_.kernel,
                        .queries = search_.queries,
                        .query_norms = search_.query_norms,
                        .pool_size = width,
                        .rules = nullptr,
                        .intervals = {},
                        .precision = search_.precision,
                        .only = queries};
    search_pools(search, execution, [&](const Pool& pool) {
        std::ranges::transform(pool.keys, &nearest[place_of(queries, pool.query) * width], row_of);
    });
    return nearest;
}

std::vector<std::uint32_t> ProbedSearch::scan(std::span<const std::uint32_t> queries,
                                              std::size_t width,
                                              const Execution& execution,
                                              const std::function<void(const Pool&)>& sink) {
    const std::vector<std::uint32_t> nearest = nearest_lists(queries, width, execution.at(0));
    // Queries of one nearest list next to each other: they share more than that one.
    std::vector<std::uint32_t> places(queries.size());
    std::iota(places.begin(), places.end(), 0u);
    std::ranges::stable_sort(places, {}, [&](auto place) { return nearest[place * width]; });

    const Search search{.corpus = lists_->rows(),
                        .kernel = search_.kernel,
                        .queries = search_.queries,
                        .query_norms = search_.query_norms,
                        .pool_size = search_.pool_size,
                        .rules = search_.rules,
                        .intervals = search_.intervals,
                        .precision = search_.precision,
                        .only = queries};
    std::mutex mutex;
    std::vector<std::uint32_t> misguessed;  // places
    std::vector<std::uint32_t> not_full;    // queries
    const auto pass = [&](std::span<const std::uint32_t> some, Guess guess, const Execution& part) {
        const std::size_t threads = resolve_threads(part);
        const std::size_t most = std::max<std::size_t>(
            1,
            kReservoirBytesPerBlock / (Reservoirs::capacity_for(search.pool_size) * sizeof(Key)));
        // Equal work for all threads.
        const std::size_t rounds = (some.size() + most * threads - 1) / (most * threads);
        const std::size_t blocks = std::min(some.size(), rounds * threads);
        run_parallel(blocks, blocks, part, [&](std::size_t task, TaskContext& context) {
            const std::size_t begin = some.size() * task / blocks;
            const std::size_t end = some.size() * (task + 1) / blocks;
            std::vector<std::uint32_t> of_block;
            std::vector<std::uint32_t> their_lists;
            for (const std::uint32_t place : some.subspan(begin, end - begin)) {
                of_block.push_back(queries[place]);
                their_lists.insert(
                    their_lists.end(), &nearest[place * width], &nearest[place * width] + width);
            }
            ListScan scan(search, *lists_, *form_);
            scan.run(of_block, their_lists, width, guess, context);
            for (std::size_t i = 0; i < of_block.size(); ++i) {
                const Pool pool = scan.pool(i);
                if (scan.complete(i) && pool.keys.size() == search.pool_size) {
                    widths_[pool.query] = static_cast<std::uint32_t>(width);
                    sink(pool);
                    continue;
                }
                const std::lock_guard lock(mutex);
                if (scan.complete(i))
                    not_full.push_back(of_block[i]);
                else
                    misguessed.push_back(some[begin + i]);
            }
            const std::lock_guard lock(mutex);
            work_.rescored += scan.num_rescored();
            context.checkpoint(1);
        });
    };
    pass(places, Guess::yes, execution);
    if (!misguessed.empty()) {
        work_.rescanned += misguessed.size();
        std::ranges::sort(misguessed);
        const std::vector<std::uint32_t> again = std::move(misguessed);
        misguessed.clear();
        pass(again, Guess::no, execution.at(1));
    }
    std::ranges::sort(not_full);
    return not_full;
}

}  // namespace nearmiss
