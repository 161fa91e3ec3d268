# SPDX-License-Identifier: Apache-2.0
"""Pools: what strategies get to see, block by block, and what becomes of their picks."""

from dataclasses import dataclass
from typing import ClassVar

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits
from nearmiss.strategies.pool import FilteredStrategy, Picks, PoolStrategy, first_columns

RNG = np.random.default_rng(2)
N, M, D = 19, 120, 7
QUERIES, ROWS = RNG.normal(size=(N, D)), RNG.normal(size=(M, D))
POSITIVES = [[i, 2 * i][: i % 3] for i in range(N)]


@dataclass(frozen=True)
class Watching(PoolStrategy):
    """Picks the columns it was told to and keeps what it saw."""

    name: ClassVar[str] = "watching"
    picks: ClassVar[str] = "what it is told"

    pool: int = 30

    def choose(self, pool, num_negatives):
        SEEN.append(pool)
        columns = np.tile(np.arange(num_negatives)[::-1], (len(pool.rows), 1))
        weights = pool.queries[:, None] + columns / 100
        return Picks(columns, weights=weights, strata=columns + 5)


SEEN: list = []


@pytest.fixture(autouse=True)
def nothing_seen():
    SEEN.clear()


@pytest.mark.parametrize("range_mode", ["filtered", "raw"])
def test_pools_are_the_windows_of_the_oracle(range_mode, num_threads):
    limits = {"range_min": 2, "range_max": 25, "range_mode": range_mode, "relative_margin": 0.1}
    nm.mine(QUERIES, ROWS, POSITIVES, strategy=Watching(), num_threads=num_threads, **limits)
    (pool,) = SEEN
    allowed = oracle.mine(QUERIES, ROWS, POSITIVES, strategy="random", **limits)
    limits["range_mode"] = "filtered"
    windows = allowed
    if range_mode == "raw":
        windows = oracle.mine(QUERIES, ROWS, strategy="random", range_min=2, range_max=25)
    assert pool.rows.shape == pool.scores.shape == pool.admissible.shape == (N, 23)
    assert_same_bits(pool.positive_scores, allowed.positive_scores)
    assert pool.ranks.tolist() == list(range(2, 25))
    for i in range(N):
        rows = windows.windows[i]
        assert pool.rows[i].tolist() == [*rows, *[-1] * (23 - len(rows))]
        assert_same_bits(pool.scores[i, : len(rows)], windows.every_score[i, rows])
        assert np.isnan(pool.scores[i, len(rows) :]).all()
        assert pool.rows[i, pool.admissible[i]].tolist() == allowed.windows[i].tolist()


def test_picks_are_sorted_and_what_may_not_be_a_negative_is_dropped():
    found = nm.mine(
        QUERIES, ROWS, POSITIVES, strategy=Watching(), num_negatives=8, range_mode="raw"
    )
    (pool,) = SEEN
    for i in range(N):
        kept = np.flatnonzero(pool.admissible[i, :8])
        assert found.counts[i] == len(kept)
        assert found.indices[i].tolist() == [*pool.rows[i, kept], *[-1] * (8 - len(kept))]
        assert found.strata[i].tolist() == [*(kept + 5), *[-1] * (8 - len(kept))]
        assert found.weights[i, : len(kept)].tolist() == [i + column / 100 for column in kept]
        assert np.isnan(found.weights[i, len(kept) :]).all()
    assert (found.counts < 8).any()


def test_many_queries_come_in_blocks():
    """More rows than a block holds; the answer is that of each part by itself."""
    rng = np.random.default_rng(0)
    queries = rng.integers(-5, 6, size=(5_000, 3)).astype(np.float32)
    rows = rng.integers(-5, 6, size=(900, 3)).astype(np.float32)
    ask = {"strategy": Watching(850), "metric": "ip", "num_negatives": 5}
    done = []
    whole = nm.mine(queries, rows, progress=done.append, **ask)
    assert [len(pool.rows) for pool in SEEN] == [2467, 2467, 66]
    assert [pool.queries[0] for pool in SEEN] == [0, 2467, 4934]
    assert done == sorted(done)
    assert done[-1] <= 1
    for part in (slice(0, 100), slice(2400, 2500), slice(4900, 5000)):
        alone = nm.mine(queries[part], rows, query_ids=range(part.start, part.stop), **ask)
        assert_same_bits(whole.indices[part], alone.indices)
        assert_same_bits(whole.scores[part], alone.scores)
    scores, indices = nm.topk(queries, rows, 860, metric="ip")
    listed = nm.mine_candidates(scores, indices, strategy=Watching(850), num_negatives=5)
    assert_same_bits(listed.indices, whole.indices)


def test_an_error_in_a_strategy_reaches_the_caller():
    @dataclass(frozen=True)
    class Failing(Watching):
        def choose(self, pool, num_negatives):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        nm.mine(QUERIES, ROWS, strategy=Failing())


def test_pools_wider_than_the_corpus_and_windows_beyond_it():
    found = nm.mine(QUERIES, ROWS, strategy=Watching(500), num_negatives=4)
    assert SEEN[0].rows.shape == (N, M)
    assert (found.counts == 4).all()
    beyond = nm.mine(QUERIES, ROWS, strategy=Watching(), range_min=M + 5, num_negatives=4)
    assert (beyond.counts == 0).all()
    assert nm.mine(QUERIES[:0], ROWS, strategy=Watching()).indices.shape == (0, 3)


def test_first_columns():
    mask = np.array([[False, True, True, True], [False, False, False, False]])
    assert first_columns(mask, 2).tolist() == [[1, 2], [-1, -1]]
    assert first_columns(mask, 6).tolist() == [[1, 2, 3, -1, -1, -1], [-1] * 6]


@pytest.mark.parametrize("law", ["top", "random"])
def test_filtered_strategies_pick_from_what_is_kept(law):
    @dataclass(frozen=True)
    class EvenRows(FilteredStrategy):
        name: ClassVar[str] = "even-rows"
        picks: ClassVar[str] = "rows of even number"

        pool: int = 60

        def keep(self, pool):
            return pool.rows % 2 == 0

    EvenRows.law = law
    found = nm.mine(QUERIES, ROWS, POSITIVES, strategy=EvenRows(), num_negatives=6)
    assert (found.counts == 6).all()
    assert (found.indices % 2 == 0).all()
    windows = oracle.mine(QUERIES, ROWS, POSITIVES, strategy="random", range_max=60).windows
    nearest = np.array([[row for row in rows if row % 2 == 0][:6] for rows in windows])
    assert (found.indices == nearest).all() == (law == "top")
    for i in range(N):
        assert set(found.indices[i]) <= set(windows[i])
