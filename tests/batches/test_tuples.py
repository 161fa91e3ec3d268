# SPDX-License-Identifier: Apache-2.0
"""Twins, groups of unlike queries with like targets, tuples of confusions."""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from batch_plans import LEVEL, SEEDS, assert_batches
from compare import assert_law, assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.batches import CFCD, RTD, NoConflict, SaHa, Shuffled

# --- RTD ------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(1, 6), st.booleans())
def test_twins(n, batch_size, drop_last):
    plan = RTD(Shuffled(n, batch_size, drop_last=drop_last))
    batches = plan.batches(epoch=1)
    assert_batches(plan, batches)
    for batch, plain in zip(batches, plan.triplets.batches(1), strict=True):
        assert_same_bits(batch[: len(plain)], plain)
        assert_same_bits(batch[len(plain) :], plain + n)
    assert_same_bits(np.sort(np.concatenate([batches.indices, batches.unplaced])), np.arange(2 * n))


def test_references_that_are_alike_can_be_kept_apart():
    references = ["a", "a", "b", "c"]
    targets = ["x", "y", "a", "z"]
    plan = RTD(NoConflict(2, texts=[references, targets]))
    for epoch in range(10):
        for batch in plan.batches(epoch):
            rows = batch[: len(batch) // 2]
            held = [text for row in rows for text in (references[row], targets[row])]
            assert len(set(held)) == len(held)


def test_coverage_is_that_of_the_triplets():
    assert RTD(Shuffled(4, 2)).coverage == "all"
    assert RTD(nm.batches.TasBalanced([0, 0], 2)).coverage == "repeats"
    with pytest.raises(TypeError, match="triplets: expected a BatchPlan, got a int"):
        RTD(128)


# --- SaHa -----------------------------------------------------------------------------------------


def test_the_worked_example():
    """Targets at .9, .8, .7 whose owners are at .95, .2, .5 of the anchor: the .95 is vetoed."""
    likeness = np.array([1.0, 0.95, 0.2, 0.5])
    queries = np.stack([likeness, np.sqrt(1 - likeness**2)], axis=1)
    plan = SaHa(queries, [[1, 2, 3], [-1] * 3, [-1] * 3, [-1] * 3], [0, 1, 2, 3], top_k=2)
    assert [group.tolist() for group in plan.groups] == [[0, 2, 3]]
    assert plan.batches().unplaced.tolist() == [1]


def reference_groups(queries, candidates, positives, top_k, pool_multiple, second_pass, metric):
    """Return the groups by the words of the method, one step at a time, in plain Python."""
    n = len(queries)
    every = oracle.scores(queries, queries, metric)
    owners = {}
    for row in range(n):
        for target in positives[row]:
            owners.setdefault(target, []).append(row)

    def group_of(anchor, used, cap):
        found = []
        for target in [t for t in candidates[anchor][: 2 * cap] if t not in positives[anchor]]:
            free = [
                row
                for row in owners.get(target, [])
                if row not in used and row not in found and row != anchor
            ]
            if free and len(found) < cap:
                found.append(min(free, key=lambda row: (-every[anchor, row], row)))
        return [anchor, *sorted(found, key=lambda row: (every[anchor, row], row))[:top_k]]

    groups, used = [], set()
    for anchor in range(n):
        group = group_of(anchor, used, top_k * pool_multiple)
        if anchor not in used and len(group) == top_k + 1:
            groups.append(group)
            used |= set(group)
    again = set()
    for anchor in range(n) if second_pass else []:
        group = group_of(anchor, again, 2 * top_k * pool_multiple)
        if anchor not in used | again and len(group) > 1:
            groups.append(group)
            again |= set(group)
    return groups


@st.composite
def grouping_problems(draw):
    n, num_targets = draw(st.integers(1, 14)), draw(st.integers(1, 8))
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, (n, 3)).astype(np.float32) + 0.5  # ties
    width = draw(st.integers(1, 10))
    candidates = [
        (rng.permutation(num_targets + 1) - 1)[:width].tolist() + [-1] * (width - num_targets - 1)
        for _ in range(n)
    ]
    positives = [
        sorted(set(rng.integers(0, num_targets, draw(st.integers(0, 2))))) for _ in range(n)
    ]
    return queries, candidates, [[int(t) for t in p] for p in positives]


@given(
    grouping_problems(),
    st.integers(1, 3),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from(["ip", "cosine", "l2"]),
)
def test_groups_are_those_of_the_method(problem, top_k, pool_multiple, second_pass, metric):
    queries, candidates, positives = problem
    plan = SaHa(
        queries,
        candidates,
        positives,
        top_k=top_k,
        pool_multiple=pool_multiple,
        second_pass=second_pass,
        metric=metric,
        groups_per_batch=2,
    )
    expected = reference_groups(
        queries, candidates, positives, top_k, pool_multiple, second_pass, metric
    )
    assert [group.tolist() for group in plan.groups] == expected
    batches = plan.batches(epoch=1)
    assert_batches(plan, batches)
    assert len(plan) == -(-len(expected) // 2)
    in_groups = {row for group in expected for row in group}
    assert batches.unplaced.tolist() == [r for r in range(len(queries)) if r not in in_groups]
    assert sorted(batches.indices.tolist()) == sorted(row for group in expected for row in group)


def test_groups_of_the_first_pass_are_disjoint():
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(200, 8))
    targets = queries + rng.normal(size=(200, 8))
    candidates = nm.topk(queries, targets, 40, metric="ip")[1]
    plan = SaHa(queries, candidates, np.arange(200), top_k=4, second_pass=False)
    assert plan.coverage == "subset"
    assert all(len(group) == 5 for group in plan.groups)
    assert_batches(plan, plan.batches())
    both = SaHa(queries, candidates, np.arange(200), top_k=4)
    assert both.coverage == "repeats"
    assert len(both.batches().unplaced) < len(plan.batches().unplaced)
    first, again = plan.batches(0), plan.batches(1)
    assert {tuple(batch) for batch in first} == {tuple(batch) for batch in again}
    assert (first.indices != again.indices).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"queries": [[1.0], [2.0]]}, ValueError, "queries: expected 3, one per row, got 2"),
        ({"queries": [[1.0], [np.nan], [2.0]]}, ValueError, "row 1"),
        ({"candidates": [[0], [1], [-2]]}, ValueError, "candidates: row 2 is below -1"),
        ({"positives": None}, TypeError, "positives: needed"),
        ({"positives": [0, 1]}, ValueError, "positives: 2 entries given"),
        ({"top_k": 0}, ValueError, "top_k"),
        ({"pool_multiple": 0}, ValueError, "pool_multiple"),
        ({"groups_per_batch": 0}, ValueError, "groups_per_batch"),
        ({"metric": "dot"}, ValueError, "metric"),
    ],
)
def test_bad_input_of_saha(change, error, message):
    arguments = {"queries": [[1.0], [2.0], [3.0]], "candidates": [[0], [1], [2]], **change}
    with pytest.raises(error, match=message):
        SaHa(**{"positives": [0, 1, 2], **arguments})


# --- CFCD -----------------------------------------------------------------------------------------


def tuples_of(plan, epoch=0):
    return plan.batches(epoch).indices.reshape(-1, 2 + plan.num_negatives)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 5)), min_size=4, max_size=40),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 3),
)
def test_tuples_are_of_one_class_against_others(rows, num_negatives, tuples_per_batch, epoch):
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    sizes = np.bincount(labels)
    arguments = {"num_negatives": num_negatives, "tuples_per_batch": tuples_per_batch}
    if not ((sizes >= 2) & (len(labels) - sizes >= num_negatives)).any():
        with pytest.raises(ValueError, match="labels: no class has two rows"):
            CFCD(labels, predictions, **arguments)
        return
    plan = CFCD(labels, predictions, **arguments, num_batches=7)
    batches = plan.batches(epoch)
    assert_batches(plan, batches)
    assert (batches.sizes() == tuples_per_batch * (2 + num_negatives)).all()
    for anchor, positive, *negatives in tuples_of(plan, epoch).tolist():
        assert labels[anchor] == labels[positive]
        assert labels[anchor] not in labels[negatives]
        assert len({anchor, positive, *negatives}) == 2 + num_negatives


def test_no_row_comes_twice_while_rows_are_free():
    labels = np.arange(400) % 40
    plan = CFCD(labels, labels, tuples_per_batch=1, num_batches=20)
    for epoch in range(5):
        rows = plan.batches(epoch).indices
        assert len(set(rows.tolist())) == len(rows)


def test_length():
    labels = np.arange(300) % 30
    assert len(CFCD(labels, labels)) == 300 // (16 * 8)
    assert len(CFCD(labels[:100], labels[:100])) == 1  # of more places than rows
    assert len(CFCD(labels, labels, tuples_per_batch=2, num_negatives=3)) == 30


@pytest.mark.parametrize("seed", SEEDS)
def test_without_confusions_negatives_are_of_all_other_classes(seed):
    labels = np.repeat([0, 1, 2, 3], 10)
    plan = CFCD(labels, labels, tuples_per_batch=1, num_negatives=1, num_batches=1, seed=seed)
    rows = np.concatenate([tuples_of(plan, epoch) for epoch in range(2400)])
    pairs = labels[rows[:, 0]] * 4 + labels[rows[:, 2]]
    counts = np.bincount(pairs, minlength=16).reshape(4, 4)
    assert (counts.diagonal() == 0).all()
    assert_law(counts[~np.eye(4, dtype=bool)], np.full(12, 200.0), LEVEL)
    own_only = np.array([1.5, *[1] * 10, 0.5]) * 200
    assert rejects(assert_law, counts[~np.eye(4, dtype=bool)], own_only, LEVEL)


def slot_counts(labels, predictions, seed, num_epochs, of, wrong):
    """Count what the one negative is to anchors of a class: confused, mistaken for, or other."""
    plan = CFCD(labels, predictions, tuples_per_batch=1, num_negatives=1, num_batches=1, seed=seed)
    counts = np.zeros(3, dtype=int)
    for epoch in range(num_epochs):
        anchor, _, negative = tuples_of(plan, epoch)[0]
        if labels[anchor] != of or (predictions[anchor] != of) != wrong:
            continue
        if predictions[negative] == of:
            counts[0] += 1
        elif labels[negative] == predictions[anchor]:
            counts[1] += 1
        else:
            counts[2] += 1
    return counts


@pytest.mark.parametrize("seed", SEEDS)
def test_half_the_slots_of_right_anchors_are_confusions(seed):
    """Class 0 is right; class 1 is taken for 0 by a few; classes 2 and 3 are right too.

    A slot that is not a confusion takes a random class, 1 of 3 of which gives a confused row with
    the share of these in class 1.
    """
    labels = np.repeat([0, 1, 2, 3], 20)
    predictions = labels.copy()
    predictions[20:25] = 0
    counts = slot_counts(labels, predictions, seed, 6000, of=0, wrong=False)
    share = 0.5 + 0.5 / 3 * 5 / 20
    law = np.array([share, 1 - share])
    assert counts[1] == 0
    assert_law(counts[[0, 2]], law * counts.sum(), LEVEL)
    assert rejects(assert_law, counts[[0, 2]], np.array([0.4, 0.6]) * counts.sum(), LEVEL)


@pytest.mark.parametrize("seed", SEEDS)
def test_slots_of_wrong_anchors(seed):
    """All of class 0 is taken for class 1, and class 2 for class 0."""
    labels = np.repeat([0, 1, 2, 3], 20)
    predictions = np.repeat([1, 1, 0, 3], 20)
    counts = slot_counts(labels, predictions, seed, 8000, of=0, wrong=True)
    rest = 0.67 * 0.5
    law = np.array([0.33 + rest / 3, 0.67 * 0.5 + rest / 3, rest / 3])
    assert_law(counts, law * counts.sum(), LEVEL)
    assert rejects(assert_law, counts, law[[1, 2, 0]] * counts.sum(), LEVEL)


def test_a_wrong_anchor_has_a_positive_that_was_right():
    labels = np.repeat([0, 1], [5, 10])
    predictions = np.array([0, 1, 1, 1, 1, *[1] * 10])
    plan = CFCD(labels, predictions, tuples_per_batch=1, num_negatives=1, num_batches=1)
    seen = 0
    for epoch in range(60):
        anchor, positive, _ = tuples_of(plan, epoch)[0]
        if labels[anchor] == 0 and anchor != 0:
            assert positive == 0
            seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": [0, 0, -1, 1]}, ValueError, "labels: row 2 is -1"),
        ({"predictions": [0, 0, 1]}, ValueError, "predictions: expected 4, one per row, got 3"),
        ({"predictions": [0, 0, 1, -2]}, ValueError, "predictions: row 3 is -2"),
        ({"num_negatives": 3}, ValueError, "labels: no class has two rows beside 3 rows"),
        ({"labels": [0, 1, 2, 3]}, ValueError, "labels: no class has two rows"),
        ({"num_negatives": 0}, ValueError, "num_negatives"),
        ({"tuples_per_batch": 0}, ValueError, "tuples_per_batch"),
        ({"confused": 1.5}, ValueError, "confused: must be at most 1"),
        ({"mistaken": -0.1}, ValueError, "mistaken: must be at least 0"),
        ({"num_batches": -1}, ValueError, "num_batches"),
    ],
)
def test_bad_input_of_cfcd(change, error, message):
    arguments = {"labels": [0, 0, 1, 1], "predictions": [0, 0, 1, 1], "num_negatives": 2, **change}
    with pytest.raises(error, match=message):
        CFCD(**arguments)
