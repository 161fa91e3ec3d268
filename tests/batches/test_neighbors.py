# SPDX-License-Identifier: Apache-2.0
"""Batches of neighbours, and the places that are each other's neighbours."""

import itertools
import math

import nearmiss as nm
import numpy as np
import pytest
from batch_plans import LEVEL, SEEDS, assert_batches
from compare import assert_law, assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.batches import Sample4Geo, great_circle_km, nearest_places
from nearmiss.batches.geography import _sine_cosine

# --- geography ------------------------------------------------------------------------------------


def test_distances_are_of_radians():
    """One degree along the equator, also across the date line."""
    a = [[0, 0], [0, 179.5], [0, 0], [90, 12]]
    b = [[0, 1], [0, -179.5], [0, 180], [-90, 77]]
    half = math.pi * 6371.0088
    expected = [half / 180, half / 180, half, half]
    np.testing.assert_allclose(great_circle_km(a, b), expected, rtol=1e-12)
    assert round(great_circle_km([[0, 0]], [[0, 1]])[0], 4) == 111.1951


def test_nearest_is_nearest_not_so_many_radians_away():
    """6.3 degrees taken for radians are a whole turn, and would be the nearest of all."""
    assert nearest_places([[0, 0], [0, 6.3], [0, 1]], 2)[0].tolist() == [2, 1]


def test_nearest_across_the_date_line_and_the_pole():
    places = [[0, 179.9], [0, -179.9], [0, 178], [89.9, 0], [89.9, 180], [88, 0]]
    assert nearest_places(places, 1)[:, 0].tolist() == [1, 0, 0, 4, 3, 3]


def test_nearest_places_are_those_of_the_haversine_distance():
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(-90, 90, 300), rng.uniform(-180, 180, 300)], axis=1)
    places[150:] = places[:150] + rng.normal(0, 1e-3, (150, 2))  # a hundred metres away
    places[:, 0] = places[:, 0].clip(-90, 90)
    found = nearest_places(places, 20)
    for row in range(300):
        away = great_circle_km(np.repeat(places[row : row + 1], 300, axis=0), places)
        away[row] = np.inf
        np.testing.assert_allclose(away[found[row]], np.sort(away)[:20], atol=2e-3)


def test_equal_places_are_neighbours_in_row_order():
    assert nearest_places([[5, 5], [5, 5], [5, 5], [9, 9]], 3)[1].tolist() == [0, 2, 3]


def test_too_few_places():
    assert nearest_places([[5, 5], [6, 6]], 3).tolist() == [[1, -1, -1], [0, -1, -1]]
    assert nearest_places([[5, 5]], 2).tolist() == [[-1, -1]]
    assert nearest_places(np.empty((0, 2)), 2).shape == (0, 2)


def test_sines_of_sums_and_products():
    degrees = np.concatenate([np.linspace(-360, 360, 4801), [1e-9, -1e-300, 45, 90, 180, 270]])
    sine, cosine = _sine_cosine(degrees)
    np.testing.assert_allclose(sine, [math.sin(math.radians(x)) for x in degrees], atol=5e-16)
    np.testing.assert_allclose(cosine, [math.cos(math.radians(x)) for x in degrees], atol=5e-16)
    assert _sine_cosine(np.array([180.0]))[0][0] == 0


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([[91, 0]], "row 0 is"),
        ([[0, 0], [0, 361]], "row 1 is"),
        ([[0, float("nan")]], "row 0 is"),
        ([[0, 0, 0]], "expected latitude and longitude"),
    ],
)
def test_places_that_do_not_exist(places, message):
    with pytest.raises(ValueError, match=f"coordinates: .*{message}|coordinates: {message}"):
        nearest_places(places, 1)
    with pytest.raises(ValueError, match=message):
        great_circle_km(places, places)


def test_pairs_of_places_must_be_pairs():
    with pytest.raises(ValueError, match="b: expected 1 places"):
        great_circle_km([[0, 0]], [[0, 0], [1, 1]])


# --- Sample4Geo -----------------------------------------------------------------------------------


def ring(n, k):
    """Each row's neighbours on a ring, by turns to the right and to the left."""
    steps = [(j // 2 + 1) * (1 if j % 2 == 0 else -1) for j in range(k)]
    return (np.arange(n)[:, None] + steps) % n


def test_the_first_batch_holds_the_nearest_of_its_first_row():
    table = ring(2000, 128)
    for epoch in range(3):
        plan = Sample4Geo(table)
        batches = plan.batches(epoch)
        assert_batches(plan, batches)
        assert len(plan) == 2000 // 128
        assert (batches.sizes() == 128).all()
        assert len(batches.unplaced) == 2000 % 128
        first = batches[0]
        assert set(table[first[0], :32]) <= set(first)
        assert len(set(table[first[0], 32:]) & set(first[:65])) == 32


def test_tables_are_exchanged():
    plan = Sample4Geo([[1], [0], [3], [2]], 2, near=1, far=0, drop_last=False, seed=4)
    again = plan.with_neighbors([[2], [3], [0], [1]])
    assert (again.batch_size, again.near, again.drop_last, again.seed) == (2, 1, False, 4)
    assert sorted(sorted(rows.tolist()) for rows in again.batches()) == [[0, 2], [1, 3]]


def test_row_0_is_a_neighbour_like_any_other():
    batch = Sample4Geo([[1], [0], [3], [2]], 2, near=1, far=0).batches()
    assert sorted(sorted(rows.tolist()) for rows in batch) == [[0, 1], [2, 3]]


def test_neighbours_of_neighbours_do_not_follow():
    """On a path each row brings one neighbour and no more."""
    table = (np.arange(60)[:, None] + 1) % 60
    first = Sample4Geo(table, 6, near=1, far=0).batches()[0].tolist()
    assert first[1] == (first[0] + 1) % 60
    assert first[3] == (first[2] + 1) % 60 or (first[2] + 1) % 60 in first[:3]
    assert first[:4] != [(first[0] + step) % 60 for step in range(4)]


@given(st.data(), st.integers(1, 20), st.integers(0, 4), st.integers(1, 6), st.booleans())
def test_every_row_comes_once(data, n, k, batch_size, drop_last):
    flat = data.draw(st.lists(st.integers(-1, n - 1), min_size=n * k, max_size=n * k))
    table = np.array(flat, dtype=np.int64).reshape(n, k)
    plan = Sample4Geo(table, batch_size, near=1, far=2, drop_last=drop_last)
    batches = plan.batches(epoch=1)
    assert_batches(plan, batches)
    assert len(batches.unplaced) == (n % batch_size if drop_last else 0)


def test_without_neighbours_it_is_a_plain_shuffle():
    plan = Sample4Geo(np.full((50, 3), -1), 8, drop_last=False)
    expected = nm.batches.Shuffled(50, 8).batches(2)
    assert_same_bits(plan.batches(2).indices, expected.indices)
    assert_same_bits(Sample4Geo(np.empty((50, 0), int), 8).batches(2)[0], expected[0])


def far_pairs(seed, num_epochs):
    """Count which two of the neighbours 1 to 4 follow the first row as far ones, in which order."""
    table = np.array([(row + np.arange(1, 6)) % 7 for row in range(7)])
    plan = Sample4Geo(table, 4, near=1, far=2, seed=seed)
    drawn = []
    for epoch in range(num_epochs):
        first = plan.batches(epoch)[0]
        drawn.append(tuple((first[2:] - first[0]) % 7 - 2))
    return [drawn.count(pair) for pair in itertools.permutations(range(4), 2)]


@pytest.mark.parametrize("seed", SEEDS)
def test_far_neighbours_are_drawn_alike(seed):
    counts = far_pairs(seed, 2400)
    assert sum(counts) == 2400
    assert_law(counts, np.full(12, 200.0), LEVEL)
    nearer_first = np.array([1.5, *[1] * 10, 0.5]) * 200
    assert rejects(assert_law, counts, nearer_first, LEVEL)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"neighbors": [[0], [2]]}, ValueError, "neighbors: row 1 holds 2"),
        ({"neighbors": [0, 1]}, ValueError, "neighbors: expected shape"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"near": -1}, ValueError, "near"),
        ({"far": 0.5}, TypeError, "far"),
        ({"drop_last": None}, TypeError, "drop_last"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        Sample4Geo(**{"neighbors": [[1], [0]], **arguments})
