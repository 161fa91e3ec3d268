// SPDX-License-Identifier: Apache-2.0
// What the bound is for: with a smaller one, answers are wrong.
//
// Scores here hide below what screened values can tell apart, so that only the bound keeps the best
// rows. Forms are replaced by ones that claim a part of their error; the whole of it must do, and a
// small part must not: else these data would test nothing.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "forms/form.hpp"
#include "instances.hpp"
#include "kernels/dispatch.hpp"
#include "nearmiss/mine.hpp"
#include "packed_corpus.hpp"

namespace {

using namespace nearmiss;
using instances::Matrix;

class BoastfulQueries final : public PackedQueries {
  public:
    BoastfulQueries(std::unique_ptr<PackedQueries> queries, double part)
        : queries_(std::move(queries)),
          part_(part) {}

    void pack(std::span<const ExactQuery> queries, std::span<ScreenScale> scales) override {
        queries_->pack(queries, scales);
        for (ScreenScale& scale : scales) scale.error *= part_;
    }
    void gather(const PackedQueries& from, std::span<const std::uint32_t> members) override {
        queries_->gather(*static_cast<const BoastfulQueries&>(from).queries_, members);
    }
    std::uint32_t screen(const PanelGroup& panels,
                         TileRange tiles,
                         const Thresholds& thresholds,
                         kernels::TileHit* hits) const override {
        return queries_->screen(panels, tiles, thresholds, hits);
    }

  private:
    std::unique_ptr<PackedQueries> queries_;
    double part_;
};

// Claims `part` of the error that the form it wraps proves, in the first `scans` scans.
class BoastfulForm final : public ScreeningForm {
  public:
    BoastfulForm(std::unique_ptr<ScreeningForm> form, double part, int scans)
        : form_(std::move(form)),
          part_(part),
          scans_left_(scans) {}

    void pack_panels(std::size_t begin,
                     std::size_t end,
                     const kernels::KernelTable& kernel) override {
        form_->pack_panels(begin, end, kernel);
    }
    [[nodiscard]] bool settle() override { return form_->settle(); }
    [[nodiscard]] std::unique_ptr<PackedQueries> make_queries(
        const kernels::KernelTable& kernel) const override {
        const double part = scans_left_-- > 0 ? part_ : 1;
        return std::make_unique<BoastfulQueries>(form_->make_queries(kernel), part);
    }
    [[nodiscard]] std::size_t bytes_per_tile() const noexcept override {
        return form_->bytes_per_tile();
    }
    [[nodiscard]] std::size_t nbytes() const noexcept override { return form_->nbytes(); }

  private:
    std::unique_ptr<ScreeningForm> form_;
    double part_;
    mutable int scans_left_;
};

constexpr int kAllScans = 1000;

void boast(const Corpus& corpus, FormKind kind, double part, int scans) {
    const PackedCorpus& packed = corpus.packed();
    static_cast<void>(packed.form(kind, {}));
    auto& place = packed.forms[static_cast<std::size_t>(kind)];
    place = std::make_unique<BoastfulForm>(std::move(place), part, scans);
}

struct Case {
    FormKind kind;
    double part;  // of the error, too small for the data
    Matrix queries;
    Matrix rows;

    [[nodiscard]] Precision precision() const {
        if (kind == FormKind::float32) return Precision::float32;
        return kind == FormKind::int8 ? Precision::int8 : Precision::int16;
    }
};

constexpr std::size_t kQueries = 23;

// Most of a row lies where queries have nothing: codes are coarse, and scores small beside them.
Case coarse_codes(FormKind kind, std::size_t num_rows, float size) {
    Case c{kind, 0.02, instances::normal(kQueries, 64, 1), instances::normal(num_rows, 64, 2)};
    for (std::size_t q = 0; q < kQueries; ++q)
        std::fill_n(c.queries.values.data() + 64 * q, 48, 0.0f);
    for (std::size_t x = 0; x < num_rows; ++x)
        for (std::size_t j = 0; j < 48; ++j) c.rows.values[64 * x + j] *= size;
    return c;
}

// Large products cancel: what is left is about what their float32 sum rounds off on the way. Row
// elements 0 and 1 are the strongest and hence summed first, before 2 and 3 cancel them.
Case cancellation(std::size_t num_rows, float size) {
    Case c{FormKind::float32,
           0.002,
           instances::normal(kQueries, 5, 3),
           instances::normal(num_rows, 5, 4)};
    const auto large = [size](float value) { return size * (1.5f + value / 16); };
    for (std::size_t q = 0; q < kQueries; ++q) {
        float* query = c.queries.values.data() + 5 * q;
        for (std::size_t j = 0; j < 2; ++j) {
            query[j] = large(query[j]);
            query[j + 2] = -2 * query[j];
        }
    }
    for (std::size_t x = 0; x < num_rows; ++x) {
        float* row = c.rows.values.data() + 5 * x;
        for (std::size_t j = 0; j < 2; ++j) {
            row[j + 2] = large(row[j]);
            row[j] = 2 * row[j + 2];
        }
    }
    return c;
}

bool same(const TopkResult& a, const TopkResult& b) {
    return a.indices == b.indices && instances::same_bits(a.scores, b.scores);
}

TopkResult by_definition(const Case& c, std::size_t k) {
    TopkResult result;
    for (std::size_t q = 0; q < c.queries.rows; ++q) {
        std::vector<std::pair<float, std::int64_t>> keys;
        for (std::size_t x = 0; x < c.rows.rows; ++x)
            keys.emplace_back(-instances::score(Metric::ip, c.queries.row(q), c.rows.row(x)),
                              static_cast<std::int64_t>(x));
        std::ranges::sort(keys);
        for (std::size_t i = 0; i < k; ++i) {
            result.scores.push_back(-keys[i].first);
            result.indices.push_back(keys[i].second);
        }
    }
    return result;
}

TopkResult topk_with_part(const Case& c, std::size_t k, double part, int scans = kAllScans) {
    const Corpus corpus(c.rows.view(), Metric::ip, {}, {});
    boast(corpus, c.kind, part, scans);
    return topk(c.queries.view(), corpus, k, c.precision(), {1, {}});
}

// A ceiling in the midst of the scores, a floor, and a list of excluded rows.
struct Rules {
    std::vector<double> max_score, min_score;
    std::vector<std::int64_t> starts, excluded;

    Rules(const Case& c, std::size_t k) {
        const TopkResult best = by_definition(c, 3 * k);
        starts.push_back(0);
        for (std::size_t q = 0; q < c.queries.rows; ++q) {
            max_score.push_back(static_cast<double>(best.scores[q * 3 * k + k / 2]));
            min_score.push_back(static_cast<double>(best.scores[(q + 1) * 3 * k - 1]));
            for (std::size_t i = 0; i < k; i += 3) excluded.push_back(best.indices[q * 3 * k + i]);
            std::sort(excluded.begin() + starts.back(), excluded.end());
            starts.push_back(std::ssize(excluded));
        }
    }
    [[nodiscard]] Limits limits() const {
        Limits limits;
        limits.max_score = max_score;
        limits.min_score = min_score;
        limits.exclude = {starts, excluded};
        return limits;
    }
};

MineResult mine_with_part(const Case& c, const Rules& rules, std::size_t k, double part) {
    const Corpus corpus(c.rows.view(), Metric::ip, {}, {});
    boast(corpus, c.kind, part, kAllScans);
    return mine(
        c.queries.view(), corpus, rules.limits(), {Law::top, k, 0, 0, {}, c.precision()}, {1, {}});
}

// By the definition, from the whole ranking.
std::vector<std::int64_t> mined_by_definition(const Case& c, const Rules& rules, std::size_t k) {
    const TopkResult all = by_definition(c, c.rows.rows);
    std::vector<std::int64_t> mined;
    for (std::size_t q = 0; q < c.queries.rows; ++q) {
        const auto excluded =
            std::span(rules.excluded)
                .subspan(static_cast<std::size_t>(rules.starts[q]),
                         static_cast<std::size_t>(rules.starts[q + 1] - rules.starts[q]));
        for (std::size_t i = q * c.rows.rows; i < (q + 1) * c.rows.rows; ++i) {
            const double score = static_cast<double>(all.scores[i]);
            const bool taken = score <= rules.max_score[q] && score >= rules.min_score[q] &&
                               !std::ranges::binary_search(excluded, all.indices[i]);
            if (taken && mined.size() < (q + 1) * k) mined.push_back(all.indices[i]);
        }
        mined.resize((q + 1) * k, -1);
    }
    return mined;
}

void check_that_the_bound_matters(const Case& c, std::size_t k) {
    const TopkResult wanted = by_definition(c, k);
    const Rules rules(c, k);
    const std::vector<std::int64_t> mined = mined_by_definition(c, rules, k);
    const std::string before = simd_target();
    for (const std::string& target : simd_targets()) {
        set_simd_target(target);
        CHECK(same(topk_with_part(c, k, 1), wanted));
        CHECK(!same(topk_with_part(c, k, c.part), wanted));
        CHECK(mine_with_part(c, rules, k, 1).indices == mined);
        CHECK(mine_with_part(c, rules, k, c.part).indices != mined);
    }
    set_simd_target(before);
}

}  // namespace

TEST(answers_depend_on_the_bound_of_int8_screening) {
    // Too few rows to guess.
    check_that_the_bound_matters(coarse_codes(FormKind::int8, 150, 20), 10);
}

TEST(answers_depend_on_the_bound_of_int16_screening) {
    check_that_the_bound_matters(coarse_codes(FormKind::int16, 150, 3000), 10);
}

TEST(answers_depend_on_the_bound_of_float32_screening) {
    check_that_the_bound_matters(cancellation(150, 1024), 10);
}

TEST(answers_from_guesses_depend_on_the_bound) {
    constexpr std::size_t k = 60;
    for (const Case& c : {coarse_codes(FormKind::int8, 6000, 2),
                          coarse_codes(FormKind::int16, 6000, 300),
                          cancellation(6000, 200)}) {
        check_that_the_bound_matters(c, k);
        // Guesses are verified with the bound as well: even where every second scan is honest, some
        // wrong answers pass as verified.
        const TopkResult found = topk_with_part(c, k, c.part, 1);
        CHECK(found.work.rescanned < kQueries);
        CHECK(!same(found, by_definition(c, k)));
    }
}
