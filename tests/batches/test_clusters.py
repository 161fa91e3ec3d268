# SPDX-License-Identifier: Apache-2.0
"""Batches of clusters: who may share a batch, and how often which cluster is drawn."""

import itertools

import nearmiss as nm
import numpy as np
import pytest
from batch_plans import LEVEL, SEEDS, assert_batches
from compare import assert_law, assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.batches import NGAME, NGAME_CURRICULUM, TasBalanced

labels_of_rows = st.lists(st.integers(0, 5), min_size=1, max_size=40)


# --- TAS-Balanced ---------------------------------------------------------------------------------


def test_a_batch_is_of_one_cluster_where_clusters_are_large():
    labels = np.repeat([3, 7, 9], [40, 50, 60])
    plan = TasBalanced(labels, 32)
    assert len(plan) == 4
    for epoch in range(5):
        batches = plan.batches(epoch)
        assert_batches(plan, batches)
        assert all(len(set(labels[batch])) == 1 and len(set(batch)) == 32 for batch in batches)


def test_shares_of_a_batch():
    labels = np.repeat(np.arange(6), 20)
    plan = TasBalanced(labels, 12, clusters_per_batch=3)
    for batch in plan.batches():
        assert sorted(np.bincount(labels[batch])[np.bincount(labels[batch]) > 0]) == [4, 4, 4]


def test_small_clusters_are_taken_whole():
    labels = np.repeat(np.arange(10), 3)
    for batch in TasBalanced(labels, 8).batches():
        counts = sorted(np.bincount(labels[batch]), reverse=True)
        assert counts[:3] == [3, 3, 2]


def test_clusters_have_another_turn_where_shares_do_not_fill_a_batch():
    labels = np.repeat([0, 1], [30, 2])
    for batch in TasBalanced(labels, 12, clusters_per_batch=4).batches():
        assert len(set(batch.tolist())) == 12
        assert np.bincount(labels[batch]).tolist() in ([10, 2], [12])


@given(labels_of_rows, st.data())
def test_no_row_is_twice_in_a_batch(labels, data):
    size = data.draw(st.integers(1, len(labels)))
    shares = data.draw(st.sampled_from([c for c in range(1, size + 1) if size % c == 0]))
    plan = TasBalanced(labels, size, clusters_per_batch=shares, num_batches=4)
    batches = plan.batches()
    assert_batches(plan, batches)
    assert all(len(set(batch.tolist())) == size for batch in batches)


def first_clusters(labels, num_batches, seed):
    """Count the clusters of batches of one row."""
    plan = TasBalanced(labels, 1, num_batches=num_batches, seed=seed)
    return np.bincount(np.asarray(labels)[plan.batches(epoch=seed).indices])


@pytest.mark.parametrize("seed", SEEDS)
def test_clusters_are_drawn_alike_whatever_their_size(seed):
    labels = np.repeat(np.arange(4), [1, 2, 7, 20])
    counts = first_clusters(labels, 4000, seed)
    assert_law(counts, np.full(4, 1000), LEVEL)
    by_size = np.array([1, 2, 7, 20]) / 30 * 4000
    assert rejects(assert_law, counts, by_size, LEVEL)


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_within_a_cluster_are_drawn_alike(seed):
    """Every set of two rows of a cluster of four; draws by place in the cluster would differ."""
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    plan = TasBalanced(labels, 2, num_batches=6000, seed=seed)
    pairs = [*itertools.combinations(range(4), 2), *itertools.combinations(range(4, 8), 2)]
    drawn = [tuple(sorted(batch.tolist())) for batch in plan.batches()]
    counts = [drawn.count(pair) for pair in pairs]
    assert sum(counts) == 6000
    assert_law(counts, np.full(12, 500.0), LEVEL)
    biased = np.array([1.3, *[1] * 5, 0.7, *[1] * 5]) * 500
    assert rejects(assert_law, counts, biased, LEVEL)


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_of_clusters_are_drawn_without_replacement(seed):
    labels = [0, 1, 2, 3]
    plan = TasBalanced(labels, 2, num_batches=6000, seed=seed)
    drawn = [tuple(batch.tolist()) for batch in plan.batches()]
    counts = [drawn.count(pair) for pair in itertools.permutations(range(4), 2)]
    assert sum(counts) == 6000
    assert_law(counts, np.full(12, 500.0), LEVEL)


@given(labels_of_rows, st.integers(1, 7), st.booleans(), st.integers(0, 2))
def test_all_rows_come_once(labels, batch_size, drop_last, epoch):
    plan = TasBalanced(labels, batch_size, coverage="all", drop_last=drop_last)
    batches = plan.batches(epoch)
    assert_batches(plan, batches)
    labels = np.asarray(labels)
    pure = sum(len(set(labels[b])) == 1 and len(b) == batch_size for b in batches)
    assert pure >= (np.bincount(labels) // batch_size).sum()
    assert (batches.sizes()[:-1] == batch_size).all()
    assert len(batches.unplaced) == (len(labels) % batch_size if drop_last else 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": [0, -1]}, ValueError, "labels: row 1 is -1"),
        ({"labels": [0.5, 1]}, TypeError, "labels: expected integers"),
        ({"batch_size": 0}, ValueError, "batch_size: must be at least 1"),
        ({"batch_size": 4}, ValueError, "batch_size: 4 is more than there are rows, 3"),
        ({"batch_size": 3, "clusters_per_batch": 2}, ValueError, "must divide batch_size, 3"),
        ({"clusters_per_batch": 3}, ValueError, "clusters_per_batch: must be at most 2"),
        ({"coverage": "subset"}, ValueError, "coverage: expected one of 'repeats', 'all'"),
        ({"coverage": "all", "num_batches": 3}, ValueError, "num_batches: has no meaning"),
        ({"coverage": "all", "clusters_per_batch": 2}, ValueError, "clusters_per_batch: has no"),
        ({"drop_last": True}, ValueError, "drop_last: has no meaning"),
        ({"num_batches": -1}, ValueError, "num_batches: must be at least 0"),
        ({"seed": 1.5}, TypeError, "seed"),
    ],
)
def test_bad_input_of_tas(arguments, error, message):
    with pytest.raises(error, match=message):
        TasBalanced(**{"labels": [0, 1, 1], "batch_size": 2, **arguments})


# --- NGAME ----------------------------------------------------------------------------------------


def test_the_curriculum_of_the_paper():
    plan = NGAME([0], 1)
    starts = [0, 9, 10, 19, 20, 24, 25, 49, 50, 75, 100, 125, 150, 199, 200, 500]
    sizes = [1, 1, 2, 2, 4, 4, 8, 8, 16, 32, 64, 128, 256, 256, 512, 512]
    assert [plan.cluster_size(epoch) for epoch in starts] == sizes
    assert NGAME_CURRICULUM[-1] == (200, 512)


def test_refresh():
    plan = NGAME([0, 1], 1)
    assert [epoch for epoch in range(30) if plan.refresh_due(epoch)] == [10, 15, 20, 25]
    again = plan.with_leaves([1, 0])
    assert again.leaves.tolist() == [1, 0]
    assert again.curriculum == plan.curriculum


def test_clusters_are_nodes_of_the_tree():
    """Sixteen rows, eight leaves of two: the tree is cut where it has ⌈16 / s⌉ nodes."""
    leaves = np.repeat(np.arange(8), 2)
    plan = NGAME(leaves, 4, curriculum=[(0, 1), (1, 2), (2, 3), (3, 4), (4, 8), (5, 16)])
    number = [len(set(plan.clusters(epoch).tolist())) for epoch in range(6)]
    assert number == [16, 8, 8, 4, 2, 1]  # 16 / 3 is rounded up to 8, a power of two
    assert_same_bits(plan.clusters(3), leaves // 2)


def test_leaves_are_not_split():
    plan = NGAME([0, 0, 0, 0, 1, 1, 1, 1], 4, curriculum=[(0, 2)])
    assert_same_bits(plan.clusters(0), plan.leaves)


@given(labels_of_rows, st.integers(1, 7), st.booleans(), st.integers(0, 30))
def test_an_epoch_is_a_bijection_with_clusters_together(leaves, batch_size, drop_last, epoch):
    plan = NGAME(leaves, batch_size, drop_last=drop_last)
    batches = plan.batches(epoch)
    assert_batches(plan, batches)
    assert len(batches.unplaced) == (len(leaves) % batch_size if drop_last else 0)
    order = plan.clusters(epoch)[batches.indices]
    assert (np.diff(order) != 0).sum() == max(0, len(set(order.tolist())) - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_orders_of_clusters_and_of_their_rows_are_drawn_alike(seed):
    plan = NGAME([0, 0, 1, 2], 4, curriculum=[(0, 2)], seed=seed)
    drawn = [tuple(plan.batches(epoch).indices.tolist()) for epoch in range(2400)]
    orders = sorted(set(drawn))
    assert len(orders) == 12  # 3! orders of the leaves, 2 of the rows of the first
    counts = [drawn.count(order) for order in orders]
    assert_law(counts, np.full(12, 200.0), LEVEL)
    assert rejects(assert_law, counts, np.array([1.5, *[1] * 10, 0.5]) * 200, LEVEL)


@pytest.mark.parametrize("seed", SEEDS)
def test_size_one_is_a_plain_shuffle(seed):
    plan = NGAME([0, 0, 0], 3, seed=seed)
    drawn = [
        tuple(NGAME([0, 0, 0], 3, curriculum=[(0, 1)], seed=seed).batches(e).indices.tolist())
        for e in range(1200)
    ]
    counts = [drawn.count(order) for order in itertools.permutations(range(3))]
    assert_law(counts, np.full(6, 200.0), LEVEL)
    assert drawn[0] == tuple(plan.batches(0).indices.tolist())


def test_batches_become_more_alike_with_cluster_size():
    """On a line, rows of a batch lie the closer the larger clusters are, up to a batch's size."""
    leaves = np.arange(256)
    spread = []
    for size in (1, 2, 4, 8, 16):
        plan = NGAME(leaves, 16, curriculum=[(0, size)])
        spread.append(np.mean([np.ptp(batch) for batch in plan.batches()]))
    assert spread == sorted(spread, reverse=True)
    assert len(set(spread)) == 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"leaves": [0, -1]}, ValueError, "leaves: row 1 is -1"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"curriculum": [(1, 1)]}, ValueError, "curriculum: must start at epoch 0"),
        ({"curriculum": []}, ValueError, "curriculum: must start at epoch 0"),
        ({"curriculum": [(0, 1), (0, 2)]}, ValueError, "curriculum: step 1, .* does not increase"),
        ({"curriculum": [(0, 2), (3, 2)]}, ValueError, "curriculum: step 1, .* does not increase"),
        ({"curriculum": [(0, 0)]}, ValueError, "curriculum: cluster size of step 0"),
        ({"curriculum": [3]}, ValueError, "curriculum: step 0 is 3"),
        ({"curriculum": 3}, TypeError, "curriculum: expected a list of .*, got 3"),
        ({"refresh_every": 0}, ValueError, "refresh_every"),
    ],
)
def test_bad_input_of_ngame(arguments, error, message):
    with pytest.raises(error, match=message):
        NGAME(**{"leaves": [0, 1], "batch_size": 2, **arguments})


def test_plain_shuffles():
    for drop_last in (False, True):
        plan = nm.batches.Shuffled(10, 4, drop_last=drop_last)
        assert_batches(plan, plan.batches(3))
        assert len(plan.batches().unplaced) == (2 if drop_last else 0)
    with pytest.raises(ValueError, match="num_rows"):
        nm.batches.Shuffled(-1, 4)


def test_batches_are_a_sequence():
    batches = nm.batches.Shuffled(5, 2).batches()
    assert_same_bits(batches[-1], batches[2])
    assert_same_bits(np.concatenate(list(batches)), batches.indices)
    with pytest.raises(IndexError):
        batches[3]
    assert repr(batches) == "Batches(5 rows in 3 batches, 0 unplaced)"
