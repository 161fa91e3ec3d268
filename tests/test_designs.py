# SPDX-License-Identifier: Apache-2.0
"""Designs of fixed size: the probability of every set, by enumeration, and their bits.

The laws are worked out a second time in `laws.py`, from their definitions and in fractions: every
set of up to six items. Samples of ten fixed seeds must follow them, and each test must refuse
samples of another design or of a slightly biased one.
"""

import math
from fractions import Fraction
from itertools import count

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import (
    DRAWS,
    SEEDS,
    as_set,
    assert_set_law,
    by_neighbours,
    conditional_poisson_law,
    count_sets,
    fight,
    in_order,
    in_random_order,
    marginals,
)
from nearmiss import _core
from nearmiss.designs import (
    conditional_poisson,
    conditional_poisson_inclusion,
    conditional_poisson_weights,
    inclusion_probabilities,
    leverage_scores,
    local_pivotal,
    pivotal,
)

# --- the laws themselves --------------------------------------------------------------------------


def repeated(row, draws=DRAWS):
    return np.tile(np.asarray(row, np.float64), (draws, 1))


def test_the_reference_laws_have_the_worked_numbers():
    law = conditional_poisson_law([1, 2, 3], 2)
    assert law == {0b011: Fraction(2, 11), 0b101: Fraction(3, 11), 0b110: Fraction(6, 11)}
    (won, _, _), _ = fight(Fraction(3, 10), Fraction(4, 10))
    assert won == Fraction(3, 7)  # .428571
    (won, _, left), _ = fight(Fraction(7, 10), Fraction(8, 10))
    assert (won, left) == (Fraction(4, 10), Fraction(5, 10))
    inclusion = [Fraction(k, 8) for k in (1, 3, 4, 5, 3)]
    for law in (in_order(inclusion), in_random_order(inclusion), by_neighbours(inclusion, PLACES)):
        assert marginals(law, 5) == inclusion
        assert {bin(key).count("1") for key, p in law.items() if p} == {2}


# --- inclusion probabilities proportional to size -------------------------------------------------


def proportional(weights, n):
    """Return what `inclusion_probabilities` is defined to be, in fractions."""
    weights = [Fraction(w) for w in weights]
    certain = set()
    while True:
        rest = sum(w for j, w in enumerate(weights) if j not in certain)
        if not rest:
            return [Fraction(j in certain) for j in range(len(weights))]
        share = (n - len(certain)) / rest
        more = {j for j, w in enumerate(weights) if j not in certain and w and share * w >= 1}
        if not more:
            return [Fraction(1) if j in certain else share * w for j, w in enumerate(weights)]
        certain |= more


def test_inclusion_probabilities_by_hand():
    found = inclusion_probabilities([[8.0, 1, 1, 0], [1, 1, 1, 1], [0, 5, 0, 0]], [2, 3, 1])
    assert found.tolist() == [[1, 0.5, 0.5, 0], [0.75] * 4, [0, 1, 0, 0]]
    # The second largest exceeds 1 only once the largest is taken out.
    assert inclusion_probabilities([[100.0, 6, 2, 2]], 3).tolist() == [[1, 1, 0.5, 0.5]]
    assert inclusion_probabilities([[1.0, 2.0]], 0).tolist() == [[0, 0]]
    assert inclusion_probabilities([[3.0, 0.0, 2.0]], 2).tolist() == [[1, 0, 1]]


def test_inclusion_probabilities_of_weights_far_apart():
    found = inclusion_probabilities([[1e308, 1e308, 1e-300, 2e-300, 5e-324]], 3)
    np.testing.assert_allclose(found[0], [1, 1, 1 / 3, 2 / 3, 0], rtol=1e-15, atol=1e-20)
    assert inclusion_probabilities([[1e308] * 4], 2).tolist() == [[0.5] * 4]


@given(
    st.lists(
        st.one_of(st.just(0.0), st.floats(1e-6, 1e6), st.integers(1, 4).map(float)),
        min_size=1,
        max_size=9,
    ),
    st.integers(0, 9),
)
def test_inclusion_probabilities_equal_their_definition(weights, n):
    n = min(n, sum(w > 0 for w in weights))
    found = inclusion_probabilities([weights], n)[0]
    expected = np.array([float(p) for p in proportional(weights, n)])
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found.max(initial=0) <= 1
    assert math.isclose(math.fsum(found), n, rel_tol=1e-15 * len(weights))


# --- conditional Poisson sampling -----------------------------------------------------------------


def test_conditional_poisson_worked_numbers():
    inclusion = conditional_poisson_inclusion(np.log([[1.0, 2, 3]]), 2)
    np.testing.assert_allclose(inclusion, [[0.454545, 0.727273, 0.818182]], atol=5e-7)
    p = np.array([[0.5, 0.3, 0.2]])
    inclusion = conditional_poisson_inclusion(np.log(p / (1 - p)), 2)
    np.testing.assert_allclose(inclusion, [[0.863636, 0.681818, 0.454545]], atol=5e-7)
    indices, log_probabilities = conditional_poisson(np.log(repeated([1, 2, 3], 100)), 2)
    expected = {(0, 1): 2 / 11, (0, 2): 3 / 11, (1, 2): 6 / 11}
    chances = [expected[tuple(row)] for row in indices.tolist()]
    np.testing.assert_allclose(np.exp(log_probabilities), chances, rtol=1e-14)


POOLS = [
    ((1, 2, 3), 2),
    ((4, 1, 1, 1, 9), 1),
    ((4, 1, 1, 1, 9), 4),
    ((8, 5, 1, 2, 3, 1), 3),
    ((1, 1, 1, 1), 2),
    ((5,), 1),
]


@pytest.mark.parametrize(("weights", "n"), POOLS)
@pytest.mark.parametrize("seed", SEEDS)
def test_conditional_poisson_law(weights, n, seed):
    indices, _ = conditional_poisson(np.log(repeated(weights)), n, seed)
    assert_set_law(count_sets(indices, len(weights)), conditional_poisson_law(weights, n))


def test_successive_draws_are_refused_as_conditional_poisson():
    """The control: Gumbel-top-k (Plackett-Luce) with the same weights is another design."""
    rng = np.random.default_rng(0)
    for weights, n in [((1, 2, 3), 2), ((8, 5, 1, 2, 3, 1), 3)]:
        keys = np.log(weights) + rng.gumbel(size=(DRAWS, len(weights)))
        sets = np.sort(np.argsort(-keys, axis=1)[:, :n], axis=1)
        law = conditional_poisson_law(weights, n)
        assert rejects(assert_set_law, count_sets(sets, len(weights)), law)
    # And one weight a tenth too large.
    biased, _ = conditional_poisson(np.log(repeated([8, 5, 1, 2, 3.3, 1])), 3)
    assert rejects(assert_set_law, count_sets(biased, 6), law)


def test_the_two_designs_differ_as_worked_out():
    """Plackett-Luce of p = (.5, .3, .2) includes with (.839286, .675, .485714)."""
    p = np.array([0.5, 0.3, 0.2])
    successive = [
        p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(3) if j != i) for i in range(3)
    ]
    np.testing.assert_allclose(successive, [0.839286, 0.675, 0.485714], atol=5e-7)
    found = conditional_poisson_inclusion(np.log(p / (1 - p))[None], 2)[0]
    assert np.abs(found - successive).max() > 0.02


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=6), st.data())
def test_conditional_poisson_inclusion_and_probabilities_equal_enumeration(weights, data):
    n = data.draw(st.integers(0, len(weights)))
    law = conditional_poisson_law(weights, n)
    log_weights = np.log([np.array(weights, float)])
    found = conditional_poisson_inclusion(log_weights, n)[0]
    exact = [float(p) for p in marginals(law, len(weights))]
    np.testing.assert_allclose(found, exact, rtol=1e-13)
    indices, log_probability = conditional_poisson(
        log_weights, n, seed=data.draw(st.integers(0, 9))
    )
    chance = law[as_set(indices[0].tolist())]
    assert math.isclose(log_probability[0], math.log(chance), abs_tol=1e-12)


def test_conditional_poisson_of_weights_far_apart():
    for scale in (1e3, 1e150, 8e307):
        log_weights = scale * np.array([[1, 1, -1, -2, 0.5]])
        assert conditional_poisson_inclusion(log_weights, 3).tolist() == [[1, 1, 0, 0, 1]]
        indices, log_probabilities = conditional_poisson(log_weights, 3)
        assert indices.tolist() == [[0, 1, 4]]
        assert log_probabilities.tolist() == [0.0]
    # Between the far ones, the others keep their odds.
    log_weights = np.log([[1.0, 2, 3, 1, 1]]) + np.array([0, 0, 0, 900, -900])
    found = conditional_poisson_inclusion(log_weights, 3)
    np.testing.assert_allclose(found, [[5 / 11, 8 / 11, 9 / 11, 1, 0]], rtol=1e-13)


def test_conditional_poisson_ignores_a_common_factor():
    rng = np.random.default_rng(1)
    log_weights = rng.integers(-40, 40, size=(50, 20)) / 8.0
    base = conditional_poisson(log_weights, 7, seed=3)
    for shift in (-3.0, 1024.0, 2.0**40):
        found = conditional_poisson(log_weights + shift, 7, seed=3)
        assert_same_bits(found.indices, base.indices)
        assert_same_bits(found.log_probabilities, base.log_probabilities)


def test_conditional_poisson_of_certain_and_impossible_items():
    """Odds of probability 1 are infinite: always drawn, and no clipping is needed (cpsbs)."""
    row = [math.inf, 0.0, -math.inf, math.log(2), math.log(3)]
    log_weights = repeated(row, 4000)
    np.testing.assert_allclose(
        conditional_poisson_inclusion(log_weights[:1], 3), [[1, 5 / 11, 0, 8 / 11, 9 / 11]]
    )
    indices, log_probabilities = conditional_poisson(log_weights, 3)
    assert (indices[:, 0] == 0).all()
    law = {
        key << 1 & 0b10 | (key >> 1) << 3 | 1: p
        for key, p in conditional_poisson_law([1, 2, 3], 2).items()
    }
    assert_set_law(count_sets(indices, 5), law)
    chances = [math.log(law[as_set(columns)]) for columns in indices.tolist()]
    np.testing.assert_allclose(log_probabilities, chances, atol=1e-13)
    assert conditional_poisson([row], 1).indices.tolist() == [[0]]
    assert conditional_poisson([row], 4).indices.tolist() == [[0, 1, 3, 4]]


def test_conditional_poisson_of_rows_with_sizes_of_their_own():
    log_weights = np.zeros((4, 3))
    log_weights[0] = -math.inf
    found = conditional_poisson(log_weights, [0, 3, 1, 2])
    assert found.indices.shape == (4, 3)
    assert (found.indices >= 0).sum(axis=1).tolist() == [0, 3, 1, 2]
    assert found.indices[1].tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.exp(found.log_probabilities), [1, 1, 1 / 3, 1 / 3])
    inclusion = conditional_poisson_inclusion(log_weights, [0, 3, 1, 2])
    np.testing.assert_allclose(inclusion.sum(axis=1), [0, 3, 1, 2])


def test_large_pools_add_up_and_follow_their_inclusion():
    rng = np.random.default_rng(2)
    log_weights = rng.normal(size=(1, 300)) * 2
    inclusion = conditional_poisson_inclusion(log_weights, 40)[0]
    assert math.isclose(math.fsum(inclusion), 40, rel_tol=1e-13)
    indices, _ = conditional_poisson(repeated(log_weights[0], 4000), 40, seed=1)
    counts = np.bincount(indices.ravel(), minlength=300)
    # Standard deviations of counts of (nearly) independent draws: 5 of them, once and for all.
    off = (counts - 4000 * inclusion) / np.sqrt(4000 * inclusion * (1 - inclusion))
    assert np.abs(off).max() < 5
    assert 0.8 < off.std() < 1.2


def test_horvitz_thompson_estimates_are_unbiased():
    rng = np.random.default_rng(3)
    values, log_weights = rng.normal(size=12) + 3, rng.normal(size=12)
    inclusion = conditional_poisson_inclusion(log_weights[None], 5)[0]
    indices, _ = conditional_poisson(repeated(log_weights), 5, seed=2)
    estimates = (values / inclusion)[indices].sum(axis=1)
    error = estimates.std() / math.sqrt(DRAWS)
    assert abs(estimates.mean() - values.sum()) < 4 * error
    unweighted = values[indices].sum(axis=1) * 12 / 5
    assert abs(unweighted.mean() - values.sum()) > 10 * error


# --- weights for given inclusion probabilities ----------------------------------------------------


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=12), st.data())
def test_weights_give_the_inclusion_probabilities_asked_for(sizes, data):
    n = data.draw(st.integers(1, len(sizes)))
    wanted = inclusion_probabilities([np.array(sizes, float)], n)
    log_weights = conditional_poisson_weights(wanted)
    found = conditional_poisson_inclusion(log_weights, n)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-14)
    finite = log_weights[np.isfinite(log_weights)]
    assert abs(finite.sum()) <= 1e-9 * max(1, np.abs(finite).max(initial=0))


@pytest.mark.parametrize(("items", "n", "spread"), [(200, 15, 2), (200, 150, 3), (1000, 30, 4)])
def test_weights_of_large_pools(items, n, spread):
    log_weights = np.random.default_rng(4).normal(size=(3, items)) * spread
    wanted = conditional_poisson_inclusion(log_weights, n)
    found = conditional_poisson_weights(wanted)
    np.testing.assert_allclose(conditional_poisson_inclusion(found, n), wanted, rtol=1e-9)
    centred = log_weights - log_weights.mean(axis=1, keepdims=True)
    clear = wanted < 1 - 1e-7  # elsewhere rounding of 1 - p shows
    np.testing.assert_allclose(
        (found - found[:, :1])[clear], (centred - centred[:, :1])[clear], atol=1e-6
    )


def test_weights_of_rounded_certain_and_impossible_probabilities():
    wanted = np.array([[0.5, 0.25, 0.25, 0, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    log_weights = conditional_poisson_weights(wanted)
    assert log_weights[1:].tolist() == [
        [math.inf, -math.inf, math.inf, -math.inf, -math.inf],
        [-math.inf] * 5,
    ]
    # Draws of one item have their probabilities as weights.
    np.testing.assert_allclose(np.diff(log_weights[0, :3]), [math.log(0.5), 0], atol=1e-12)
    assert log_weights[0, 3:].tolist() == [-math.inf, math.inf]
    # float32 sums to an integer only nearly; what is left out is shared by all.
    single = np.float32([[0.1, 0.3, 0.7, 0.9]])
    inclusion = conditional_poisson_inclusion(conditional_poisson_weights(single), 2)
    np.testing.assert_allclose(inclusion, single, atol=1e-7)


@pytest.mark.parametrize("tiny", [1e-7, 1e-12, 1e-17, 1e-300])
def test_weights_of_nearly_certain_and_nearly_impossible_items(tiny):
    half = 0.5 + tiny / 2
    wanted = np.array([[1 - tiny, tiny, 0.5, 0.5], [1, tiny, 0, 0], [1 - tiny, 1, half, half]])
    log_weights = conditional_poisson_weights(wanted)
    found = conditional_poisson_inclusion(log_weights, [2, 1, 3])
    # The second row has no integer sum, and what is missing is within the tolerance of 1e-6.
    np.testing.assert_allclose(found, wanted, atol=max(1e-11, 1.1 * tiny))
    np.testing.assert_allclose(found[[0, 2]], wanted[[0, 2]], atol=1e-14)


# --- pivotal sampling -----------------------------------------------------------------------------

EIGHTHS = [
    [1, 3, 4, 5, 3],  # sums to 2
    [3, 3, 3, 3, 2, 2],  # 2
    [7, 6, 6, 5],  # 3
    [2, 3],  # no integer: 5/8
    [6, 6, 0, 8, 3],  # no integer, with decided ones: 2 7/8
]
PLACES = [0.0, 1.0, 3.0, 3.0, 9.0]


@pytest.mark.parametrize("eighths", EIGHTHS, ids=str)
@pytest.mark.parametrize("seed", SEEDS)
def test_pivotal_laws(eighths, seed):
    inclusion = [Fraction(k, 8) for k in eighths]
    laws = {"given": in_order(inclusion), "random": in_random_order(inclusion)}
    for order, law in laws.items():
        indices = pivotal(repeated(inclusion), seed, order=order)
        assert indices.shape[1] == math.ceil(sum(inclusion))
        assert_set_law(count_sets(indices, len(eighths)), law)


@pytest.mark.parametrize("seed", SEEDS)
def test_local_pivotal_law(seed):
    for eighths, points in [
        ([1, 3, 4, 5, 3], PLACES),
        ([3, 3, 3, 3, 2, 2], [5, 1, 1.5, 40, 5.25, 0]),
        ([4, 4, 4, 4], [7, 7, 7, 7]),  # all ties: the lowest column
        ([2, 3], [0, 1]),
    ]:
        inclusion = [Fraction(k, 8) for k in eighths]
        indices = local_pivotal(repeated(inclusion), np.array(points, float)[:, None], seed)
        law = by_neighbours(inclusion, points)
        assert_set_law(count_sets(indices, len(eighths)), law)


def test_other_designs_with_the_same_inclusion_are_refused_as_pivotal():
    """The controls: only the sets differ, no item's chance does."""
    inclusion = [Fraction(k, 8) for k in (1, 3, 4, 5, 3)]
    in_columns = count_sets(pivotal(repeated(inclusion), order="given"), 5)
    shuffled = count_sets(pivotal(repeated(inclusion)), 5)
    local = count_sets(local_pivotal(repeated(inclusion), np.array(PLACES)[:, None]), 5)
    log_weights = conditional_poisson_weights(repeated(inclusion, 1))
    entropic = count_sets(conditional_poisson(repeated(log_weights[0]), 2).indices, 5)
    for law, others in [
        (in_order(inclusion), (shuffled, local, entropic)),
        (in_random_order(inclusion), (in_columns, local, entropic)),
        (by_neighbours(inclusion, PLACES), (in_columns, shuffled, entropic)),
    ]:
        for counts in others:
            assert rejects(assert_set_law, counts, law)


def test_biased_fights_are_refused():
    """The control: an item that is a hundredth too likely."""
    inclusion = [Fraction(k, 8) for k in (1, 3, 4, 5, 3)]
    biased = np.array(inclusion, float) + np.array([0.02, -0.02, 0, 0, 0])
    for order, law in [("given", in_order(inclusion)), ("random", in_random_order(inclusion))]:
        counts = count_sets(pivotal(repeated(biased), order=order), 5)
        assert rejects(assert_set_law, counts, law)
    counts = count_sets(local_pivotal(repeated(biased), np.array(PLACES)[:, None]), 5)
    assert rejects(assert_set_law, counts, by_neighbours(inclusion, PLACES))


@pytest.mark.parametrize("draw", ["given", "random", "local"])
@given(data=st.data())
def test_pivotal_sizes_are_fixed(draw, data):
    weights = data.draw(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
    n = data.draw(st.integers(0, len(weights)))
    inclusion = np.tile(inclusion_probabilities([weights], n), (8, 1))
    if data.draw(st.booleans()):
        inclusion = inclusion.astype(np.float32)  # sums to an integer only nearly
    points = np.arange(len(weights), dtype=float)[:, None] % 7
    indices = (
        local_pivotal(inclusion, points) if draw == "local" else pivotal(inclusion, order=draw)
    )
    assert indices.shape == (8, n)
    assert (indices >= 0).all()
    assert (indices < len(weights)).all()
    assert (np.diff(indices, axis=1) > 0).all()
    certain = np.flatnonzero(inclusion[0] == 1)
    assert all(set(certain) <= set(row) for row in indices.tolist())


@pytest.mark.parametrize("draw", ["given", "random", "local"])
def test_pivotal_inclusion_in_a_large_pool(draw):
    rng = np.random.default_rng(5)
    inclusion = inclusion_probabilities(rng.exponential(size=(1, 60)), 11)
    rows = repeated(inclusion[0], 5000)
    if draw == "local":
        indices = local_pivotal(rows, rng.normal(size=(60, 3)), seed=1)
    else:
        indices = pivotal(rows, seed=1, order=draw)
    counts = np.bincount(indices.ravel(), minlength=60)
    p = inclusion[0]
    off = (counts - 5000 * p)[p < 1] / np.sqrt(5000 * p * (1 - p))[p < 1]
    assert np.abs(off).max() < 4.5
    assert (counts[p == 1] == 5000).all()


def test_local_samples_are_spread():
    """On a 12 x 12 grid, counts per 4 x 4 cell vary less than those of independent draws."""
    x, y = np.divmod(np.arange(144), 12)
    grid = np.stack([x, y], axis=1).astype(np.float32)
    cells = (x // 4) * 3 + y // 4
    inclusion = np.full((2000, 144), 27 / 144)

    def variance(indices):
        counts = np.zeros((len(indices), 9))
        np.add.at(counts, (np.arange(len(indices))[:, None], cells[indices]), 1)
        return counts.var(axis=0).mean()

    independent = 16 * 27 / 144 * (1 - 27 / 144)  # 2.44
    assert variance(local_pivotal(inclusion, grid)) < 0.35 * independent
    # In random order neighbours play no part: only the fixed size takes a ninth away.
    assert 0.75 * independent < variance(pivotal(inclusion)) < independent


def test_columns_in_order_are_spread_over_the_row():
    """Among 4 equal columns of chance 1/2, one of the first two and one of the last are drawn."""
    indices = pivotal(np.full((500, 4), 0.5), order="given")
    assert set(map(tuple, indices.tolist())) == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_local_pivotal_of_candidates():
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(100, 5)).astype(np.float32)
    candidates = np.array([rng.permutation(100)[:12] for _ in range(40)])
    candidates[:, 10:] = -1
    inclusion = inclusion_probabilities(np.where(candidates >= 0, rng.random((40, 12)), 0), 4)
    found = local_pivotal(inclusion, vectors, candidates=candidates, seed=9)
    assert found.max() < 10
    for row in range(40):
        alone = local_pivotal(
            inclusion[row : row + 1, :10],
            vectors[candidates[row, :10]],
            seed=9,
            query_ids=[row],
        )
        assert_same_bits(alone[0], found[row])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "uint8"])
def test_local_pivotal_takes_every_element_type(dtype):
    vectors = np.random.default_rng(7).integers(0, 100, size=(30, 9))  # exact in all of them
    inclusion = np.full((20, 30), 0.2)
    expected = local_pivotal(inclusion, vectors.astype(np.float32))
    assert_same_bits(local_pivotal(inclusion, vectors.astype(dtype)), expected)


# --- what draws depend on -------------------------------------------------------------------------

RNG = np.random.default_rng(8)
LOG_WEIGHTS = RNG.normal(size=(70, 30))
INCLUSION = inclusion_probabilities(np.exp(LOG_WEIGHTS), 6)
VECTORS = RNG.normal(size=(30, 4)).astype(np.float32)
SAMPLERS = {
    "conditional_poisson": lambda rows, **more: (
        conditional_poisson(LOG_WEIGHTS[rows], 6, **more).indices
    ),
    "pivotal": lambda rows, **more: pivotal(INCLUSION[rows], **more),
    "pivotal_given": lambda rows, **more: pivotal(INCLUSION[rows], order="given", **more),
    "local_pivotal": lambda rows, **more: local_pivotal(INCLUSION[rows], VECTORS, **more),
}
every_sampler = pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS.keys())


@every_sampler
def test_draws_are_the_same_for_any_batches_and_threads(sample, num_threads):
    ids = 2**40 + RNG.permutation(1000)[:70]
    whole = sample(np.arange(70), query_ids=ids, seed=3, epoch=2, num_threads=1)
    assert whole.shape == (70, 6)
    for size in (1, 7, 70):
        parts = [
            sample(
                np.arange(start, min(start + size, 70)),
                query_ids=ids[start : start + size],
                seed=3,
                epoch=2,
                num_threads=num_threads,
            )
            for start in range(0, 70, size)
        ]
        assert_same_bits(np.concatenate(parts), whole)


@every_sampler
def test_seed_epoch_and_ids_each_change_the_draw(sample):
    rows = np.arange(70)
    base = sample(rows)
    assert_same_bits(sample(rows, query_ids=rows, seed=0, epoch=0), base)
    for change in ({"seed": 1}, {"epoch": 1}, {"query_ids": rows + 1}, {"seed": 2**64 - 1}):
        assert (sample(rows, **change) != base).any(axis=1).mean() > 0.5
    same = np.zeros(70, int)
    assert_same_bits(sample(same, query_ids=same), np.tile(sample(same[:1]), (70, 1)))


def draws_of(stream, query_id, seed, epoch):
    """Return bits(counter) of a query: stream numbers are part of `rng_scheme` 1."""
    one = np.ones(1, np.int64)

    def bits(counter):
        return int(_core.random_bits(seed, stream, epoch, one * query_id, one * counter)[0])

    return bits


def bounded(bits):
    """Return below(bound), uniform by multiplication with rejection (Lemire 2019)."""
    counter = count()

    def below(bound):
        while True:
            product = bits(next(counter)) * bound
            if product % 2**64 >= 2**64 % bound:
                return product >> 64

    return below


def test_the_layout_of_conditional_poisson_draws():
    """Column after column, by the draw whose counter is the column."""
    weights = [3, 1, 4, 1, 5, 9]
    found = conditional_poisson(np.log(repeated(weights, 30)), 3, seed=5, epoch=7)
    for row in range(30):
        bits = draws_of(32, row, seed=5, epoch=7)
        drawn = []
        for column in range(6):
            tail = conditional_poisson_law(weights[column:], 3 - len(drawn))
            chance = sum(p for key, p in tail.items() if key & 1)
            if Fraction(bits(column) >> 11, 2**53) < chance:
                drawn.append(column)
        assert found.indices[row].tolist() == drawn


def test_the_layout_of_pivotal_draws():
    """In units of 2^-62, one bounded draw for each fight."""
    one = 2**62
    found = pivotal(np.tile([0.375, 0.5, 0.75, 0.25, 0.125], (30, 1)), 5, order="given", epoch=7)
    for row in range(30):
        below = bounded(draws_of(33, row, seed=5, epoch=7))
        left, drawn = None, []
        for column, eighths in enumerate([3, 4, 6, 2, 1]):
            item = [column, eighths * (one // 8)]
            if left is None:
                left = item
                continue
            total = left[1] + item[1]
            if total < one:
                first = below(total) < left[1]
                winner, left = (left, item) if first else (item, left)
                left = [winner[0], total]
            else:
                first = below(2 * one - total) < one - item[1]
                winner, other = (left, item) if first else (item, left)
                drawn.append(winner[0])
                left = [other[0], total - one] if total > one else None
        assert left is None
        assert found[row].tolist() == sorted(drawn)


@every_sampler
def test_designs_draw_independently(sample):
    """No two rows, seeds or epochs share their draws: nothing but chance agreement."""
    same = np.zeros(4000, int)
    first = sample(same)
    member = np.zeros((4000, 30), bool)
    np.put_along_axis(member, first, True, axis=1)
    others = [np.roll(first, 1, axis=0), sample(same, seed=1), sample(same, epoch=1)]
    expected = (member.mean(axis=0) ** 2).sum()
    for other in others:
        overlap = np.take_along_axis(member, other, axis=1).sum(axis=1)
        assert abs(overlap.mean() - expected) < 5 * overlap.std() / math.sqrt(4000)


def test_local_pivotal_is_the_same_on_every_target(simd_target):
    inclusion = np.full((40, 50), 0.3)
    vectors = RNG.normal(size=(50, 37))
    results = []
    for target in nm.simd_targets():
        simd_target(target)
        results.append(local_pivotal(inclusion, vectors, seed=4))
    for other in results[1:]:
        assert_same_bits(other, results[0])


def test_no_rows_and_no_items():
    assert inclusion_probabilities(np.zeros((0, 5)), 3).shape == (0, 5)
    assert conditional_poisson(np.zeros((0, 5)), 3).indices.shape[0] == 0
    assert conditional_poisson(np.zeros((2, 0)), 0).indices.shape == (2, 0)
    assert conditional_poisson_inclusion(np.zeros((2, 0)), 0).shape == (2, 0)
    assert conditional_poisson_weights(np.zeros((2, 0))).shape == (2, 0)
    assert pivotal(np.zeros((0, 5))).shape[0] == 0
    assert pivotal(np.zeros((3, 0))).shape == (3, 0)
    assert local_pivotal(np.zeros((2, 3)), np.zeros((3, 1))).shape == (2, 0)


# --- bad input ------------------------------------------------------------------------------------

ROWS = np.full((5, 4), 0.5)


def changed(row, column, value):
    rows = ROWS.copy()
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inclusion_probabilities(changed(3, 1, -1.0), 2), "weights.*row 3, column 1.*-1"),
        (lambda: inclusion_probabilities(changed(3, 1, np.nan), 2), "weights.*row 3.*nan"),
        (lambda: inclusion_probabilities(changed(3, 1, np.inf), 2), "weights.*row 3.*inf"),
        (lambda: inclusion_probabilities(changed(3, 1, 0), [1, 2, 3, 4, 1]), "row 3 has 3 items"),
        (lambda: inclusion_probabilities(ROWS, 5), "row 0 has 4.*n = 5"),
        (lambda: inclusion_probabilities(ROWS, -1), "n: must be at least 0"),
        (lambda: inclusion_probabilities(ROWS, [1, 2]), "n: expected 5"),
        (lambda: inclusion_probabilities(ROWS, [1, 1, -2, 1, 1]), "n: row 2 is -2"),
        (lambda: inclusion_probabilities(ROWS[0], 2), "weights: expected shape"),
        (lambda: conditional_poisson(changed(2, 3, np.nan), 2), "log_weights.*row 2, column 3"),
        (lambda: conditional_poisson(changed(4, 3, -np.inf), 4), "log_weights.*row 4 has 3 items"),
        (lambda: conditional_poisson(np.full((2, 3), -np.inf), 1), "row 0 has 0 items"),
        (lambda: conditional_poisson(np.full((2, 3), np.inf), 1), "3 of them .inf; n = 1"),
        (lambda: conditional_poisson(ROWS, 2, query_ids=[1]), "query_ids: expected 5"),
        (lambda: conditional_poisson(ROWS, 2, seed=-1), "seed: must be at least 0"),
        (lambda: conditional_poisson(ROWS, 2, epoch=2**64), "epoch: must be at most"),
        (lambda: conditional_poisson_inclusion(ROWS, 5), "row 0 has 4 items"),
        (lambda: conditional_poisson_weights(changed(1, 0, 1.5)), "inclusion.*row 1, column 0"),
        (lambda: conditional_poisson_weights(changed(1, 0, 0.6)), "row 1 sums to 2.1.*integer"),
        (lambda: pivotal(changed(1, 2, -1e-9)), "inclusion.*row 1, column 2"),
        (lambda: pivotal(changed(1, 2, 1.0000001)), "inclusion.*row 1, column 2"),
        (lambda: pivotal(changed(1, 2, np.nan)), "inclusion.*row 1, column 2"),
        (lambda: pivotal(ROWS, order="sideways"), "order: expected one of"),
        (lambda: local_pivotal(ROWS, np.ones((3, 2))), "vectors: expected 4"),
        (lambda: local_pivotal(ROWS, np.full((4, 2), np.nan)), "vectors: row 0"),
        (
            lambda: local_pivotal(ROWS, np.ones((9, 2)), candidates=changed(2, 1, 9).astype(int)),
            "candidates: row 2, column 1 is 9",
        ),
        (
            lambda: local_pivotal(ROWS, np.ones((9, 2)), candidates=changed(2, 1, -1).astype(int)),
            "candidates: row 2, column 1 is -1.*not 0",
        ),
        (
            lambda: local_pivotal(ROWS, np.ones((9, 2)), candidates=np.zeros((5, 3), int)),
            "candidates: expected shape",
        ),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: inclusion_probabilities(ROWS, 1.5),
        lambda: inclusion_probabilities(ROWS, True),
        lambda: inclusion_probabilities(ROWS, [1.0] * 5),
        lambda: inclusion_probabilities([["a"]], 1),
        lambda: pivotal(ROWS > 0),
        lambda: pivotal(ROWS, seed=0.5),
        lambda: local_pivotal(ROWS, np.ones((9, 2)), candidates=ROWS),
    ],
)
def test_wrong_types_are_refused(call):
    with pytest.raises(TypeError):
        call()


# --- leverage scores ------------------------------------------------------------------------------


def leverage_by_pseudoinverse(rows):
    a = np.asarray(rows, np.float64)
    return np.diag(a @ np.linalg.pinv(a.T @ a, rcond=1e-12, hermitian=True) @ a.T)


def test_worked_leverage():
    """Copies share their leverage, a row alone in its direction has 1, a row of zeros none."""
    rows = [[3, 4, 0], [6, 8, 0], [0, 0, 5], [0, 0, 0], [6, 8, 0]]
    found = leverage_scores(rows)
    np.testing.assert_allclose(found, [[25 / 225, 100 / 225, 1, 0, 100 / 225]], rtol=1e-14)
    np.testing.assert_allclose(leverage_scores([[1.0], [2], [-2]]), [[1 / 9, 4 / 9, 4 / 9]])


@given(st.integers(0, 12), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_leverage_equals_its_definition(p, d, rank, seed):
    """Of any rank, with columns of very different length."""
    rng = np.random.default_rng(seed)
    rank = min(rank, d)
    vectors = (
        rng.integers(-3, 4, (20, rank))
        @ rng.integers(-3, 4, (rank, d))
        * 2.0 ** rng.integers(-2, 3, d)
    )
    candidates = rng.integers(-1, 20, (3, p))
    found = leverage_scores(vectors, candidates=candidates)
    for row, scores in zip(candidates, found, strict=True):
        kept = row[row >= 0]
        expected = leverage_by_pseudoinverse(vectors[kept]) if len(kept) else []
        np.testing.assert_allclose(scores[row >= 0], expected, atol=1e-8)
        assert (scores[row < 0] == 0).all()
        total = np.linalg.matrix_rank(vectors[kept], tol=1e-6) if len(kept) else 0
        assert math.isclose(scores.sum(), total, abs_tol=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


def test_independent_rows_no_more_than_dimensions_have_leverage_one():
    rng = np.random.default_rng(0)
    for scale in (1e-30, 1, 1e30):
        found = leverage_scores(rng.normal(size=(40, 64)) * scale)
        np.testing.assert_allclose(found, np.ones((1, 40)), atol=1e-13)


def test_leverage_does_not_depend_on_threads_batches_targets_or_types(simd_target):
    rng = np.random.default_rng(1)
    vectors = rng.integers(-9, 9, (300, 21)).astype(np.float32)
    candidates = rng.integers(-1, 300, (50, 33))
    base = leverage_scores(vectors, candidates=candidates, num_threads=1)
    for target in nm.simd_targets():
        simd_target(target)
        for threads in (1, 2, 7):
            found = leverage_scores(vectors, candidates=candidates, num_threads=threads)
            assert_same_bits(found, base)
    for part in (slice(0, 1), slice(7, 30), slice(None, None, -1)):
        assert_same_bits(leverage_scores(vectors, candidates=candidates[part]), base[part])
    for dtype in (np.float16, np.float64, np.int8):
        assert_same_bits(leverage_scores(vectors.astype(dtype), candidates=candidates), base)
    assert_same_bits(leverage_scores(vectors[::-1].copy()[::-1], candidates=candidates), base)
    assert leverage_scores(np.zeros((0, 3))).shape == (1, 0)


def test_leverage_of_what_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match="candidates: row 1, column 0 is 2; expected a row of"):
        leverage_scores([[1.0], [2]], candidates=[[0, 1], [2, 0]])
    with pytest.raises(ValueError, match="vectors: .*row 1"):
        leverage_scores([[1.0], [math.nan]])
    with pytest.raises(ValueError, match="candidates: row 0, column 1 is -2"):
        leverage_scores([[1.0], [2]], candidates=[[0, -2]])
