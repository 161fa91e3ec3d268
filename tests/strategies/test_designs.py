# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by a design of fixed size: conditional Poisson, leverage."""

import math
from fractions import Fraction

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, assert_same_table, rejects
from laws import (
    DRAWS,
    SEEDS,
    assert_set_law,
    by_neighbours,
    conditional_poisson_law,
    count_sets,
    draws_of,
    in_random_order,
    marginals,
    pool_of,
)
from nearmiss.strategies import ConditionalPoisson

POOLS = [([3.0, 2.5, 2.5, 0.5], 2), ([2.0, 1.0, 0.5, 0.0, -0.25, -1.0], 3), ([1.0, 1.0, 1.0], 1)]


def softmax(scores):
    weights = np.exp(np.asarray(scores, float) - max(scores))
    return weights / weights.sum()


def law_of(scores, drawn):
    p = softmax(scores)
    return conditional_poisson_law([Fraction(w) for w in (p / (1 - p)).tolist()], drawn)


def test_worked_inclusion():
    """p = (.5, .3, .2): odds 1, .428571, .25. Successive draws have .839286 .675 .485714."""
    picks = ConditionalPoisson(pool=3).choose(pool_of(np.log([0.5, 0.3, 0.2]), copies=60), 2)
    worked = np.array([0.863636, 0.681818, 0.454545])
    np.testing.assert_allclose(np.exp(picks.log_probs), worked[picks.columns], atol=1e-6)
    assert set(picks.columns.ravel()) == {0, 1, 2}


@pytest.mark.parametrize(("scores", "drawn"), POOLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_law(scores, drawn, seed):
    found = draws_of(ConditionalPoisson(pool=9), scores, math.nan, drawn, seed)
    assert_set_law(count_sets(found, len(scores)), law_of(scores, drawn))


def test_other_laws_are_refused():
    """Of another temperature; of the odds' design with p in place of odds; of successive draws."""
    for scores, drawn in POOLS[:2]:
        law = law_of(scores, drawn)
        items = len(scores)
        cold = draws_of(ConditionalPoisson(pool=9, temperature=0.92), scores, math.nan, drawn, 0)
        assert rejects(assert_set_law, count_sets(cold, items), law)
        no_odds = nm.sampling.conditional_poisson(np.tile(scores, (DRAWS, 1)), drawn).indices
        assert rejects(assert_set_law, count_sets(no_odds, items), law)
        successive = nm.sampling.weighted(np.tile(scores, (DRAWS, 1)), drawn).indices
        counts = count_sets(np.sort(successive, axis=1), items)
        assert rejects(assert_set_law, counts, law)


@pytest.mark.parametrize(("scores", "drawn"), POOLS)
def test_inclusion_probabilities_are_those_of_the_law(scores, drawn):
    exact = np.array([float(p) for p in marginals(law_of(scores, drawn), len(scores))])
    picks = ConditionalPoisson(pool=9).choose(pool_of(scores, copies=50), drawn)
    np.testing.assert_allclose(np.exp(picks.log_probs), exact[picks.columns], rtol=1e-12)


def test_sums_over_the_pool_are_estimated_without_bias():
    rng = np.random.default_rng(0)
    scores = np.sort(rng.normal(size=12).astype(np.float32))[::-1]
    picks = ConditionalPoisson(pool=12).choose(pool_of(scores, copies=DRAWS), 5)
    values = rng.normal(size=12) + 3
    estimates = (values[picks.columns] / np.exp(picks.log_probs)).sum(axis=1)
    error = estimates.std() / math.sqrt(DRAWS)
    assert abs(estimates.mean() - values.sum()) < 4 * error
    unweighted = values[picks.columns].sum(axis=1) * 12 / 5
    assert abs(unweighted.mean() - values.sum()) > 10 * error


def test_one_score_far_above_the_others_is_always_drawn():
    """Its p is 1 and its odds infinite; the code means to clip them and does not."""
    for gap in (40, 1e5, 3e38):
        pool = pool_of(np.float32([gap, 0.25, 0, -gap / 4]), copies=500)
        picks = ConditionalPoisson(pool=4).choose(pool, 2)
        assert (picks.columns[:, 0] == 0).all()
        assert set(picks.columns[:, 1]) >= {1, 2}
        assert (picks.log_probs[:, 0] <= 0).all()
        np.testing.assert_allclose(picks.log_probs[:, 0], 0, atol=1e-12)
    # Even where the temperature leaves no other row a chance, all that are asked for are drawn.
    frozen = ConditionalPoisson(pool=4, temperature=1e-300)
    picks = frozen.choose(pool_of([3.0, 2.0, 1.0, 1.0], copies=9), 2)
    assert not np.isnan(picks.log_probs).any()
    assert (picks.columns[:, 0] == 0).all()
    assert (picks.columns[:, 1] > 0).all()


def test_pools_with_no_more_than_asked_for_are_returned_whole():
    scores = [[0.9, 0.5, 0.1, 0.0], [0.9, 0.5, 0.1, 0.0]]
    rows = [[0, 1, -1, -1], [-1, -1, -1, -1]]
    found = nm.mine_candidates(scores, rows, num_negatives=3, strategy="conditional-poisson:pool=4")
    assert found.indices.tolist() == [[0, 1, -1], [-1, -1, -1]]
    assert_same_bits(found.log_probs, np.array([[0, 0, np.nan], [np.nan] * 3]))


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_candidates_and_corpus_agree(metric):
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(30, 9)), rng.normal(size=(400, 9))
    ask = {"num_negatives": 7, "strategy": "conditional-poisson:pool=50,temperature=0.1", "seed": 5}
    mined = nm.mine(queries, corpus, metric=metric, **ask)
    chosen = nm.mine_candidates(*nm.topk(queries, corpus, 60, metric=metric), **ask)
    assert_same_table(chosen, mined)
    assert_same_bits(chosen.log_probs, mined.log_probs)


def test_bad_parameters_are_refused():
    for text in ("temperature=0", "temperature=-1", "temperature=nan"):
        with pytest.raises(ValueError, match="conditional-poisson.temperature"):
            nm.strategies.parse(f"conditional-poisson:pool=9,{text}")
    with pytest.raises(ValueError, match="num_negatives: 5 do not fit"):
        nm.mine(np.eye(9), np.eye(9), num_negatives=5, strategy="conditional-poisson:pool=4")


# --- leverage -------------------------------------------------------------------------------------

POINTS = [3.5, 2.0, 1.0, -1.5, -2.25]  # best first for the query 1, and no two distances equal


def of_points(points, drawn=2, seed=0, **more):
    """Draw from a line, where leverage is x² / Σ x²."""
    queries, corpus = np.ones((DRAWS, 1)), np.array(points)[:, None]
    keywords = {"strategy": "leverage:pool=5", "metric": "ip", "seed": seed, **more}
    return nm.mine(queries, corpus, num_negatives=drawn, **keywords)


def inclusion_of_points(points, drawn=2):
    squares = [Fraction(x) ** 2 for x in points]
    return [drawn * square / sum(squares) for square in squares]


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_leverage(seed):
    found = of_points(POINTS, seed=seed)
    inclusion = inclusion_of_points(POINTS)
    assert max(inclusion) < 1
    assert_set_law(count_sets(found.indices, 5), by_neighbours(inclusion, POINTS))
    exact = np.array([float(p) for p in inclusion])
    np.testing.assert_allclose(np.exp(found.log_probs), exact[found.indices], rtol=1e-13)


def test_other_laws_are_refused_as_leverage():
    """Points a little off, equal chances, and fights in random order."""
    law = by_neighbours(inclusion_of_points(POINTS), POINTS)
    off = of_points([3.5, 2.1, 1.0, -1.5, -2.25])
    assert rejects(assert_set_law, count_sets(off.indices, 5), law)
    equal = nm.sampling.local_pivotal(np.full((DRAWS, 5), 0.4), np.array(POINTS)[:, None])
    assert rejects(assert_set_law, count_sets(equal, 5), law)
    inclusion = np.array(inclusion_of_points(POINTS), float)
    shuffled = nm.sampling.pivotal(np.tile(inclusion, (DRAWS, 1)))
    assert rejects(assert_set_law, count_sets(shuffled, 5), law)
    assert_set_law(count_sets(shuffled, 5), in_random_order(inclusion_of_points(POINTS)))


def test_rows_that_would_exceed_one_are_always_drawn():
    found = of_points([10.0, 2.0, 1.0, -1.0])
    assert (found.indices[:, 0] == 0).all()
    np.testing.assert_allclose(found.log_probs[:, 0], 0, atol=1e-15)
    chances = np.array([1, 4 / 6, 1 / 6, 1 / 6])
    np.testing.assert_allclose(np.exp(found.log_probs), chances[found.indices], rtol=1e-12)


def test_a_row_of_zeros_is_never_drawn():
    found = of_points([2.0, 1.0, 0.0, -3.0], drawn=4)
    assert (found.indices == [[0, 1, 3, -1]]).all()


def test_copies_are_seldom_drawn_together():
    """Four clusters of three, four draws: always one of each."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(4, 3)) * 5, 3, axis=0)
    corpus = centres + rng.normal(size=(12, 3)) * 1e-3
    ask = {"num_negatives": 4, "strategy": "leverage:pool=12"}
    found = nm.mine(rng.normal(size=(500, 3)), corpus, **ask)
    mean = np.bincount(found.indices.ravel() // 3, minlength=4) / 500
    np.testing.assert_allclose(mean.sum(), 4)
    pairs = np.array([len(set(row)) for row in (found.indices // 3).tolist()])
    by_chance = np.array([len(set(rng.choice(12, 4, replace=False) // 3)) for _ in range(500)])
    assert pairs.mean() > by_chance.mean() + 0.5


def test_leverage_needs_the_vectors():
    with pytest.raises(ValueError, match="strategy 'leverage': needs the embeddings"):
        nm.mine_candidates([[0.5]], [[0]], num_negatives=1, strategy="leverage:pool=5")
