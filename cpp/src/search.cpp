// SPDX-License-Identifier: Apache-2.0
#include "search.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <vector>

#include "ceilings.hpp"
#include "collect/collector.hpp"
#include "nearmiss/error.hpp"
#include "panel_groups.hpp"
#include "parallel.hpp"

namespace nearmiss {
namespace {

using kernels::kPanelRows;
using kernels::kTileQueries;

// Query tiles stay in the L2 cache while a panel of the corpus, in L1, meets all of them.
constexpr std::size_t kTileBytesPerBlock = std::size_t{400} << 10;
constexpr std::size_t kReservoirBytesPerBlock = std::size_t{32} << 20;
constexpr std::size_t kMinTilesPerBlock = 8;
// Pools so deep that so few tiles would take more memory than this get fewer.
constexpr std::size_t kMostReservoirBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxTilesPerBlock = 64;
// With fewer queries per thread than this, reading the corpus costs more than the arithmetic:
// threads then share the queries and split the corpus.
constexpr std::size_t kFewQueries = 48;
constexpr std::size_t kPanelsPerCheckpoint = 16;

constexpr std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// The grid of tasks: blocks of queries x shards of the corpus.
struct Plan {
    std::size_t block_size;  // queries
    std::size_t num_blocks;
    std::size_t num_shards;
    std::size_t shard_panels;
};

Plan make_plan(const Search& search,
               std::size_t tile_bytes,
               std::size_t n,
               std::size_t num_threads) {
    const std::size_t panels = search.corpus.num_panels();
    const std::size_t reservoir_bytes =
        Reservoirs::capacity_for(search.pool_size) * sizeof(Key) * kTileQueries;
    const std::size_t least =
        std::clamp<std::size_t>(kMostReservoirBytes / reservoir_bytes, 1, kMinTilesPerBlock);
    const std::size_t tiles = std::clamp<std::size_t>(
        std::min(kTileBytesPerBlock / tile_bytes, kReservoirBytesPerBlock / reservoir_bytes),
        least,
        kMaxTilesPerBlock);
    std::size_t blocks = divide_up(n, tiles * kTileQueries);
    std::size_t shards = 1;
    if (n < kFewQueries * num_threads) {
        const std::size_t idle = divide_up(num_threads, blocks);
        shards = std::clamp<std::size_t>(idle, 1, divide_up(panels, kPanelsPerCheckpoint));
    } else {
        blocks = divide_up(blocks, num_threads) * num_threads;  // equal work for all threads
    }
    const std::size_t block_size = divide_up(divide_up(n, blocks), kTileQueries) * kTileQueries;
    const std::size_t shard_panels = divide_up(panels, shards);
    return {block_size, divide_up(n, block_size), divide_up(panels, shard_panels), shard_panels};
}

// Queries of one group next to each other, so that whole tiles can be skipped where the corpus is
// ordered by group too.
void sort_by_group(std::vector<std::uint32_t>& queries, std::span<const std::int64_t> groups) {
    std::stable_sort(
        queries.begin(), queries.end(), [&](auto a, auto b) { return groups[a] < groups[b]; });
}

// Thresholds are guessed from a sixteenth of the panels, and better from a quarter, which contains
// the sixteenth; the guess for the sixteenth serves while the quarter is looked at.
constexpr std::size_t kSamplings[] = {16, 4};

// The rank in a sample below which the k-th best of everything almost never lies: its expectation
// and four standard deviations. A single query to be scanned again costs a pass over the corpus.
std::size_t guess_rank(std::size_t pool_size, std::size_t sampling) {
    const double expected = static_cast<double>(pool_size) / static_cast<double>(sampling);
    return static_cast<std::size_t>(std::ceil(expected + 4 * std::sqrt(expected) + 1));
}

// Scoring a row exactly costs about as much as screening this many of its elements in float32.
constexpr double kRescoringElements = 6500;
// Of a scan in float32: what one of int8 codes saves, and what one of int16 codes costs more than
// that.
constexpr double kSavedByCodes = 2.0 / 3;
constexpr double kInt16CostsMore = 0.25;

// As many rows as can be scored exactly in the time of screening `screened` rows in float32.
double worth_of_scan(std::size_t screened, std::size_t dim) {
    return static_cast<double>(screened) * static_cast<double>(dim) / kRescoringElements;
}

// How many of `screened` rows may have to be scored exactly for a query before it would be faster
// to scan them in float32, which leaves hardly any. Several times the rank that thresholds follow
// always may.
std::size_t affordable(std::size_t screened, std::size_t rank, std::size_t dim) {
    return 16 * rank + static_cast<std::size_t>(worth_of_scan(screened, dim));
}

// The same of a sample where int16 codes are next: they too leave hardly any row more than `rank`.
// kSavedByCodes of this, which stops a scan, is where both cost the same.
std::size_t affordable_before_int16(std::size_t screened, std::size_t rank, std::size_t dim) {
    constexpr double kPart = kInt16CostsMore / kSavedByCodes;
    return 2 * rank + static_cast<std::size_t>(kPart * worth_of_scan(screened, dim));
}

// The part of all rows that may be near a ceiling before it is better to screen a query in `next`
// right away: scoring them exactly then costs as much as a finer scan does more.
double affordable_crowd(FormKind next, std::size_t dim) {
    return (next == FormKind::int16 ? kInt16CostsMore : kSavedByCodes) * worth_of_scan(1, dim);
}

// Where fewer queries of a block than one in so many have their ceiling in a crowd, finding them
// costs more than it saves.
constexpr std::size_t kFewCrowded = 32;

// Packing int16 codes takes as long as what they save of so many queries.
constexpr std::size_t kQueriesWorthPacking = 256;
// The rank to go by in a sample is many times the expected one where pools are smaller than this:
// too little to tell a quarter of a scan by. What is given up there would be slow by any account.
constexpr std::size_t kLeastPoolToTell = 64;

// How a pass goes about its scans.
struct Method {
    const ScreeningForm& form;
    Guess guess;
    // What is next for queries for which screening turns out to keep too many rows; the form
    // itself: none is given up.
    FormKind kind;
    FormKind next;

    [[nodiscard]] bool may_give_up() const noexcept { return next != kind; }
};

// Scans part of the corpus for a block of queries.
class Scan {
  public:
    Scan(const Search& search, const Method& method, bool by_group)
        : search_(search),
          method_(method),
          by_group_(by_group),
          collector_(search, method.form),
          block_(collector_.block()),
          ceilings_(search, block_),
          reservoirs_(collector_.reservoirs()) {}

    // False if most queries were given up, which stops the scan: nothing else may be asked then.
    bool run(std::span<const std::uint32_t> queries,
             std::size_t panel_begin,
             std::size_t panel_end,
             Guess guess,
             TaskContext& context) {
        collector_.start(queries, guess);
        tiles_.reset();
        hits_.resize(block_.max_hits());
        const std::size_t rows = (panel_end - panel_begin) * kPanelRows;
        std::size_t done = 0;  // the last sampling
        for (const std::size_t sampling : kSamplings) {
            const std::size_t rank = guess_rank(search_.pool_size, sampling);
            // A sample must hold the guessed rank several times over to be worth anything.
            if (guess == Guess::no || rows < sampling * 4 * rank) continue;
            reservoirs_.begin_sample(rank);
            const auto wanted = [=](std::size_t panel) {
                return sampled(panel, sampling) && (done == 0 || !sampled(panel, done));
            };
            if (!scan_panels(panel_begin, panel_end, wanted, context)) return false;
            const bool tells =
                method_.next == FormKind::int16 && search_.pool_size >= kLeastPoolToTell;
            const auto limit = tells ? affordable_before_int16 : affordable;
            allow(limit(rows / sampling, rank, dim()));
            if (reservoirs_.end_sample() > kSavedByCodes) return false;
            done = sampling;
        }
        const auto rest = [=](std::size_t panel) { return done == 0 || !sampled(panel, done); };
        if (!scan_panels(panel_begin, panel_end, rest, context)) return false;
        collector_.finish(context);
        return true;
    }

    // For each of the queries, whether its ceiling lies in a crowd of rows.
    [[nodiscard]] std::vector<bool> in_crowd(std::span<const std::uint32_t> queries,
                                             TaskContext& context) {
        return ceilings_.in_crowd(queries, affordable_crowd(method_.next, dim()), context);
    }

    [[nodiscard]] std::size_t size() const noexcept { return block_.size(); }
    [[nodiscard]] bool given_up(std::size_t i) const noexcept { return reservoirs_.given_up(i); }
    // If query i was not given up.
    [[nodiscard]] Pool pool(std::size_t i) const noexcept { return collector_.pool(i); }
    // False if query i must be scanned again, without a guess.
    [[nodiscard]] bool complete(std::size_t i) const noexcept { return reservoirs_.complete(i); }

    [[nodiscard]] std::size_t num_rescored() const noexcept { return reservoirs_.num_rescored(); }

  private:
    [[nodiscard]] std::size_t dim() const noexcept { return search_.corpus.rows.cols; }

    // False if the scan was stopped.
    template <class Wanted>
    bool scan_panels(std::size_t begin, std::size_t end, Wanted wanted, TaskContext& context) {
        PanelGroups groups(begin, end, block_.panels_at_once(), wanted);
        std::size_t checked = begin;
        for (PanelGroup group = groups.take(); group.count != 0; group = groups.take()) {
            scan_group(group);
            const std::size_t done = group.at[group.count - 1] + 1;
            if (done - checked < kPanelsPerCheckpoint) continue;
            checked = done;
            context.checkpoint();
            // An eighth in advance: the first rows are always more.
            const std::size_t rows = (done - begin + (end - begin) / 8) * kPanelRows;
            allow(affordable(rows, search_.pool_size, dim()));
            if (reservoirs_.part_given_up() > kSavedByCodes) return false;
        }
        return true;
    }

    void allow(std::size_t rows) noexcept {
        if (method_.may_give_up()) reservoirs_.set_allowance(rows);
    }

    void scan_group(const PanelGroup& panels) {
        if (!by_group_) {
            screen(panels, {0, block_.num_tiles()});
            return;
        }
        const std::vector<GroupRange>& groups = search_.corpus.panel_groups;
        const std::int64_t lowest = groups[panels.at[0]].lowest;
        const std::int64_t highest = groups[panels.at[panels.count - 1]].highest;
        if (panels.count > 1 && lowest != highest) {
            // The tiles for one may be few, and those for both many.
            for (std::size_t p = 0; p < panels.count; ++p)
                scan_group({1, {panels.at[p]}, {panels.next[p]}});
            return;
        }
        // Most panels are of the same group as the one before.
        if (!tiles_ || lowest != lowest_group_ || highest != highest_group_) {
            tiles_ = block_.tiles_for_groups(lowest, highest, search_.rules->limits->within_groups);
            lowest_group_ = lowest;
            highest_group_ = highest;
        }
        const GroupsOfPanel known{lowest == highest ? &lowest_group_ : nullptr,
                                  tiles_->groups_are_right};
        for (std::size_t i = 0; i < tiles_->count; ++i) screen(panels, tiles_->at[i], known);
    }

    void screen(const PanelGroup& panels, TileRange tiles, GroupsOfPanel groups = {}) {
        if (tiles.begin >= tiles.end) return;
        const std::uint32_t count = block_.screen(panels, tiles, hits_.data(), groups.are_right);
        for (std::uint32_t h = 0; h < count; ++h)
            collect(hits_[h], panels.at[hits_[h].panel], groups);
    }

    void collect(const kernels::TileHit& hit, std::size_t panel, GroupsOfPanel groups) {
        const std::uint16_t used = used_lanes(panel, search_.corpus.num_rows());
        for (std::uint32_t rest = queries_with_lanes(hit); rest != 0; rest &= rest - 1) {
            const auto t = static_cast<std::size_t>(std::countr_zero(rest));
            collector_.take(hit.tile * kTileQueries + t, hit, t, panel, used, groups);
        }
    }

    const Search& search_;
    const Method method_;
    const bool by_group_;
    Collector collector_;
    QueryBlock& block_;
    Ceilings ceilings_;
    Reservoirs& reservoirs_;
    std::vector<kernels::TileHit> hits_;
    // Of the panel at hand, if rows and queries are in the order of their groups.
    std::optional<QueryBlock::TileRanges> tiles_;
    std::int64_t lowest_group_ = 0;
    std::int64_t highest_group_ = 0;
};

// One scan of the corpus for some of the queries, in tasks.
class Pass {
  public:
    // `queries` must outlive the pass; ordered by group if the corpus is.
    Pass(const Search& search,
         std::span<const std::uint32_t> queries,
         bool by_group,
         const Method& method,
         const Execution& execution)
        : search_(search),
          method_(method),
          queries_(queries),
          by_group_(by_group),
          plan_(make_plan(search,
                          method.form.bytes_per_tile(),
                          queries.size(),
                          resolve_threads(execution))),
          execution_(execution),
          found_(plan_.num_shards == 1 ? 0 : queries.size() * plan_.num_shards) {}

    // What a pass leaves to do.
    struct Rest {
        std::vector<std::uint32_t> misguessed;  // to be scanned again, without a guess
        std::vector<std::uint32_t> given_up;    // to be screened more finely
    };

    // Calls sink for the other queries.
    Rest run(const std::function<void(const Pool&)>& sink) {
        const std::size_t tasks = plan_.num_blocks * plan_.num_shards;
        run_parallel(tasks, total(), execution_, [&](std::size_t task, TaskContext& context) {
            const std::size_t settled =
                scan(task / plan_.num_shards, task % plan_.num_shards, sink, context);
            settled_.fetch_add(settled);
            context.checkpoint(settled);
        });
        if (plan_.num_shards > 1) merge(sink);
        return std::move(rest_);
    }

    [[nodiscard]] std::size_t num_rescored() const noexcept { return rescored_.load(); }
    // The fraction done, as reported: all but what is left.
    [[nodiscard]] double done() const noexcept {
        return static_cast<double>(settled_.load()) / static_cast<double>(total());
    }

  private:
    // What a shard found for a query.
    struct Found {
        std::vector<Key> keys;
        std::int64_t above = 0;
        bool complete = false;
        bool given_up = true;
    };

    [[nodiscard]] std::size_t total() const noexcept { return queries_.size() * plan_.num_shards; }

    // Returns for how many queries this part of the corpus is done with.
    std::size_t scan(std::size_t block,
                     std::size_t shard,
                     const std::function<void(const Pool&)>& sink,
                     TaskContext& context) {
        const std::size_t first = block * plan_.block_size;
        const std::size_t count = std::min(plan_.block_size, queries_.size() - first);
        const std::size_t panel_begin = shard * plan_.shard_panels;
        const std::size_t panel_end =
            std::min(panel_begin + plan_.shard_panels, search_.corpus.num_panels());
        const auto all = queries_.subspan(first, count);
        if (gave_up_.load()) {
            give_up(all);
            return 0;
        }
        std::size_t settled = 0;
        std::unique_ptr<Scan> lent = lend_scan();
        Scan& scan = *lent;
        const std::vector<std::uint32_t> queries = without_crowd(scan, all, context);
        if (!queries.empty()) {
            const Guess guess = guesses_fail_.load() ? Guess::no : method_.guess;
            if (scan.run(queries, panel_begin, panel_end, guess, context)) {
                settled = finish(scan, queries, first, shard, sink, context);
            } else {
                gave_up_.store(true);
                give_up(queries);
            }
            rescored_.fetch_add(scan.num_rescored());
        }
        take_back(std::move(lent));
        return settled;
    }

    // Passes on what a scan found for its queries; returns how many are done with. `first`: the
    // place of the first of them, where there are several shards.
    std::size_t finish(Scan& scan,
                       std::span<const std::uint32_t> queries,
                       std::size_t first,
                       std::size_t shard,
                       const std::function<void(const Pool&)>& sink,
                       TaskContext& context) {
        std::size_t settled = 0;
        std::size_t misguessed = 0;
        for (std::size_t i = 0; i < scan.size(); ++i) {
            context.checkpoint();
            if (scan.given_up(i)) {
                give_up(queries.subspan(i, 1));
                continue;
            }
            const Pool pool = scan.pool(i);
            const bool complete = scan.complete(i);
            if (complete) ++settled;
            if (plan_.num_shards > 1) {
                found_[(first + i) * plan_.num_shards + shard] = {
                    {pool.keys.begin(), pool.keys.end()}, pool.above, complete, false};
            } else if (complete) {
                sink(pool);
            } else {
                misguess(queries[i]);
                ++misguessed;
            }
        }
        // Where near rows come in clumps a sample of panels misleads: better not to guess at all.
        if (misguessed * 16 > scan.size()) guesses_fail_.store(true);
        return settled;
    }

    // Scans are used again: their memory is large where pools are. One that a task fails in is
    // lost.
    std::unique_ptr<Scan> lend_scan() {
        const std::lock_guard lock(idle_mutex_);
        if (idle_.empty()) return std::make_unique<Scan>(search_, method_, by_group_);
        std::unique_ptr<Scan> scan = std::move(idle_.back());
        idle_.pop_back();
        return scan;
    }

    void take_back(std::unique_ptr<Scan> scan) {
        const std::lock_guard lock(idle_mutex_);
        idle_.push_back(std::move(scan));
    }

    void misguess(std::uint32_t query) {
        const std::lock_guard lock(rest_mutex_);
        rest_.misguessed.push_back(query);
    }

    // With several shards, merge() does.
    void give_up(std::span<const std::uint32_t> queries) {
        if (plan_.num_shards > 1) return;
        const std::lock_guard lock(rest_mutex_);
        rest_.given_up.insert(rest_.given_up.end(), queries.begin(), queries.end());
    }

    void merge(const std::function<void(const Pool&)>& sink) {
        const std::size_t n = queries_.size();
        run_parallel(n, n, execution_.at(done()), [&](std::size_t i, TaskContext&) {
            const std::span<const Found> shards(&found_[i * plan_.num_shards], plan_.num_shards);
            if (std::ranges::any_of(shards, &Found::given_up)) {
                const std::lock_guard lock(rest_mutex_);
                rest_.given_up.push_back(queries_[i]);
                return;
            }
            if (!std::ranges::all_of(shards, &Found::complete)) {
                misguess(queries_[i]);
                return;
            }
            std::vector<Key> keys;
            std::int64_t above = 0;
            for (const Found& found : shards) {
                keys.insert(keys.end(), found.keys.begin(), found.keys.end());
                above += found.above;
            }
            std::sort(keys.begin(), keys.end(), std::greater<>());
            keys.resize(std::min(keys.size(), search_.pool_size));
            sink({queries_[i], keys, above});
        });
    }

    // Gives up the queries whose ceiling lies in a crowd of rows, and returns the others.
    std::vector<std::uint32_t> without_crowd(Scan& scan,
                                             std::span<const std::uint32_t> queries,
                                             TaskContext& context) {
        if (!method_.may_give_up() || plan_.num_shards > 1 || crowds_are_rare_.load())
            return {queries.begin(), queries.end()};
        const std::vector<bool> crowded = scan.in_crowd(queries, context);
        std::vector<std::uint32_t> others;
        std::vector<std::uint32_t> rest;
        for (std::size_t i = 0; i < queries.size(); ++i)
            (crowded[i] ? rest : others).push_back(queries[i]);
        if (rest.size() * kFewCrowded < queries.size()) crowds_are_rare_.store(true);
        give_up(rest);
        return others;
    }

    const Search& search_;
    const Method method_;
    const std::span<const std::uint32_t> queries_;
    const bool by_group_;
    const Plan plan_;
    const Execution execution_;
    std::vector<Found> found_;  // by query and shard, if there are several shards
    std::mutex idle_mutex_;
    std::vector<std::unique_ptr<Scan>> idle_;
    std::atomic<bool> guesses_fail_{false};
    std::atomic<bool> crowds_are_rare_{false};  // not worth looking for
    std::atomic<bool> gave_up_{false};  // a scan was stopped: all queries go on to the next form
    std::atomic<std::size_t> rescored_{0};
    std::atomic<std::size_t> settled_{0};  // of total(): queries times shards
    std::mutex rest_mutex_;
    Rest rest_;
};

// One search: passes over what is left to do, form by form, coarsest first.
class Searcher {
  public:
    Searcher(const Search& search,
             const Execution& execution,
             const std::function<void(const Pool&)>& sink)
        : search_(search),
          execution_(execution),
          sink_(sink),
          by_group_(search.rules != nullptr && search.rules->use_groups() &&
                    search.rules->corpus_groups.data() == search.corpus.groups.data()) {}

    SearchWork run() {
        std::vector<std::uint32_t> queries = sorted(queries_of(search_));
        FormKind kind = first_form(search_.precision, search_.corpus.rows.cols, search_.kernel);
        for (bool first = true; !queries.empty(); first = false) {
            queries = screen(queries, kind, next_form(kind, queries.size()));
            if (first) work_.fallen_back = queries.size();
            kind = next_form(kind, queries.size());
        }
        return work_;
    }

  private:
    // For what is given up in this form; the form itself: nothing is.
    [[nodiscard]] FormKind next_form(FormKind kind, std::size_t num_queries) const {
        if (search_.precision != Precision::automatic) return kind;
        const FormKind finer = finer_form(kind, search_.corpus.rows.cols, search_.kernel);
        const bool worth_packing =
            num_queries >= kQueriesWorthPacking || search_.corpus.is_packed(FormKind::int16);
        return finer == FormKind::int16 && !worth_packing ? FormKind::float32 : finer;
    }

    // Returns the queries given up.
    std::vector<std::uint32_t> screen(std::span<const std::uint32_t> queries,
                                      FormKind kind,
                                      FormKind next) {
        const ScreeningForm& form = search_.corpus.form(kind, execution_.at(done_));
        Pass::Rest rest = pass(queries, {form, Guess::yes, kind, next});
        if (rest.misguessed.empty()) return sorted(std::move(rest.given_up));
        work_.rescanned += rest.misguessed.size();
        const std::vector<std::uint32_t> again = sorted(std::move(rest.misguessed));
        const Pass::Rest last = pass(again, {form, Guess::no, kind, next});
        rest.given_up.insert(rest.given_up.end(), last.given_up.begin(), last.given_up.end());
        return sorted(std::move(rest.given_up));
    }

    // What it leaves to do is also left of the progress: the next pass goes on from there.
    Pass::Rest pass(std::span<const std::uint32_t> queries, const Method& method) {
        Pass pass(search_, queries, by_group_, method, execution_.part(done_, 1));
        Pass::Rest rest = pass.run(sink_);
        done_ += (1 - done_) * pass.done();
        work_.rescored += pass.num_rescored();
        return rest;
    }

    // In the order that passes take them: by group if the corpus is, by number within a group.
    [[nodiscard]] std::vector<std::uint32_t> sorted(std::vector<std::uint32_t> queries) const {
        std::sort(queries.begin(), queries.end());
        if (by_group_) sort_by_group(queries, search_.rules->limits->query_groups);
        return queries;
    }

    const Search& search_;
    const Execution& execution_;
    const std::function<void(const Pool&)>& sink_;
    const bool by_group_;
    double done_ = 0;  // the fraction reported
    SearchWork work_;
};

}  // namespace

std::vector<std::uint32_t> queries_of(const Search& search) {
    std::vector<std::uint32_t> queries;
    if (search.only) {
        queries.assign(search.only->begin(), search.only->end());
        std::sort(queries.begin(), queries.end());
    } else {
        queries.resize(search.queries.rows);
        std::iota(queries.begin(), queries.end(), 0u);
    }
    return queries;
}

SearchWork search_pools(const Search& search,
                        const Execution& execution,
                        const std::function<void(const Pool&)>& sink) {
    if (search.queries.rows == 0 || (search.only && search.only->empty())) return {};
    return Searcher(search, execution, sink).run();
}

}  // namespace nearmiss
