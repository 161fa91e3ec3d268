# SPDX-License-Identifier: Apache-2.0
"""The rules that every strategy of the registry obeys, whatever it picks."""

import dataclasses
from pathlib import Path

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table
from nearmiss.strategies import Strategy, available, parse

#: Inputs that a search of a corpus does not bring; strategies that need them have tests of their
#: own.
ELSEWHERE = {"sources"}
NAMES = [name for name, cls in sorted(available().items()) if not ELSEWHERE & set(cls.inputs)]
#: Limits that a strategy needs before it can pick.
NEEDS = {"random": {"range_max": 30}}
#: Strategies by which a query may get less than there is: their rule leaves rows out.
SELECTIVE = {
    "atss",
    "bands",
    "car",
    "coder-pp",
    "epsilon",
    "eta",
    "kalm-v2",
    "min-p",
    "pads",
    "power",
    "saha",
    "sample4geo",
    "scincl",
    "scincl-centroids",
    "scincl-range",
    "spn4cir",
    "top-p",
    "topk-abs",
    "topk-margin-pos",
    "topk-perc-pos",
    "topk-shifted",
    "triangle",
    "tripclick",
    "unpg",
}
#: Strategies that compare the queries of a call with each other, so that a part is another task.
COLLECTIVE = {"saha"}

RNG = np.random.default_rng(0)
N, M, D = 23, 211, 19
QUERIES, ROWS = RNG.normal(size=(N, D)), RNG.normal(size=(M, D))
ROWS[100:140] = ROWS[3]  # a class of duplicates
POSITIVES = [[3], *([i, 2 * i][: i % 3] for i in range(1, N))]
EXCLUDE = [RNG.permutation(M)[:20].tolist() for _ in range(N)]
DATES, DATE_OF_QUERY = np.arange(M) * 37 % 100, 60 + np.arange(N)
EVERY_SCORE = oracle.scores(QUERIES, ROWS, "cosine")

every_strategy = pytest.mark.parametrize("name", NAMES)


def example(name):
    return parse(available()[name].example)


def asked(name):
    """Six, but for strategies that say themselves how many."""
    try:
        return example(name).count(6)
    except ValueError:
        return example(name).count(None)


def reference(name, scores):
    """The positive's score that margins refer to: the lowest, unless a strategy has another."""
    return getattr(np, example(name).limits().margin_reference)(scores)


def metrics(name, wanted=("ip", "cosine", "l2")):
    return [metric for metric in wanted if metric in (available()[name].metrics or wanted)]


def mine(name, queries=QUERIES, corpus=ROWS, positives=None, **more):
    strategy = more.pop("strategy", available()[name].example)
    keywords = {"seed": 1, **NEEDS.get(name, {}), **more}
    if "positive_rows" in example(name).needs() and positives is None:
        positives = np.arange(len(queries)) % len(corpus)
    if "positives" in example(name).needs() and positives is None:
        keywords.setdefault("positive_scores", np.linspace(-0.2, 0.6, len(queries)))
    if "query_groups" in example(name).needs() and "query_groups" not in more:
        keywords |= {
            "query_groups": np.arange(len(queries)) % 5,
            "corpus_groups": np.arange(len(corpus)) % 5,
        }
    if "corpus_values" in example(name).needs() and "corpus_values" not in more:
        keywords |= {"corpus_values": np.zeros(len(corpus)), "max_value": 1}
    keywords.setdefault("num_negatives", asked(name))
    return nm.mine(queries, corpus, positives, strategy=strategy, **keywords)


def limited(name, part=slice(None), **more):
    """Mine under many limits at once, for some of the queries."""
    index = np.arange(N)[part]
    return mine(
        name,
        QUERIES[index],
        positives=[POSITIVES[i] for i in index],
        exclude=[EXCLUDE[i] for i in index],
        relative_margin=0.02,
        query_groups=index % 5,
        corpus_groups=np.arange(M) % 5,
        corpus_values=DATES,
        max_value=DATE_OF_QUERY[index],
        query_ids=index,
        **more,
    )


def test_the_registry():
    assert {"top", "random", "uniform"} <= set(NAMES)
    for name, strategy in available().items():
        assert issubclass(strategy, Strategy)
        assert strategy.name == name == name.lower()
        assert strategy.__doc__
        assert strategy.picks
        assert strategy.example.partition(":")[0] == name
        for field in dataclasses.fields(strategy):
            assert field.metadata["about"]


def test_the_table_of_the_user_guide_is_the_registry_s():
    guide = (Path(__file__).parent.parent / "python" / "README.md").read_text(encoding="utf-8")
    _, _, rest = guide.partition("<!-- strategies: python -m nearmiss.strategies -->\n")
    table, end, _ = rest.partition("<!-- end -->")
    assert end
    assert table == available().to_markdown()


@every_strategy
def test_a_strategy_is_a_frozen_value_with_a_text(name):
    strategy = example(name)
    assert parse(str(strategy)) == strategy
    assert parse(f" {strategy} ") == strategy
    assert hash(strategy) == hash(example(name))
    assert type(strategy).__dataclass_params__.frozen
    for field in dataclasses.fields(strategy):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(strategy, field.name, None)


@every_strategy
def test_text_and_object_mean_the_same(name):
    by_object = mine(name, strategy=example(name))
    assert_same_table(by_object, mine(name))
    assert by_object.params["strategy"] == str(example(name))


@every_strategy
def test_misspelt_names_get_the_closest_suggested(name):
    for wrong in (name + "x", name[1:], name.upper()):
        with pytest.raises(ValueError, match=f"strategy.*{name}"):
            mine(name, strategy=wrong)
    with pytest.raises(ValueError, match=name):
        parse(f"{name}:no_such_parameter=1")


@pytest.mark.parametrize("value", [None, 3, b"top", nm.strategies.Top()])
def test_only_text_is_parsed(value):
    with pytest.raises(TypeError, match="strategy: expected text such as 'top'"):
        parse(value)


@every_strategy
def test_rows_are_admissible_distinct_and_in_order(name, num_threads):
    found = limited(name, num_threads=num_threads)
    for i in range(N):
        rows = found.indices[i, : found.counts[i]]
        known = oracle.duplicates_of(ROWS, POSITIVES[i])
        assert not set(rows.tolist()) & {*known, *EXCLUDE[i]}
        assert len(set(rows.tolist())) == len(rows)
        assert ((rows >= 0) & (rows < M)).all()
        assert (rows % 5 != i % 5).all()
        assert (DATES[rows] < DATE_OF_QUERY[i]).all()
        order = np.lexsort((rows, -EVERY_SCORE[i, rows]))
        assert (order == np.arange(len(rows))).all()
        if POSITIVES[i]:
            best = float(reference(name, EVERY_SCORE[i, POSITIVES[i]]))
            assert (EVERY_SCORE[i, rows] <= best - 0.02 * abs(best)).all()


@every_strategy
def test_scores_are_those_of_the_definition(name):
    found = limited(name)
    for i in range(N):
        rows = found.indices[i, : found.counts[i]]
        assert_same_bits(found.scores[i, : found.counts[i]], EVERY_SCORE[i, rows])
        known = EVERY_SCORE[i, POSITIVES[i]]
        expected = reference(name, known) if len(known) else np.float32(np.nan)
        assert_same_bits(found.positive_scores[i], expected)


@every_strategy
def test_nothing_depends_on_threads_targets_batches_or_order(name, simd_target):
    whole = limited(name, num_threads=1)
    for target in nm.simd_targets():
        simd_target(target)
        for threads in (1, 2, 7):
            assert_same_table(limited(name, num_threads=threads), whole)
    parts = () if name in COLLECTIVE else (slice(0, 1), slice(1, 9), slice(9, N))
    for part in (*parts, slice(None, None, -1)):
        some = limited(name, part)
        assert_same_bits(some.indices, whole.indices[part])
        assert_same_bits(some.scores, whole.scores[part])


@every_strategy
def test_the_same_request_gives_the_same_answer(name):
    assert_same_table(limited(name), limited(name))


@every_strategy
def test_packed_and_unpacked_give_the_same(name):
    assert_same_table(mine(name, corpus=nm.Corpus(ROWS)), mine(name))


@every_strategy
def test_a_query_gets_all_it_asks_for_if_there_is_enough(name):
    found = mine(name, positives=POSITIVES, exclude=EXCLUDE)
    assert (found.counts == asked(name)).all() or name in SELECTIVE
    assert found.counts.any()


@every_strategy
def test_shortage_is_handled_as_asked(name):
    """As many rows as asked for, of which one is a positive, or two, or none."""
    k = asked(name)
    rows, queries = ROWS[:k], QUERIES[:3]
    ask = {"positives": [[0], [1, 2], []]}
    padded = mine(name, queries, rows, **ask)
    most = np.array([k - 1, k - 2, k])
    assert (padded.counts == most).all() or (name in SELECTIVE and (padded.counts <= most).all())
    assert_same_bits(padded.indices == -1, np.isnan(padded.scores))
    assert_same_bits((padded.indices >= 0).sum(axis=1), padded.counts)
    dropped = mine(name, queries, rows, on_shortage="drop", **ask)
    full = np.flatnonzero(padded.counts == k)
    assert dropped.query_indices.tolist() == full.tolist()
    assert_same_bits(dropped.indices, padded.indices[full])
    with pytest.raises(ValueError, match="query 0"):
        mine(name, queries, rows, on_shortage="error", **ask)


@every_strategy
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("d", [1, 9])
def test_the_smallest_shapes(name, n, m, d):
    known = [[]] * n if "positive_rows" in example(name).needs() else None
    for metric in metrics(name):
        found = mine(name, QUERIES[:n, :d], ROWS[:m, :d], known, metric=metric)
        k = asked(name)
        assert found.indices.shape == (n, k)
        for i in range(n):
            rows = sorted(found.indices[i].tolist())
            assert rows == [-1] * (k - m) + list(range(m)) or name in SELECTIVE
            assert set(rows) <= {-1, *range(m)}


@every_strategy
def test_everything_ruled_out(name):
    ask = {"positives": [[0, 1, 2, 3, 4], []], "exclude": [[], [0, 1, 2, 3, 4]]}
    found = mine(name, QUERIES[:2], ROWS[:5], **ask)
    assert (found.indices == -1).all()
    assert np.isnan(found.scores).all()
    assert found.counts.tolist() == [0, 0]


def test_metrics_that_a_strategy_cannot_work_with_are_refused():
    refused = {
        (name, metric) for name in NAMES for metric in {"ip", "cosine", "l2"} - set(metrics(name))
    }
    assert ("distance-weighted", "ip") in refused
    for name, metric in refused:
        with pytest.raises(ValueError, match=f"metric: strategy '{name}' .*not '{metric}'"):
            mine(name, metric=metric)


@every_strategy
def test_zero_vectors_where_they_have_a_score(name):
    rows = ROWS.copy()
    rows[::7] = 0
    for metric in metrics(name, ("ip", "l2")):
        found = mine(name, corpus=rows, metric=metric)
        assert (found.counts == asked(name)).all() or name in SELECTIVE
        every = np.take_along_axis(oracle.scores(QUERIES, rows, metric), found.indices, axis=1)
        filled = found.indices >= 0
        assert_same_bits(found.scores[filled], every[filled])
    with pytest.raises(ValueError, match=r"corpus.* 0"):
        mine(name, corpus=rows, metric="cosine")


@every_strategy
def test_bad_values_are_refused_with_their_row(name):
    for value in (np.nan, np.inf):
        rows = ROWS.copy()
        rows[77, 3] = value
        with pytest.raises(ValueError, match="77"):
            mine(name, corpus=rows)


@every_strategy
def test_input_is_not_modified_and_may_be_read_only(name):
    queries, rows = QUERIES.astype(np.float32), ROWS.astype(np.float32)
    before = queries.copy(), rows.copy()
    queries.flags.writeable = rows.flags.writeable = False
    mine(name, queries, rows)
    assert_same_bits(queries, before[0])
    assert_same_bits(rows, before[1])


@every_strategy
def test_layouts_do_not_matter(name):
    expected = mine(name)
    assert_same_table(mine(name, np.asfortranarray(QUERIES), np.asfortranarray(ROWS)), expected)
    assert_same_table(mine(name, QUERIES[::-1].copy()[::-1], ROWS[::-1].copy()[::-1]), expected)


@every_strategy
def test_a_table_can_be_saved_and_loaded(name, tmp_path):
    found = limited(name)
    found.save(tmp_path / "table")
    loaded = nm.Negatives.load(tmp_path / "table")
    assert_same_table(loaded, found)
    assert loaded.params == found.params
