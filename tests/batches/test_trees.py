# SPDX-License-Identifier: Apache-2.0
"""Balanced trees, against the same splits made one by one in numpy."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core
from nearmiss.batches import NGAME, balanced_two_means

TWO_MEANS = 102  # the core's stream of random numbers


class Draws:
    """Uniform integers as the core draws them (Lemire's method, without its rare redraw)."""

    def __init__(self, seed, node):
        self.seed, self.node, self.counter = seed, node, 0

    def below(self, bound):
        ids, counters = np.array([self.node]), np.array([self.counter])
        bits = int(_core.random_bits(self.seed, TWO_MEANS, 0, ids, counters)[0])
        self.counter += 1
        return bits * bound >> 64


def split(rows, units, draws):
    """Return both halves of some rows, ascending."""
    first = draws.below(len(rows))
    second = draws.below(len(rows) - 1)
    second += second >= first
    sums = [units[rows[first]], units[rows[second]]]
    similarity = -np.inf
    while True:
        centres = [s / np.linalg.norm(s) if np.linalg.norm(s) > 0 else 0 * s for s in sums]
        axis = (centres[1] - centres[0]).astype(np.float32).astype(np.float64)
        order = rows[np.lexsort((rows, units[rows] @ axis))]
        halves = np.sort(order[: len(rows) // 2]), np.sort(order[len(rows) // 2 :])
        sums = [units[half].sum(axis=0) for half in halves]
        now = sum(np.linalg.norm(s) for s in sums) / len(rows)
        if not now - similarity >= 1e-4:
            return halves
        similarity = now


def reference_leaves(vectors, depth, seed):
    vectors = np.asarray(vectors, np.float32).astype(np.float64)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nodes = [np.arange(len(vectors))]
    for _ in range(depth):
        numbered = enumerate(nodes, start=len(nodes))
        nodes = [half for node, rows in numbered for half in split(rows, units, Draws(seed, node))]
    leaves = np.empty(len(vectors), np.int64)
    for leaf, rows in enumerate(nodes):
        leaves[rows] = leaf
    return leaves


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "depth"), [(2, 1), (50, 2), (333, 4), (64, 6)])
def test_the_splits_are_those_of_the_method(n, depth, seed):
    vectors = np.random.default_rng(seed).normal(size=(n, 7)).astype(np.float32)
    assert_same_bits(
        balanced_two_means(vectors, 2**depth, seed), reference_leaves(vectors, depth, seed)
    )


@given(st.integers(1, 70), st.integers(0, 6), st.booleans(), st.integers(0, 3))
def test_nodes_of_a_level_differ_by_one_row(n, depth, equal, seed):
    """Also where rows are equal or opposite, so that nothing tells them apart or centres vanish."""
    if 2**depth > n:
        with pytest.raises(ValueError, match="num_leaves"):
            balanced_two_means(np.ones((n, 2)), 2**depth)
        return
    vectors = np.random.default_rng(n).normal(size=(n, 3))
    if equal:
        vectors = np.where(np.arange(n)[:, None] % 2 == 0, 1.0, -1.0) * [[1.0, 2.0, 2.0]]
    leaves = balanced_two_means(vectors, 2**depth, seed)
    for level in range(depth + 1):
        sizes = np.bincount(leaves >> (depth - level), minlength=2**level)
        assert len(sizes) == 2**level
        assert sizes.max() - sizes.min() <= 1


def test_equal_rows_are_split_by_row():
    assert balanced_two_means(np.ones((5, 3)), 2).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("target", nm.simd_targets())
def test_targets_and_threads_agree(simd_target, target, num_threads):
    vectors = np.random.default_rng(3).normal(size=(2500, 33)).astype(np.float32)
    simd_target("scalar")
    expected = balanced_two_means(vectors, 64, num_threads=1)
    simd_target(target)
    assert_same_bits(balanced_two_means(vectors, 64, num_threads=num_threads), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8"])
def test_element_types(dtype):
    vectors = np.random.default_rng(4).integers(-9, 10, (60, 5)).astype(np.float32) + 0
    vectors[:, 0] = 3
    expected = balanced_two_means(vectors, 8)
    assert_same_bits(balanced_two_means(vectors.astype(dtype), 8), expected)


def test_scale_does_not_matter():
    vectors = np.random.default_rng(5).normal(size=(100, 6)).astype(np.float32)
    scales = np.exp2(np.random.default_rng(6).integers(-30, 30, (100, 1))).astype(np.float32)
    assert_same_bits(balanced_two_means(vectors * scales, 16), balanced_two_means(vectors, 16))


def test_leaves_are_rounded_up_and_seeds_differ():
    vectors = np.random.default_rng(7).normal(size=(100, 6))
    assert balanced_two_means(vectors, 5).max() == 7
    assert (balanced_two_means(vectors, 16, 1) != balanced_two_means(vectors, 16, 2)).any()
    assert balanced_two_means(vectors, 1).tolist() == [0] * 100
    assert balanced_two_means(np.empty((0, 3)), 1).tolist() == []


def test_batches_of_a_tree_are_more_alike():
    """What NGAME promises: the larger its clusters, the more alike the rows of a batch."""
    rng = np.random.default_rng(8)
    vectors = rng.normal(size=(32, 16))[np.repeat(np.arange(32), 32)]
    vectors += rng.normal(0, 0.5, vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    leaves = balanced_two_means(vectors, 512)
    similarity = []
    for size in (1, 2, 4, 8, 16, 32):
        plan = NGAME(leaves, 32, curriculum=[(0, size)])
        similarity.append(np.mean([(vectors[b] @ vectors[b].T).mean() for b in plan.batches()]))
    assert similarity == sorted(similarity)
    assert len(set(similarity)) == 6


def test_progress_and_stopping():
    vectors = np.random.default_rng(9).normal(size=(3000, 8))
    seen = []
    balanced_two_means(vectors, 256, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        balanced_two_means(vectors, 256, progress=stop, num_threads=1)


@pytest.mark.parametrize(
    ("vectors", "num_leaves", "message"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], 2, "vectors: row 1 is zero"),
        ([[1.0, 0.0], [np.nan, 0.0]], 2, "vectors: row 1 has a NaN"),
        ([[1.0], [2.0], [3.0]], 3, "num_leaves: 3 makes 4 leaves, more than there are rows, 3"),
        ([[1.0]], 0, "num_leaves: must be at least 1"),
        ([1.0], 1, "vectors: expected a 2-dimensional array"),
    ],
)
def test_bad_input(vectors, num_leaves, message):
    with pytest.raises(ValueError, match=message):
        balanced_two_means(vectors, num_leaves)
