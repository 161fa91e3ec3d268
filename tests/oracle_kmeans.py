# SPDX-License-Identifier: Apache-2.0
"""The definition of k-means: slow, obvious numpy on the scores of `oracle`."""

from dataclasses import dataclass, field

import numpy as np
import oracle

NAMES = {"euclidean": "l2", "cosine": "cosine"}


def losses(scores: np.ndarray, metric: str) -> np.ndarray:
    """Return what rows add to the inertia, float64."""
    wide = scores.astype(np.float64)
    return 1.0 - wide if metric == "cosine" else -wide


def add_up(values: np.ndarray) -> float:
    """Sum float64 one after the other."""
    total = 0.0
    for value in values.tolist():
        total += value
    return total


def assign(rows: np.ndarray, centers: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row, ties to the lower, and the scores."""
    scores = oracle.scores(rows, centers, NAMES[metric])
    labels = scores.argmax(axis=1)
    return labels.astype(np.int32), scores[np.arange(len(rows)), labels]


def root_norms(rows: np.ndarray) -> np.ndarray:
    """Return the norm of each row as scores define it."""
    lanes = oracle._lanes(rows)
    return np.sqrt(oracle._sum(lanes, lanes, np.multiply))


def sum_cluster(
    rows: np.ndarray, weights: np.ndarray, members: np.ndarray, metric: str
) -> tuple[np.ndarray, float]:
    """Return the weighted sum of some rows (cosine: of their unit vectors), ascending."""
    multipliers = weights / root_norms(rows) if metric == "cosine" else weights
    total = np.zeros(rows.shape[1])
    for row in members:
        total = total + multipliers[row] * oracle.as_float32(rows[row]).astype(np.float64)
    return total, add_up(weights[members])


def direction(vector: np.ndarray) -> np.ndarray | None:
    """Return the float32 unit vector along a float64 one, None for the zero vector."""
    norm = np.sqrt(add_up(vector * vector))
    return None if norm == 0 else (vector / norm).astype(np.float32)


def repair(
    rows: np.ndarray,
    weights: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    metric: str,
    k: int,
) -> np.ndarray:
    """Give each empty cluster the worst row that may go; return the labels then."""
    labels = labels.copy()
    given: list[bytes] = []
    loss = losses(scores, metric)
    worst_first = np.argsort(scores, kind="stable")
    for cluster in [c for c in range(k) if not (weights[labels == c] > 0).any()]:
        for row in worst_first:
            company = ((labels == labels[row]) & (weights > 0)).sum()
            bits = oracle.as_float32(rows[row]).tobytes()
            if weights[row] > 0 and loss[row] > 0 and company > 1 and bits not in given:
                labels[row] = cluster
                given.append(bits)
                break
    return labels


@dataclass
class Clustering:
    """What `nearmiss.KMeans` must find."""

    centers: np.ndarray
    labels: np.ndarray
    inertia: float
    history: list[float] = field(default_factory=list)


def mean_variance(rows: np.ndarray, weights: np.ndarray, metric: str) -> float:
    """Return the mean over the columns of their variance (cosine: of unit rows)."""
    total, weight = sum_cluster(rows, weights, np.arange(len(rows)), metric)
    norms = np.ones(len(rows)) if metric == "cosine" else root_norms(rows)
    squares = add_up(weights * (norms * norms)) / weight
    mean = total / weight
    return max(squares - add_up(mean * mean), 0.0) / rows.shape[1]


def lloyd(
    rows: np.ndarray,
    centers: np.ndarray,
    metric: str,
    weights: np.ndarray | None = None,
    max_iter: int = 300,
    tol: float = 0.0,
) -> Clustering:
    """Iterate by looking at every pair."""
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    centers = oracle.as_float32(centers).copy()
    if metric == "cosine":
        centers = np.stack([direction(center.astype(np.float64)) for center in centers])
    enough = tol * mean_variance(rows, weights, metric) if tol > 0 else 0.0
    history: list[float] = []
    before = None
    for _ in range(max_iter):
        labels, scores = assign(rows, centers, metric)
        loss = losses(scores, metric)
        history.append(add_up(weights * loss))
        if before is not None and np.array_equal(labels, before):
            break
        before = repair(rows, weights, labels, scores, metric, len(centers))
        shift = 0.0
        for c in range(len(centers)):
            total, weight = sum_cluster(rows, weights, np.flatnonzero(before == c), metric)
            if weight == 0:
                continue
            if metric == "cosine":
                moved = direction(total)
                if moved is None:
                    continue
            else:
                moved = (total / weight).astype(np.float32)
            gaps = moved.astype(np.float64) - centers[c].astype(np.float64)
            for gap in gaps.tolist():
                shift += gap * gap
            centers[c] = moved
        if shift <= enough:
            break
    labels, scores = assign(rows, centers, metric)
    return Clustering(centers, labels, add_up(weights * losses(scores, metric)), history)
