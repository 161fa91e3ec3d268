// SPDX-License-Identifier: Apache-2.0
#include "admission.hpp"

#include <string>

#include "nearmiss/error.hpp"

namespace nearmiss {
namespace {

void require_per_query(std::size_t size, std::size_t num_queries, const char* argument) {
    require(size == 0 || size == num_queries,
            std::string(argument) + ": expected one per query (" + std::to_string(num_queries) +
                "), got " + std::to_string(size));
}

void check_row(std::int64_t row, std::size_t num_rows, std::size_t query, const char* argument) {
    if (row >= 0 && static_cast<std::size_t>(row) < num_rows) return;
    throw InvalidArgument(std::string(argument) + ": query " + std::to_string(query) +
                          " refers to corpus row " + std::to_string(row) + ", but the corpus has " +
                          std::to_string(num_rows) + " rows");
}

void check_lists(ListsView lists,
                 std::size_t num_queries,
                 std::size_t num_rows,
                 const char* argument) {
    if (lists.indptr.empty()) return;
    require(lists.indptr.size() == num_queries + 1 && lists.indptr.front() == 0 &&
                lists.indptr.back() == static_cast<std::int64_t>(lists.rows.size()),
            std::string(argument) + ": indptr does not fit the queries");
    for (std::size_t q = 0; q < num_queries; ++q) {
        if (lists.indptr[q] > lists.indptr[q + 1])
            throw InvalidArgument(std::string(argument) + ": indptr must not decrease");
        std::int64_t previous = -1;
        for (const std::int64_t row : lists.list(q)) {
            check_row(row, num_rows, q, argument);
            if (row <= previous)
                throw InvalidArgument(std::string(argument) +
                                      ": rows of a query must ascend without duplicates");
            previous = row;
        }
    }
}

template <class T>
void sort_unique(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

AdmissionRules make_rules(const Limits& limits,
                          std::size_t num_queries,
                          std::size_t num_rows,
                          std::span<const std::int64_t> corpus_groups) {
    check_lists(limits.positives, num_queries, num_rows, "positives");
    check_lists(limits.exclude, num_queries, num_rows, "exclude");
    require_per_query(limits.self_rows.size(), num_queries, "self_rows");
    for (std::size_t q = 0; q < limits.self_rows.size(); ++q)
        if (limits.self_rows[q] != -1) check_row(limits.self_rows[q], num_rows, q, "self_rows");
    require_per_query(limits.query_groups.size(), num_queries, "query_groups");
    require_per_query(limits.min_value.size(), num_queries, "min_value");
    require_per_query(limits.max_value.size(), num_queries, "max_value");
    require_per_query(limits.min_score.size(), num_queries, "min_score");
    require_per_query(limits.max_score.size(), num_queries, "max_score");
    require_per_query(limits.positive_scores.size(), num_queries, "positive_scores");

    AdmissionRules rules;
    rules.limits = &limits;
    rules.num_rows = num_rows;
    if (!limits.min_value.empty() || !limits.max_value.empty()) {
        require(limits.corpus_values.size() == num_rows,
                "corpus_values: expected one per corpus row");
        rules.corpus_values = limits.corpus_values;
    }
    if (limits.query_groups.empty()) return rules;
    require(corpus_groups.size() == num_rows, "corpus_groups: expected one per corpus row");
    rules.corpus_groups = corpus_groups;
    for (const std::int64_t group : corpus_groups)
        if (group >= 0) ++rules.group_sizes[group];
    return rules;
}

void AdmissionRules::sort_values() {
    sorted_values.assign(corpus_values.begin(), corpus_values.end());
    std::sort(sorted_values.begin(), sorted_values.end());
}

Admission::Admission(const AdmissionRules& rules, std::size_t query)
    : rules_(&rules),
      query_(query) {
    const Limits& limits = *rules.limits;
    for (const std::int64_t row : limits.positives.list(query))
        listed_.push_back(static_cast<std::uint32_t>(row));
    if (rules.duplicates != nullptr) {
        for (const std::uint32_t row : listed_) {
            const std::uint32_t lowest = rules.duplicates->class_of_row[row];
            if (rules.duplicates->class_size[lowest] > 1) positive_classes_.push_back(lowest);
        }
        sort_unique(positive_classes_);
    }
    for (const std::int64_t row : limits.exclude.list(query))
        listed_.push_back(static_cast<std::uint32_t>(row));
    if (!limits.self_rows.empty() && limits.self_rows[query] >= 0)
        listed_.push_back(static_cast<std::uint32_t>(limits.self_rows[query]));
    sort_unique(listed_);
    for (const std::uint32_t row : listed_) listed_digest_ |= digest(row);
    if (rules.use_groups()) group_ = limits.query_groups[query];
    if (!limits.min_value.empty()) min_value_ = limits.min_value[query];
    if (!limits.max_value.empty()) max_value_ = limits.max_value[query];
}

void Admission::count(CauseCounts& counts) const {
    const Limits& limits = *rules_->limits;
    const auto at = [&](Cause cause) -> std::int64_t& {
        return counts[static_cast<std::size_t>(cause)];
    };
    const auto positives = limits.positives.list(query_);
    at(Cause::positive) += static_cast<std::int64_t>(positives.size());
    for (const std::uint32_t lowest : positive_classes_)
        at(Cause::duplicate) += rules_->duplicates->class_size[lowest];
    if (!positive_classes_.empty()) {
        for (const std::int64_t row : positives)
            if (duplicate(static_cast<std::uint32_t>(row))) --at(Cause::duplicate);
    }
    at(Cause::exclude) += static_cast<std::int64_t>(limits.exclude.list(query_).size());
    if (!limits.self_rows.empty() && limits.self_rows[query_] >= 0) ++at(Cause::self);
    if (rules_->use_groups()) at(Cause::group) += num_wrong_group();
    if (rules_->use_values()) at(Cause::value) += num_wrong_value();
}

std::int64_t Admission::num_wrong_group() const {
    const auto found = rules_->group_sizes.find(group_);
    const std::int64_t own = found == rules_->group_sizes.end() ? 0 : found->second;
    if (!rules_->limits->within_groups) return own;
    return static_cast<std::int64_t>(rules_->num_rows) - own;
}

std::int64_t Admission::num_wrong_value() const {
    const std::vector<double>& values = rules_->sorted_values;
    const auto first = std::lower_bound(values.begin(), values.end(), min_value_);
    const auto last = std::lower_bound(first, values.end(), max_value_);
    return std::ssize(values) - (last - first);
}

bool Admission::count_row(std::uint32_t row, CauseCounts& counts) const {
    const Limits& limits = *rules_->limits;
    const auto contains = [row](std::span<const std::int64_t> list) {
        return std::binary_search(list.begin(), list.end(), std::int64_t{row});
    };
    const bool positive = contains(limits.positives.list(query_));
    const bool causes[] = {
        positive,
        !positive && duplicate(row),
        contains(limits.exclude.list(query_)),
        !limits.self_rows.empty() && limits.self_rows[query_] == std::int64_t{row},
        rules_->use_groups() && wrong_group(rules_->corpus_groups[row]),
        rules_->use_values() && wrong_value(rules_->corpus_values[row]),
    };
    bool any = false;
    for (std::size_t i = 0; i < std::size(causes); ++i) {
        counts[i] += causes[i];
        any = any || causes[i];
    }
    return any;
}

}  // namespace nearmiss
