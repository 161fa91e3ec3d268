# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by a value of each corpus row: APOLLO."""

import numpy as np
import pytest
from compare import rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import DRAWS, SEEDS, assert_follows, pool_of, successive
from nearmiss.limits import Limits
from nearmiss.strategies import APOLLO

#: Rows 0, 2 and 5 hold a number.
NUMBERS = np.array([1.0, 0, -2, 0, 0, 0.5])
SCORES = (6, 5, 4, 3, 2, 1)


def picked(quota, drawn, seed=0, copies=DRAWS, values=NUMBERS, scores=SCORES):
    pool = pool_of(scores, copies=copies, seed=seed, corpus_values=values)
    return APOLLO(9, quota).choose(pool, drawn)


@given(
    st.lists(st.sampled_from((0.0, -1.0, 2.5)), min_size=1, max_size=7),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_the_quota_is_met_where_there_is_enough_and_the_rest_makes_up(values, drawn, quota):
    quota = min(quota, drawn)
    values = np.array(values)
    picks = picked(quota, drawn, copies=3, values=values, scores=np.arange(len(values))[::-1])
    with_it, without = int((values != 0).sum()), int((values == 0).sum())
    for columns, strata in zip(picks.columns.tolist(), picks.strata.tolist(), strict=True):
        taken = [column for column in columns if column >= 0]
        assert len(columns) == drawn
        assert len(set(taken)) == len(taken) == min(drawn, len(values))
        marked = sum(values[column] != 0 for column in taken)
        assert marked == max(min(with_it, quota), min(drawn - without, with_it))
        assert strata[: len(taken)] == [int(values[column] != 0) for column in taken]


def law(quota):
    """Two of six with a quota: ordered outcomes, each kind in the order of its draws."""
    kinds = ((0, 2, 5), (1, 3, 4))
    if quota in (0, 2):
        kind = kinds[0] if quota else kinds[1]
        uniform = successive((1, 1, 1), 2)
        return {tuple(kind[i] for i in outcome): c for outcome, c in uniform.items()}
    pairs = [(a, b) for a in kinds[0] for b in kinds[1]]
    return {pair: 1 / 18 for a, b in pairs for pair in ((a, b), (b, a))}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("quota", [0, 1, 2])
def test_law(quota, seed):
    assert_follows(picked(quota, 2, seed).columns, law(quota))


def test_draws_without_a_quota_are_refused():
    uniform = successive([1] * 6, 2)
    for seed in SEEDS:
        assert rejects(assert_follows, picked(1, 2, seed).columns, uniform)
        # A kind of four in place of three.
        more = picked(1, 2, seed, values=np.array([1.0, 0, 1, 0, 0, 0])).columns
        assert rejects(assert_follows, more, law(1))


def test_rows_that_may_not_be_negatives_fill_no_quota():
    pool = pool_of(SCORES, copies=50, corpus_values=NUMBERS)
    pool.admissible[:, [0, 2]] = False
    columns = APOLLO(9, 2).choose(pool, 3).columns
    assert not np.isin(columns, [0, 2]).any()
    assert (columns == 5).any(axis=1).all()


def test_bad_quotas_are_refused():
    with pytest.raises(ValueError, match=r"apollo.quota: must be at least 0"):
        APOLLO(9, -1)
    with pytest.raises(ValueError, match=r"apollo.quota: 4 do not fit in num_negatives=3"):
        APOLLO(9, 4).plan(Limits(), 3)
