# SPDX-License-Identifier: Apache-2.0
"""Strategies that look where a row lies between the query and its positives: the triangle."""

import nearmiss as nm
import numpy as np
import oracle
import pytest


def at(*degrees):
    """Unit vectors in the plane."""
    turns = np.deg2rad(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1)


def mine(queries, corpus, positives, num_negatives=3, **more):
    keywords = {"strategy": "triangle:pool=50", **more}
    return nm.mine(queries, corpus, positives, num_negatives=num_negatives, **keywords)


def test_worked_example():
    """-20° stays; 25° is nearer the positive at 40° than the query at 0°; -50° is too far."""
    found = mine(at(0), at(40, -20, 25, -50), [0])
    assert found.indices.tolist() == [[1, -1, -1]]


def test_the_nearest_come_first():
    assert mine(at(0), at(60, -20, -5, 10, -30), [0], 2).indices.tolist() == [[2, 3]]


def test_equal_distances_are_not_kept():
    """On the bisector (30° of 0° and 60°), and at the distance of the positive (-60°)."""
    axes = np.eye(3)
    bisector = axes[[0]] + axes[[1]]
    corpus = np.concatenate([axes[[1]], bisector, axes[[2]], [[9.0, 0, 1]]])
    # d(Q, D) = d(P, D) for row 1, d(Q, D) = d(Q, P) for row 2.
    assert mine(axes[[0]], corpus, [0]).indices.tolist() == [[3, -1, -1]]


def test_without_a_positive_nothing_is_found():
    found = mine(at(0, 0), at(40, -20), [0, -1])
    assert found.indices.tolist() == [[1, -1, -1], [-1, -1, -1]]
    assert found.counts.tolist() == [1, 0]


def test_of_several_positives_each_keeps_its_copies_away():
    """30° is a copy of the positive at 35°, -20° and 5° are copies of none."""
    corpus = at(80, 35, 30, -20, 5)
    assert mine(at(0), corpus, [[0]]).indices.tolist() == [[4, 3, 2]]
    assert mine(at(0), corpus, [[0, 1]]).indices.tolist() == [[4, 3, -1]]


def test_the_positive_that_has_to_be_outranked():
    """By default the one that margins refer to, which is the farthest."""
    corpus = at(80, 15, -20, -10)
    assert mine(at(0), corpus, [[0, 1]]).indices.tolist() == [[3, 2, -1]]
    nearest = mine(at(0), corpus, [[0, 1]], margin_reference="max")
    assert nearest.indices.tolist() == [[3, -1, -1]]


def test_margins_to_the_positive_leave_nothing():
    """The opposite rule: never to be stacked, and never returned against it."""
    found = mine(at(0), at(40, -20, 25, -50), [0], relative_margin=0.05)
    assert found.counts.tolist() == [0]


def test_against_a_slow_definition():
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(40, 4)), rng.normal(size=(150, 4))
    positives = [rng.choice(150, i % 4, replace=False).tolist() for i in range(40)]
    found = mine(queries, corpus, positives, 6, strategy="triangle:pool=150")
    to_query = oracle.scores(queries, corpus, "cosine")
    to_row = oracle.scores(corpus, corpus, "cosine")
    for i, own in enumerate(positives):
        order = np.lexsort((np.arange(150), -to_query[i]))
        kept = [
            row
            for row in order.tolist()
            if own
            and row not in own
            and to_query[i, row] > to_query[i, own].min()
            and all(to_query[i, row] > to_row[positive, row] for positive in own)
        ][:6]
        assert found.indices[i].tolist() == kept + [-1] * (6 - len(kept))
    assert found.counts.max() == 6
    assert (np.bincount(found.counts, minlength=7)[[0, 5, 6]] > 0).all()


def test_what_it_needs_is_asked_for_before_any_work():
    ask = {"strategy": "triangle:pool=5", "num_negatives": 1}
    with pytest.raises(ValueError, match="strategy 'triangle': needs positives, the rows"):
        nm.mine(at(0), at(0, 1), positive_scores=[0.5], **ask)
    with pytest.raises(ValueError, match=r"metric: strategy 'triangle' .* cosine, not 'ip'"):
        nm.mine(at(0), at(0, 1), [0], metric="ip", **ask)
    with pytest.raises(ValueError, match="the embeddings"):
        nm.mine_candidates([[0.5]], [[0]], positives=[1], positive_scores=[0.4], **ask)
    with pytest.raises(TypeError, match="pool"):
        nm.strategies.Triangle()
