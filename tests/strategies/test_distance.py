# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by distance on the unit sphere: distance-weighted, PADS."""

import math

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from laws import SEEDS, assert_follows, draws_of, pool_of, successive
from nearmiss.strategies import PADS, DistanceWeighted, parse

#: (distance, log-weight) in 128 dimensions.
WORKED = [(0.5, 91.3702), (1.0, 17.9801), (1.4, -0.3115)]
UNIFORM = PADS(9, [1.0] * 29)


def scores_at(distances):
    return [1 - d * d / 2 for d in distances]


def corpus_of(dim):
    return nm.Corpus(np.ones((1, dim), np.float32))


def log_weights(strategy, scores, dim=128):
    return strategy.log_weights(pool_of(scores, corpus=corpus_of(dim)))[0]


def weights(strategy, distances):
    return np.exp(log_weights(strategy, scores_at(distances)))


# --- distance-weighted ----------------------------------------------------------------------------


def test_worked_log_weights():
    distances, expected = zip(*WORKED, strict=True)
    found = log_weights(DistanceWeighted(9), scores_at(distances))
    np.testing.assert_allclose(found, expected, atol=5e-5)


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 128])
def test_log_weights_equal_the_formula(dim):
    scores = np.linspace(0.999, -0.99, 57, dtype=np.float32)
    found = log_weights(DistanceWeighted(99), scores, dim)
    for score, log in zip(scores.tolist(), found.tolist(), strict=True):
        d = max(math.sqrt(2 - 2 * score), 0.5)
        expected = (2 - dim) * math.log(d) - (dim - 3) / 2 * math.log(1 - d * d / 4)
        assert math.isclose(log, expected, rel_tol=1e-9, abs_tol=1e-9)


def test_distances_below_the_cutoff_count_as_the_cutoff():
    near = log_weights(DistanceWeighted(9), [1.0, 0.95, 0.875, 0.87])
    assert near[0] == near[1] == near[2] > near[3]
    other = log_weights(DistanceWeighted(9, cutoff=1.0), scores_at([0.1, 0.9, 1.0]))
    np.testing.assert_allclose(other, [WORKED[1][1]] * 3, atol=5e-5)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 1024])
def test_opposite_rows_have_a_weight(dim):
    """The formula has a pole there."""
    opposite, next_to_it = log_weights(
        DistanceWeighted(9), [-1, np.nextafter(np.float32(-1), np.float32(0))], dim
    )
    assert np.isfinite(opposite)
    assert math.isclose(opposite, next_to_it, rel_tol=1e-6, abs_tol=1e-6)


def law_of_distances(distances=(0.9, 1.0, 1.1, 1.2), dim=9):
    """The inverse of the density of distances, from the paper."""
    return [1 / (d ** (dim - 2) * (1 - d * d / 4) ** ((dim - 3) / 2)) for d in distances]


def draw_distances(strategy, seed, dim=9, copies=20_000):
    pool = pool_of(scores_at((0.9, 1.0, 1.1, 1.2)), copies=copies, seed=seed, corpus=corpus_of(dim))
    return strategy.choose(pool, 2).columns


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_distance_weighted(seed):
    found = draw_distances(DistanceWeighted(9), seed)
    assert_follows(found, successive(law_of_distances(), 2))


def test_draws_of_another_dimension_are_refused():
    chances = successive(law_of_distances(), 2)
    for seed in SEEDS:
        assert rejects(assert_follows, draw_distances(DistanceWeighted(9), seed, 10), chances)


def test_the_dimension_is_that_of_the_corpus():
    rng = np.random.default_rng(0)
    corpus, queries = rng.normal(size=(40, 6)), rng.normal(size=(5, 6))
    found = nm.mine(queries, corpus, strategy=DistanceWeighted(40), num_negatives=1, seed=3)
    scores, rows = nm.topk(queries, corpus, 40)
    logs = np.array([log_weights(DistanceWeighted(40), row, 6) for row in scores])
    expected = nm.sampling.weighted(logs, 1, ids=rows, seed=3).indices
    assert_same_bits(found.indices, np.take_along_axis(rows, expected, axis=1))


# --- PADS -----------------------------------------------------------------------------------------


def test_bins_have_equal_width_and_keep_their_upper_edge():
    edges = np.linspace(0.1, 1.4, 30)
    middles = (edges[:-1] + edges[1:]) / 2
    ramp = PADS(40, np.arange(1.0, 30))
    np.testing.assert_allclose(weights(ramp, middles), np.arange(1, 30))
    just_below = weights(ramp, edges[1:] - 1e-4)
    np.testing.assert_allclose(just_below, np.arange(1, 30))
    np.testing.assert_allclose(weights(ramp, edges[:-1] + 1e-4), np.arange(1, 30))


def test_rows_outside_the_support_are_never_drawn():
    """The reference's test for them is "below 0.1 and above 1.4", which no distance is."""
    scores = scores_at((0.0, 0.09, 0.5, 1.41, 2.0))
    assert log_weights(UNIFORM, scores).tolist() == [-np.inf, -np.inf, 0, -np.inf, -np.inf]
    found = draws_of(UNIFORM, scores, np.nan, 2, 0, copies=100)
    assert_same_bits(found, np.tile([2, -1], (100, 1)))


def test_the_start_lies_on_distances_from_03_to_07():
    assert PADS(9).distribution is None
    found = weights(PADS(9), (0.2, 0.27, 0.3, 0.5, 0.68, 0.7, 1.2))
    np.testing.assert_allclose(found, [1e-15, 1e-15, 1, 1, 1, 1e-15, 1e-15])
    # Elsewhere only where there is nothing else.
    scores = scores_at((0.2, 0.5, 0.6, 1.0))
    assert set(draws_of(PADS(9), scores, np.nan, 2, 0, copies=500).ravel()) == {1, 2}
    assert (draws_of(PADS(9), scores, np.nan, 3, 0, copies=500)[:, 2] != 1).all()


def test_adjustments_multiply_and_stay_in_bounds():
    actions = np.ones(29)
    actions[:4] = 1.5, 0.5, 0, 1e300
    twice = UNIFORM.adjusted(actions).adjusted(actions)
    assert twice.distribution == (2.25, 0.25, 1e-25, 1e25, *[1.0] * 25)
    assert twice.pool == UNIFORM.pool
    assert UNIFORM.distribution == (1.0,) * 29
    started = PADS(9).adjusted(np.ones(29)).distribution
    assert set(started) == {1.0, 1e-15}
    assert [i for i, weight in enumerate(started) if weight == 1] == list(range(4, 13))
    assert parse(str(twice)) == twice


def test_a_constant_factor_changes_no_draw():
    scores = scores_at((0.3, 0.5, 0.8, 1.2))
    ramp = PADS(9, np.arange(1.0, 30))
    expected = draws_of(ramp, scores, np.nan, 2, 5, copies=2_000)
    found = draws_of(ramp.adjusted([8.0] * 29), scores, np.nan, 2, 5, copies=2_000)
    assert_same_bits(found, expected)


#: Two rows in bin 10 (0.548 to 0.593), one in bin 20 (0.997 to 1.041), one outside.
BINNED = scores_at((0.56, 0.58, 1.02, 1.5))
TWO_BINS = PADS(9, [2.0 if i == 10 else 3.0 if i == 20 else 0.0 for i in range(29)])


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_bins(seed):
    found = draws_of(TWO_BINS, BINNED, np.nan, 2, seed)
    assert_follows(found, successive((2, 2, 3, 0), 2))


def test_draws_of_other_bins_are_refused():
    chances = successive((2, 2, 3, 0), 2)
    off = TWO_BINS.adjusted([1.1 if i == 20 else 1 for i in range(29)])
    for seed in SEEDS:
        assert rejects(assert_follows, draws_of(off, BINNED, np.nan, 2, seed), chances)


def test_bad_distributions_and_actions_are_refused():
    with pytest.raises(ValueError, match=r"pads.distribution: expected 29 weights, got 28"):
        PADS(9, [1.0] * 28)
    with pytest.raises(ValueError, match=r"pads.distribution: must be at least 0"):
        PADS(9, [-1.0] * 29)
    with pytest.raises(ValueError, match=r"pads.distribution: expected at least one"):
        PADS(9, [0.0] * 29)
    with pytest.raises(ValueError, match=r"actions: expected 29"):
        UNIFORM.adjusted([1.0] * 30)
    for bad in (-0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"actions: .*for bin 3"):
            UNIFORM.adjusted([1.0] * 3 + [bad] + [1.0] * 25)


def test_vectors_and_cosines_are_needed():
    for strategy in (DistanceWeighted(9), PADS(9)):
        with pytest.raises(ValueError, match=f"{strategy.name}.*needs the embeddings"):
            nm.mine_candidates([[0.5]], [[0]], strategy=strategy, num_negatives=1)
        for metric in ("ip", "l2"):
            with pytest.raises(ValueError, match=f"{strategy.name}.* cosine, not '{metric}'"):
                nm.mine(np.eye(3), np.eye(3), strategy=strategy, metric=metric)
