# SPDX-License-Identifier: Apache-2.0
"""Batches without conflicts, against every pair of rows of every batch looked at one by one."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.batches import NoConflict

# --- the oracle -----------------------------------------------------------------------------------


class Problem:
    """Rows with sets of everything that can make them conflict."""

    def __init__(self, documents=None, positives=None, groups=None, texts=None):
        given_by = next(x for x in (documents, positives, groups) if x is not None)
        self.n = len(given_by)
        self.arguments = {
            "documents": documents,
            "positives": positives,
            "groups": groups,
            "texts": texts,
        }

    def conflict(self, i, j):
        return self._refused(i, j) or self._refused(j, i)

    def _refused(self, i, j):
        """Tell whether row i brings what row j cannot have beside it."""
        documents, positives, groups, texts = self.arguments.values()
        if groups is not None and groups[i] == groups[j] != -1:
            return True
        if texts is not None and {c[i] for c in texts} & {c[j] for c in texts} - {None}:
            return True
        brought = documents if documents is not None else positives
        right = [x[j] for x in (documents, positives) if x is not None]
        return brought is not None and bool(set(brought[i]) & set().union(*right))


def check(problem, plan, batches):
    """Demand that nothing conflicts, nothing is lost, and nothing that fits is left out."""
    assert len(batches) == len(plan)
    placed = batches.indices.tolist()
    assert sorted(placed + batches.unplaced.tolist()) == list(range(problem.n))
    assert (np.diff(batches.unplaced) > 0).all()
    for batch in batches:
        rows = batch.tolist()
        assert 1 <= len(rows) <= plan.batch_size
        assert not any(problem.conflict(i, j) for i in rows for j in rows if i < j)
        if len(rows) < plan.batch_size:
            for row in batches.unplaced:
                assert any(problem.conflict(row, i) for i in rows), f"row {row} fits {rows}"


@st.composite
def problems(draw):
    n = draw(st.integers(1, 12))
    keys = st.lists(st.integers(0, 6), max_size=3)
    lists = st.lists(keys, min_size=n, max_size=n)
    documents = draw(st.none() | lists)
    positives = draw(st.none() | lists)
    groups = draw(st.none() | st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    if documents is None and positives is None and groups is None:
        groups = [-1] * n
    column = st.lists(st.none() | st.sampled_from("abcde"), min_size=n, max_size=n)
    texts = draw(st.none() | st.lists(column, min_size=1, max_size=2))
    return Problem(documents, positives, groups, texts)


@given(problems(), st.integers(1, 5), st.booleans(), st.integers(0, 2), st.data())
def test_against_every_pair(problem, batch_size, drop_last, epoch, data):
    neighbors = data.draw(
        st.none()
        | st.lists(
            st.lists(st.integers(-1, problem.n - 1), min_size=2, max_size=2),
            min_size=problem.n,
            max_size=problem.n,
        )
    )
    if neighbors is not None:
        neighbors = np.array(neighbors)
    plan = NoConflict(batch_size, **problem.arguments, neighbors=neighbors, drop_last=drop_last)
    assert len(plan) == (problem.n // batch_size if drop_last else -(-problem.n // batch_size))
    batches = plan.batches(epoch)
    check(problem, plan, batches)
    num_batches = data.draw(st.integers(1, problem.n))
    roomy = NoConflict(
        batch_size, **problem.arguments, neighbors=neighbors, num_batches=num_batches
    )
    check(problem, roomy, roomy.batches(epoch))
    again = NoConflict(batch_size, **problem.arguments, neighbors=neighbors, drop_last=drop_last)
    for name in ("indptr", "indices", "unplaced"):
        assert_same_bits(getattr(batches, name), getattr(again.batches(epoch), name), name)


def test_the_oracle_sees_conflicts():
    """The control: plain random batches of these rows do not pass."""
    problem = Problem(groups=[0, 0, 1, 1, 2, 2, 3, 3])
    plan = nm.batches.Shuffled(8, 4)
    assert any(rejects(check, problem, plan, plan.batches(epoch)) for epoch in range(10))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 8), st.integers(0, 3))
def test_no_packing_of_groups_places_more(groups, batch_size, epoch):
    """A group has a place in every batch at most, so the rest of it is what must be left over."""
    plan = NoConflict(batch_size, groups=groups)
    over = [max(0, size - len(plan)) for size in np.bincount(groups)]
    assert len(plan.batches(epoch).unplaced) == sum(over)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 6))
def test_batches_are_full_where_groups_let_them(groups, batch_size):
    plan = NoConflict(batch_size, groups=groups, drop_last=True)
    sizes = np.bincount(groups)
    if np.minimum(sizes, len(plan)).sum() >= len(plan) * batch_size:
        assert (plan.batches(epoch=1).sizes() == batch_size).all()


# --- what counts as a conflict --------------------------------------------------------------------


def together(plan, i, j, epochs=30):
    return any(i in batch and j in batch for e in range(epochs) for batch in plan.batches(e))


def test_one_sided_positives_conflict():
    """Row 0 brings document 7, which is right for row 1, though not the one row 1 brings."""
    plan = NoConflict(2, documents=[7, 8, 9, 6], positives=[[7], [7, 8], [9], [6]])
    assert not together(plan, 0, 1)
    assert together(plan, 1, 2)


def test_rows_may_share_a_positive_that_neither_brings():
    plan = NoConflict(2, documents=[7, 8, 9, 6], positives=[[7, 5], [8, 5], [9], [6]])
    assert together(plan, 0, 1)


def test_without_documents_any_positive_may_be_brought():
    plan = NoConflict(2, positives=[[7, 5], [8, 5], [9], [6]])
    assert not together(plan, 0, 1)


def test_a_text_counts_across_columns():
    plan = NoConflict(2, texts=[["a", "b", "c", None], ["x", "a", "y", None]])
    assert not together(plan, 0, 1)
    assert together(plan, 0, 2)


def test_no_text_and_no_group_are_not_alike():
    plan = NoConflict(4, texts=[[None] * 4], groups=[-1] * 4)
    assert plan.batches().sizes().tolist() == [4]


def test_every_source_has_keys_of_its_own():
    """Group 0, label 0 and document 0 have nothing to do with each other."""
    plan = NoConflict(3, groups=[0, -1, -1], texts=[[-1, 0, -1]], documents=[-1, -1, 0])
    assert plan.batches().sizes().tolist() == [3]


@pytest.mark.parametrize("form", ["list", "padded", "csr", "positives", "scipy"])
def test_forms_of_positives(form):
    import scipy.sparse

    lists = [[0, 1], [1], [2], []]
    indptr, indices = np.array([0, 2, 3, 4, 4]), np.array([0, 1, 1, 2])
    forms = {
        "list": lists,
        "padded": np.array([[0, 1], [1, -1], [2, -1], [-1, -1]]),
        "csr": (indptr, indices),
        "positives": nm.Positives(np.repeat(np.arange(4), np.diff(indptr)), indices, 4),
        "scipy": scipy.sparse.csr_matrix((np.ones(4), indices, indptr), shape=(4, 3)),
    }
    first = NoConflict(2, positives=lists)
    plan = NoConflict(2, positives=forms[form])
    for epoch in range(3):
        assert_same_bits(plan.batches(epoch).indices, first.batches(epoch).indices)


def test_more_batches_make_more_room():
    assert len(NoConflict(4, groups=[0] * 6 + [-1] * 2).batches().unplaced) == 4
    plan = NoConflict(4, groups=[0] * 6 + [-1] * 2, num_batches=6)
    batches = plan.batches()
    assert len(plan) == len(batches) == 6
    assert not len(batches.unplaced)


def test_more_batches_than_it_takes():
    """None is empty: full ones give rows to them."""
    batches = NoConflict(4, num_rows=10, num_batches=7).batches()
    assert sorted(batches.sizes().tolist()) == [1, 1, 1, 1, 2, 2, 2]
    assert sorted(batches.indices.tolist()) == list(range(10))
    assert NoConflict(4, num_rows=10, num_batches=10).batches().sizes().tolist() == [1] * 10


# --- hard neighbours ------------------------------------------------------------------------------


def test_neighbours_share_batches():
    """Forty clusters of eight: every batch of eight is one of them, whatever comes first."""
    clusters = np.arange(320).reshape(40, 8)
    neighbors = np.array([np.delete(clusters[row // 8], row % 8) for row in range(320)])
    plan = NoConflict(8, neighbors=neighbors)
    for epoch in range(3):
        assert all(len(set(batch // 8)) == 1 for batch in plan.batches(epoch))
    mixed = NoConflict(8, num_rows=320).batches()
    assert not all(len(set(batch // 8)) == 1 for batch in mixed)


def test_neighbours_of_neighbours_follow():
    """On a path, a batch is a stretch of it, though each row knows the next one only."""
    neighbors = (np.arange(30)[:, None] + 1) % 30
    batches = NoConflict(5, neighbors=neighbors).batches()
    first = batches[0]
    assert_same_bits(first, (first[0] + np.arange(5)) % 30)


def test_a_neighbour_that_conflicts_stays_out():
    neighbors = np.array([[1, 2], [0, 2], [3, -1], [2, -1]])
    plan = NoConflict(2, neighbors=neighbors, groups=[5, 5, -1, -1])
    assert not together(plan, 0, 1)


# --- the law --------------------------------------------------------------------------------------


def test_without_conflicts_it_is_a_plain_shuffle():
    plan = NoConflict(3, num_rows=10)
    shuffle = nm.batches.Shuffled(10, 3)
    for epoch in range(5):
        expected = {tuple(batch.tolist()) for batch in shuffle.batches(epoch)}
        assert {tuple(batch.tolist()) for batch in plan.batches(epoch)} == expected


def test_seeds_and_epochs_differ():
    first = NoConflict(4, groups=np.arange(50) // 2).batches(0).indices
    assert (NoConflict(4, groups=np.arange(50) // 2).batches(1).indices != first).any()
    assert (NoConflict(4, groups=np.arange(50) // 2, seed=1).batches(0).indices != first).any()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"groups": [0], "batch_size": 0}, ValueError, "batch_size: must be at least 1, got 0"),
        ({"groups": [0], "batch_size": 2.5}, TypeError, "batch_size: expected an integer"),
        ({}, ValueError, "num_rows: needed"),
        ({"groups": [0, -2]}, ValueError, "groups: row 1 is -2"),
        ({"groups": [0, 1], "positives": [[0]]}, ValueError, "groups: expected 1"),
        ({"positives": [[0], [-5]]}, ValueError, "positives: query 1 holds -5"),
        ({"positives": 7}, TypeError, "positives: expected one entry per row"),
        ({"texts": ["a", "b"]}, TypeError, "entry 0 is 'a'"),
        ({"texts": "ab"}, TypeError, "texts: expected a list of columns"),
        ({"texts": []}, ValueError, "num_rows: needed"),
        ({"texts": ["a", "b"], "num_rows": 2}, TypeError, "entry 0 is 'a'"),
        ({"texts": "ab", "num_rows": 2}, TypeError, "texts: expected a list of columns"),
        ({"texts": [["a"], ["b", "c"]]}, ValueError, "texts column 1: expected 1"),
        ({"texts": [["a"], [3]]}, TypeError, "column 1 holds integers"),
        ({"texts": [[-4]]}, ValueError, "texts column 0: row 0 is -4"),
        ({"neighbors": [[2], [0]]}, ValueError, "neighbors: row 0 holds 2"),
        ({"neighbors": [[0], [-2]]}, ValueError, "neighbors: row 1 holds -2"),
        ({"neighbors": [[0]], "groups": [1, 2]}, ValueError, "neighbors: expected 2 rows, got 1"),
        ({"groups": [0, 1], "num_batches": 3}, ValueError, "num_batches: must be at most 2"),
        ({"groups": [0, 1], "num_batches": 0}, ValueError, "num_batches: must be at least 1"),
        ({"groups": [0], "drop_last": 1}, TypeError, "drop_last"),
        ({"groups": [0], "seed": -1}, ValueError, "seed"),
        ({"positives": nm.Positives([0], [1])}, ValueError, "num_queries"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        NoConflict(**{"batch_size": 4, **arguments})


def test_bad_epoch():
    with pytest.raises(ValueError, match="epoch"):
        NoConflict(4, groups=[0]).batches(-1)


def test_no_rows():
    batches = NoConflict(4, groups=[]).batches()
    assert (len(batches), len(batches.indices), len(batches.unplaced)) == (0, 0, 0)


# --- the core's own checks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": [0, 0]}, "order: expected every row once, got 0"),
        ({"order": [0, 2]}, "order: expected every row once, got 2"),
        ({"brings": ([0, 1], [0])}, "brings: expected one list per row"),
        ({"brings": ([0, 1, 1], [0, 1])}, "brings: indptr"),
        ({"refuses": ([0, 1, 2], [0, 2])}, "refuses: row 1 holds a key out of range"),
        ({"refuses": ([0, 2, 2], [1, 1])}, "refuses: row 0 holds a key .* out of order"),
        ({"wanted": [[0]]}, "wanted: expected one list per row"),
        ({"wanted": [[0], [2]]}, "wanted: there is no row 2"),
        ({"num_batches": 3}, "num_batches"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_the_core_checks_what_it_is_given(change, message):
    arguments = {
        "order": [1, 0],
        "brings": ([0, 1, 2], [0, 1]),
        "refuses": None,
        "wanted": None,
        "batch_size": 1,
        "num_batches": 2,
        **change,
    }
    for name in ("brings", "refuses"):
        if arguments[name] is not None:
            arguments[name] = tuple(np.array(part, dtype=np.int64) for part in arguments[name])
    for name in ("order", "wanted"):
        if arguments[name] is not None:
            arguments[name] = np.array(arguments[name], dtype=np.int64)
    with pytest.raises(ValueError, match=message):
        nm._core.pack_batches(num_keys=2, onward=False, **arguments)
