# SPDX-License-Identifier: Apache-2.0
"""`mine` equals the oracle bit for bit under any combination of limits."""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_drawn_from, assert_same_bits, assert_same_table
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import DTYPES, METRICS, limits, problems, row_lists, vectors

EXAMPLES = settings.default.max_examples


def both(problem, keywords, **more):
    """Return what `mine` found and what the oracle says."""
    arguments = {"metric": problem["metric"], **keywords, **more}
    expected = oracle.mine(problem["queries"], problem["corpus"], **arguments)
    return nm.mine(problem["queries"], problem["corpus"], **arguments), expected


@settings(max_examples=6 * EXAMPLES)
@given(data=st.data(), problem=problems())
def test_top_equals_the_oracle(data, problem):
    found, expected = both(problem, data.draw(limits(problem)))
    assert_same_table(found, expected)


@settings(max_examples=3 * EXAMPLES)
@given(data=st.data(), problem=problems())
def test_random_draws_from_the_oracles_window(data, problem):
    keywords = data.draw(limits(problem))
    keywords.setdefault("range_max", keywords["range_min"] + keywords["num_negatives"] + 4)
    found, expected = both(problem, keywords, strategy="random")
    assert_drawn_from(found, expected)


@settings(max_examples=2 * EXAMPLES)
@given(data=st.data(), problem=problems())
def test_uniform_draws_from_all_that_is_admissible(data, problem):
    keywords = data.draw(limits(problem))
    keywords.pop("range_max", None)
    found, expected = both(problem, keywords, strategy="uniform")
    assert_drawn_from(found, expected)


@given(data=st.data(), problem=problems(min_queries=5))
def test_batches_and_query_order_do_not_matter(data, problem):
    """Mining queries one by one, or in another order, gives each the same rows."""
    rng, queries, corpus = problem["rng"], problem["queries"], problem["corpus"]
    strategy = data.draw(st.sampled_from(["top", "random", "uniform"]))
    positives = row_lists(rng, len(queries), len(corpus), 3)
    keywords = {
        "metric": problem["metric"],
        "strategy": strategy,
        "num_negatives": 3,
        "range_max": None if strategy == "uniform" else 9,
        "relative_margin": 0.1,
        "seed": 5,
    }
    ids = np.arange(len(queries)) + 100
    whole = nm.mine(queries, corpus, positives, query_ids=ids, **keywords)
    order = rng.permutation(len(queries))
    shuffled = nm.mine(
        queries[order], corpus, [positives[i] for i in order], query_ids=ids[order], **keywords
    )
    assert_same_bits(shuffled.indices, whole.indices[order])
    assert_same_bits(shuffled.scores, whole.scores[order])
    for i in range(len(queries)):
        one = nm.mine(
            queries[i : i + 1], corpus, [positives[i]], query_ids=ids[i : i + 1], **keywords
        )
        assert_same_bits(one.indices[0], whole.indices[i])
        assert_same_bits(one.positive_scores[0], whole.positive_scores[i])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_larger_corpus_with_all_limits(metric, dtype):
    rng = np.random.default_rng(6)
    queries = vectors(rng, (29, 48), dtype, "normal")
    corpus = vectors(rng, (4001, 48), dtype, "duplicates")
    every = oracle.scores(queries, corpus, metric)
    problem = {"queries": queries, "corpus": corpus, "metric": metric}
    found, expected = both(
        problem,
        {
            "positives": row_lists(rng, 29, 4001, 5),
            "exclude": row_lists(rng, 29, 4001, 400),
            "query_groups": rng.integers(-1, 20, 29),
            "corpus_groups": rng.integers(-1, 20, 4001),
            "corpus_values": rng.integers(0, 100, 4001),
            "min_value": rng.integers(0, 50, 29),
            "max_value": rng.integers(50, 100, 29),
            "max_score": np.quantile(every, 0.98, axis=1).astype(np.float32).astype(np.float64),
            "relative_margin": 0.05,
            "margin_reference": "mean",
            "range_min": 10,
            "range_max": 60,
            "num_negatives": 50,
        },
    )
    assert_same_table(found, expected)
    assert (expected.counts > 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_many_blocks_of_queries_and_rows(metric):
    """More of both than any block, panel or task holds, and no multiple of one."""
    rng = np.random.default_rng(9)
    queries = rng.normal(size=(331, 20)).astype(np.float32)
    corpus = rng.normal(size=(20_011, 20)).astype(np.float32)
    corpus[rng.permutation(20_011)[:3000]] = corpus[5]
    problem = {"queries": queries, "corpus": corpus, "metric": metric}
    found, expected = both(
        problem,
        {
            "positives": [[5], *row_lists(rng, 330, 20_011, 3)],
            "exclude": row_lists(rng, 331, 20_011, 9),
            "query_groups": rng.integers(-1, 9, 331),
            "corpus_groups": rng.integers(-1, 9, 20_011),
            "relative_margin": 0.02,
            "range_max": 150,
            "num_negatives": 100,
        },
    )
    assert_same_table(found, expected)


@pytest.mark.parametrize("precision", ["float32", "int8", "int16"])
@pytest.mark.parametrize("others", ["names", "groups", "values"])
def test_rows_above_a_ceiling_are_counted(precision, others):
    """Those that no other limit rules out: positives, their duplicates and others may be above."""
    rng = np.random.default_rng(12)
    queries = rng.normal(size=(61, 40)).astype(np.float32)
    corpus = rng.normal(size=(3011, 40)).astype(np.float32)
    corpus[rng.permutation(3011)[:200]] = corpus[5]
    every = oracle.scores(queries, corpus, "ip")
    ceiling = np.quantile(every, rng.choice([0.5, 0.9, 0.995], 61), axis=1).diagonal()
    nearest = np.argsort(-every, axis=1)
    limits = {
        "positives": [[5], *nearest[1:, :1].tolist()],
        "exclude": [*nearest[:5, 3:9].tolist(), *[[]] * 56],  # few: most panels name no row
        "max_score": ceiling,
    }
    admissible = np.ones((61, 3011), bool)
    for i, positives in enumerate(limits["positives"]):
        admissible[i, positives] = admissible[i, limits["exclude"][i]] = False
        same = (corpus[:, None] == corpus[positives]).all(axis=2).any(axis=1)
        admissible[i, same] = False
    if others == "groups":
        limits["query_groups"] = rng.integers(-1, 4, 61)
        limits["corpus_groups"] = rng.integers(-1, 4, 3011)
        own = limits["query_groups"][:, None] == limits["corpus_groups"]
        admissible &= ~own | (limits["query_groups"] < 0)[:, None]
    if others == "values":
        limits["corpus_values"] = rng.integers(0, 9, 3011)
        limits["max_value"] = rng.integers(1, 9, 61)
        admissible &= limits["corpus_values"] < limits["max_value"][:, None]
    found = nm.mine(queries, corpus, num_negatives=4, metric="ip", precision=precision, **limits)
    above = (admissible & (every > ceiling[:, None])).sum()
    assert above > 61 * 10
    assert found.stats["skipped"]["max_score"] == above


def test_draws_where_the_own_group_fills_nearly_all_of_a_range_of_values():
    """Drawing and turning away would go on for long: those left must all be found."""
    rng = np.random.default_rng(11)
    problem = {"queries": rng.normal(size=(7, 8)), "corpus": rng.normal(size=(20_011, 8))}
    values, groups = rng.permutation(20_011), np.zeros(20_011, np.int64)
    groups[rng.permutation(20_011)[:12]] = 1
    limits = {
        "corpus_values": values,
        "min_value": np.arange(7) * 3000,
        "query_groups": np.zeros(7, np.int64),
        "corpus_groups": groups,
        "num_negatives": 15,
    }
    found, expected = both(problem | {"metric": "ip"}, limits, strategy="uniform")
    assert_drawn_from(found, expected)
    assert found.counts[0] == 12
    assert (np.diff(found.counts) <= 0).all()


@pytest.mark.parametrize("strategy", ["random", "uniform"])
@pytest.mark.parametrize("within_groups", [False, True])
def test_draws_where_few_rows_of_a_larger_corpus_are_admissible(strategy, within_groups):
    """Nearly all rows break a limit, and those left must all be found."""
    rng = np.random.default_rng(10)
    queries = rng.normal(size=(13, 8)).astype(np.float32)
    corpus = rng.normal(size=(6007, 8)).astype(np.float32)
    corpus[2000:4000] = corpus[0]
    every = oracle.scores(queries, corpus, "ip")
    problem = {"queries": queries, "corpus": corpus, "metric": "ip"}
    ceiling = np.quantile(every, 0.01, axis=1)
    found, expected = both(
        problem,
        {
            "positives": [[0], *row_lists(rng, 12, 6007, 3)],
            "exclude": row_lists(rng, 13, 6007, 3000),
            "max_score": ceiling,
            "query_groups": np.arange(13) % 4 - 1,
            "corpus_groups": rng.integers(-1, 3, 6007),
            "within_groups": within_groups,
            "num_negatives": 30,
        },
        strategy=strategy,
    )
    assert_drawn_from(found, expected)
    assert (expected.counts < 30).any()
    assert expected.counts.sum() > 50


def test_no_query_gives_an_empty_table():
    found = nm.mine(np.zeros((0, 4), np.float32), np.ones((9, 4), np.float32), num_negatives=2)
    assert found.indices.shape == (0, 2)
    assert found.scores.shape == (0, 2)
    assert found.counts.shape == (0,)


def test_one_row_corpus():
    one = np.ones((1, 3), np.float32)
    assert nm.mine(one, one, num_negatives=2).indices.tolist() == [[0, -1]]
    empty = nm.mine(one, one, [0], num_negatives=2)
    assert empty.indices.tolist() == [[-1, -1]]
    assert empty.positive_scores.tolist() == [1.0]


def test_inputs_are_not_modified():
    rng = np.random.default_rng(7)
    arrays = {
        "queries": rng.normal(size=(9, 8)),
        "corpus": rng.normal(size=(40, 8)).astype(np.float32),
        "positives": rng.integers(-1, 40, (9, 2)),
        "exclude": rng.integers(-1, 40, (9, 5)),
        "query_groups": rng.integers(-1, 3, 9),
        "corpus_groups": rng.integers(-1, 3, 40),
        "max_score": np.full(9, 0.9),
        "positive_scores": np.full(9, 0.8, np.float32),
        "query_ids": np.arange(9),
    }
    before = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    nm.mine(**arrays, relative_margin=0.1, exclude_self=True)
    for name, array in arrays.items():
        assert_same_bits(array, before[name], name)


def test_a_packed_corpus_gives_what_the_array_gives():
    rng = np.random.default_rng(8)
    queries, corpus = rng.normal(size=(9, 8)), rng.normal(size=(140, 8))
    groups = rng.integers(0, 4, 140)
    plain = nm.mine(
        queries, corpus, query_groups=np.arange(9) % 4, corpus_groups=groups, num_negatives=9
    )
    packed = nm.mine(
        queries, nm.Corpus(corpus, groups=groups), query_groups=np.arange(9) % 4, num_negatives=9
    )
    assert_same_table(packed, plain)
    assert (groups[plain.indices] != (np.arange(9) % 4)[:, None]).all()
