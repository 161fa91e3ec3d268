# SPDX-License-Identifier: Apache-2.0
"""Clusters in place of their members, so that a denominator over all pairs takes linear time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float64, Matrix, check_number
from nearmiss.batches.clusters import Clusters, as_clusters
from nearmiss.relations.vectors import as_vectors, blocks

_BLOCK = 1 << 20  # cosines held at a time


def meta_nodes(embeddings: npt.ArrayLike, labels: npt.ArrayLike) -> Float64:
    """Return the sum of the embeddings of each cluster.

    Parameters
    ----------
    embeddings : array-like of shape (n, d)
        float64 is rounded to float32.
    labels : array-like of int of shape (n,)
        The cluster of each row, ≥ 0. The paper takes the likeliest of a soft assignment.

    Returns
    -------
    (C, d) float64
        A row for each cluster that has members, in the order of the labels
        (``numpy.unique(labels)``). The order of members changes no more than the last bits.

    Raises
    ------
    ValueError
        For nan or infinite embeddings (naming the row), a negative label, or another length.

    References
    ----------
    "Efficient block contrastive learning via parameter-free meta-node approximation" (PamC).

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.relations.meta_nodes([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [7, 3, 7])
    array([[0., 2.],
           [2., 1.]])
    """
    matrix = as_vectors(embeddings, "embeddings")
    clusters = Clusters.of(as_clusters(labels, "labels", len(matrix.rows)), "labels")
    return _sums(matrix, clusters)


def log_meta_node_sums(
    embeddings: npt.ArrayLike, labels: npt.ArrayLike, *, tau: float = 1.0
) -> Float64:
    """Return the denominator of a contrastive loss over clusters in place of rows, its logarithm.

    ``ln Σ_l exp(tau · cos(k, l))`` for each cluster k, where cos is that of `meta_nodes` and 0 for
    k with itself, so that it adds exp(0) = 1. With one row to a cluster this is the denominator
    over all pairs of rows. Time O(n d + C² d), memory O(C d) and a block.

    Parameters
    ----------
    embeddings : array-like of shape (n, d)
    labels : array-like of int of shape (n,)
        As for `meta_nodes`.
    tau : float, default 1
        Above 0. It multiplies the cosine, so it is the inverse of what others call temperature.
        The default was read in the authors' code.

    Returns
    -------
    (C,) float64
        In the order of `meta_nodes`, to about 1e-12. The loss of the paper is their mean less the
        mean of ln pos_i, where pos_i sums ``exp(tau · cos)`` over the neighbours of row i.

    Raises
    ------
    ValueError
        As `meta_nodes`, and for a cluster whose members add up to zero, which has no direction.

    References
    ----------
    "Efficient block contrastive learning via parameter-free meta-node approximation" (PamC).

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> found = nm.relations.log_meta_node_sums([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], [0, 1, 2])
    >>> np.exp(found).round(4)  # 1 + 1 + e, 1 + 1 + 1, 1 + 1 + e
    array([4.7183, 3.    , 4.7183])
    """
    factor = check_number(tau, "tau", above=0)
    matrix = as_vectors(embeddings, "embeddings")
    codes = as_clusters(labels, "labels", len(matrix.rows))
    nodes = _sums(matrix, Clusters.of(codes, "labels"))
    greatest = np.abs(nodes).max(axis=1, keepdims=True, initial=0)
    for node in np.flatnonzero(greatest == 0)[:1]:
        raise ValueError(
            f"labels: the embeddings of cluster {np.unique(codes)[node]} add up to zero, which "
            "has no cosine to others"
        )
    nodes /= greatest  # so that no square vanishes
    nodes /= np.sqrt((nodes * nodes).sum(axis=1, keepdims=True))
    sums = np.empty(len(nodes))
    step = max(1, _BLOCK // max(1, len(nodes)))
    for first in range(0, len(nodes), step):
        block = nodes[first : first + step]
        exponents = factor * (block @ nodes.T)
        own = np.arange(len(block))
        exponents[own, first + own] = 0
        most = exponents.max(axis=1, keepdims=True)
        sums[first : first + step] = most[:, 0] + np.log(np.exp(exponents - most).sum(axis=1))
    return sums


def _sums(matrix: Matrix, clusters: Clusters) -> Float64:
    sums = np.zeros((len(clusters), matrix.rows.shape[1]))
    owners = np.repeat(np.arange(len(clusters)), np.diff(clusters.indptr))
    for first, values in blocks(matrix, clusters.rows):
        of_block = owners[first : first + len(values)]
        starts = np.flatnonzero(np.diff(of_block, prepend=-1))
        sums[of_block[starts]] += np.add.reduceat(values, starts, axis=0)
    return sums
