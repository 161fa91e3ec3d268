# SPDX-License-Identifier: Apache-2.0
"""Pairs by whether their rows lie in one cluster, from labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Float32,
    Int64,
    as_float64_matrix,
    as_float64_vector,
    as_integers,
    as_row_matrix,
)
from nearmiss.batches.clusters import as_clusters

Bool = npt.NDArray[np.bool_]

_BLOCK = 1 << 18  # pairs compared at a time


def co_cluster_weights(
    clusterings: Any, rows: npt.ArrayLike, others: npt.ArrayLike, *, other_clusterings: Any = None
) -> Float32:
    """Weigh pairs by in how many clusterings they lie apart.

    ``w_ij = K - #{k : c_k(i) = c_k(j)}`` over K clusterings, coarse and fine ones for example. A
    pair that every clustering puts together has weight 0, and so has a row with itself. With one
    clustering this is a hard mask.

    Parameters
    ----------
    clusterings : array-like of int of shape (K, n), or a list of K arrays of shape (n,)
        The cluster of each row in each clustering, ≥ 0. Labels of different clusterings have
        nothing to do with each other.
    rows : array-like of int of shape (r,)
        The rows to weigh pairs of, such as those of a batch.
    others : array-like of int of shape (c,) or (r, c)
        What they are paired with: the same for every row, or a list for each row, padded with -1,
        such as ``Negatives.indices``.
    other_clusterings : as ``clusterings``, optional
        The clusters of what ``others`` counts, where these are not the same things as ``rows``:
        K label arrays of m entries, with the same meaning of labels. Default: ``clusterings``.

    Returns
    -------
    (r, c) float32
        From 0 to K; 0 where ``others`` is -1. They multiply ``exp(s / τ)`` in the denominator of
        a loss; 0 takes a pair out. Time O(K r c).

    Raises
    ------
    ValueError
        For no clustering, ones of different lengths, a negative label, or a row out of range.
    TypeError
        For arguments of a wrong type.

    See Also
    --------
    joint_clusters : keeps pairs of weight 0 out of a search.

    References
    ----------
    "Heterogeneous Graph Contrastive Learning with Meta-path Contexts and Adaptively Weighted
    Negative Samples" (MEOW), and its code; there K = 2.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.co_cluster_weights([[0, 0, 0, 1], [5, 5, 2, 3]], [0], [1, 2, 3])
    array([[0., 1., 2.]], dtype=float32)
    """
    labels = _as_clusterings(clusterings, "clusterings")
    other_labels = labels
    if other_clusterings is not None:
        other_labels = _as_clusterings(other_clusterings, "other_clusterings")
        if len(other_labels) != len(labels):
            raise ValueError(
                f"other_clusterings: expected {len(labels)} clusterings, as in clusterings, got "
                f"{len(other_labels)}"
            )
    chosen = as_integers(rows, "rows")
    _check_rows(chosen, "rows", labels.shape[1], 0)
    paired = _as_row_or_table(others, "others")
    if paired.ndim == 2 and len(paired) != len(chosen):
        raise ValueError(f"others: expected shape (c,) or ({len(chosen)}, c), got {paired.shape}")
    _check_rows(paired, "others", other_labels.shape[1], -1)
    return _weigh(labels, other_labels, chosen, paired)


def joint_clusters(clusterings: Any) -> Int64:
    """Return labels that are equal where rows lie together in every clustering.

    As groups they keep what several clusterings agree on out of a search, however large:
    ``mine(…, query_groups=joint[query_rows], corpus_groups=joint)`` never returns a pair that
    `co_cluster_weights` gives 0.

    Parameters
    ----------
    clusterings : array-like of int of shape (K, n), or a list of K arrays of shape (n,)
        See `co_cluster_weights`.

    Returns
    -------
    (n,) int64
        0, 1, 2, … in the order of the tuples of labels.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.joint_clusters([[0, 0, 0, 1], [5, 5, 2, 3]])
    array([1, 1, 0, 2])
    """
    joint, *more = _as_clusterings(clusterings, "clusterings")
    joint = np.unique(joint, return_inverse=True)[1]
    for labels in more:  # numbers stay below n² before they are made dense again
        codes = np.unique(labels, return_inverse=True)[1]
        joint = joint * (codes.max(initial=0) + 1) + codes
        joint = np.unique(joint, return_inverse=True)[1]
    return joint.astype(np.int64)


def same_cluster_mask(labels: npt.ArrayLike) -> Bool:
    """Tell which pairs of a batch are probably false negatives: those of one cluster.

    Parameters
    ----------
    labels : array-like of int of shape (b,)
        The cluster of each row of the batch, ≥ 0.

    Returns
    -------
    (b, b) bool
        True where two rows lie in one cluster; symmetric, the diagonal False. What is True is to
        be left out of the negatives, or to be given a loss of its own. For a whole corpus give
        the labels as groups: ``mine(query_groups=…, corpus_groups=…)``.

    References
    ----------
    "Clustering-Aware Negative Sampling for Unsupervised Sentence Representation" (ClusterNS).
    Its code leaves such rows in the denominator and adds a margin loss on them.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.same_cluster_mask([4, 7, 4]).astype(int)
    array([[0, 0, 1],
           [0, 0, 0],
           [1, 0, 0]])
    """
    clusters = as_clusters(labels, "labels")
    mask: Bool = clusters[:, None] == clusters
    np.fill_diagonal(mask, False)
    return mask


def best_per_cluster(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Bool:
    """Mark the best item of each cluster: the best ones that differ from each other.

    Parameters
    ----------
    scores : array-like of shape (n, c) or (c,)
        Of c items for each of n queries, or of one; higher is better. nan for none.
    labels : array-like of int of shape (c,) or (n, c)
        The cluster of each item; one array for all queries, or one row for each. -1 for none.

    Returns
    -------
    bool, the shape of ``scores``
        True for the item of greatest score of each cluster of the row; among equals the leftmost.
        What is none is never marked. To go on with it: ``np.where(marked, indices, -1)`` are
        candidates for `mine_candidates`.

    Raises
    ------
    ValueError
        For a label below -1 or shapes that do not fit.

    References
    ----------
    "ArGue: Attribute-Guided Prompt Tuning for Vision-Language Models" keeps the best of each of
    3 clusters of attributes.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.best_per_cluster([0.9, 0.8, 0.3, 0.5], [0, 0, 1, 1])
    array([ True, False, False,  True])
    """
    single = _num_dimensions(scores) == 1
    table = (
        as_float64_vector(scores, "scores")[None] if single else as_float64_matrix(scores, "scores")
    )
    clusters = _as_row_or_table(labels, "labels")
    if clusters.shape not in (table.shape, table.shape[1:]):
        raise ValueError(
            f"labels: expected shape {table.shape[1:]} or {table.shape}, got {clusters.shape}"
        )
    if clusters.min(initial=0) < -1:
        place = np.unravel_index(int(clusters.argmin()), clusters.shape)
        raise ValueError(
            f"labels: {clusters.min()} at {', '.join(map(str, place))}; clusters start at 0 and "
            "-1 means none"
        )
    marked = np.zeros(table.shape, dtype=np.bool_)
    clusters = np.broadcast_to(clusters, table.shape)
    rows, columns = np.nonzero((clusters >= 0) & ~np.isnan(table))
    found, values = clusters[rows, columns], table[rows, columns]
    order = np.lexsort((columns, -values, found, rows))
    rows, columns, found = rows[order], columns[order], found[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (rows[1:] != rows[:-1]) | (found[1:] != found[:-1])
    marked[rows[first], columns[first]] = True
    return marked[0] if single else marked


def _as_clusterings(value: Any, name: str) -> Int64:
    """Return (K, n) labels, checked."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        raise TypeError(f"{name}: expected a list of label arrays, got {value!r}")
    if len(value) == 0:
        raise ValueError(f"{name}: empty, expected at least one clustering")
    if np.ndim(value[0]) != 1:
        raise ValueError(
            f"{name}: expected shape (clusterings, rows), or a list of label arrays; "
            "put a single array of labels into a list"
        )
    first = as_clusters(value[0], f"{name}[0]")
    more = [
        as_clusters(labels, f"{name}[{number}]", len(first))
        for number, labels in enumerate(value[1:], start=1)
    ]
    return np.stack([first, *more])


def _as_row_or_table(value: Any, name: str) -> Int64:
    return as_integers(value, name) if _num_dimensions(value) == 1 else as_row_matrix(value, name)


def _num_dimensions(value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError:  # rows differ in length, which is said where they are read
        return 2


def _check_rows(rows: Int64, name: str, num_rows: int, least: int) -> None:
    bad = (rows < least) | (rows >= num_rows)
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), rows.shape)
        raise ValueError(
            f"{name}: {rows[place]} at {', '.join(map(str, place))}; expected rows from 0 to "
            f"{num_rows - 1}" + (", or -1 for none" if least else "")
        )


def _weigh(labels: Int64, other_labels: Int64, rows: Int64, others: Int64) -> Float32:
    weights = np.zeros((len(rows), others.shape[-1]), dtype=np.float32)
    if other_labels.shape[1] == 0:
        return weights  # every pair is with none
    step = max(1, _BLOCK // max(1, others.shape[-1]))
    for first in range(0, len(rows), step):
        block = slice(first, first + step)
        paired = others if others.ndim == 1 else others[block]
        apart = np.zeros((len(rows[block]), others.shape[-1]), dtype=np.int32)
        for own, other in zip(labels, other_labels, strict=True):
            apart += own[rows[block], None] != other[paired]
        weights[block] = np.where(paired >= 0, apart, 0)
    return weights
