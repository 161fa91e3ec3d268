# SPDX-License-Identifier: Apache-2.0
"""Centroids over batches: the gate, the first ones, assignment and momentum by definition."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits
from nearmiss import _core

RNG = np.random.default_rng(5)
BATCH = RNG.normal(size=(40, 7)).astype(np.float32)


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


def test_a_batch_by_definition(num_threads):
    stream = nm.relations.StreamingCentroids(5, rate=0.25, seed=3, num_threads=num_threads)
    assert stream.centroids is None
    found = stream.update(BATCH)
    between = cosines(BATCH, BATCH)
    points = _core.Points(BATCH, "float32", "cosine")
    chosen = points.seed(1, "random", 0, 3).tolist()  # as KMeans(init="random", random_state=3)
    while len(chosen) < 5:
        others = [row for row in range(40) if row not in chosen]
        chosen.append(min(others, key=lambda row: between[chosen[-1], row]))
    scores = between[:, chosen]
    order = np.argsort(-scores, axis=1, kind="stable")
    assert found.labels.tolist() == order[:, 0].tolist()
    assert found.second.tolist() == order[:, 1].tolist()
    assert_same_bits(found.hard_negatives, BATCH[chosen][order[:, 1]])
    expected = BATCH[chosen].astype(np.float64)
    for c in set(found.labels.tolist()):
        total = BATCH[found.labels == c].astype(np.float64).sum(axis=0)
        expected[c] = 0.25 * total + 0.75 * expected[c]
    np.testing.assert_allclose(stream.centroids, expected, rtol=1e-6)


def test_clustering_begins_when_embeddings_have_spread():
    stream = nm.relations.StreamingCentroids(2, start_cosine=0.4)
    narrow = BATCH + 10
    assert stream.update(narrow) is None
    assert stream.centroids is None
    assert stream.update(BATCH) is not None
    assert stream.update(narrow) is not None, "once begun, it goes on"
    between = cosines(BATCH, BATCH)
    mean = (between.sum() - 40) / (40 * 39)
    for gap, begun in ((-1e-6, False), (1e-6, True)):
        again = nm.relations.StreamingCentroids(2, start_cosine=mean + gap)
        assert (again.update(BATCH) is not None) == begun


def test_rows_like_no_centroid():
    stream = nm.relations.StreamingCentroids(2, min_cosine=0.9, start_cosine=1.0, rate=1.0)
    first = stream.update([[1.0, 0.0], [0.0, 1.0]])
    assert sorted(first.labels.tolist()) == [0, 1]
    before = stream.centroids
    batch = stream.update([[1.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    assert batch.labels.tolist() == [-1, -1, -1]
    assert not batch.false_negatives().any()
    assert_same_bits(stream.centroids, before)
    near = stream.update([[1.0, 0.01], [1.0, 0.02], [1.0, 1.0]])
    assert near.labels[0] == near.labels[1] >= 0
    assert near.false_negatives().tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]


def test_second_nearest_agrees():
    stream = nm.relations.StreamingCentroids(4)
    stream.update(BATCH)
    before = stream.centroids
    found = stream.update(BATCH[::-1])
    assert_same_bits(
        found.second, nm.relations.second_nearest_centroids(BATCH[::-1], before), "second"
    )


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"num_clusters": 1}, ValueError, "num_clusters: must be at least 2"),
        ({"rate": 0.0}, ValueError, "rate"),
        ({"rate": 1.5}, ValueError, "rate"),
        ({"start_cosine": 2}, ValueError, "start_cosine"),
        ({"min_cosine": -2}, ValueError, "min_cosine"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        nm.relations.StreamingCentroids(**{"num_clusters": 2, **parameters})


def test_bad_batches_change_nothing():
    stream = nm.relations.StreamingCentroids(3)
    with pytest.raises(ValueError, match="at least 3 rows"):
        stream.update(BATCH[:2])
    stream.update(BATCH)
    before = stream.centroids
    for rows, message in (
        (BATCH[:, :5], "expected rows of 7 dimensions, got 5"),
        (BATCH[:0], "has no rows"),
        (np.zeros((2, 7)), "row 0 is zero"),
        (np.full((2, 7), np.nan), "row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            stream.update(rows)
    assert_same_bits(stream.centroids, before)
