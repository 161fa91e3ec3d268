# SPDX-License-Identifier: Apache-2.0
"""Mixtures of each query's hard negatives, with each other and with the query."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Int64, check_choice, check_flag
from nearmiss.mixing.draws import Draws, ShareLaw, Stream
from nearmiss.mixing.vectors import (
    Bool,
    Mixed,
    as_floats,
    cast_like,
    check_same_library,
    mix,
    take,
    to_numpy,
)


def mix_pairs(
    negatives: Any,
    num_mixed: int,
    *,
    mask: Any = None,
    law: ShareLaw = "uniform",
    distinct: bool = True,
    normalize: bool = True,
    seed: int = 0,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
) -> Mixed:
    """Mix pairs of each query's hard negatives (MoCHi's type 1, KaLM's pair-wise mixing).

    Parameters
    ----------
    negatives : array or tensor of shape (n, k, d)
        The hard negatives of each query, mined: MoCHi mixes within the N hardest of its queue.
    num_mixed : int
        Mixtures for each query.
    mask : array or tensor of bool of shape (n, k), optional
        Which negatives are there, such as ``Negatives.indices >= 0``. What is False may hold
        anything. Rows with fewer than two (one, if not ``distinct``) get no mixtures.
    law : {"uniform", "beta"}
        The first parent's share: uniform on [0, 1) (MoCHi), or Beta(2, 2) (KaLM), which has mean
        1/2 and variance 1/20.
    distinct : bool, default True
        Never mix a negative with itself. Code of MoCHi draws the two independently (False).
    normalize : bool, default True
        Scale mixtures to unit length, as both methods do.
    seed, epoch : int, default 0
        The draws; ``epoch`` may be a step.
    query_ids : array-like of int of shape (n,), optional
        What the draws of each query depend on. Default: row numbers.

    Returns
    -------
    Mixed
        Of shape (n, num_mixed); parents are columns of ``negatives``, every pair equally likely.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used, and for parents that are not finite, naming the row.

    Notes
    -----
    A mixture can be closer to the query than both parents, so mask what may be a positive first.
    MoCHi appends the mixtures to the negatives' logits and passes no gradient through them.
    Beta(2, 2) is drawn as the median of three uniform numbers, which has exactly this law.

    References
    ----------
    Kalantidis et al., "Hard Negative Mixing for Contrastive Learning", NeurIPS 2020.
    "KaLM-Embedding-V2: Superior Training Techniques and Data Inspire A Versatile Embedding Model".
    """
    vectors, present = _as_negatives(negatives, mask)
    draws = Draws.of(len(vectors), num_mixed, seed, epoch, query_ids)
    check_choice(law, "law", ("uniform", "beta"))
    distinct = check_flag(distinct, "distinct")
    normalize = check_flag(normalize, "normalize")
    counts = present.sum(axis=1, dtype=np.int64)
    others = np.maximum(counts - 1 if distinct else counts, 0)[:, np.newaxis]
    pairs = counts[:, np.newaxis] * others
    drawn = draws.below(np.maximum(pairs, 1), Stream.PAIR_PARENTS)
    first, second = drawn // np.maximum(others, 1), drawn % np.maximum(others, 1)
    if distinct:
        second += second >= first
    shares = draws.shares(law, Stream.PAIR_SHARES)
    columns = _nth_present(present, np.stack([first, second], axis=2))
    made = np.broadcast_to(pairs > 0, drawn.shape)
    rows = np.arange(len(vectors))[:, np.newaxis]
    return mix(
        take(vectors, rows, columns[..., 0]),
        take(vectors, rows, columns[..., 1]),
        columns,
        shares,
        made,
        normalize,
        "negatives",
    )


def mix_with_queries(
    queries: Any,
    negatives: Any,
    num_mixed: int,
    *,
    mask: Any = None,
    normalize: bool = True,
    seed: int = 0,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
) -> Mixed:
    """Mix each query's hard negatives with the query itself (MoCHi's type 2).

    The query's share is uniform on [0, 1/2), so that it never outweighs the negative.

    Parameters
    ----------
    queries : array or tensor of shape (n, d)
    negatives : array or tensor of shape (n, k, d)
    num_mixed, mask, normalize, seed, epoch, query_ids
        As for `mix_pairs`. Rows without a negative get no mixtures.

    Returns
    -------
    Mixed
        Of shape (n, num_mixed). The first parent is the query (its row), the second a column of
        ``negatives``, each equally likely.

    Raises
    ------
    ValueError, TypeError
        As for `mix_pairs`.

    References
    ----------
    Kalantidis et al., "Hard Negative Mixing for Contrastive Learning", NeurIPS 2020.
    """
    vectors, present = _as_negatives(negatives, mask)
    anchors = as_floats(queries, "queries")
    check_same_library(anchors, vectors, "queries")
    expected = (vectors.shape[0], vectors.shape[2])
    if tuple(anchors.shape) != expected:
        raise ValueError(f"queries: expected shape {expected}, got {tuple(anchors.shape)}")
    draws = Draws.of(len(vectors), num_mixed, seed, epoch, query_ids)
    normalize = check_flag(normalize, "normalize")
    counts = present.sum(axis=1, dtype=np.int64)[:, np.newaxis]
    drawn = draws.below(np.maximum(counts, 1), Stream.QUERY_PARENTS)
    shares = draws.shares("uniform", Stream.QUERY_SHARES) * 0.5
    columns = _nth_present(present, drawn)
    rows = np.broadcast_to(np.arange(len(vectors))[:, np.newaxis], columns.shape)
    return mix(
        take(cast_like(anchors, vectors), rows),
        take(vectors, rows, columns),
        np.stack([rows, columns], axis=2),
        shares,
        np.broadcast_to(counts > 0, drawn.shape),
        normalize,
        "negatives or queries",
    )


def _as_negatives(negatives: Any, mask: Any) -> tuple[Any, Bool]:
    vectors = as_floats(negatives, "negatives", 3)
    shape = tuple(vectors.shape[:2])
    if shape[1] == 0:
        raise ValueError(f"negatives: expected at least one per query, got shape {shape}")
    if mask is None:
        return vectors, np.ones(shape, dtype=np.bool_)
    present = to_numpy(mask)
    if present.dtype != np.bool_:
        raise TypeError(f"mask: expected booleans, got {present.dtype}")
    if present.shape != shape:
        raise ValueError(f"mask: expected shape {shape}, got {present.shape}")
    return vectors, present


def _nth_present(present: Bool, places: Int64) -> Int64:
    """Return the columns of the places-th entries that are present in each row."""
    order = np.argsort(~present, axis=1, kind="stable")
    # Of rows with too few nothing is used.
    rows = np.arange(len(present)).reshape(-1, *[1] * (places.ndim - 1))
    columns: Int64 = order[rows, np.minimum(places, present.shape[1] - 1)]
    return columns
