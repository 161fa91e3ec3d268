// SPDX-License-Identifier: Apache-2.0
#include "lists/probed_search.hpp"

#include <algorithm>
#include <functional>
#include <mutex>
#include <numeric>

#include "lists/list_pass.hpp"
#include "lists/random_subset.hpp"

namespace nearmiss {
namespace {

// Where a query would look at more than this part of all lists, exact search is as fast.
constexpr std::size_t kExactFrom = 4;
// Of a table of the lists nearest to queries. A pass over them holds two more of the size.
constexpr std::size_t kTableBytes = std::size_t{2} << 20;

// Calls use(part, number of parts, queries of the part) for equal parts of the queries, whose
// tables of so many lists each fit.
template <class Use>
void for_each_part(std::span<const std::uint32_t> queries, std::size_t width, const Use& use) {
    const std::size_t most =
        std::max<std::size_t>(1, kTableBytes / (width * sizeof(std::uint32_t)));
    const std::size_t parts = (queries.size() + most - 1) / most;
    for (std::size_t part = 0; part < parts; ++part) {
        const std::size_t begin = queries.size() * part / parts;
        const std::size_t end = queries.size() * (part + 1) / parts;
        use(part, parts, queries.subspan(begin, end - begin));
    }
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

Search search_of(const PackedCorpus& corpus, const Search& search) {
    return {.corpus = corpus,
            .kernel = search.kernel,
            .queries = search.queries,
            .query_norms = search.query_norms,
            .pool_size = search.pool_size,
            .rules = search.rules,
            .intervals = search.intervals,
            .precision = search.precision};
}

}  // namespace

ProbedSearch::ProbedSearch(const Search& search, const Probes& probes, const Execution& execution)
    : search_(search),
      lists_(search.corpus.inverted_lists(probes.num_lists, probes.seed, execution.at(0))),
      in_lists_(search_of(lists_->rows(), search)),
      width_(std::min(probes.num_probes, lists_->size())) {
    std::vector<std::uint32_t> drawn =
        random_subset(search.queries.rows, probes.sample, probes.seed, Stream::recall_sample);
    sample_ = search_exactly(drawn, execution.at(0));
    if (probes.num_probes != 0) return;
    drawn.resize((drawn.size() + 1) / 2);
    std::ranges::sort(drawn);
    const auto others = std::ranges::stable_partition(sample_, [&](const Sampled& sampled) {
        return std::ranges::binary_search(drawn, sampled.query);
    });
    width_ = choose_width({sample_.begin(), others.begin()}, probes.recall, execution.at(0));
    // The queries that chose the number of probes would flatter it.
    if (sample_.size() > 1) sample_.erase(sample_.begin(), others.begin());
}

std::vector<ProbedSearch::Sampled> ProbedSearch::search_exactly(
    std::span<const std::uint32_t> queries,
    const Execution& execution) const {
    Search exact = search_;
    exact.only = queries;
    std::vector<Sampled> sample;
    std::mutex mutex;
    search_pools(exact, execution, [&](const Pool& pool) {
        const std::lock_guard lock(mutex);
        sample.push_back(
            {static_cast<std::uint32_t>(pool.query), {pool.keys.begin(), pool.keys.end()}});
    });
    std::ranges::sort(sample, {}, &Sampled::query);
    return sample;
}

std::size_t ProbedSearch::choose_width(std::span<const Sampled> sample,
                                       double recall,
                                       const Execution& execution) const {
    const std::vector<std::size_t> rows_at = count_rows_by_rank(sample, execution);
    const std::size_t expected = std::reduce(rows_at.begin(), rows_at.end());
    std::size_t found = 0;
    for (std::size_t width = 1; !looks_at_all(width); ++width) {
        found += rows_at[width - 1];
        if (static_cast<double>(found) >= recall * static_cast<double>(expected)) return width;
    }
    return lists_->size();
}

std::vector<std::size_t> ProbedSearch::count_rows_by_rank(std::span<const Sampled> sample,
                                                          const Execution& execution) const {
    const std::size_t num_lists = lists_->size();
    std::vector<std::uint32_t> queries;
    for (const Sampled& sampled : sample) queries.push_back(sampled.query);
    std::vector<std::size_t> rows_at(num_lists, 0);
    std::vector<std::uint32_t> rank_of(num_lists);
    std::size_t next = 0;
    for_each_part(queries, num_lists, [&](std::size_t, std::size_t, auto part) {
        const std::vector<std::uint32_t> nearest = nearest_lists(part, num_lists, execution);
        for (std::size_t place = 0; place < part.size(); ++place) {
            for (std::size_t rank = 0; rank < num_lists; ++rank)
                rank_of[nearest[place * num_lists + rank]] = static_cast<std::uint32_t>(rank);
            for (const Key key : sample[next++].pool)
                ++rows_at[rank_of[lists_->list_of(row_of(key))]];
        }
    });
    return rows_at;
}

SearchWork ProbedSearch::run(std::vector<std::uint32_t> queries,
                             const Execution& execution,
                             const std::function<void(const Pool&)>& sink) {
    const std::function<void(const Pool&)> measure = [&](const Pool& pool) {
        count_found(pool);
        sink(pool);
    };
    SearchWork work;
    const bool exact_at_once = looks_at_all(width_);
    if (!exact_at_once) {
        queries = scan(queries, width_, execution, measure, work);
        widened_ += queries.size();
        for (std::size_t width = 2 * width_;
             !queries.empty() && width * kExactFrom <= lists_->size();
             width *= 2)
            queries = scan(queries, width, execution.at(1), measure, work);
    }
    Search exact = search_;
    exact.only = queries;
    add(work, search_pools(exact, exact_at_once ? execution : execution.at(1), measure));
    return work;
}

void ProbedSearch::count_found(const Pool& pool) {
    const auto sampled = std::ranges::lower_bound(sample_, pool.query, {}, &Sampled::query);
    if (sampled == sample_.end() || sampled->query != pool.query) return;
    // Both are sorted.
    const std::span<const Key> exact = sampled->pool;
    sampled->found = static_cast<std::size_t>(std::ranges::count_if(pool.keys, [&](Key key) {
        return std::ranges::binary_search(exact, key, std::ranges::greater());
    }));
}

ProbeReport ProbedSearch::report() const {
    ProbeReport report{.num_probes = width_,
                       .num_lists = lists_->size(),
                       .widened = widened_,
                       .sampled = sample_.size()};
    for (const auto& [query, pool, found] : sample_) {
        const std::size_t expected = pool.size();
        report.expected += expected;
        report.found += found;
        report.expected_squares += expected * expected;
        report.found_squares += found * found;
        report.products += expected * found;
    }
    return report;
}

std::vector<std::uint32_t> ProbedSearch::nearest_lists(std::span<const std::uint32_t> queries,
                                                       std::size_t width,
                                                       const Execution& execution) const {
    Search search = search_of(lists_->centers(), search_);
    search.pool_size = width;
    search.rules = nullptr;
    search.intervals = {};
    search.only = queries;
    std::vector<std::uint32_t> nearest(queries.size() * width);
    search_pools(search, execution, [&](const Pool& pool) {
        const std::size_t place = place_of(queries, pool.query);
        std::ranges::transform(pool.keys, &nearest[place * width], row_of);
    });
    return nearest;
}

std::vector<std::uint32_t> ProbedSearch::scan(std::span<const std::uint32_t> queries,
                                              std::size_t width,
                                              const Execution& execution,
                                              const std::function<void(const Pool&)>& sink,
                                              SearchWork& work) {
    std::vector<std::uint32_t> left;
    for_each_part(queries, width, [&](std::size_t part, std::size_t parts, auto some) {
        const auto done = [&](std::size_t number) {
            return static_cast<double>(number) / static_cast<double>(parts);
        };
        const std::vector<std::uint32_t> rest =
            scan_part(some, width, execution.part(done(part), done(part + 1)), sink, work);
        left.insert(left.end(), rest.begin(), rest.end());
    });
    return left;
}

std::vector<std::uint32_t> ProbedSearch::scan_part(std::span<const std::uint32_t> queries,
                                                   std::size_t width,
                                                   const Execution& execution,
                                                   const std::function<void(const Pool&)>& sink,
                                                   SearchWork& work) {
    const std::vector<std::uint32_t> nearest = nearest_lists(queries, width, execution.at(0));
    const FormKind kind = first_form(search_.precision, search_.corpus.rows.cols, search_.kernel);
    ListPass pass(
        in_lists_, *lists_, lists_->rows().form(kind, execution.at(0)), {queries, nearest, width});
    ListPass::Rest rest = pass.run(pass.all(), Guess::yes, execution, sink);
    if (!rest.misguessed.empty()) {
        work.rescanned += rest.misguessed.size();
        const ListPass::Rest again =
            pass.run(std::move(rest.misguessed), Guess::no, execution.at(1), sink);
        rest.short_of_rows.insert(
            rest.short_of_rows.end(), again.short_of_rows.begin(), again.short_of_rows.end());
    }
    work.rescored += pass.num_rescored();
    std::vector<std::uint32_t> left;
    for (const std::uint32_t place : rest.short_of_rows) left.push_back(queries[place]);
    std::sort(left.begin(), left.end());
    return left;
}

}  // namespace nearmiss
