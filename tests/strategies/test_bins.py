# SPDX-License-Identifier: Apache-2.0
"""Strategies that balance draws over bins: TAS-Balanced."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import SEEDS, assert_follows, draws_of, pool_of, successive
from nearmiss.strategies import Softmax, TASBalanced

#: Margins 0, .1, .2 and 10 to a positive of score 10.
SCORES = (10, 9.9, 9.8, 0)
WORKED = (1 / 6, 1 / 6, 1 / 6, 1 / 2)
TAS = TASBalanced(9)


def picked(strategy, scores, drawn, **more):
    return strategy.choose(pool_of(scores, **more), drawn)


def test_worked_probabilities():
    """As the log-probabilities of first draws tell, over many queries."""
    picks = picked(TAS, SCORES, 1, copies=200)
    expected = np.log(WORKED)[picks.columns[:, 0]]
    np.testing.assert_allclose(picks.log_probs[:, 0], expected, rtol=1e-14)
    assert set(picks.columns[:, 0]) == {0, 1, 2, 3}


def test_the_greatest_margin_is_in_the_last_bin():
    picks = picked(TAS, SCORES, 4)
    assert dict(zip(picks.columns[0].tolist(), picks.strata[0].tolist(), strict=True)) == {
        0: 0, 1: 0, 2: 0, 3: 9
    }  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_law(seed):
    assert_follows(draws_of(TAS, SCORES, np.nan, 2, seed), successive(WORKED, 2))


def test_biased_draws_are_refused():
    """Uniform over pairs, as the code's alternative is; and one bin more."""
    chances = successive(WORKED, 2)
    for seed in SEEDS:
        uniform = draws_of(Softmax(9, beta=0), SCORES, np.nan, 2, seed)
        assert rejects(assert_follows, uniform, chances)
        more_bins = draws_of(TASBalanced(9, bins=60), SCORES, np.nan, 2, seed)
        assert rejects(assert_follows, more_bins, chances)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_margins_are_one_bin(seed):
    """The authors' code divides by zero."""
    picks = picked(TAS, [0.5] * 4, 2, copies=20_000, seed=seed)
    assert_follows(picks.columns, successive((1, 1, 1, 1), 2))
    assert (picks.strata == 0).all()


def test_a_single_candidate_is_taken():
    assert picked(TAS, [0.5], 2).columns.tolist() == [[0, -1]]


def test_margins_move_with_the_positive_and_bins_do_not():
    expected = picked(TAS, SCORES, 3, copies=20)
    for positive in (np.nan, -5, 40):
        found = picked(TAS, SCORES, 3, copies=20, positive_score=positive)
        for name in ("columns", "log_probs", "strata"):
            assert_same_bits(getattr(found, name), getattr(expected, name))


def oracle_bins(scores, admissible, bins):
    allowed = [s for s, a in zip(scores, admissible, strict=True) if a]
    found = []
    for s, a in zip(scores, admissible, strict=True):
        if not a:
            found.append(-1)
        elif max(allowed) == min(allowed):
            found.append(0)
        else:
            place = (max(allowed) - s) * bins / (max(allowed) - min(allowed))
            found.append(min(int(place), bins - 1))
    return found


@given(
    st.lists(
        st.tuples(st.floats(-3, 3, width=32) | st.sampled_from((0.0, 0.5)), st.booleans()),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from((1, 2, 10, 1_000_000)),
)
def test_weights_equal_their_definition(rows, bins):
    rows = sorted(rows, key=lambda row: -row[0])
    scores = [float(np.float32(score)) for score, _ in rows]
    admissible = [allowed for _, allowed in rows]
    pool = pool_of(scores)
    pool.admissible[0] = admissible
    numbers = oracle_bins(scores, admissible, bins)
    picks = TASBalanced(9, bins=bins).choose(pool, 3)
    column = picks.columns[0, 0]
    if not any(admissible):
        assert column == -1
        return
    filled = len(set(numbers) - {-1})
    chance = 1 / (filled * numbers.count(numbers[column]))
    np.testing.assert_allclose(np.exp(picks.log_probs[0, 0]), chance, rtol=1e-12)
    taken = picks.columns[0][picks.columns[0] >= 0]
    assert picks.strata[0, : len(taken)].tolist() == [numbers[c] for c in taken]


def test_strata_reach_the_table():
    scores = [[0.9, 0.8, 0.1, 0.85]]
    found = nm.mine_candidates(
        scores, [[4, 7, 2, 9]], num_negatives=4, strategy="tas-balanced:pool=4,bins=2"
    )
    assert found.indices.tolist() == [[4, 9, 7, 2]]
    assert found.strata.tolist() == [[0, 0, 0, 1]]
    assert np.isfinite(found.log_probs).all()


def test_no_candidates_at_all():
    found = nm.mine_candidates(np.zeros((2, 0)), np.zeros((2, 0), int), strategy=TAS)
    assert found.indices.tolist() == [[-1] * 3] * 2


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="bins: must be at least 1"):
        TASBalanced(9, bins=0)
    with pytest.raises(ValueError, match="bins: must be at most 1000000"):
        TASBalanced(9, bins=1_000_001)
