# SPDX-License-Identifier: Apache-2.0
"""Draws from the rows of a table by the law of a strategy."""

from dataclasses import replace

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import DRAWS, SEEDS, assert_set_law, count_sets, sets_of, successive
from nearmiss.negatives import OPTIONAL_COLUMNS
from nearmiss.strategies.reserve import ReserveStrategy
from nearmiss.table_draws import TableDraws

N, M, D = 30, 120, 8
OWN = ("log_probs", "weights", "strata")
EXAMPLES = [
    strategy
    for cls in nm.strategies.available().values()
    if set((strategy := nm.strategies.parse(cls.example)).needs()) <= {"positives"}
    and not isinstance(strategy, ReserveStrategy)
    and strategy.name != "uniform"
]
of_every_law = pytest.mark.parametrize("strategy", EXAMPLES, ids=str)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((M, D), dtype=np.float32)
    positives = np.where(np.arange(N) % 6 == 5, -1, rng.integers(M, size=N))
    queries = corpus[positives] + rng.standard_normal((N, D), dtype=np.float32)
    return {
        "queries": queries,
        "corpus": corpus,
        "positives": positives,
        "query_ids": np.arange(N) * 7 % 101,
    }


@pytest.fixture(scope="module")
def table(problem):
    """All that may be a negative of each query."""
    return nm.mine(**problem, num_negatives=M)


def count_of(strategy):
    """Return how many negatives a strategy gives; some allow only one number."""
    try:
        return strategy.count(3)
    except ValueError:
        return strategy.count(None)


def assert_same_draws(actual, expected):
    for name in ("indices", "scores", "counts", *OWN):
        found, wanted = getattr(actual, name), getattr(expected, name)
        assert (found is None) == (wanted is None), name
        if found is not None:
            assert_same_bits(found, wanted, name)


def test_most_strategies_need_no_more():
    assert len(EXAMPLES) > 25


@of_every_law
def test_draws_what_candidates_would_give(table, strategy):
    n = count_of(strategy)
    expected = nm.mine_candidates(
        table.scores,
        table.indices,
        positive_scores=table.positive_scores,
        query_ids=table.query_ids,
        strategy=strategy,
        num_negatives=n,
        seed=5,
        epoch=2,
    )
    found = table.sample(n, epoch=2, seed=5, strategy=strategy)
    assert_same_draws(found, expected)
    assert (found.counts > 0).any()
    assert found.params["sampled"] == {"n": n, "epoch": 2, "seed": 5, "strategy": str(strategy)}
    assert_same_draws(table.sample(n, epoch=2, seed=5, strategy=str(strategy)), expected)


# Under "raw" ranks positives count in the search, and have no place in the table; the law "random"
# needs a window in the search.
@pytest.mark.parametrize(
    "strategy",
    [law for law in EXAMPLES if law.limits().range_mode != "raw" and law.name != "random"],
    ids=str,
)
def test_draws_what_the_search_would_have_given(problem, table, strategy):
    n = count_of(strategy)
    mined = nm.mine(**problem, strategy=strategy, num_negatives=n, seed=5, epoch=2)
    assert_same_draws(table.sample(n, epoch=2, seed=5, strategy=strategy), mined)


@of_every_law
@pytest.mark.parametrize("rows", [[], [3], [7, 1, 7, 29, 5], list(range(N))[::-1]])
def test_rows_do_not_depend_on_each_other(table, strategy, rows):
    """Nor on their order, and a query may come twice."""
    n = count_of(strategy)
    whole = table.sample(n, epoch=1, seed=2, strategy=strategy)
    found = table.sample(n, epoch=1, seed=2, strategy=strategy, rows=rows)
    assert_same_draws(
        replace(found, **dict.fromkeys(OWN)) if not rows else found,
        replace(whole._take(np.array(rows, np.int64)), **({} if rows else dict.fromkeys(OWN))),
    )


def test_seed_and_epoch_change_the_draw(table):
    law = nm.strategies.SimANS(pool=20)
    first = table.sample(4, epoch=3, seed=5, strategy=law).indices
    assert (table.sample(4, epoch=4, seed=5, strategy=law).indices != first).any()
    assert (table.sample(4, epoch=3, seed=6, strategy=law).indices != first).any()
    assert_same_bits(table.sample(4, epoch=3, seed=5, strategy=law).indices, first)


SCORES = (3, 2, 1, 0.5)


def copies(num_rows):
    """Return a table of equal rows with ids of their own."""
    one = nm.mine_candidates([SCORES], [[0, 1, 2, 3]], num_negatives=4)
    numbers = np.arange(num_rows)
    arrays = {
        name: np.repeat(getattr(one, name), num_rows, axis=0)
        for name in ("indices", "scores", "counts", "positive_scores")
    }
    return replace(one, **arrays, query_indices=numbers, query_ids=numbers)


@pytest.mark.parametrize("seed", SEEDS)
def test_law(seed):
    weights = np.exp(np.array(SCORES)).tolist()
    drawn = copies(DRAWS).sample(2, epoch=seed, strategy="softmax:pool=4").indices
    law = sets_of(successive(weights, 2))
    assert_set_law(count_sets(drawn, 4), law)
    biased = copies(DRAWS).sample(2, epoch=seed, strategy="softmax:pool=4,beta=1.1").indices
    assert rejects(assert_set_law, count_sets(biased, 4), law)


@given(st.data())
def test_columns_that_the_law_does_not_give_are_those_of_the_table(data):
    """Rows of any length, -1 and 0 among what they hold; every value says whose it is."""
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    width = 6
    order = [data.draw(st.permutations(range(9)))[:length] for length in lengths]
    rows = np.array([row + [-1] * (width - len(row)) for row in order])
    scores = np.where(rows >= 0, -np.arange(width), np.nan).astype(np.float32)
    table = nm.mine_candidates(scores, rows, num_negatives=width)
    filled = table.indices >= 0
    owners = np.arange(len(rows))[:, None] * 100 + table.indices
    table = replace(
        table,
        sources=np.where(filled, owners + 1, 0),
        weights=np.where(filled, owners, np.nan),
        log_probs=np.where(filled, owners, np.nan),
    )
    n = data.draw(st.integers(1, width))
    found = table.sample(n, epoch=data.draw(st.integers(0, 9)), strategy="softmax:pool=6")
    filled = found.indices >= 0
    assert_same_bits(found.counts, np.minimum(lengths, n))
    owners = np.arange(len(rows))[:, None] * 100 + found.indices
    assert_same_bits(found.sources, np.where(filled, owners + 1, 0))
    assert_same_bits(found.weights, np.where(filled, owners, np.nan))
    assert (found.log_probs[filled] <= 0).all()  # the draw's own, not the table's


def test_more_than_there_are(table):
    assert table.sample(M + 5, strategy="softmax:pool=200").indices.shape == (N, M + 5)
    short = nm.mine_candidates([[2, 1]], [[4, 7]], num_negatives=2).sample(4, strategy="top")
    assert_same_bits(short.indices, np.array([[4, 7, -1, -1]]))
    assert_same_bits(short.counts, np.array([2]))
    with pytest.raises(ValueError, match=r"5 do not fit in the rank window \[0, 2\)"):
        table.sample(5, strategy="softmax:pool=2")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("adore", "strategy 'adore': needs positives, the rows themselves"),
        ("leverage:pool=9", "strategy 'leverage': needs the embeddings"),
        ("apollo:pool=9,quota=1", "strategy 'apollo': needs corpus_values"),
        ("conan-v2:windows=4,min_initial=0.4,ratio=1.2,max_score=0.7", "keeps a reserve"),
        ("uniform", "uniform"),
        ("simanz", "did you mean 'simans'"),
    ],
)
def test_strategies_that_need_more_are_refused(table, strategy, message):
    for call in (lambda: table.sample(2, strategy=strategy), lambda: TableDraws(2, strategy)):
        with pytest.raises(ValueError, match=message):
            call()


def test_tables_that_lack_what_it_takes():
    vectors = np.eye(4, dtype=np.float32)
    without = nm.mine(vectors, vectors, num_negatives=2)
    with pytest.raises(ValueError, match="strategy 'simans': needs positives or positive_scores"):
        without.sample(1, strategy="simans")
    under_l2 = nm.mine(vectors, vectors, num_negatives=2, metric="l2")
    with pytest.raises(ValueError, match="strategy 'power' is defined for cosine and ip, not 'l2'"):
        under_l2.sample(1, strategy="power:pool=4")
    empty = nm.mine(vectors[:0], vectors, num_negatives=2)
    assert empty.sample(1, strategy="simans").indices.shape == (0, 1)


def test_every_column_has_its_padding():
    assert set(OPTIONAL_COLUMNS) < set(nm.table_draws.PADDING)
