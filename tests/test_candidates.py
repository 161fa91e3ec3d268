# SPDX-License-Identifier: Apache-2.0
"""`Candidates`: lists of several sources, merged, and mined with their sources known.

The oracle keeps a dict per query and loops.
"""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, assert_same_table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

EXAMPLES = settings.default.max_examples
SCORES = np.array([-1, -0.0, 0, 1e-45, 0.5, 3e38], np.float32)


# --- the oracle -----------------------------------------------------------------------------------


def listed(scores, rows):
    """Return for each query its {row: best score}."""
    lists = []
    for query_scores, query_rows in zip(scores, rows, strict=True):
        best = {}
        for score, row in zip(query_scores, query_rows, strict=True):
            if row >= 0 and (row not in best or score > best[row]):
                best[row] = score
        lists.append(best)
    return lists


def best_first(scores):
    """Return the rows of {row: score}, higher scores first, then lower rows."""
    return sorted(scores, key=lambda row: (-scores[row], row))


def ranked(candidates, query, depth=None):
    """Return [(row, sources)] of a query."""
    indices, sources = candidates.indices[query].tolist(), candidates.sources[query].tolist()
    pairs = [(row, bits) for row, bits in zip(indices, sources, strict=True) if row >= 0]
    return pairs[:depth]


def merged(lists, query, how, *, k=60.0, weights=None, quotas=None, depth=None):
    """Return {row: score} and {row: sources} of one query."""
    scores, sources, best, given = {}, {}, {}, set()
    first_bit = 0
    for place, part in enumerate(lists):
        weight = 1.0 if weights is None else weights[place]
        left = 0 if quotas is None else quotas[place]
        for rank, (row, bits) in enumerate(ranked(part, query, depth), start=1):
            sources[row] = sources.get(row, 0) | (bits << first_bit)
            scores[row] = scores.get(row, 0.0) + weight / (k + rank)
            best[row] = min(best.get(row, rank), rank)
            if left and row not in given:
                given.add(row)
                left -= 1
        first_bit += len(part.names)
    if how != "rrf":
        scores = {row: 1 / best[row] for row in best if how == "union" or row in given}
    return {row: np.float32(score) for row, score in scores.items()}, sources


def assert_is(candidates, scores, sources):
    """Demand the lists of {row: score} per query, laid out best first and without waste."""
    width = max((len(query_scores) for query_scores in scores), default=0)
    indices = np.full((len(scores), width), -1)
    expected_scores = np.full(indices.shape, np.nan, np.float32)
    expected_sources = np.zeros_like(indices)
    for query, query_scores in enumerate(scores):
        for place, row in enumerate(best_first(query_scores)):
            indices[query, place] = row
            expected_scores[query, place] = query_scores[row] + np.float32(0)  # no -0
            expected_sources[query, place] = sources[query][row]
    assert_same_bits(candidates.indices, indices, "indices")
    assert_same_bits(candidates.scores, expected_scores, "scores")
    assert_same_bits(candidates.sources, expected_sources, "sources")
    assert len(candidates) == len(scores)


@st.composite
def tables(draw, n=None):
    """Return (scores, rows) with ties, duplicates and gaps; without a candidate, any score."""
    shape = (draw(st.integers(0, 4)) if n is None else n, draw(st.integers(0, 9)))
    rows = draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, 8)))
    scores = draw(hnp.arrays(np.float32, shape, elements=st.sampled_from(list(SCORES))))
    scores[rows < 0] = draw(st.sampled_from([np.nan, np.inf, 7]))
    return scores, rows


@st.composite
def several(draw):
    """Return up to four lists for the same queries."""
    n = draw(st.integers(0, 4))
    lists = [draw(tables(n)) for _ in range(draw(st.integers(1, 4)))]
    return [
        nm.Candidates.from_arrays(*table, name=f"s{place}") for place, table in enumerate(lists)
    ]


# --- one source -----------------------------------------------------------------------------------


@settings(max_examples=2 * EXAMPLES)
@given(table=tables())
def test_arrays_become_lists_best_first(table):
    scores, rows = table
    found = nm.Candidates.from_arrays(scores, rows)
    expected = listed(scores, rows)
    assert_is(found, expected, [dict.fromkeys(best, 1) for best in expected])
    assert found.names == ("candidates",)


@given(table=tables())
def test_distances_are_negated(table):
    scores, rows = table
    found = nm.Candidates.from_arrays(-scores, rows, higher_is_closer=False)
    assert_same_bits(found.scores, nm.Candidates.from_arrays(scores, rows).scores)
    assert_same_bits(found.indices, nm.Candidates.from_arrays(scores, rows).indices)


@given(table=tables())
def test_lists_given_back_as_arrays_stay(table):
    once = nm.Candidates.from_arrays(*table)
    twice = nm.Candidates.from_arrays(once.scores, once.indices)
    assert_same_bits(twice.indices, once.indices)
    assert_same_bits(twice.scores, once.scores)


def test_inputs_are_not_modified():
    scores, rows = np.array([[0.1, 0.3]], np.float32), np.array([[3, -1]])
    scores.flags.writeable = rows.flags.writeable = False
    nm.Candidates.from_arrays(scores, rows, higher_is_closer=False)


@pytest.mark.peer
def test_what_faiss_returns():
    faiss = pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).standard_normal((5, 8), dtype=np.float32)
    index = faiss.IndexFlatL2(8)
    index.add(vectors)
    found = nm.Candidates.from_arrays(*index.search(vectors[:3], 7), higher_is_closer=False)
    assert found.indices.shape == (3, 5)  # faiss fills up with -1
    assert_same_bits(found.indices[:, 0], np.arange(3))


def test_a_search_is_that_of_topk():
    rng = np.random.default_rng(0)
    queries, vectors = rng.standard_normal((4, 6)), rng.standard_normal((20, 6))
    scores, indices = nm.topk(queries, vectors, 7, metric="l2")
    for corpus, metric in ((vectors, "l2"), (nm.Corpus(vectors, metric="l2"), None)):
        found = nm.Candidates.from_search(queries, corpus, 7, metric=metric, name="own")
        assert_same_bits(found.indices, indices)
        assert_same_bits(found.scores, scores)
        assert_same_bits(found.sources, np.ones_like(indices))
        assert found.names == ("own",)


def test_a_search_deeper_than_the_corpus_returns_all_of_it():
    vectors = np.eye(3, dtype=np.float32)
    assert nm.Candidates.from_search(vectors, vectors, 10).indices.shape == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (([[1.0]], [[0, 1]]), {}, r"scores: expected shape \(1, 2\)"),
        (([1.0], [0]), {}, "scores: expected shape"),
        (([[1.0]], [[-2]]), {}, "indices: query 0 refers to corpus row -2"),
        (([[0.0, 0.0], [0.0, np.nan]], [[1, 2], [3, 4]]), {}, "scores: query 1, candidate 1 has"),
        (([[1e39]], [[0]]), {}, "scores: query 0, candidate 0 has inf"),
        (([[1.0]], [[0]]), {"name": ""}, "name: must not be empty"),
    ],
)
def test_bad_arrays_are_refused(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        nm.Candidates.from_arrays(*arguments, **keywords)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (([[1.0]], [[0.5]]), {}, "indices: expected integers"),
        ((["a"], [[0]]), {}, "scores: expected real numbers"),
        (([[1.0]], [[0]]), {"name": 3}, "name: expected text"),
        (([[1.0]], [[0]]), {"higher_is_closer": 1}, "higher_is_closer: expected True or False"),
    ],
)
def test_arrays_of_other_types_are_refused(arguments, keywords, message):
    with pytest.raises(TypeError, match=message):
        nm.Candidates.from_arrays(*arguments, **keywords)


def test_a_search_needs_a_depth():
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="depth: must be at least 1"):
        nm.Candidates.from_search(vectors, vectors, 0)


# --- runs -----------------------------------------------------------------------------------------

QUERY_IDS = ["q0", "q1", "q2"]
CORPUS_IDS = [f"d{row}" for row in range(9)]
IDS = {"query_ids": QUERY_IDS, "corpus_ids": CORPUS_IDS}
RUN = "q2 Q0 d7 1 8.5 bm25\nq0 Q0 d3 1 2.0 bm25\nq2\tQ0\td1\t2\t9.5\tbm25\n\nq0 Q0 d2 2 2 bm25\n"
AS_MAPPING = {"q2": {"d7": 8.5, "d1": np.float32(9.5)}, "q0": {"d3": 2, "d2": 2.0}}
EXPECTED = [{3: np.float32(2), 2: np.float32(2)}, {}, {1: np.float32(9.5), 7: np.float32(8.5)}]


def written(tmp_path, text):
    path = tmp_path / "bm25.run"
    path.write_text(text, "utf-8")
    return path


def test_a_run_file(tmp_path):
    """Scores decide, not ranks; equal ones go to the lower row; a query may be missing."""
    for run in (written(tmp_path, RUN), str(written(tmp_path, RUN))):
        found = nm.Candidates.from_run(run, **IDS)
        assert_is(found, EXPECTED, [dict.fromkeys(best, 1) for best in EXPECTED])
        assert found.names == ("bm25",)


def test_a_mapping():
    found = nm.Candidates.from_run(AS_MAPPING, **IDS)
    assert_is(found, EXPECTED, [dict.fromkeys(best, 1) for best in EXPECTED])
    assert found.names == ("run",)
    assert nm.Candidates.from_run(AS_MAPPING, name="mine", **IDS).names == ("mine",)


def test_a_run_of_row_numbers():
    found = nm.Candidates.from_run({1: {4: 1.0, "003": 2.0}}, query_ids=range(2))
    assert found.indices.tolist() == [[-1, -1], [3, 4]]


def test_a_document_listed_twice_keeps_its_better_score(tmp_path):
    run = written(tmp_path, "q0 Q0 d1 1 1 t\nq0 Q0 d1 2 3 t\nq0 Q0 d2 3 2 t\n")
    found = nm.Candidates.from_run(run, **IDS)
    assert found.indices[0].tolist() == [1, 2]
    assert found.scores[0].tolist() == [3, 2]


def test_empty_runs(tmp_path):
    for run in ({}, written(tmp_path, ""), {"q1": {}}):
        found = nm.Candidates.from_run(run, **IDS)
        assert found.indices.shape == found.scores.shape == found.sources.shape == (3, 0)
        assert nm.mine_candidates(found).counts.tolist() == [0, 0, 0]
    assert len(nm.Candidates.from_run({}, query_ids=[])) == 0


def test_a_run_that_we_wrote_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 4))
    negatives = nm.mine(vectors[:3], nm.Corpus(vectors, ids=CORPUS_IDS), num_negatives=4)
    nm.formats.get("trec").write(tmp_path / "a.run", negatives, query_ids=QUERY_IDS)
    found = nm.Candidates.from_run(tmp_path / "a.run", **IDS)
    assert_same_bits(found.indices, negatives.indices)
    assert_same_bits(found.scores, negatives.scores)


def test_unknown_ids_of_a_run():
    run = {"q0": {"d1": 1.0, "e1": 2.0}, "q9": {"d1": 3.0}}
    with pytest.raises(
        ValueError, match=r"run: mapping: document 'e1' is not in corpus_ids \(2 such pairs"
    ):
        nm.Candidates.from_run(run, **IDS)
    assert nm.Candidates.from_run(run, unknown="ignore", **IDS).indices.tolist() == [
        [1],
        [-1],
        [-1],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q0 Q0 d1 1 1.0\n", r"bm25\.run: line 1: expected 6 columns .*, got 5"),
        ("q0 Q0 d1 1 1 t\n\nq0 Q0 d1 1 high t\n", "line 3: expected a number for the score"),
        ("q0 Q0 d1 1 nan t\n", "line 1: expected a number for the score, got 'nan'"),
        ("q0 Q0 d1 1 1 t\nq0 Q0 d1 1 1e39 t\n", "run: query 'q0' has a score of 1e[+]39, beyond"),
        ("q0 Q0 x1 1 1 t\n", "run: .*line 1: document 'x1' is not in corpus_ids"),
    ],
)
def test_malformed_runs_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        nm.Candidates.from_run(written(tmp_path, text), **IDS)


@pytest.mark.parametrize(
    ("run", "ids", "error", "message"),
    [
        (3, IDS, TypeError, "run: expected a path or a mapping, got a int"),
        ({"q0": ["d1"]}, IDS, TypeError, "run: query 'q0': expected a mapping"),
        ({"q0": {"d1": "2"}}, IDS, TypeError, "run: query 'q0', document 'd1': expected a number"),
        ({"q0": {"d1": np.inf}}, IDS, ValueError, "document 'd1': must be finite"),
        ({}, {**IDS, "query_ids": ["a", "a"]}, ValueError, "query_ids: rows 0 and 1"),
        ({}, {**IDS, "corpus_ids": "abc"}, TypeError, "corpus_ids: expected a sequence"),
        ({}, {**IDS, "unknown": "skip"}, ValueError, "unknown: expected one of"),
        ({"0": {"d1": 1}}, {"query_ids": [0]}, ValueError, "the corpus column must hold row"),
    ],
)
def test_bad_runs_are_refused(run, ids, error, message):
    with pytest.raises(error, match=message):
        nm.Candidates.from_run(run, **ids)


def test_a_run_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "latin.run"
    path.write_bytes("q0 Q0 é 1 1 t\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.run: not UTF-8 text"):
        nm.Candidates.from_run(path, **IDS)


# --- several sources ------------------------------------------------------------------------------

DEPTHS = st.sampled_from([None, 1, 2, 100])


@settings(max_examples=2 * EXAMPLES)
@given(data=st.data(), lists=several())
def test_merging(data, lists):
    how = data.draw(st.sampled_from(["union", "rrf", "quota"]))
    keywords = {"depth": data.draw(DEPTHS)}
    count = len(lists)
    if how == "rrf":
        keywords["k"] = data.draw(st.sampled_from([0, 0.5, 60]))
        weight = st.sampled_from([0.1, 1.0, 3.0])
        keywords["weights"] = data.draw(
            st.none() | st.lists(weight, min_size=count, max_size=count)
        )
    if how == "quota":
        quota = st.integers(0, 4)
        keywords["quotas"] = data.draw(st.lists(quota, min_size=count, max_size=count).filter(any))
    found = nm.Candidates.merge(lists, how=how, **keywords)
    expected = [merged(lists, query, how, **keywords) for query in range(len(lists[0]))]
    assert_is(found, [scores for scores, _ in expected], [sources for _, sources in expected])
    assert found.names == tuple(f"s{place}" for place in range(count))


@given(lists=several(), depth=DEPTHS)
def test_what_was_merged_can_be_merged(lists, depth):
    first = nm.Candidates.merge(lists)
    run = {query: {3: 1.0} for query in range(len(first))}
    other = nm.Candidates.from_run(run, query_ids=range(len(first)), name="other")
    for both in ([first, other], [other, first]):
        found = nm.Candidates.merge(both, how="rrf", depth=depth)
        expected = [merged(both, query, "rrf", depth=depth) for query in range(len(first))]
        assert_is(found, [scores for scores, _ in expected], [sources for _, sources in expected])


def test_reciprocal_rank_fusion_by_hand():
    """Ranks 1 and 3 with k = 60: 1/61 + 1/63 = 0.032266; a tie goes to the lower row."""
    dense = nm.Candidates.from_arrays([[0.9, 0.8, 0.7]], [[5, 8, 3]], name="dense")
    bm25 = nm.Candidates.from_arrays([[21, 20, 19]], [[9, 1, 5]], name="bm25")
    found = nm.Candidates.merge([dense, bm25], how="rrf")
    assert found.indices.tolist() == [[5, 9, 1, 8, 3]]
    assert found.sources.tolist() == [[3, 2, 2, 1, 1]]
    assert found.names == ("dense", "bm25")
    assert found.scores[0, 0] == np.float32(1 / 61 + 1 / 63)
    assert abs(found.scores[0, 0] - 0.032266) < 5e-7
    assert found.scores[0, 2] == found.scores[0, 3] == np.float32(1 / 62)


def test_quotas_by_hand():
    """The second list goes on past what the first has given; sources tell both."""
    dense = nm.Candidates.from_arrays([[9, 8, 7, 6]], [[5, 8, 3, 2]], name="dense")
    bm25 = nm.Candidates.from_arrays([[9, 8, 7, 6]], [[8, 5, 2, 4]], name="bm25")
    found = nm.Candidates.merge([dense, bm25], how="quota", quotas=[2, 1])
    assert found.indices.tolist() == [[5, 8, 2]]
    assert found.sources.tolist() == [[3, 3, 3]]
    assert found.scores.tolist() == [[1, 1, np.float32(1 / 3)]]
    shallow = nm.Candidates.merge([dense, bm25], how="quota", quotas=[2, 1], depth=2)
    assert shallow.indices.tolist() == [[5, 8]]


def test_a_union_takes_the_best_rank():
    dense = nm.Candidates.from_arrays([[9, 8, 7]], [[5, 8, 3]], name="dense")
    bm25 = nm.Candidates.from_arrays([[9, 8]], [[3, 1]], name="bm25")
    found = nm.Candidates.merge([dense, bm25])
    assert found.indices.tolist() == [[3, 5, 1, 8]]
    assert found.scores.tolist() == [[1, 1, 0.5, 0.5]]


def test_as_many_sources_as_bits():
    lists = [nm.Candidates.from_arrays([[1.0]], [[7]], name=f"s{i}") for i in range(64)]
    assert nm.Candidates.merge(lists[:63]).sources.tolist() == [[2**63 - 1]]
    with pytest.raises(ValueError, match="lists: at most 63 sources, got 64"):
        nm.Candidates.merge(lists)


ONE = nm.Candidates.from_arrays([[1.0]], [[7]], name="one")
TWO = nm.Candidates.from_arrays([[1.0]], [[7]], name="two")
PAIR = nm.Candidates.from_arrays([[1.0], [2.0]], [[7], [8]], name="pair")


@pytest.mark.parametrize(
    ("lists", "keywords", "error", "message"),
    [
        ([], {}, ValueError, "lists: there is none"),
        (ONE, {}, TypeError, "lists: expected a list"),
        ([ONE, (1, 2)], {}, TypeError, "lists: .*entry 1 is a tuple"),
        ([ONE, PAIR], {}, ValueError, "lists: entry 1 is for 2 queries, entry 0 for 1"),
        ([ONE, TWO, ONE], {}, ValueError, "lists: two sources are called 'one'"),
        ([ONE, TWO], {"how": "ranks"}, ValueError, "how: expected one of"),
        ([ONE, TWO], {"depth": 0}, ValueError, "depth: must be at least 1"),
        ([ONE, TWO], {"how": "rrf", "k": -1}, ValueError, "k: must be at least 0"),
        ([ONE, TWO], {"how": "rrf", "k": np.nan}, ValueError, "k: must be finite"),
        ([ONE, TWO], {"how": "rrf", "weights": [1]}, ValueError, "weights: expected 2"),
        ([ONE, TWO], {"how": "rrf", "weights": [1, 0]}, ValueError, "got 0.0 for list 1"),
        ([ONE, TWO], {"how": "rrf", "weights": [np.nan, 1]}, ValueError, "got nan for list 0"),
        ([ONE, TWO], {"how": "rrf", "weights": [1, np.inf]}, ValueError, "got inf for list 1"),
        ([ONE, TWO], {"weights": [1, 1]}, ValueError, "weights: only how='rrf'"),
        ([ONE, TWO], {"k": 10}, ValueError, "k: only how='rrf'"),
        ([ONE, TWO], {"quotas": [1, 1]}, ValueError, "quotas: only how='quota'"),
        ([ONE, TWO], {"how": "quota"}, ValueError, "quotas: how='quota' needs them"),
        ([ONE, TWO], {"how": "quota", "quotas": [1]}, ValueError, "quotas: expected 2"),
        ([ONE, TWO], {"how": "quota", "quotas": [1, -1]}, ValueError, "got -1 for list 1"),
        ([ONE, TWO], {"how": "quota", "quotas": [0, 0]}, ValueError, "quotas: all are 0"),
        ([ONE, TWO], {"how": "quota", "quotas": [1.5, 1]}, TypeError, "quotas: expected integers"),
    ],
)
def test_bad_merges_are_refused(lists, keywords, error, message):
    with pytest.raises(error, match=message):
        nm.Candidates.merge(lists, **keywords)


@given(data=st.data(), lists=several())
def test_other_scores_for_the_same_candidates(data, lists):
    union = nm.Candidates.merge(lists)
    by_row = data.draw(st.lists(st.sampled_from(list(SCORES)), min_size=9, max_size=9))
    scores = np.array([*by_row, np.nan], np.float32)[union.indices]
    found = union.rescored(scores)
    sources = [dict(ranked(union, query)) for query in range(len(union))]
    assert_is(found, [{row: by_row[row] for row in rows} for rows in sources], sources)
    assert found.names == union.names


def test_bad_scores_for_the_same_candidates_are_refused():
    with pytest.raises(ValueError, match=r"scores: expected shape \(2, 1\)"):
        PAIR.rescored([[1.0]])
    with pytest.raises(ValueError, match="scores: query 1, candidate 0 has nan"):
        PAIR.rescored([[1.0], [np.nan]])


# --- mining them ----------------------------------------------------------------------------------


@settings(max_examples=2 * EXAMPLES)
@given(data=st.data(), lists=several())
def test_mined_candidates_keep_their_sources(data, lists):
    union = nm.Candidates.merge(lists, how="rrf")
    keywords = {
        "positives": data.draw(hnp.arrays(np.int64, len(union), elements=st.integers(-1, 8))),
        "num_negatives": data.draw(st.integers(1, 5)),
        "strategy": data.draw(st.sampled_from(["top", "random"])),
        "on_shortage": data.draw(st.sampled_from(["pad", "drop"])),
        "seed": 3,
    }
    found = nm.mine_candidates(union, **keywords)
    plain = nm.mine_candidates(union.scores, union.indices, **keywords)
    assert_same_table(found, plain)
    assert plain.sources is None
    assert "sources" not in plain.params
    assert found.params["sources"] == list(union.names)
    expected = np.zeros_like(found.indices)
    for row, query in enumerate(found.query_indices):
        known = dict(ranked(union, query))
        expected[row] = [known.get(index, 0) for index in found.indices[row].tolist()]
    assert_same_bits(found.sources, expected)
    filled = found.indices >= 0
    assert (found.sources[filled] > 0).all()


def test_candidates_leave_nothing_to_the_other_arguments():
    with pytest.raises(ValueError, match="indices: nearmiss.Candidates bring their own"):
        nm.mine_candidates(ONE, [[7]])
    with pytest.raises(ValueError, match="higher_is_closer: scores of nearmiss.Candidates"):
        nm.mine_candidates(ONE, higher_is_closer=False)
    with pytest.raises(TypeError, match="indices: needed"):
        nm.mine_candidates([[1.0]])
    with pytest.raises(ValueError, match="positives: 2 entries given, but there are 1 queries"):
        nm.mine_candidates(ONE, positives=[1, 2])


def test_margins_of_one_model_over_a_union():
    """Rescored by one model, what BM25 found obeys the margin of a similarity."""
    rng = np.random.default_rng(0)
    queries, vectors = rng.standard_normal((6, 4)), rng.standard_normal((30, 4))
    dense = nm.Candidates.from_search(queries, vectors, 8, metric="ip", name="dense")
    bm25 = nm.Candidates.from_arrays(
        rng.random((6, 8)), rng.permuted(np.tile(np.arange(30), (6, 1)), axis=1)[:, :8], name="bm25"
    )
    union = nm.Candidates.merge([dense, bm25])
    scores = np.take_along_axis(queries @ vectors.T, union.indices, axis=1)
    found = nm.mine_candidates(
        union.rescored(scores), positive_scores=np.full(6, 1.0), absolute_margin=0.5
    )
    assert (found.counts == 3).all()
    assert (found.scores <= 0.5).all()
    assert set(found.sources.ravel().tolist()) >= {1, 2}


def test_repr_tells_shape_and_names():
    assert repr(nm.Candidates.merge([ONE, TWO])) == (
        "Candidates(shape=(1, 1), names=('one', 'two'))"
    )
