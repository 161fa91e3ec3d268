# SPDX-License-Identifier: Apache-2.0
"""ANCE-Tele against sets and lists in plain Python; the law of its windows."""

import nearmiss as nm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import ALPHA, SEEDS, as_set, assert_set_law, count_sets
from nearmiss.refresh import epoch_window, teleport


def table_of(rows, **keywords):
    """A table with these rows, best first, for each query."""
    width = max(map(len, rows), default=0) or 1
    indices = np.full((len(rows), width), -1)
    for query, row in enumerate(rows):
        indices[query, : len(row)] = row
    scores = np.broadcast_to(-np.arange(width, dtype=np.float32), indices.shape)
    return nm.mine_candidates(scores, indices, num_negatives=width, **keywords)


def listed(table):
    return [[row for row in rows if row >= 0] for rows in table.indices.tolist()]


def provenance(table, query):
    """Return the rows of each source of a query."""
    names = table.params["sources"]
    return {
        name: {
            int(row)
            for row, bits in zip(table.indices[query], table.sources[query], strict=True)
            if bits >> place & 1
        }
        for place, name in enumerate(names)
    }


def test_sizes_of_the_published_pools():
    """MS MARCO: 30 of each source and three rounds make 60, 120 and 180."""
    pool = None
    for round_, size in enumerate((60, 120, 180, 180)):
        ann = table_of([range(1000 * round_, 1000 * round_ + 30)])
        ahead = table_of([range(1000 * round_ + 500, 1000 * round_ + 530)])
        pool = teleport(ann, ahead, pool)
        assert pool.counts.tolist() == [size]
        assert pool.indices.shape == (1, size)
    assert pool.params["sources"] == ["ann", "look-ahead", "momentum-1", "momentum-2"]
    assert {name: len(rows) for name, rows in provenance(pool, 0).items()} == {
        "ann": 30, "look-ahead": 30, "momentum-1": 60, "momentum-2": 60
    }  # fmt: skip


row_lists = st.lists(st.integers(0, 12), max_size=4, unique=True)


@given(st.lists(st.tuples(row_lists, row_lists), min_size=1, max_size=5), st.integers(0, 3))
def test_everything_that_was_mined_of_late_and_who_mined_it(rounds, momentum):
    pool = None
    for round_ in range(len(rounds)):
        ann, ahead = (table_of([rows]) for rows in rounds[round_])
        pool = teleport(ann, ahead, pool, momentum=momentum)
        recent = [set(a) | set(b) for a, b in rounds[max(0, round_ - momentum) : round_][::-1]]
        wanted = {"ann": set(rounds[round_][0]), "look-ahead": set(rounds[round_][1])}
        wanted |= {f"momentum-{age}": rows for age, rows in enumerate(recent, 1)}
        assert provenance(pool, 0) == wanted
        assert sorted(listed(pool)[0]) == sorted(set().union(*wanted.values()))


def test_look_ahead_is_a_search_by_the_positives():
    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((300, 8), dtype=np.float32)
    positives = np.arange(12)
    queries = corpus[positives] + rng.standard_normal((12, 8), dtype=np.float32)
    ids = np.arange(12) * 7
    keywords = {"strategy": "ance:pool=40", "num_negatives": 6, "query_ids": ids}
    ann = nm.mine(queries, corpus, positives, **keywords)
    ahead = nm.mine(corpus[positives], corpus, positives, **keywords)
    pool = teleport(ann, ahead)
    for query in range(12):
        assert provenance(pool, query) == {
            "ann": set(ann.indices[query].tolist()),
            "look-ahead": set(ahead.indices[query].tolist()),
        }
    assert np.array_equal(pool.query_ids, ids)
    assert pool.positives.rows.tolist() == positives.tolist()
    assert pool.indices.shape == (12, 12)  # also if lists overlap: never narrower later on


def test_any_table_can_be_the_one_before():
    first = table_of([[5, 6], [7, 8]])
    pool = teleport(table_of([[1], [2]]), table_of([[3], [8]]), first)
    assert provenance(pool, 1) == {"ann": {2}, "look-ahead": {8}, "momentum-1": {7, 8}}


def test_positives_of_now_leave_the_momentum():
    first = table_of([[5, 6]])
    ann = table_of([[1]], positives=[[6]])
    assert sorted(listed(teleport(ann, table_of([[2]]), first))[0]) == [1, 2, 5]


def test_survives_a_file(tmp_path):
    pool = teleport(table_of([[1, 2]]), table_of([[2, 3]]))
    pool.save(tmp_path / "pool")
    read = nm.Negatives.load(tmp_path / "pool")
    again = teleport(table_of([[9]]), table_of([[4]]), read)
    assert provenance(again, 0)["momentum-1"] == {1, 2, 3}


def test_tables_of_other_queries_are_refused():
    one, two = table_of([[1]]), table_of([[1], [2]])
    with pytest.raises(ValueError, match="look_ahead: its queries are not those of ann"):
        teleport(one, two)
    with pytest.raises(ValueError, match="earlier: its queries are not those of ann"):
        teleport(one, one, two)
    with pytest.raises(TypeError, match="earlier: expected Negatives, got a list"):
        teleport(one, one, [[1]])
    with pytest.raises(ValueError, match="momentum: must be at most 61"):
        teleport(one, one, momentum=62)


# --- windows --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(0, 40),
    st.integers(0, 5),
)
def test_windows_are_those_of_a_fixed_shuffle(sizes, n, epoch, seed):
    table = table_of([list(range(100 * q, 100 * q + size)) for q, size in enumerate(sizes)])
    drawn = epoch_window(table, n, epoch, seed)
    for query, size in enumerate(sizes):
        one_by_one = [listed(epoch_window(table, 1, e, seed))[query] for e in range(size)]
        order = [row for rows in one_by_one for row in rows]
        assert sorted(order) == listed(table)[query]
        window = {order[(epoch * n + j) % size] for j in range(min(n, size))}
        assert listed(drawn)[query] == sorted(window)  # the rows are in the order of the table
        assert drawn.counts[query] == len(window)


def test_epochs_in_a_row_share_none():
    table = table_of([range(23), range(50, 64)])
    for query, size in enumerate((23, 14)):
        taken = [listed(epoch_window(table, 4, epoch))[query] for epoch in range(size)]
        for first in range(size - size // 4):
            several = [row for rows in taken[first : first + size // 4] for row in rows]
            assert len(set(several)) == len(several) == 4 * (size // 4)
        everything = sorted(row for rows in taken for row in rows)
        assert everything == sorted(4 * listed(table)[query])


def test_a_window_depends_on_its_query_alone():
    table = table_of([range(10), range(10), range(10)], query_ids=[4, 9, 2])
    alone = table_of([range(10)], query_ids=[9])
    whole = epoch_window(table, 3, epoch=2, seed=5)
    assert listed(whole)[1] == listed(epoch_window(alone, 3, epoch=2, seed=5))[0]
    assert listed(whole)[0] != listed(whole)[1]
    assert listed(whole) != listed(epoch_window(table, 3, epoch=2, seed=6))


def test_windows_of_late_epochs():
    table = table_of([range(7)])
    late = 2**64 - 1
    same = epoch_window(table, 3, late % 7)
    assert np.array_equal(epoch_window(table, 3, late).indices, same.indices)


def test_windows_keep_the_columns_of_what_is_drawn():
    pool = teleport(table_of([range(6)]), table_of([range(20, 26)]))
    drawn = epoch_window(pool, 5, 0)
    for row, bits in zip(drawn.indices[0], drawn.sources[0], strict=True):
        assert bits == (1 if row < 6 else 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_windows(seed):
    """Any epoch's window of 2 of 4 is each of the six pairs alike."""
    queries = 6_000
    table = table_of([range(4)] * queries)
    law = {as_set((a, b)): 1 / 6 for a in range(4) for b in range(a)}
    for epoch in (0, 1):
        counts = count_sets(epoch_window(table, 2, epoch, seed).indices, 4)
        assert_set_law(counts, law)
    biased = {**law, 3: 1 / 6 + 0.03, 12: 1 / 6 - 0.03}
    with pytest.raises(AssertionError):
        assert_set_law(counts, biased)
    assert ALPHA < 1e-3
