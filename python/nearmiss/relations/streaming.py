# SPDX-License-Identifier: Apache-2.0
"""Centroids that follow the batches of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Float32, Float64, Int64, Matrix, check_integer, check_number, check_seed
from nearmiss.corpus import widen
from nearmiss.mining import topk
from nearmiss.relations.clusters import Bool, same_cluster_mask
from nearmiss.relations.vectors import as_vectors, check_directions
from nearmiss.runtime import resolve_num_threads


@dataclass(frozen=True, eq=False)
class StreamedBatch:
    """What `StreamingCentroids` says of one batch of b rows.

    Attributes
    ----------
    labels : (b,) int64
        The nearest centroid; -1 where its cosine is below ``min_cosine``.
    second : (b,) int64
        The nearest after it: its centroid is a hard negative.
    hard_negatives : (b, d) float32
        These centroids, as they were when the batch was assigned.
    """

    labels: Int64
    second: Int64
    hard_negatives: Float32

    def false_negatives(self) -> Bool:
        """Return `same_cluster_mask` of the rows; those labelled -1 are in no pair."""
        apart = np.arange(len(self.labels)) + self.labels.max(initial=0) + 1
        return same_cluster_mask(np.where(self.labels >= 0, self.labels, apart))


class StreamingCentroids:
    """Spherical k-means over batches whose embeddings move, by momentum.

    Nothing happens while embeddings still point the same way: clustering begins with the first
    batch whose mean cosine over all pairs of different rows is at most ``start_cosine``. That batch
    gives the centroids: a random row, then again and again the row least similar to the one before
    (ties to the lower), none twice. Every batch from that one on is assigned by greatest cosine,
    ties to the lower centroid, and then moves the centroids of its rows:
    ``c ← rate · Σ x + (1 - rate) · c`` over the rows x assigned to c. It is a sum, not a mean, of
    vectors as they are given, as in the authors' code. Centroids without rows stay.

    `KMeans.partial_fit` keeps running means instead, for embeddings that stay what they are.

    Parameters
    ----------
    num_clusters : int
        At least 2. 128 in the authors' code (96 for one encoder).
    rate : float, default 1e-3
        In (0, 1]; from the authors' code, as ``start_cosine``.
    start_cosine : float, default 0.4
        From -1 to 1; they searched 0.2 to 0.6.
    min_cosine : float, optional
        Rows less similar than this to every centroid get no label, move nothing and are nobody's
        false negatives. From -1 to 1. Default: every row is assigned, as in the paper.
    seed : int, default 0
        Of the first row: the draw of `KMeans(init="random")`.
    num_threads : int, optional
        Default: all that are allowed. Never changes the answer.

    Attributes
    ----------
    centroids : float32 (num_clusters, d), or None
        None before clustering has begun.

    References
    ----------
    "Clustering-Aware Negative Sampling for Unsupervised Sentence Representation" (ClusterNS), and
    its code.

    Examples
    --------
    >>> import nearmiss as nm
    >>> stream = nm.relations.StreamingCentroids(2)
    >>> batch = stream.update([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.2]])
    >>> batch.false_negatives().astype(int)
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """

    def __init__(
        self,
        num_clusters: int,
        *,
        rate: float = 1e-3,
        start_cosine: float = 0.4,
        min_cosine: float | None = None,
        seed: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self._num_clusters = check_integer(num_clusters, "num_clusters", 2)
        self._rate = check_number(rate, "rate", above=0, maximum=1)
        self._start = check_number(start_cosine, "start_cosine", minimum=-1, maximum=1)
        self._floor = -math.inf
        if min_cosine is not None:
            self._floor = check_number(min_cosine, "min_cosine", minimum=-1, maximum=1)
        self._seed = check_seed(seed, "seed")
        self._threads = resolve_num_threads(num_threads)
        self._centroids: Float64 | None = None

    @property
    def centroids(self) -> Float32 | None:
        """Return a copy."""
        return None if self._centroids is None else self._centroids.astype(np.float32)

    def update(self, embeddings: npt.ArrayLike) -> StreamedBatch | None:
        """Assign a batch, then move the centroids by it.

        Parameters
        ----------
        embeddings : array-like of shape (b, d)
            At least one row, none zero; ``num_clusters`` rows or more until clustering has begun.

        Returns
        -------
        StreamedBatch or None
            None while clustering has not begun.

        Raises
        ------
        ValueError
            For rows that are zero or not finite, too few rows to begin with, or another number of
            dimensions than before. The centroids are then as they were.
        """
        rows = self._check(embeddings)
        points = _core.Points(rows.rows, rows.element_type, "cosine", None, self._threads)
        before = self._centroids
        if before is None:
            if self._mean_cosine(points, len(rows.rows)) > self._start:
                return None
            before = self._farthest_next(points, rows)
        centers = before.astype(np.float32)
        scores, nearest = topk(embeddings, centers, 2, metric="cosine", num_threads=self._threads)
        labels = np.where(scores[:, 0].astype(np.float64) >= self._floor, nearest[:, 0], -1)
        self._centroids = self._moved(before, rows, labels)
        return StreamedBatch(labels, nearest[:, 1], centers[nearest[:, 1]])

    def _check(self, embeddings: npt.ArrayLike) -> Matrix:
        rows = as_vectors(embeddings, "embeddings")
        check_directions(rows, "embeddings")
        count, dim = rows.rows.shape
        if self._centroids is not None:
            if dim != self._centroids.shape[1]:
                raise ValueError(
                    f"embeddings: expected rows of {self._centroids.shape[1]} dimensions, got {dim}"
                )
            if count == 0:
                raise ValueError("embeddings: has no rows")
        elif count < self._num_clusters:
            raise ValueError(
                f"embeddings: expected at least {self._num_clusters} rows, as many as clusters, to "
                f"begin with, got {count}"
            )
        return rows

    def _mean_cosine(self, points: _core.Points, count: int) -> float:
        """Return the mean over pairs of different rows: from the square of the sum of all."""
        together = np.zeros(count, np.int32)
        total = points.sum_clusters(together, 1, self._threads)[0][0]
        square = math.fsum(element * element for element in total.tolist())
        return (square - count) / (count * (count - 1))

    def _farthest_next(self, points: _core.Points, rows: Matrix) -> Float64:
        last = int(points.seed(1, "random", 0, self._seed, 0, self._threads)[0])
        chosen = [last]
        left = np.ones(len(rows.rows), np.bool_)
        while len(chosen) < self._num_clusters:
            left[last] = False
            others = np.flatnonzero(left)
            center = np.ascontiguousarray(widen(rows._replace(rows=rows.rows[[last]])))
            cosines = points.assign(center, self._threads)[1]
            last = int(others[cosines[others].argmin()])
            chosen.append(last)
        return widen(rows._replace(rows=rows.rows[chosen])).astype(np.float64)

    def _moved(self, before: Float64, rows: Matrix, labels: Int64) -> Float64:
        chosen = np.flatnonzero(labels >= 0)
        if len(chosen) == 0:
            return before
        members: Any = np.ascontiguousarray(rows.rows[chosen])
        points = _core.Points(members, rows.element_type, "l2", None, self._threads)
        sums, weights = points.sum_clusters(
            labels[chosen].astype(np.int32), len(before), self._threads
        )
        after = before.copy()
        moved = weights > 0
        after[moved] = self._rate * sums[moved] + (1 - self._rate) * before[moved]
        return after
