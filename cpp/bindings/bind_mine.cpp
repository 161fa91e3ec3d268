// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "nearmiss/mine.hpp"

namespace nearmiss::bindings {

namespace {

Law parse_law(const std::string& name) {
    if (name == "top") return Law::top;
    if (name == "random") return Law::random;
    if (name == "uniform") return Law::uniform;
    if (name == "bands") return Law::bands;
    throw InvalidArgument("law: unknown '" + name + "'");
}

BandScale parse_scale(const std::string& name) {
    if (name == "rank") return BandScale::rank;
    if (name == "score") return BandScale::score;
    if (name == "margin") return BandScale::margin;
    if (name == "quantile") return BandScale::quantile;
    throw InvalidArgument("bands: unknown scale '" + name + "'");
}

Spill parse_spill(const std::string& name) {
    if (name == "none") return Spill::none;
    if (name == "farther") return Spill::farther;
    if (name == "nearer") return Spill::nearer;
    throw InvalidArgument("bands: unknown spill '" + name + "'");
}

MarginReference parse_reference(const std::string& name) {
    if (name == "min") return MarginReference::min;
    if (name == "max") return MarginReference::max;
    if (name == "mean") return MarginReference::mean;
    throw InvalidArgument("margin_reference: expected 'min', 'max' or 'mean', got '" + name + "'");
}

// Keyword arguments taken one by one, each with its default; what is left over is a mistake.
class Keywords {
  public:
    explicit Keywords(const py::kwargs& keywords) : rest_(keywords.attr("copy")()) {}

    template <class T>
    T take(const char* name, T otherwise) {
        if (!rest_.contains(name)) return otherwise;
        const py::object value = rest_.attr("pop")(name);
        try {
            return value.cast<T>();
        } catch (const py::cast_error&) {
            throw py::type_error(std::string(name) + ": has the wrong type");
        }
    }

    void require_empty() const {
        if (rest_.empty()) return;
        const auto name = rest_.begin()->first.cast<std::string>();
        throw py::type_error("unexpected keyword argument '" + name + "'");
    }

  private:
    py::dict rest_;
};

// The keywords that say who may be a negative, holding the arrays that their views refer to.
struct LimitOptions {
    explicit LimitOptions(Keywords& keywords)
        : positives(keywords.take<std::optional<Csr>>("positives", {})),
          exclude(keywords.take<std::optional<Csr>>("exclude", {})),
          self_rows(keywords.take<OptionalArray<std::int64_t>>("self_rows", {})),
          query_groups(keywords.take<OptionalArray<std::int64_t>>("query_groups", {})),
          corpus_groups(keywords.take<OptionalArray<std::int64_t>>("corpus_groups", {})),
          within_groups(keywords.take<bool>("within_groups", false)),
          exclude_duplicates(keywords.take<bool>("exclude_duplicates", true)),
          corpus_values(keywords.take<OptionalArray<double>>("corpus_values", {})),
          min_value(keywords.take<OptionalArray<double>>("min_value", {})),
          max_value(keywords.take<OptionalArray<double>>("max_value", {})),
          min_score(keywords.take<OptionalArray<double>>("min_score", {})),
          max_score(keywords.take<OptionalArray<double>>("max_score", {})),
          absolute_margin(keywords.take<std::optional<double>>("absolute_margin", {})),
          relative_margin(keywords.take<std::optional<double>>("relative_margin", {})),
          margin_reference(keywords.take<std::string>("margin_reference", "min")),
          positive_scores(keywords.take<OptionalArray<float>>("positive_scores", {})),
          range_min(keywords.take<std::size_t>("range_min", 0)),
          range_max(keywords.take<std::optional<std::size_t>>("range_max", {})),
          raw_ranks(keywords.take<bool>("raw_ranks", false)) {}

    std::optional<Csr> positives;
    std::optional<Csr> exclude;
    OptionalArray<std::int64_t> self_rows;
    OptionalArray<std::int64_t> query_groups;
    OptionalArray<std::int64_t> corpus_groups;
    bool within_groups;
    bool exclude_duplicates;
    OptionalArray<double> corpus_values;
    OptionalArray<double> min_value;
    OptionalArray<double> max_value;
    OptionalArray<double> min_score;
    OptionalArray<double> max_score;
    std::optional<double> absolute_margin;
    std::optional<double> relative_margin;
    std::string margin_reference;
    OptionalArray<float> positive_scores;
    std::size_t range_min;
    std::optional<std::size_t> range_max;
    bool raw_ranks;

    [[nodiscard]] Limits limits() const {
        Limits limits;
        limits.positives = lists_view(positives);
        limits.exclude = lists_view(exclude);
        limits.self_rows = span_of(self_rows);
        limits.query_groups = span_of(query_groups);
        limits.corpus_groups = span_of(corpus_groups);
        limits.within_groups = within_groups;
        limits.exclude_duplicates = exclude_duplicates;
        limits.corpus_values = span_of(corpus_values);
        limits.min_value = span_of(min_value);
        limits.max_value = span_of(max_value);
        limits.min_score = span_of(min_score);
        limits.max_score = span_of(max_score);
        limits.absolute_margin = absolute_margin;
        limits.relative_margin = relative_margin;
        limits.margin_reference = parse_reference(margin_reference);
        limits.positive_scores = span_of(positive_scores);
        limits.range_min = range_min;
        limits.range_max = range_max.value_or(std::numeric_limits<std::size_t>::max());
        limits.raw_ranks = raw_ranks;
        return limits;
    }
};

// The keywords that say which of them to pick. A band is (low, high, quota, nearest).
struct ChoiceOptions {
    explicit ChoiceOptions(Keywords& keywords)
        : num_negatives(keywords.take<std::size_t>("num_negatives", 0)),
          law(keywords.take<std::string>("law", "top")),
          query_ids(keywords.take<OptionalArray<std::int64_t>>("query_ids", {})),
          seed(keywords.take<std::uint64_t>("seed", 0)),
          epoch(keywords.take<std::uint64_t>("epoch", 0)),
          scale(keywords.take<std::string>("band_scale", "rank")),
          spill(keywords.take<std::string>("band_spill", "none")) {
        using Given = std::vector<std::tuple<double, double, std::size_t, bool>>;
        for (const auto& [low, high, quota, nearest] : keywords.take<Given>("bands", {}))
            bands.push_back({low, high, quota, nearest});
    }

    std::size_t num_negatives;
    std::string law;
    OptionalArray<std::int64_t> query_ids;
    std::uint64_t seed;
    std::uint64_t epoch;
    std::string scale;
    std::string spill;
    std::vector<Band> bands;

    [[nodiscard]] Choice choice() const {
        return {parse_law(law),
                num_negatives,
                seed,
                epoch,
                span_of(query_ids),
                Precision::automatic,
                {bands, parse_scale(scale), parse_spill(spill)}};
    }
};

// (number of probes, recall, number of lists, seed, sample): see Probes.
using GivenProbes =
    std::optional<std::tuple<std::size_t, double, std::size_t, std::uint64_t, std::size_t>>;

std::optional<Probes> probes_of(const GivenProbes& given) {
    if (!given) return {};
    const auto& [num_probes, recall, num_lists, seed, sample] = *given;
    return Probes{num_probes, recall, num_lists, seed, sample};
}

// Adds what is known of an approximate search.
void add_report(py::dict& dict, const std::optional<ProbeReport>& report) {
    if (!report) return;
    py::dict entries;
    entries["num_probes"] = report->num_probes;
    entries["num_lists"] = report->num_lists;
    entries["widened"] = report->widened;
    entries["sampled"] = report->sampled;
    entries["expected"] = report->expected;
    entries["found"] = report->found;
    entries["expected_squares"] = report->expected_squares;
    entries["found_squares"] = report->found_squares;
    entries["products"] = report->products;
    dict["probes"] = entries;
}

py::dict to_dict(const SearchWork& work) {
    py::dict dict;
    dict["rescored"] = work.rescored;
    dict["rescanned"] = work.rescanned;
    dict["fallen_back"] = work.fallen_back;
    return dict;
}

py::dict to_dict(MineResult&& result) {
    const auto n = static_cast<py::ssize_t>(result.num_queries);
    const auto k = static_cast<py::ssize_t>(result.num_negatives);
    py::dict dict;
    dict["indices"] = to_numpy(std::move(result.indices), {n, k});
    dict["scores"] = to_numpy(std::move(result.scores), {n, k});
    dict["counts"] = to_numpy(std::move(result.counts), {n});
    dict["positive_scores"] = to_numpy(std::move(result.positive_scores), {n});
    dict["skipped"] =
        to_numpy(std::move(result.skipped), {n, static_cast<py::ssize_t>(kNumCauses)});
    if (!result.strata.empty()) dict["strata"] = to_numpy(std::move(result.strata), {n, k});
    dict["work"] = to_dict(result.work);
    add_report(dict, result.probes);
    return dict;
}

// Calls sink(first_query, scores, rows, admissible, positive_scores) for each block.
PoolSink python_sink(const py::function& sink) {
    return [&sink](PoolBlock&& block) {
        const WithGil acquire;
        const auto n = static_cast<py::ssize_t>(block.num_queries);
        const auto width = static_cast<py::ssize_t>(block.width);
        call(sink,
             py::make_tuple(block.first_query,
                            to_numpy(std::move(block.scores), {n, width}),
                            to_numpy(std::move(block.rows), {n, width}),
                            to_numpy(std::move(block.admissible), {n, width}).attr("view")("bool"),
                            to_numpy(std::move(block.positive_scores), {n})));
    };
}

py::tuple bound_topk(const py::array& queries,
                     const std::string& element_type,
                     const PyCorpus& corpus,
                     std::size_t k,
                     const std::string& precision,
                     std::size_t num_threads,
                     py::object progress,
                     const GivenProbes& probes) {
    const MatrixView view = matrix_view(queries, element_type);
    const Precision parsed = parse_precision(precision);
    const Execution execution = make_execution(num_threads, std::move(progress));
    TopkResult result;
    {
        const WithoutGil release;
        result = topk(view, corpus.corpus, k, parsed, execution, probes_of(probes));
    }
    const auto n = static_cast<py::ssize_t>(view.rows);
    const auto columns = static_cast<py::ssize_t>(k);
    py::dict work = to_dict(result.work);
    add_report(work, result.probes);
    return py::make_tuple(to_numpy(std::move(result.scores), {n, columns}),
                          to_numpy(std::move(result.indices), {n, columns}),
                          work);
}

Execution take_execution(Keywords& keywords) {
    const auto num_threads = keywords.take<std::size_t>("num_threads", 0);
    return make_execution(num_threads, keywords.take<py::object>("progress", py::none()));
}

py::dict bound_mine(const py::array& queries,
                    const std::string& element_type,
                    const PyCorpus& corpus,
                    const py::kwargs& arguments) {
    Keywords keywords(arguments);
    const Execution execution = take_execution(keywords);
    const Precision precision = parse_precision(keywords.take<std::string>("precision", "auto"));
    const std::optional<Probes> probes = probes_of(keywords.take<GivenProbes>("probes", {}));
    const LimitOptions limits(keywords);
    const ChoiceOptions options(keywords);
    keywords.require_empty();

    const MatrixView view = matrix_view(queries, element_type);
    Choice choice = options.choice();
    choice.precision = precision;
    choice.probes = probes;
    MineResult result;
    {
        const WithoutGil release;
        result = mine(view, corpus.corpus, limits.limits(), choice, execution);
    }
    return to_dict(std::move(result));
}

py::dict bound_mine_pools(const py::array& queries,
                          const std::string& element_type,
                          const PyCorpus& corpus,
                          const py::function& sink,
                          const py::kwargs& arguments) {
    Keywords keywords(arguments);
    const Execution execution = take_execution(keywords);
    const Precision precision = parse_precision(keywords.take<std::string>("precision", "auto"));
    const std::optional<Probes> probes = probes_of(keywords.take<GivenProbes>("probes", {}));
    const LimitOptions limits(keywords);
    keywords.require_empty();

    const MatrixView view = matrix_view(queries, element_type);
    MineResult result;
    {
        const WithoutGil release;
        result = mine_pools(
            view, corpus.corpus, limits.limits(), precision, execution, python_sink(sink), probes);
    }
    return to_dict(std::move(result));
}

Candidates candidates_of(const Array<float>& scores, const Array<std::int64_t>& rows) {
    require(scores.ndim() == 2 && rows.ndim() == 2 && scores.shape(0) == rows.shape(0) &&
                scores.shape(1) == rows.shape(1),
            "indices: expected the shape of scores");
    return {span_of(scores),
            span_of(rows),
            static_cast<std::size_t>(scores.shape(0)),
            static_cast<std::size_t>(scores.shape(1))};
}

py::dict bound_mine_candidates(const Array<float>& scores,
                               const Array<std::int64_t>& rows,
                               const py::kwargs& arguments) {
    Keywords keywords(arguments);
    const Execution execution = take_execution(keywords);
    const LimitOptions limits(keywords);
    const ChoiceOptions options(keywords);
    keywords.require_empty();

    const Candidates candidates = candidates_of(scores, rows);
    MineResult result;
    {
        const WithoutGil release;
        result = mine_candidates(candidates, limits.limits(), options.choice(), execution);
    }
    return to_dict(std::move(result));
}

py::dict bound_candidate_pools(const Array<float>& scores,
                               const Array<std::int64_t>& rows,
                               const py::function& sink,
                               const py::kwargs& arguments) {
    Keywords keywords(arguments);
    const Execution execution = take_execution(keywords);
    const LimitOptions limits(keywords);
    keywords.require_empty();

    const Candidates candidates = candidates_of(scores, rows);
    MineResult result;
    {
        const WithoutGil release;
        result = candidate_pools(candidates, limits.limits(), execution, python_sink(sink));
    }
    return to_dict(std::move(result));
}

py::array_t<float> bound_pair_scores(const py::array& queries,
                                     const std::string& element_type,
                                     const PyCorpus& corpus,
                                     const Array<std::int64_t>& query_rows,
                                     const Array<std::int64_t>& corpus_rows,
                                     std::size_t num_threads) {
    const MatrixView view = matrix_view(queries, element_type);
    auto scores = without_gil(num_threads, [&](const Execution& execution) {
        return pair_scores(
            view, corpus.corpus, span_of(query_rows), span_of(corpus_rows), execution);
    });
    const auto size = static_cast<py::ssize_t>(scores.size());
    return to_numpy(std::move(scores), {size});
}

}  // namespace

void bind_mine(py::module_& module) {
    module.def("topk",
               &bound_topk,
               py::arg("queries").noconvert(),
               py::arg("element_type"),
               py::arg("corpus"),
               py::arg("k"),
               py::kw_only(),
               py::arg("precision") = "auto",
               py::arg("num_threads") = 0,
               py::arg("progress") = py::none(),
               py::arg("probes") = py::none());
    module.def("mine",
               &bound_mine,
               py::arg("queries").noconvert(),
               py::arg("element_type"),
               py::arg("corpus"));
    module.def("mine_candidates",
               &bound_mine_candidates,
               py::arg("scores").noconvert(),
               py::arg("rows").noconvert());
    module.def("mine_pools",
               &bound_mine_pools,
               py::arg("queries").noconvert(),
               py::arg("element_type"),
               py::arg("corpus"),
               py::arg("sink"));
    module.def("candidate_pools",
               &bound_candidate_pools,
               py::arg("scores").noconvert(),
               py::arg("rows").noconvert(),
               py::arg("sink"));
    module.def("pair_scores",
               &bound_pair_scores,
               py::arg("queries").noconvert(),
               py::arg("element_type"),
               py::arg("corpus"),
               py::arg("query_rows").noconvert(),
               py::arg("corpus_rows").noconvert(),
               py::kw_only(),
               py::arg("num_threads") = 0);
}

}  // namespace nearmiss::bindings
