# SPDX-License-Identifier: Apache-2.0
"""The comparisons must pass what is right and fail what is wrong by one bit."""

import numpy as np
import oracle
import pytest
from compare import (
    assert_close_topk,
    assert_drawn_from,
    assert_law,
    assert_same_bits,
    assert_same_table,
    assert_same_topk,
    rejects,
)

F = np.float32


@pytest.fixture
def mined():
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(4, 5)), rng.normal(size=(9, 5))
    return oracle.mine(queries, corpus, [[0], [1], [], [2]], range_max=6, strategy="random")


def changed(mined, **arrays):
    return oracle.Mined(**{**vars(mined), **arrays})


def edited(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def test_same_bits_accepts_itself_and_equal_nans():
    values = np.array([0.0, -0.0, np.nan, np.inf, 1e-42], F)
    assert_same_bits(values, values.copy())
    assert_same_bits(np.array([-np.nan], F), np.array([np.nan], F))
    assert_same_bits(np.arange(3), np.arange(3))
    assert_same_bits(np.zeros((0, 3), F), np.zeros((0, 3), F))


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (np.array([-0.0], F), np.array([0.0], F)),
        (np.array([1.0], F), np.array([np.nextafter(F(1), F(2))], F)),
        (np.array([np.nan], F), np.array([0.0], F)),
        (np.array([0.0], F), np.array([np.nan], F)),
        (np.array([1.0], np.float64), np.array([1.0], F)),
        (np.array([1], np.int32), np.array([1], np.int64)),
        (np.array([[1]]), np.array([1])),
        (np.array([1, 2]), np.array([2, 1])),
    ],
)
def test_same_bits_rejects(actual, expected):
    assert rejects(assert_same_bits, actual, expected)


def test_same_bits_names_the_place():
    with pytest.raises(AssertionError, match=r"scores: 1 of 4 .* \(1, 0\)"):
        assert_same_bits(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [5, 4]]), "scores")


def test_same_topk_rejects_a_swapped_tie():
    scores = np.array([[1.0, 1.0, 0.5]], F)
    assert_same_topk((scores, np.array([[2, 5, 1]])), (scores, np.array([[2, 5, 1]])))
    assert rejects(
        assert_same_topk, (scores, np.array([[5, 2, 1]])), (scores, np.array([[2, 5, 1]]))
    )


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("indices", (0, 0), 8),
        ("scores", (1, 1), 0.5),
        ("counts", 2, 1),
        ("positive_scores", 2, 0.0),
        ("positive_scores", 0, np.nan),
    ],
)
def test_same_table_rejects_any_change(mined, name, place, value):
    assert_same_table(mined, changed(mined))
    wrong = changed(mined, **{name: edited(getattr(mined, name), place, value)})
    assert rejects(assert_same_table, wrong, mined)


def test_drawn_from_accepts_any_draw_of_the_window(mined):
    assert_drawn_from(mined, mined)
    indices = mined.indices.copy()
    indices[0] = mined.windows[0][[1, 3, 5]]
    scores = mined.scores.copy()
    scores[0] = mined.every_score[0, indices[0]]
    assert_drawn_from(changed(mined, indices=indices, scores=scores), mined)


def test_drawn_from_rejects(mined):
    first = mined.windows[0]
    outside = next(row for row in range(9) if row not in first)
    for rows in ([first[0], first[1], outside], [first[1], first[0], first[2]], [first[0]] * 3):
        scores = edited(mined.scores, 0, mined.every_score[0, rows])
        wrong = changed(mined, indices=edited(mined.indices, 0, rows), scores=scores)
        assert rejects(assert_drawn_from, wrong, mined), rows
    short = changed(
        mined,
        indices=edited(mined.indices, (0, 2), -1),
        scores=edited(mined.scores, (0, 2), np.nan),
        counts=edited(mined.counts, 0, 2),
    )
    assert rejects(assert_drawn_from, short, mined)
    wrong_score = changed(mined, scores=edited(mined.scores, (3, 0), 0.125))
    assert rejects(assert_drawn_from, wrong_score, mined)
    wrong_reference = changed(mined, positive_scores=edited(mined.positive_scores, 0, 0.125))
    assert rejects(assert_drawn_from, wrong_reference, mined)


def test_close_topk():
    scores = np.array([[3.0, 2.0, 2.0 - 1e-8, 1.0]])
    truth = (scores, np.array([[4, 7, 5, 9]]))
    assert_close_topk((scores, np.array([[4, 7, 5, 9]])), truth, 1e-7)
    assert_close_topk((scores, np.array([[4, 5, 7, 9]])), truth, 1e-7)
    assert_close_topk((scores, np.array([[4, 5, 7, 3]])), truth, 1e-7)  # a tie past the end
    assert rejects(assert_close_topk, (scores, np.array([[7, 4, 5, 9]])), truth, 1e-7)
    assert rejects(assert_close_topk, (scores, np.array([[4, 3, 5, 9]])), truth, 1e-7)
    assert rejects(assert_close_topk, (scores, np.array([[4, 7, 7, 9]])), truth, 1e-7)
    assert rejects(assert_close_topk, (scores + 1e-6, np.array([[4, 7, 5, 9]])), truth, 1e-7)
    assert rejects(assert_close_topk, (scores * np.nan, np.array([[4, 7, 5, 9]])), truth, 1e-7)


def test_law_accepts_fair_counts_and_rejects_biased_ones():
    rng = np.random.default_rng(0)
    fair = np.bincount(rng.integers(0, 10, 20_000), minlength=10)
    # A law that is wrong by 6 % on one outcome in ten.
    weights = np.ones(10)
    weights[0] = 1.15
    biased = np.bincount(rng.choice(10, 20_000, p=weights / weights.sum()), minlength=10)
    assert_law(fair, [2000.0] * 10)
    assert rejects(assert_law, biased, [2000.0] * 10)


def test_oracle_score_by_hand():
    """The score of promise 1, spelled out in Python floats for one pair."""
    rng = np.random.default_rng(1)
    q, x = rng.normal(size=(2, 1, 19)).astype(F) * F(1e3)

    def tree(terms):
        lane = [0.0] * 8
        for i, term in enumerate(terms):
            lane[i % 8] += term
        return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + (
            (lane[1] + lane[5]) + (lane[3] + lane[7])
        )

    a, b = [float(v) for v in q[0]], [float(v) for v in x[0]]
    inner = tree([u * v for u, v in zip(a, b, strict=True)])
    norms = tree([u * u for u in a]) ** 0.5 * tree([v * v for v in b]) ** 0.5
    distance = tree([(u - v) * (u - v) for u, v in zip(a, b, strict=True)])
    assert_same_bits(oracle.scores(q, x, "ip"), np.array([[inner]], F))
    assert_same_bits(oracle.scores(q, x, "cosine"), np.array([[inner / norms]], F))
    assert_same_bits(oracle.scores(q, x, "l2"), np.array([[-distance]], F))
    assert_same_bits(oracle.scores(q, q, "l2"), np.array([[0.0]], F))


def test_oracle_mining_by_hand():
    """A line of points, where every limit can be followed by eye."""
    corpus = np.arange(8, dtype=F)[:, None]
    found = oracle.mine(
        np.array([[3.0]], F),
        corpus,
        [[4]],
        metric="l2",
        exclude=[[2]],
        min_score=-9.0,
        absolute_margin=0.5,
        num_negatives=4,
    )
    # Distances 9 4 1 0 1 4 9 16: row 3 breaks the margin, 2 is excluded, 4 positive, 7 below.
    assert found.indices.tolist() == [[1, 5, 0, 6]]
    assert found.scores.tolist() == [[-4.0, -4.0, -9.0, -9.0]]
    assert found.positive_scores.tolist() == [-1.0]
    raw = oracle.mine(
        np.array([[3.0]], F), corpus, [[4]], metric="l2", range_mode="raw", range_max=4
    )
    assert raw.indices.tolist() == [[3, 2, 1]]
    assert raw.windows[0].tolist() == [3, 2, 1]
