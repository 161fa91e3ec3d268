# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by the score alone: power, softmax, softrank."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import SEEDS, assert_follows, draws_of, pool_of, successive
from nearmiss.strategies import Power, Softmax, Softrank, parse

SCORES = (3, 2, 1)
#: For scores 3, 2, 1: probabilities of the first draw, and of being among two draws.
WORKED = [
    (Power(9), (0.5, 0.333333, 0.166667), (0.85, 0.733333, 0.416667)),
    (Softmax(9), (0.665241, 0.244728, 0.090031), (0.946615, 0.755272, 0.298114)),
    (Softrank(9), (0.545455, 0.272727, 0.181818), (0.871212, 0.660606, 0.468182)),
]
by_strategy = pytest.mark.parametrize(
    ("strategy", "first", "of_two"), WORKED, ids=lambda value: getattr(value, "name", "")
)
every_class = pytest.mark.parametrize("cls", [Power, Softmax, Softrank], ids=lambda cls: cls.name)


def probabilities(strategy, scores=SCORES):
    logs = strategy.log_weights(pool_of(scores))[0]
    weights = np.exp(logs - logs.max())
    return (weights / weights.sum()).tolist()


@by_strategy
def test_worked_probabilities(strategy, first, of_two):
    np.testing.assert_allclose(probabilities(strategy), first, atol=5e-7)
    chances = successive(probabilities(strategy), 2)
    inclusion = [sum(c for outcome, c in chances.items() if j in outcome) for j in range(3)]
    np.testing.assert_allclose(inclusion, of_two, atol=5e-7)


@by_strategy
@pytest.mark.parametrize("seed", SEEDS)
def test_law(strategy, first, of_two, seed):
    found = draws_of(strategy, SCORES, np.nan, 2, seed)
    assert_follows(found, successive(probabilities(strategy), 2))


@every_class
def test_biased_draws_are_refused(cls):
    chances = successive(probabilities(cls(9)), 2)
    for seed in SEEDS:
        assert rejects(assert_follows, draws_of(cls(9, beta=1.1), SCORES, np.nan, 2, seed), chances)


@every_class
def test_from_uniform_to_the_nearest(cls):
    np.testing.assert_allclose(probabilities(cls(9, beta=0)), [1 / 3] * 3)
    assert (draws_of(cls(9, beta=1e4), SCORES, np.nan, 2, 0, copies=50) == [0, 1]).all()
    everything = draws_of(cls(9), SCORES, np.nan, 3, 0, copies=50)
    assert_same_bits(np.sort(everything, axis=1), np.tile(np.arange(3), (50, 1)))


def test_preference_by_reward():
    """MC-PO's and Q-Probe's example: rewards 3, 2, 1, and a temperature."""
    np.testing.assert_allclose(probabilities(Softmax(9)), [0.665241, 0.244728, 0.090031], atol=5e-7)
    halved = [np.exp(s / 2) for s in SCORES]
    np.testing.assert_allclose(probabilities(Softmax(9, beta=1 / 2)), halved / np.sum(halved))


def test_power_draws_no_score_that_is_not_positive():
    """Not even where too few others are left: baal then draws uniformly from all."""
    scores = (2, 1, 0, -1)
    for beta in (0, 1, 3):
        logs = Power(9, beta=beta).log_weights(pool_of(scores))[0]
        np.testing.assert_allclose(logs[:2], [beta * np.log(2), 0])
        assert (logs[2:] == -np.inf).all()
        found = draws_of(Power(9, beta=beta), scores, np.nan, 3, 1, copies=200)
        assert_same_bits(np.sort(found, axis=1), np.tile([-1, 0, 1], (200, 1)))


def mean_ranks(scores, admissible):
    """By counting, pair by pair."""
    ranks = []
    for i, s in enumerate(scores):
        others = [o for j, o in enumerate(scores) if admissible[j] and j != i]
        ranks.append(1 + sum(o > s for o in others) + sum(o == s for o in others) / 2)
    return np.array(ranks)


def test_ties_share_the_mean_of_their_ranks():
    logs = Softrank(9).log_weights(pool_of((5, 4, 4, 4, 1)))[0]
    np.testing.assert_allclose(np.exp(-logs), [1, 3, 3, 3, 5])
    np.testing.assert_allclose(np.exp(-Softrank(9).log_weights(pool_of([7] * 4))[0]), [2.5] * 4)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12))
def test_ranks_of_what_is_admissible(rows):
    """Rows that may not be negatives, as "raw" windows hold them, have no place."""
    rows = sorted(rows, key=lambda row: -row[0])
    scores = np.array([score for score, _ in rows], np.float32)
    admissible = np.array([allowed for _, allowed in rows], bool)
    pool = pool_of(scores)
    pool.admissible[0] = admissible
    found = np.exp(-Softrank(9).log_weights(pool))[0]
    np.testing.assert_allclose(found[admissible], mean_ranks(scores, admissible)[admissible])


@every_class
def test_extreme_parameters_draw_from_everything(cls):
    """The largest sharpness is still finite arithmetic: nobody is lost to an overflow."""
    scores = (3e38, 1e38, 1.5e-45)
    found = draws_of(cls(9, beta=1e200), scores, np.nan, 3, 0, copies=3)
    assert_same_bits(np.sort(found, axis=1), np.tile(np.arange(3), (3, 1)))


@every_class
def test_bad_parameters_are_refused(cls):
    with pytest.raises(ValueError, match=f"{cls.name}.beta: must be at least 0, got -1"):
        cls(9, beta=-1)
    with pytest.raises(ValueError, match=f"{cls.name}.beta: must be finite"):
        cls(9, beta=np.nan)
    with pytest.raises(ValueError, match=f"{cls.name}.beta: must be at most 1e\\+200"):
        cls(9, beta=1e201)
    with pytest.raises(ValueError, match=f"{cls.name}.pool"):
        cls(0)
    with pytest.raises(ValueError, match="needs pool"):
        parse(cls.name)
    assert str(cls(9)) == f"{cls.name}:pool=9,beta=1.0"


def test_power_of_distances_finds_nothing():
    found = nm.mine_candidates(
        [[1.0, 2.0, 3.0]], [[4, 5, 6]], higher_is_closer=False, strategy="power:pool=3"
    )
    assert found.counts.tolist() == [0]
