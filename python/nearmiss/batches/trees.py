# SPDX-License-Identifier: Apache-2.0
"""Trees of near rows, from which `NGAME` makes its clusters."""

from __future__ import annotations

import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Int64, as_matrix, check_integer, check_seed
from nearmiss.progress import Progress, reporting
from nearmiss.runtime import resolve_num_threads


def balanced_two_means(
    vectors: npt.ArrayLike,
    num_leaves: int,
    seed: int = 0,
    *,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Int64:
    """Return the leaf of each row in a balanced binary tree: recursive 2-means, equal halves.

    Two different rows are drawn as centres; rows are ordered by their cosine to one minus that to
    the other, and cut at the median; centres become the directions of the halves' mean directions;
    until the mean cosine of rows to their centre grows by less than 1e-4. Then each half is split
    alike.

    Parameters
    ----------
    vectors : array-like of shape (n, d)
        Any form and type that `mine` takes as embeddings.
    num_leaves : int
        Rounded up to a power of two, which must not exceed n.
    seed : int, default 0
    num_threads : int, optional
        Threads of this call; results never depend on them. One per node, so the first splits use
        few.
    progress : bool or callable, optional
        See `mine`.

    Returns
    -------
    (n,) int64
        From 0 to the number of leaves less 1, so that ``leaf >> 1`` is the parent. The sizes of
        the nodes of a level differ by 1 at most.

    Raises
    ------
    ValueError
        For more leaves than rows, or a vector that is zero or not finite, naming the row.

    References
    ----------
    Dahiya et al., "NGAME: Negative Mining-aware Mini-batching for Extreme Classification",
    WSDM 2023, as in the authors' code.

    Examples
    --------
    >>> import nearmiss as nm
    >>> vectors = [[1, 0], [0, 1], [1, 0.1], [0.1, 1]]
    >>> leaves = nm.batches.balanced_two_means(vectors, 2)
    >>> bool(leaves[0] == leaves[2]), bool(leaves[1] == leaves[3])
    (True, True)
    """
    matrix = as_matrix(vectors, "vectors")
    depth = (check_integer(num_leaves, "num_leaves", 1) - 1).bit_length()
    if 1 << depth > max(len(matrix.rows), 1):
        raise ValueError(
            f"num_leaves: {num_leaves} makes {1 << depth} leaves, more than there are rows, "
            f"{len(matrix.rows)}"
        )
    check_seed(seed, "seed")
    threads = resolve_num_threads(num_threads)
    with reporting(progress) as report:
        return _core.balanced_two_means(
            matrix.rows, matrix.element_type, depth, seed, threads, report
        )
