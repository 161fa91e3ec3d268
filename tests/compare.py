# SPDX-License-Identifier: Apache-2.0
"""The comparisons of the suite: strict, and saying where two results part."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import oracle

_BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def assert_same_bits(actual: Any, expected: Any, what: str = "result") -> None:
    """Demand the same shape, dtype and bits: -0.0 is not 0.0, and a nan equals only a nan."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    differs = actual != expected
    if actual.dtype.kind == "f":
        bits = _BITS[actual.dtype.itemsize]
        differs = np.ascontiguousarray(actual).view(bits) != np.ascontiguousarray(expected).view(
            bits
        )
        differs &= ~(np.isnan(actual) & np.isnan(expected))
    if differs.any():
        places = np.argwhere(differs)
        first = tuple(int(i) for i in places[0])
        raise AssertionError(
            f"{what}: {len(places)} of {actual.size} entries differ, the first at {first}: "
            f"{actual[first]!r}, not {expected[first]!r}"
        )


def assert_same_topk(
    actual: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]
) -> None:
    """Demand the same (scores, indices), bit for bit."""
    assert_same_bits(actual[1], expected[1], "indices")
    assert_same_bits(actual[0], expected[0], "scores")


def assert_same_table(actual: Any, expected: Any) -> None:
    """Demand the same indices, scores, counts and positive scores of two mining results."""
    for name in ("indices", "scores", "counts", "positive_scores"):
        assert_same_bits(getattr(actual, name), getattr(expected, name), name)


def assert_drawn_from(actual: Any, expected: oracle.Mined) -> None:
    """Demand that each row holds as many distinct rows of its window as it can, best first."""
    n, k = expected.indices.shape
    assert actual.indices.shape == (n, k), f"shape {actual.indices.shape}, not {(n, k)}"
    for i, window in enumerate(expected.windows):
        count = min(k, len(window))
        assert actual.counts[i] == count, f"query {i}: counts {actual.counts[i]}, not {count}"
        rows = actual.indices[i]
        assert (rows[count:] == -1).all(), f"query {i}: {rows} is not padded with -1"
        place = {int(row): rank for rank, row in enumerate(window)}
        ranks = [place.get(int(row), -1) for row in rows[:count]]
        assert -1 not in ranks, f"query {i}: {rows} holds a row outside its window {window}"
        assert ranks == sorted(set(ranks)), f"query {i}: {rows} repeats or is out of order"
        drawn = np.full(k, np.nan, np.float32)
        drawn[:count] = expected.every_score[i, rows[:count]]
        assert_same_bits(actual.scores[i], drawn, f"scores of query {i}")
    assert_same_bits(actual.positive_scores, expected.positive_scores, "positive_scores")


def assert_close_topk(
    actual: tuple[np.ndarray, np.ndarray],
    expected: tuple[np.ndarray, np.ndarray],
    tolerance: float,
) -> None:
    """Demand equal scores within `tolerance`, and equal indices except where scores tie within it.

    For ground truth that was computed in another arithmetic. Both are ``(scores, indices)``.
    """
    scores, indices = actual
    true_scores, true_indices = expected
    assert scores.shape == true_scores.shape, f"shape {scores.shape}, not {true_scores.shape}"
    apart = np.abs(scores.astype(np.float64) - true_scores.astype(np.float64))
    assert not np.isnan(apart).any(), "a score is nan"
    assert apart.max(initial=0) <= tolerance, f"scores differ by {apart.max()} > {tolerance}"
    for i in range(len(indices)):
        assert len(set(indices[i])) == indices.shape[1], f"query {i}: {indices[i]} repeats a row"
        for j in np.flatnonzero(indices[i] != true_indices[i]):
            # A different row is right only in place of another one that scores the same, or at
            # the end of the list, where a tie with the first row left out cannot be seen.
            known = np.flatnonzero(true_indices[i] == indices[i, j])
            place = known[0] if len(known) else len(true_indices[i]) - 1
            gap = abs(float(true_scores[i, place]) - float(true_scores[i, j]))
            assert gap <= tolerance, (
                f"query {i}, place {j}: row {indices[i, j]}, not {true_indices[i, j]}, "
                f"and their scores differ by {gap}"
            )


def chi_square(observed: Sequence[int], expected: Sequence[float]) -> float:
    """Return the probability of counts at least this far from the expected ones."""
    from scipy.stats import chisquare

    return float(chisquare(np.asarray(observed, float), np.asarray(expected, float)).pvalue)


def assert_law(observed: Sequence[int], expected: Sequence[float], alpha: float = 1e-4) -> None:
    """Demand that counts of outcomes follow the expected counts."""
    p = chi_square(observed, expected)
    assert p > alpha, f"counts {list(observed)} against {list(expected)}: p = {p:.2e}"


def rejects(check: Callable[..., None], *args: Any) -> bool:
    """Tell whether `check` fails: the control that shows a check can fail."""
    try:
        check(*args)
    except AssertionError:
        return True
    return False
