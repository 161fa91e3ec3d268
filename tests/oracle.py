# SPDX-License-Identifier: Apache-2.0
"""The definition of correct: slow, obvious numpy.

A score is computed for every pair, by the one definition of a score (`scores`), and every limit
is a line of Python (`mine`). Nothing here is clever, so that it can be checked by reading; every
exact test of the suite compares against it, bit for bit.

Shapes: queries ``(n, d)``, corpus ``(m, d)``. Lists per query (positives, exclusions) are lists of
lists of corpus rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LANES = 8
Lists = Sequence[Sequence[int]]


def as_float32(rows: np.ndarray) -> np.ndarray:
    """Return the values of `rows`, float64 rounded to float32, all else converted exactly."""
    return np.asarray(rows).astype(np.float32)


def _lanes(rows: np.ndarray) -> np.ndarray:
    """Return float64 ``(n, steps, 8)``: element i in lane i mod 8, zero-padded."""
    rows = as_float32(rows).astype(np.float64)
    padded = np.zeros((len(rows), -(-rows.shape[1] // LANES) * LANES))
    padded[:, : rows.shape[1]] = rows
    return padded.reshape(len(rows), -1, LANES)


def _sum(q: np.ndarray, x: np.ndarray, term: Callable[..., np.ndarray]) -> np.ndarray:
    """Sum ``term(q_i, x_i)`` lane by lane in ascending i, then the fixed tree over the lanes."""
    lane = np.zeros(np.broadcast_shapes(q[:, 0].shape, x[:, 0].shape))
    for step in range(q.shape[1]):
        lane = lane + term(q[:, step], x[:, step])
    even = (lane[..., 0] + lane[..., 4]) + (lane[..., 2] + lane[..., 6])
    odd = (lane[..., 1] + lane[..., 5]) + (lane[..., 3] + lane[..., 7])
    return even + odd


def _squared_difference(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (q - x) * (q - x)


def pair_scores(queries: np.ndarray, corpus: np.ndarray, metric: str) -> np.ndarray:
    """Return the float32 score of each pair ``queries[i], corpus[i]``."""
    q, x = _lanes(queries), _lanes(corpus)
    if metric == "l2":
        total = -_sum(q, x, _squared_difference)
    elif metric == "ip":
        total = _sum(q, x, np.multiply)
    elif metric == "cosine":
        norms = np.sqrt(_sum(q, q, np.multiply)) * np.sqrt(_sum(x, x, np.multiply))
        total = _sum(q, x, np.multiply) / norms
    else:
        raise ValueError(metric)
    with np.errstate(over="ignore", under="ignore"):
        return total.astype(np.float32) + np.float32(0)


def scores(queries: np.ndarray, corpus: np.ndarray, metric: str) -> np.ndarray:
    """Return the float32 score of every pair, ``(n, m)``. Overflow shows as an infinity."""
    n, m = len(queries), len(corpus)
    if n == 0 or m == 0:
        return np.zeros((n, m), np.float32)
    return np.stack(
        [pair_scores(np.repeat(queries[i : i + 1], m, axis=0), corpus, metric) for i in range(n)]
    )


def ranking(row_scores: np.ndarray) -> np.ndarray:
    """Return all rows, higher score first, ties to the lower row."""
    return np.argsort(-row_scores, kind="stable")


def topk(
    queries: np.ndarray, corpus: np.ndarray, k: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(scores, indices)``, both ``(n, k)``."""
    every = scores(queries, corpus, metric)
    indices = np.array([ranking(row)[:k] for row in every], np.int64).reshape(len(queries), k)
    return np.take_along_axis(every, indices, axis=1), indices


@dataclass(frozen=True)
class Mined:
    """What mining must return, and what a random law may choose from."""

    windows: list[np.ndarray]  #: the admissible rows of each query's rank window, best first
    indices: np.ndarray  #: (n, num_negatives), the top of each window, -1 padded
    scores: np.ndarray  #: float32, nan padded
    counts: np.ndarray
    positive_scores: np.ndarray  #: float32 (n,), the margin reference, nan without a positive
    every_score: np.ndarray  #: float32 (n, m)


def duplicates_of(corpus: np.ndarray, rows: Sequence[int]) -> list[int]:
    """Return every corpus row with the same bits as one of `rows`, these included."""
    stored = as_float32(corpus) if corpus.dtype == np.float64 else corpus
    wanted = {stored[row].tobytes() for row in rows}
    return [row for row in range(len(stored)) if stored[row].tobytes() in wanted]


def reference_score(positive_scores: np.ndarray, how: str) -> np.float32:
    """Reduce the scores of a query's positives to the one that margins refer to."""
    if len(positive_scores) == 0:
        return np.float32(np.nan)
    if how == "mean":
        total = 0.0
        for score in positive_scores:
            total += float(score)
        return np.float32(total / len(positive_scores))
    return np.float32({"min": min, "max": max}[how](positive_scores))


def mine(
    queries: np.ndarray,
    corpus: np.ndarray,
    positives: Lists | None = None,
    *,
    metric: str = "cosine",
    num_negatives: int = 3,
    strategy: str = "top",
    range_min: int = 0,
    range_max: int | None = None,
    range_mode: str = "filtered",
    max_score: float | np.ndarray | None = None,
    min_score: float | np.ndarray | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    margin_reference: str = "min",
    positive_scores: np.ndarray | None = None,
    exclude: Lists | None = None,
    exclude_self: bool = False,
    exclude_duplicates: bool = True,
    query_groups: np.ndarray | None = None,
    corpus_groups: np.ndarray | None = None,
    within_groups: bool = False,
    corpus_values: np.ndarray | None = None,
    min_value: float | np.ndarray | None = None,
    max_value: float | np.ndarray | None = None,
    query_ids: np.ndarray | None = None,
) -> Mined:
    """Mine by looking at every pair. The arguments mean what those of `nearmiss.mine` mean."""
    n, m = len(queries), len(corpus)
    every = scores(queries, corpus, metric)
    positives = [sorted(set(rows)) for rows in positives] if positives is not None else [[]] * n
    ids = np.arange(n) if query_ids is None else query_ids
    ceiling = np.broadcast_to(np.inf if max_score is None else max_score, n)
    floor = np.broadcast_to(-np.inf if min_score is None else min_score, n)
    least = np.broadcast_to(-np.inf if min_value is None else min_value, n)
    beyond = np.broadcast_to(np.inf if max_value is None else max_value, n)
    if range_max is None:
        range_max = range_min + num_negatives if strategy == "top" else m

    windows, references = [], np.full(n, np.nan, np.float32)
    for i in range(n):
        score = every[i].astype(np.float64)
        if positive_scores is None:
            references[i] = reference_score(every[i, positives[i]], margin_reference)
        else:
            references[i] = positive_scores[i]
        reference = float(references[i])

        admissible = (floor[i] <= score) & (score <= ceiling[i])
        admissible[positives[i]] = False
        if exclude_duplicates:
            admissible[duplicates_of(corpus, positives[i])] = False
        if exclude is not None:
            admissible[list(exclude[i])] = False
        if exclude_self:
            admissible[ids[i]] = False
        if query_groups is not None and corpus_groups is not None:
            own = (corpus_groups == query_groups[i]) & (query_groups[i] != -1)
            admissible &= own if within_groups else ~own
        if corpus_values is not None:
            admissible &= (least[i] <= corpus_values) & (corpus_values < beyond[i])
        if absolute_margin is not None and not np.isnan(reference):
            admissible &= score <= reference - absolute_margin
        if relative_margin is not None and not np.isnan(reference):
            admissible &= score <= reference - relative_margin * abs(reference)

        order = ranking(every[i])
        if range_mode == "raw":
            window = order[range_min:range_max]
            windows.append(window[admissible[window]])
        else:
            windows.append(order[admissible[order]][range_min:range_max])
    return _tabulate(windows, every, references, num_negatives)


def _tabulate(
    windows: list[np.ndarray], every: np.ndarray, references: np.ndarray, num_negatives: int
) -> Mined:
    n = len(windows)
    indices = np.full((n, num_negatives), -1, np.int64)
    found = np.full((n, num_negatives), np.nan, np.float32)
    for i, window in enumerate(windows):
        top = window[:num_negatives]
        indices[i, : len(top)] = top
        found[i, : len(top)] = every[i, top]
    counts = (indices >= 0).sum(axis=1).astype(np.int64)
    return Mined(windows, indices, found, counts, references, every)
