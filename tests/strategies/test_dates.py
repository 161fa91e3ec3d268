# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by dates, against brute force on the rows that qualify."""

import nearmiss as nm
import numpy as np
import pytest
from compare import rejects
from laws import DRAWS, SEEDS, as_set, assert_set_law, count_sets

RNG = np.random.default_rng(0)
QUERIES, ROWS = RNG.normal(size=(40, 5)), RNG.normal(size=(70, 5))
DATES = RNG.integers(1990, 2020, 70)
ASKED = np.concatenate([[1980, 1990, 2050], RNG.integers(1988, 2022, 37)])


@pytest.mark.parametrize("law", ["top", "random"])
def test_only_earlier_cases(law):
    """Equal dates are not earlier; queries with no earlier case, and with fewer than asked for."""
    found = nm.mine(
        QUERIES,
        ROWS,
        strategy=f"ecthr-pcr:law={law}",
        num_negatives=8,
        corpus_values=DATES,
        max_value=ASKED,
    )
    _, order = nm.topk(QUERIES, ROWS, 70)
    assert {0, 8} < set(found.counts.tolist())
    for i in range(40):
        earlier = [row for row in order[i].tolist() if DATES[row] < ASKED[i]]
        rows = found.indices[i, : found.counts[i]].tolist()
        assert len(rows) == min(8, len(earlier))
        if law == "top":
            assert rows == earlier[:8]
        else:
            assert rows == [row for row in earlier if row in rows]


def test_random_draws_in_a_window_count_earlier_cases_only():
    ask = {"corpus_values": DATES, "max_value": ASKED, "num_negatives": 3}
    window = nm.mine(QUERIES, ROWS, strategy="ecthr-pcr:law=random", range_max=3, **ask)
    nearest = nm.mine(QUERIES, ROWS, strategy="ecthr-pcr:law=top", **ask)
    assert (window.indices == nearest.indices).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_draws_are_uniform_among_the_earlier(seed):
    ask = {"num_negatives": 1, "corpus_values": [5, 1, 2, 9, 3], "seed": seed}
    queries, rows = np.ones((DRAWS, 2)), np.array([[1.0, j] for j in range(5)])

    def sets(strategy, before):
        found = nm.mine(queries, rows, strategy=strategy, max_value=before, **ask)
        return count_sets(found.indices, 5)

    law = {as_set((row,)): 1 / 3 for row in (1, 2, 4)}
    assert_set_law(sets("ecthr-pcr:law=random", 5), law)
    assert rejects(assert_set_law, sets("ecthr-pcr:law=random", 6), law)
    biased = nm.sampling.weighted(np.tile(np.log([1.2, 1, 1]), (DRAWS, 1)), 1, seed=seed).indices
    assert rejects(assert_set_law, count_sets(np.array([1, 2, 4])[biased], 5), law)
    listed = nm.mine_candidates(
        np.zeros((DRAWS, 4)),
        np.tile([0, 1, 2, 4], (DRAWS, 1)),
        strategy="ecthr-pcr:law=random",
        max_value=5,
        **ask,
    )
    assert_set_law(count_sets(listed.indices, 5), law)


def test_what_cannot_work_is_refused_before_the_search():
    with pytest.raises(ValueError, match="needs law"):
        nm.strategies.parse("ecthr-pcr")
    with pytest.raises(ValueError, match="law.*'top'"):
        nm.strategies.parse("ecthr-pcr:law=bm25")
    with pytest.raises(ValueError, match="needs max_value"):
        nm.mine(QUERIES, ROWS, strategy="ecthr-pcr:law=top", corpus_values=DATES)
    with pytest.raises(ValueError, match="needs corpus_values"):
        nm.mine(QUERIES, ROWS, strategy="ecthr-pcr:law=top", max_value=3)
