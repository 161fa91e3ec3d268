# SPDX-License-Identifier: Apache-2.0
"""A score has one definition, and its bits never depend on how it came about."""

import threading
from fractions import Fraction

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table, assert_same_topk
from hypothesis import given
from hypothesis import strategies as st
from problems import DIMENSIONS, DTYPES, METRICS, problems, vectors

SMALLEST = np.float32(1e-45)  # the smallest denormal


def all_scores(queries, corpus, metric):
    """Return every score by row, from a top-k of all rows."""
    scores, indices = nm.topk(queries, corpus, len(corpus), metric=metric)
    by_row = np.empty_like(scores)
    np.put_along_axis(by_row, indices, scores, axis=1)
    return by_row


@given(problem=problems())
def test_bits_of_every_score(problem):
    queries, corpus, metric = problem["queries"], problem["corpus"], problem["metric"]
    found = all_scores(queries, corpus, metric)
    assert_same_bits(found, oracle.scores(queries, corpus, metric))


@given(data=st.data(), problem=problems(min_queries=1))
def test_the_order_of_arguments_and_rows_does_not_matter(data, problem):
    """The same pair has the same bits as query and row, at any place, beside any others."""
    queries, corpus, metric = problem["queries"], problem["corpus"], problem["metric"]
    first = all_scores(queries, corpus, metric)
    assert_same_bits(all_scores(corpus, queries, metric).T.copy(), first)
    order = problem["rng"].permutation(len(corpus))
    assert_same_bits(all_scores(queries, corpus[order], metric), first[:, order])
    row = data.draw(st.integers(0, len(corpus) - 1))
    assert_same_bits(all_scores(queries, corpus[row : row + 1], metric), first[:, row : row + 1])


def sum_in_one_lane(terms):
    total = 0.0
    for term in terms:
        total += term
    return total


def sum_by_neighbours(terms):
    lane = [sum_in_one_lane(terms[j::8]) for j in range(8)]
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]))


def sum_in_four_lanes(terms):
    lane = [sum_in_one_lane(terms[j::4]) for j in range(4)]
    return (lane[0] + lane[2]) + (lane[1] + lane[3])


def sum_in_float32(terms):
    return np.sum(np.array(terms, np.float32), dtype=np.float32)


@pytest.mark.parametrize("target", nm.simd_targets())
def test_the_order_of_the_sum(simd_target, target):
    """Terms of 1, half a float32 step and float64 crumbs: any other order gives other bits."""
    simd_target(target)
    rng = np.random.default_rng(9)
    rows = np.zeros((1500, 40), np.float32)
    for row in rows:
        place = rng.permutation(40)
        # Squares: 1, half a float32 step above it, and crumbs that a float64 of that size takes
        # up only where two of them have met before.
        row[place[:2]] = 1, 2.0**-12
        row[place[2 : rng.integers(4, 9)]] = 1.25 * 2.0**-27
    zero = np.zeros((1, 40), np.float32)
    found = all_scores(zero, rows, "l2")
    assert_same_bits(found, oracle.scores(zero, rows, "l2"))
    assert_same_bits(all_scores(rows[:9], rows, "ip"), oracle.scores(rows[:9], rows, "ip"))
    assert_same_bits(all_scores(rows[:9], rows, "cosine"), oracle.scores(rows[:9], rows, "cosine"))
    # The control: these inputs do tell the other orders apart.
    for other in (sum_in_one_lane, sum_by_neighbours, sum_in_four_lanes, sum_in_float32):
        sums = [np.float32(-other([float(v) * float(v) for v in row])) for row in rows]
        assert (np.array(sums) != found[0]).sum() >= 20, other.__name__


def on_the_edge_of_rounding(rng):
    """Return a pair whose squared distance lies where fused and separate steps round apart."""
    query = np.zeros(32, np.float32)
    row = np.zeros(32, np.float32)
    query[[0, 8]] = rng.uniform(0.5, 1, 2)
    row[[0, 8]] = rng.uniform(-1, 1, 2) * 2.0**-18
    total = sum((float(query[i]) - float(row[i])) ** 2 for i in (0, 8))
    nearest = np.float32(total)
    step = float(np.nextafter(nearest, np.float32(9))) - float(nearest)
    edge = float(nearest) + 1.5 * step  # halfway between two float32 numbers above
    for i in (16, 24):  # two further elements lead there, the second finely
        query[i] = np.float32(np.sqrt(max(edge - total, 0)) * (1 - 2.0**-23 * (i == 16)))
        total += float(query[i]) ** 2
    return query, row


def fused(query, row):
    total = Fraction(0)
    for i in (0, 8, 16, 24):
        difference = Fraction(float(query[i]) - float(row[i]))
        total = Fraction(float(total + difference * difference))
    return np.float32(-float(total))


@pytest.mark.parametrize("target", nm.simd_targets())
def test_squared_differences_are_never_fused(simd_target, target):
    simd_target(target)
    rng = np.random.default_rng(10)
    pairs = [on_the_edge_of_rounding(rng) for _ in range(300)]
    queries, rows = (np.stack(side) for side in zip(*pairs, strict=True))
    found = np.diagonal(all_scores(queries, rows, "l2"))
    assert_same_bits(found.copy(), oracle.pair_scores(queries, rows, "l2"))
    # The control: a fused multiply-add would give other bits here.
    other = np.array([fused(query, row) for query, row in pairs])
    assert (other != found).sum() >= 20


def test_zero_padding_changes_nothing():
    rng = np.random.default_rng(0)
    for d in DIMENSIONS:
        queries, corpus = rng.normal(size=(5, d)), rng.normal(size=(20, d))
        wide = [np.pad(rows, ((0, 0), (0, 40 - d))) for rows in (queries, corpus)]
        for metric in METRICS:
            assert_same_bits(all_scores(*wide, metric), all_scores(queries, corpus, metric))


def test_element_types_with_the_same_values_score_the_same():
    rng = np.random.default_rng(1)
    small = vectors(rng, (40, 19), "int8", "ties")
    for metric in METRICS:
        scores = [
            all_scores(small.astype(a.dtype), small.astype(b.dtype), metric)
            for dtype in DTYPES
            if dtype != "uint8"
            for a, b in [[vectors(rng, (1, 1), dtype, "ties")] * 2]
        ]
        for other in scores[1:]:
            assert_same_bits(other, scores[0], metric)


@pytest.mark.parametrize("metric", METRICS)
def test_no_negative_zero(metric):
    queries = np.array([[1, 0], [-1, 0]], np.float32)
    corpus = np.array([[0, 1], [-0.0, -1], [1, 0], [-1, 0]], np.float32)
    found = all_scores(queries, corpus, metric)
    assert_same_bits(found, oracle.scores(queries, corpus, metric))
    zero = found == 0
    assert zero.any()
    assert not np.signbit(found[zero]).any()


def test_a_product_too_small_for_float32_is_a_zero_without_sign():
    tiny = np.array([[1e-30]], np.float32)
    for sign in (1, -1):
        scores, _ = nm.topk(tiny, sign * tiny, 1, metric="ip")
        assert_same_bits(scores, np.zeros((1, 1), np.float32))


@pytest.mark.parametrize("exponent", [-40, -38, -30, -20, 15, 18])
@pytest.mark.parametrize("metric", METRICS)
def test_tiny_and_large_magnitudes(metric, exponent):
    rng = np.random.default_rng(2)
    with np.errstate(under="ignore"):
        queries = (rng.normal(size=(9, 33)) * 10.0**exponent).astype(np.float32)
        corpus = (rng.normal(size=(300, 33)) * 10.0**exponent).astype(np.float32)
    expected = oracle.topk(queries, corpus, 40, metric)
    assert_same_topk(nm.topk(queries, corpus, 40, metric=metric), expected)


@pytest.mark.parametrize("exponent", [-30, 30, 38])
def test_cosine_at_any_magnitude(exponent):
    """Cosine cannot overflow, whatever the magnitude of either side."""
    rng = np.random.default_rng(3)
    queries = rng.uniform(-1, 1, size=(9, 33)).astype(np.float32)
    corpus = rng.uniform(-1, 1, size=(300, 33)).astype(np.float32)
    scale = np.float32(10.0**exponent)
    for q, x in [(queries * scale, corpus), (queries, corpus * scale), (queries * scale,) * 2]:
        found = nm.topk(q, x, 9, metric="cosine")
        assert_same_topk(found, oracle.topk(q, x, 9, "cosine"))


def test_magnitudes_mixed_within_a_corpus_and_within_a_row():
    rng = np.random.default_rng(4)
    between = rng.normal(size=(400, 21)) * 10.0 ** rng.integers(-18, 18, (400, 1))
    within = rng.normal(size=(400, 21)) * 10.0 ** rng.integers(-18, 18, (400, 21))
    for rows in (between, within):
        for metric in METRICS:
            expected = oracle.topk(rows[:9], rows, 60, metric)
            assert_same_topk(nm.topk(rows[:9], rows, 60, metric=metric), expected)


def test_one_tiny_query_beside_huge_ones():
    """Scaling is by the row: the screen may not lose what a common scale would flush."""
    rng = np.random.default_rng(5)
    queries = rng.normal(size=(8, 24))
    queries[3] *= 1e-25
    queries[5] *= 1e25
    corpus = rng.normal(size=(500, 24))
    corpus[:3] *= 1e12
    for metric in METRICS:
        if metric == "l2":  # 1e25 squared would overflow
            queries[5] /= 1e10
        expected = oracle.topk(queries, corpus, 30, metric)
        assert_same_topk(nm.topk(queries, corpus, 30, metric=metric), expected)


def test_denormal_elements():
    rng = np.random.default_rng(6)
    rows = rng.integers(1, 4000, (200, 13)).astype(np.float32) * SMALLEST
    assert (rows > 0).all()
    assert (rows < np.finfo(np.float32).tiny).all()
    large = rng.normal(size=(9, 13)).astype(np.float32) * np.float32(1e30)
    for metric, queries in [("ip", large), ("cosine", large), ("cosine", rows[:9])]:
        expected = oracle.topk(queries, rows, 20, metric)
        assert (expected[0] != 0).any()
        assert_same_topk(nm.topk(queries, rows, 20, metric=metric), expected)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_returned_score_beyond_float32_raises(metric):
    queries = np.array([[1, 0], [1e30, 0]], np.float32)
    corpus = np.array([[1, 1], [2, 2], [-1e30, 1], [1e30, 1]], np.float32)
    if metric == "ip":
        with pytest.raises(ValueError, match=r"(?s)(?=.*\b1\b)(?=.*\b3\b)"):
            nm.topk(queries, corpus, 1, metric=metric)
        with pytest.raises(ValueError, match=r"(?s)(?=.*\b1\b)(?=.*\b3\b)"):
            nm.mine(queries, corpus, num_negatives=1, metric=metric)
    else:
        with pytest.raises(ValueError, match=r"\b0\b|\b1\b"):
            nm.topk(queries, corpus, 4, metric=metric)


def test_an_overflow_that_is_not_returned_is_no_error():
    queries = np.array([[1e20, 0]], np.float32)
    corpus = np.array([[1e20, 0], [-1e20, 0], [1, 0], [2, 0]], np.float32)
    expected = ([[3, 2]], [[2e20, 1e20]])
    found = nm.mine(queries, corpus, num_negatives=2, exclude=[[0]], metric="ip")
    assert found.indices.tolist() == expected[0]
    assert_same_bits(found.scores, np.array(expected[1], np.float32))
    below = nm.mine(queries, corpus, num_negatives=2, max_score=1e30, metric="ip")
    assert below.indices.tolist() == expected[0]


def test_a_positive_score_beyond_float32_raises():
    queries = np.array([[1, 0], [1e20, 0]], np.float32)
    corpus = np.array([[1, 0], [1e20, 0], [2, 0]], np.float32)
    with pytest.raises(ValueError, match=r"(?s)(?=.*query 1)(?=.*\b1\b)"):
        nm.mine(queries, corpus, [0, 1], num_negatives=1, absolute_margin=0.0, metric="ip")


@pytest.fixture
def flush_to_zero():
    """Return a function that runs another in a thread with denormals flushed to zero."""
    torch = pytest.importorskip("torch")

    def run(function):
        outcome = []

        def target():
            assert torch.set_flush_denormal(True), "this CPU cannot flush denormals"
            try:
                # np.float32 keeps the product from being folded by Python.
                assert np.float32(1e-40) * np.float32(1) == 0, "the control: denormals are flushed"
                outcome.append(function())
                assert np.float32(1e-40) * np.float32(1) == 0, "the caller's setting was changed"
            except BaseException as error:
                outcome.append(error)
            finally:
                torch.set_flush_denormal(False)

        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    return run


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_flush_to_zero_in_the_callers_thread_changes_nothing(flush_to_zero, dtype, threads):
    rng = np.random.default_rng(7)
    rows = rng.integers(1, 4000, (100, 13)).astype(np.float64) * float(SMALLEST)
    rows = rows.astype(dtype)
    large = (rng.normal(size=(5, 13)) * 1e30).astype(np.float32)
    for queries, metric in [(large, "ip"), (rows[:5], "cosine")]:
        expected = oracle.topk(queries, rows, 9, metric)
        found = flush_to_zero(
            lambda q=queries, m=metric: nm.topk(q, rows, 9, metric=m, num_threads=threads)
        )
        assert_same_topk(found, expected)


def test_flush_to_zero_does_not_move_a_threshold(flush_to_zero):
    """Scores and limits that are denormal in float32 still compare as what they are."""
    queries = np.array([[1.0]], np.float32)
    corpus = np.arange(1, 9, dtype=np.float32)[:, None] * SMALLEST
    keywords = {
        "metric": "ip",
        "num_negatives": 3,
        "max_score": float(corpus[5, 0]),
        "min_score": float(corpus[2, 0]),
        "absolute_margin": float(corpus[1, 0]),
    }
    expected = oracle.mine(queries, corpus, [[6]], **keywords)
    assert expected.indices.tolist() == [[4, 3, 2]]
    found = flush_to_zero(lambda: nm.mine(queries, corpus, [6], **keywords))
    assert_same_table(found, expected)


def test_flush_to_zero_changes_nothing_for_candidates(flush_to_zero):
    scores = np.arange(1, 9, dtype=np.float32)[None] * SMALLEST
    rows = np.arange(8)[None]
    arguments = {"positives": [6], "absolute_margin": float(scores[0, 1]), "num_negatives": 4}
    expected = nm.mine_candidates(scores, rows, **arguments)
    assert expected.indices.tolist() == [[4, 3, 2, 1]]
    found = flush_to_zero(lambda: nm.mine_candidates(scores, rows, **arguments))
    assert_same_table(found, expected)
    given = {**arguments, "positive_scores": scores[0, 6:7]}
    assert_same_table(flush_to_zero(lambda: nm.mine_candidates(scores, rows, **given)), expected)
    found = flush_to_zero(
        lambda: nm.mine_candidates(
            -scores, rows, **given | {"positive_scores": -scores[0, 6:7], "higher_is_closer": False}
        )
    )
    assert_same_table(found, expected)


def test_other_rounding_modes_of_the_caller_change_nothing():
    """The C library's rounding mode belongs to the thread, as flushing does."""
    import ctypes
    import platform

    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        pytest.skip("the constants of fesetround are those of Linux on x86-64")
    libm = ctypes.CDLL("libm.so.6")
    upward, nearest = 0x800, 0
    rng = np.random.default_rng(8)
    queries = rng.normal(size=(5, 40)).astype(np.float32)
    corpus = rng.normal(size=(200, 40)).astype(np.float32)
    for metric in METRICS:
        expected = oracle.topk(queries, corpus, 20, metric)
        assert libm.fesetround(upward) == 0
        try:
            found = nm.topk(queries, corpus, 20, metric=metric, num_threads=1)
            mined = nm.mine(queries, corpus, np.arange(5), relative_margin=0.1, metric=metric)
        finally:
            libm.fesetround(nearest)
        assert_same_topk(found, expected)
        positives = np.arange(5)[:, None].tolist()
        wanted = oracle.mine(queries, corpus, positives, relative_margin=0.1, metric=metric)
        assert_same_table(mined, wanted)
