# SPDX-License-Identifier: Apache-2.0
"""What centroids are near to: hard negatives, clusters to draw from, temperatures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import (
    Float64,
    Int64,
    Matrix,
    as_float64_vector,
    check_flag,
    check_integer,
    check_number,
    check_seed,
)
from nearmiss.batches.clusters import as_clusters
from nearmiss.corpus import Corpus, Metric, check_metric
from nearmiss.mining import topk
from nearmiss.positives import Lists, grouped, to_lists
from nearmiss.relations.vectors import as_vectors, check_dimensions, check_directions
from nearmiss.request import check_query_ids
from nearmiss.runtime import resolve_num_threads
from nearmiss.sampling import Draws, complement

_BLOCK = 1 << 20  # pairs scored at a time


def second_nearest_centroids(
    embeddings: npt.ArrayLike,
    centroids: npt.ArrayLike,
    *,
    metric: Metric = "cosine",
    num_threads: int | None = None,
) -> Int64:
    """Return the cluster that is nearest to each row after the nearest one.

    Its centroid is a hard negative: near, and of another cluster.

    Parameters
    ----------
    embeddings : array-like of shape (n, d)
    centroids : array-like of shape (C, d)
        At least two.
    metric : {"cosine", "ip", "l2"}, default "cosine"
        The default was read in the authors' code.
    num_threads : int, optional
        Default: all that are allowed. Never changes the answer.

    Returns
    -------
    (n,) int64
        Rows of ``centroids``; the vectors are ``centroids[found]``. Equal scores are in the order
        of the centroids, as in `topk`.

    Raises
    ------
    ValueError, TypeError
        As `topk`, and for fewer than two centroids.

    References
    ----------
    "Clustering-Aware Negative Sampling for Unsupervised Sentence Representation" (ClusterNS).

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.second_nearest_centroids([[3.0, 1.0]], [[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    array([0])
    """
    check_metric(metric)
    rows, centers = as_vectors(embeddings, "embeddings"), _as_centroids(centroids, 2)
    check_dimensions(rows, "embeddings", centers, "centroids")
    if metric == "cosine":
        check_directions(rows, "embeddings")
        check_directions(centers, "centroids")
    return topk(embeddings, centroids, 2, metric=metric, num_threads=num_threads)[1][:, 1]


def prototype_temperatures(
    distances: npt.ArrayLike, labels: npt.ArrayLike, num_clusters: int, tau: float
) -> Float64:
    """Return a temperature for each cluster, lower for dense ones.

    ``φ_c = mean(√distance) / ln(n_c + 5)`` over the n_c members of cluster c; clusters of fewer
    than two have the greatest φ of the others; then all are clipped to the 10th and 90th
    percentile (interpolated) and scaled to the mean ``tau``. Where every φ is zero, each is
    ``tau``.

    Parameters
    ----------
    distances : array-like of shape (n,)
        From each row to the centroid of its cluster, squared Euclidean (so that the root is the
        distance); finite, not negative.
    labels : array-like of int of shape (n,)
        The cluster of each row, from 0 to ``num_clusters`` - 1.
    num_clusters : int
    tau : float
        Mean of the temperatures, above 0.

    Returns
    -------
    (num_clusters,) float64
        What ``z · c`` of a loss over centroids is divided by.

    Raises
    ------
    ValueError
        For a distance that is negative or not finite or a label out of range, naming the row.

    References
    ----------
    "Heterogeneous Graph Contrastive Learning with Meta-path Contexts and Adaptively Weighted
    Negative Samples" (MEOW), its code.

    Examples
    --------
    >>> import nearmiss as nm
    >>> found = nm.relations.prototype_temperatures([1.0, 1.0, 9.0, 9.0], [0, 0, 1, 1], 2, tau=0.4)
    >>> found.round(6)  # φ = 1 : 3, clipped to 1.2 : 2.8
    array([0.24, 0.56])
    """
    num_clusters = check_integer(num_clusters, "num_clusters", 1)
    mean = check_number(tau, "tau", above=0)
    values = as_float64_vector(distances, "distances", what="row")
    clusters = as_clusters(labels, "labels", len(values))
    for row in np.flatnonzero(~((values >= 0) & (values < np.inf)))[:1]:
        raise ValueError(f"distances: row {row} is {values[row]}; expected finite, at least 0")
    _check_below(clusters, num_clusters)
    sizes = np.bincount(clusters, minlength=num_clusters)
    sums = np.bincount(clusters, weights=np.sqrt(values), minlength=num_clusters)
    phi: Float64 = sums / np.maximum(sizes, 1) / _core.log(sizes.astype(np.float64) + 5)
    several = sizes > 1
    phi[~several] = phi[several].max(initial=0)
    phi = phi.clip(np.quantile(phi, 0.1), np.quantile(phi, 0.9))
    if not phi.any():
        return np.full(num_clusters, mean)
    # The greatest is 1 first, lest a mean of tiny numbers vanish.
    phi /= phi.max()
    phi *= mean / phi.mean()
    return phi


def neighbor_cluster_negatives(
    anchors: npt.ArrayLike,
    labels: npt.ArrayLike,
    centroids: npt.ArrayLike,
    num_drawn: int,
    *,
    khop: int = 3,
    exclude: Any = None,
    embeddings: npt.ArrayLike | None = None,
    min_cosine: float | None = None,
    replace: bool = False,
    fallback: bool = False,
    seed: int = 0,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> Draws:
    """Draw items of the clusters nearest to an anchor, uniformly.

    The pool of a query is every item of the ``khop`` clusters whose centroids are nearest to its
    anchor (Euclidean; ties go to the lower cluster), less what is excluded. Draws are made among
    what is left, so none is in vain and no query takes longer than another.

    To corrupt one end of a triple (h, r, t), the paper's code takes the vector of the *other* end
    as the anchor: t for negative heads, h for negative tails. Give the vector of the replaced
    entity itself if you want what resembles that.

    Parameters
    ----------
    anchors : array-like of shape (n, d)
        One vector for each query, in the space of the centroids.
    labels : array-like of int of shape (m,)
        The cluster of each item, a row of ``centroids``.
    centroids : array-like of shape (C, d)
    num_drawn : int
        How many for each query, at least 1.
    khop : int, default 3
        How many clusters, from 1 to C. The default is of the authors' example (of 15 clusters).
    exclude
        Items each query must not get, in any form of ``mine(exclude=…)``: those known to be true
        (see `known_completions`), and the one that is replaced.
    embeddings : array-like of shape (m, d), optional
        The items in the space of the anchors; for ``min_cosine``.
    min_cosine : float, optional
        Keep only items whose cosine to the anchor is at least this. 0.5 in the authors' code,
        where it is optional too.
    replace : bool, default False
        Whether a query may get an item twice; the authors draw that way.
    fallback : bool, default False
        Whether a query whose pool is empty draws from all items but the excluded, as in the
        authors' code. Else its row is empty.
    seed, epoch : int, default 0
    query_ids : array-like of int of shape (n,), optional
        All different. Default: row numbers.
    num_threads : int, optional
        Default: all that are allowed. Never changes the answer.

    Returns
    -------
    Draws
        ``indices`` (n, num_drawn) int64, padded with -1: a query whose pool is smaller gets all of
        it. ``counts`` tells.

    Raises
    ------
    ValueError
        For a label without centroid, ``khop`` out of range, ``min_cosine`` without embeddings (or
        the reverse), exclusions out of range, or what `topk` refuses.
    TypeError
        For arguments of a wrong type.

    Notes
    -----
    Draws are those of ``sampling.complement`` over the pool in ascending order, a function of
    (seed, epoch, query id) and of the query's own pool. Pools are not stored for each query: those
    with the same clusters share one, and cosines are computed by blocks.

    References
    ----------
    "LEMON: LanguagE ModeL for Negative Sampling of Knowledge Graph Embeddings".

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.neighbor_cluster_negatives(
    ...     [[0.0, 0.1]], [0, 0, 1, 1], [[0.0, 0.0], [5.0, 5.0]], 2, khop=1, exclude=[[0]]
    ... )
    Draws(indices=array([[ 1, -1]]), counts=array([1]), log_probs=None)
    """
    num_drawn = check_integer(num_drawn, "num_drawn", 1, 2**31 - 1)
    replace = check_flag(replace, "replace")
    fallback = check_flag(fallback, "fallback")
    seed, epoch = check_seed(seed, "seed"), check_seed(epoch, "epoch")
    threads = resolve_num_threads(num_threads)
    queries, centers = as_vectors(anchors, "anchors"), _as_centroids(centroids, 1)
    check_dimensions(queries, "anchors", centers, "centroids")
    num_queries, num_clusters = len(queries.rows), len(centers.rows)
    khop = check_integer(khop, "khop", 1, num_clusters)
    clusters = as_clusters(labels, "labels")
    _check_below(clusters, num_clusters)
    ids = check_query_ids(query_ids, num_queries)
    excluded = to_lists(exclude, "exclude", num_queries, len(clusters))
    if excluded is None:
        excluded = Lists(np.zeros(num_queries + 1, np.int64), np.empty(0, np.int64))
    floor = _Floor.of(queries, embeddings, min_cosine, len(clusters), threads)

    indices = np.full((num_queries, num_drawn), -1, dtype=np.int64)
    counts = np.zeros(num_queries, dtype=np.int64)

    def draw(pool: Int64, members: Int64, barred: Lists) -> None:
        places, counts[members], _ = complement(
            len(pool),
            barred,
            num_drawn,
            replace=replace,
            seed=seed,
            epoch=epoch,
            query_ids=ids[members],
            num_threads=threads,
        )
        indices[members] = np.where(places >= 0, pool[places], -1)

    nearest = topk(anchors, centroids, khop, metric="l2", num_threads=threads)[1]
    for pool, members in _pools(nearest, clusters, num_clusters):
        step = len(members) if floor is None else max(1, _BLOCK // len(pool))
        for first in range(0, len(members), step):
            block = members[first : first + step]
            barred = _places(excluded.take(block), pool)
            draw(pool, block, barred if floor is None else floor.bar(barred, block, pool))
    empty = np.flatnonzero(counts == 0)
    if fallback and len(clusters) and len(empty):
        draw(np.arange(len(clusters), dtype=np.int64), empty, excluded.take(empty))
    return Draws(indices, counts)


@dataclass(frozen=True)
class _Floor:
    """Keeps items out whose cosine to the anchor is too low."""

    queries: Matrix
    items: Corpus
    min_cosine: float
    num_threads: int

    @classmethod
    def of(
        cls, queries: Matrix, embeddings: Any, min_cosine: Any, num_items: int, num_threads: int
    ) -> _Floor | None:
        if embeddings is None and min_cosine is None:
            return None
        if embeddings is None or min_cosine is None:
            raise ValueError("min_cosine: needs embeddings, and embeddings have no other use")
        least = check_number(min_cosine, "min_cosine", minimum=-1, maximum=1)
        matrix = as_vectors(embeddings, "embeddings", length=num_items)
        check_dimensions(matrix, "embeddings", queries, "anchors")
        check_directions(matrix, "embeddings")
        check_directions(queries, "anchors")
        if num_items == 0:
            return None
        return cls(
            queries,
            Corpus._of_matrix(matrix, "cosine", None, num_threads, "auto"),
            least,
            num_threads,
        )

    def bar(self, barred: Lists, members: Int64, pool: Int64) -> Lists:
        """Return the barred places of each query, those of items below the floor among them."""
        cosines = _core.pair_scores(
            self.queries.rows,
            self.queries.element_type,
            self.items._core,
            np.repeat(members, len(pool)),
            np.tile(pool, len(members)),
            num_threads=self.num_threads,
        ).reshape(len(members), len(pool))
        below = np.nonzero(cosines.astype(np.float64) < self.min_cosine)
        owners = np.concatenate([barred.owners(), below[0]])
        return grouped(owners, np.concatenate([barred.rows, below[1]]), len(members))


def _pools(nearest: Int64, clusters: Int64, num_clusters: int) -> Iterator[tuple[Int64, Int64]]:
    """Yield the items of each set of clusters that queries share, ascending, and these queries."""
    items = grouped(clusters, np.arange(len(clusters)), num_clusters)
    sets, set_of = np.unique(np.sort(nearest, axis=1), axis=0, return_inverse=True)
    queries = grouped(set_of.reshape(-1), np.arange(len(nearest)), len(sets))
    for number, chosen in enumerate(sets):
        pool = np.sort(items.take(chosen).rows)
        if len(pool):
            yield pool, queries.rows[queries.indptr[number] : queries.indptr[number + 1]]


def _places(lists: Lists, pool: Int64) -> Lists:
    """Return where in the pool the entries of lists are, without those that are elsewhere."""
    places = np.searchsorted(pool, lists.rows)
    found = places < len(pool)
    found[found] = pool[places[found]] == lists.rows[found]
    return grouped(lists.owners()[found], places[found], len(lists.indptr) - 1)


def _as_centroids(value: npt.ArrayLike, least: int) -> Matrix:
    matrix = as_vectors(value, "centroids")
    if len(matrix.rows) < least:
        raise ValueError(f"centroids: expected at least {least}, got {len(matrix.rows)}")
    return matrix


def _check_below(clusters: Int64, num_clusters: int) -> None:
    for row in np.flatnonzero(clusters >= num_clusters)[:1]:
        raise ValueError(
            f"labels: row {row} is {clusters[row]}, but there are {num_clusters} clusters"
        )
