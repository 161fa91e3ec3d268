# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by how a row's score compares with the positive's: SimANS."""

import itertools
import math

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, assert_same_table, rejects
from laws import DRAWS, SEEDS, assert_follows, draws_of, pool_of, successive
from nearmiss.strategies import SimANS, SimANSLaplace

SCORES, POSITIVE = (11, 10, 9, 8, 6), 10
WORKED = [
    (SimANS(), (0.25824, 0.42576, 0.25824, 0.05762, 0.00014)),
    (SimANS(b=1), (0.57046, 0.34600, 0.07720, 0.00634, 0.00000)),
    # The authors' code adds b: what it calls b = 1 is -1 here.
    (SimANS(b=-1), (0.05736, 0.25706, 0.42382, 0.25706, 0.00471)),
    (SimANSLaplace(), (0.04518, 0.90739, 0.04518, 0.00225, 0.00001)),
]
by_strategy = pytest.mark.parametrize(("strategy", "p"), WORKED, ids=lambda value: str(value)[:16])


def probabilities(strategy, scores=SCORES, positive=POSITIVE):
    logs = strategy.log_weights(pool_of(scores, positive))[0]
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


@by_strategy
def test_worked_probabilities(strategy, p):
    np.testing.assert_allclose(probabilities(strategy), p, atol=5e-6)


def test_defaults_are_those_of_the_code():
    assert str(SimANS()) == "simans:a=0.5,b=0.0,pool=200"
    assert str(SimANSLaplace()) == "simans-laplace:tau=3.0,pool=200"


def test_worked_inclusion_of_two_draws():
    chances = successive(probabilities(SimANS()).tolist(), 2)
    inclusion = [sum(c for outcome, c in chances.items() if j in outcome) for j in range(5)]
    np.testing.assert_allclose(inclusion, [0.55543, 0.74830, 0.55543, 0.14047, 0.00036], atol=5e-6)


@by_strategy
@pytest.mark.parametrize("seed", SEEDS)
def test_law(strategy, p, seed):
    """On the four nearest, so that no outcome is too rare to count."""
    chances = successive(probabilities(strategy, SCORES[:4]).tolist(), 2)
    often = {outcome: c for outcome, c in chances.items() if c * DRAWS > 5}
    found = draws_of(strategy, SCORES[:4], POSITIVE, 2, seed)
    common = np.array([tuple(row) in often for row in found.tolist()])
    assert (~common).sum() <= 10 + 3 * DRAWS * max(0, 1 - sum(often.values()))
    total = sum(often.values())
    assert_follows(found[common], {outcome: c / total for outcome, c in often.items()})


def loop_of_the_code(p, drawn, seed):
    """Draw with replacement, unite, repeat until there are enough, cut a set (in hash order)."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(DRAWS):
        found = set()
        while len(found) < drawn:
            found |= set(rng.choice(len(p), drawn, p=p).tolist())
        rows.append(list(found)[:drawn])
    return np.array(rows)


def test_biased_draws_are_refused():
    p = probabilities(SimANS(), SCORES[:4])
    chances = successive(p.tolist(), 2)
    for seed in range(3):
        slightly_off = draws_of(SimANS(a=0.55), SCORES[:4], POSITIVE, 2, seed)
        assert rejects(assert_follows, slightly_off, chances)
        other_sign = draws_of(SimANS(b=0.05), SCORES[:4], POSITIVE, 2, seed)
        assert rejects(assert_follows, other_sign, chances)
    assert rejects(assert_follows, loop_of_the_code(p, 2, 0), chances)


@by_strategy
def test_a_pool_smaller_than_asked_for_is_returned_whole(strategy, p):
    """The authors' loop draws for ever, or raises."""
    found = nm.mine_candidates(
        [SCORES], [range(5)], positive_scores=[POSITIVE], num_negatives=8, strategy=strategy
    )
    assert found.indices.tolist() == [[0, 1, 2, 3, 4, -1, -1, -1]]
    assert found.counts.tolist() == [5]


@by_strategy
def test_without_a_positive_draws_are_uniform(strategy, p):
    """The code takes the last of the list where the positive was not retrieved."""
    found = draws_of(strategy, SCORES[:3], math.nan, 2, 0)
    chances = dict.fromkeys(itertools.permutations(range(3), 2), 1 / 6)
    assert_follows(found, chances)
    assert rejects(assert_follows, draws_of(strategy, SCORES[:3], POSITIVE, 2, 0), chances)


@by_strategy
def test_large_scores_have_finite_weights(strategy, p):
    """exp of them would be 0 for every row, and 0 / 0 a probability of nan."""
    for scale in (1e4, 1e15, 3e37):
        scores = np.float32(scale) * np.array([11, 10.5, 9, 8, 6], np.float32)
        pool = pool_of(scores, np.float32(scale) * np.float32(POSITIVE))
        assert np.isfinite(strategy.log_weights(pool)).all()
        picks = strategy.choose(pool, 3)
        # What is drawn follows the distance from the positive.
        assert picks.columns.tolist() == [[1, 0, 2]] or picks.columns.tolist() == [[1, 2, 0]]
        assert not np.isnan(picks.log_probs).any()


def test_equal_scores_are_equally_likely():
    weights = SimANS().log_weights(pool_of([3.0] * 6, -2.0))
    assert np.unique(weights).size == 1


def test_log_probabilities_are_those_of_the_draws():
    picks = SimANS().choose(pool_of(SCORES, POSITIVE, copies=50), 2)
    chances = successive(probabilities(SimANS()).tolist(), 2)
    for columns, logs in zip(picks.columns.tolist(), picks.log_probs, strict=True):
        assert math.isclose(math.exp(logs.sum()), chances[tuple(columns)], rel_tol=1e-12)


@by_strategy
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_candidates_and_corpus_agree(strategy, p, metric):
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(30, 9)), rng.normal(size=(400, 9))
    positives = np.where(np.arange(30) % 4, np.arange(30), -1)
    ask = {"positives": positives, "num_negatives": 7, "strategy": strategy, "seed": 5}
    mined = nm.mine(queries, corpus, metric=metric, **ask)
    scores, rows = nm.topk(queries, corpus, 201, metric=metric)
    chosen = nm.mine_candidates(scores, rows, positive_scores=mined.positive_scores, **ask)
    assert_same_table(chosen, mined)
    assert_same_bits(chosen.log_probs, mined.log_probs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simans:a=-1", "simans.a: must be at least 0"),
        ("simans:b=nan", "simans.b"),
        ("simans:pool=0", "simans.pool: must be at least 1"),
        ("simans-laplace:tau=-0.5", "simans-laplace.tau: must be at least 0"),
    ],
)
def test_bad_parameters_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        nm.strategies.parse(text)


@by_strategy
def test_positives_are_needed(strategy, p):
    with pytest.raises(ValueError, match=r"strategy 'simans.*positives"):
        nm.mine(np.eye(3), np.eye(3), strategy=strategy)
