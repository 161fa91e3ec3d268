# SPDX-License-Identifier: Apache-2.0
"""New rows of small classes, between rows that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nearmiss.arrays import Int64, check_integer, check_seed
from nearmiss.groups import CorpusGroups
from nearmiss.mining import mine
from nearmiss.mixing.draws import MOST_MIXED, Stream, below, units
from nearmiss.mixing.vectors import Mixed, as_floats, check_some, mix, on_cpu, take


def mix_same_label(
    embeddings: Any,
    labels: Iterable[Any],
    *,
    num_mixed: Mapping[Any, int] | None = None,
    num_neighbors: int = 5,
    seed: int = 0,
    epoch: int = 0,
    num_threads: int | None = None,
) -> Mixed:
    """Make more of small classes: points between a row and a near one of its label (SMOTE).

    For each new point a pair (row, one of its nearest rows of the same label) is drawn, every pair
    equally likely, and a point between them, uniformly: ``x + u·(neighbour - x)`` with one u in
    [0, 1) for all coordinates. Nothing is scaled to unit length.

    Parameters
    ----------
    embeddings : array or tensor of shape (n, d)
    labels : sequence of int or str of shape (n,)
        -1 (or None among strings): in no class, not used.
    num_mixed : mapping of label to int, optional
        New points of each class. Default: what lifts every class to the size of the largest.
    num_neighbors : int, default 5
        Nearest by Euclidean distance, exactly; the row itself is left out, copies of it are not.
    seed, epoch : int, default 0
    num_threads : int, optional

    Returns
    -------
    Mixed
        Of shape (t,), classes in ascending order. Parents are rows: the neighbour, then the row it
        is a neighbour of; ``np.asarray(labels)[mixed.parents[:, 1]]`` are the labels.

    Raises
    ------
    ValueError
        If a class that gets new points has no ``num_neighbors`` rows besides each one, or
        ``num_mixed`` names a label that no row has.

    References
    ----------
    Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16, 2002. Pairs are
    drawn as in imbalanced-learn.
    """
    vectors = as_floats(embeddings, "embeddings", 2)
    check_some(vectors, "embeddings")
    classes = CorpusGroups.of(labels, len(vectors), "labels")
    num_neighbors = check_integer(num_neighbors, "num_neighbors", 1)
    seed, epoch = check_seed(seed, "seed"), check_seed(epoch, "epoch")
    sizes = np.bincount(classes.codes[classes.codes >= 0], minlength=len(classes.distinct))
    wanted = _wanted(num_mixed, classes, sizes)
    small = np.flatnonzero((wanted > 0) & (sizes <= num_neighbors))
    if len(small):
        raise ValueError(
            f"num_neighbors: class {classes.distinct.tolist()[small[0]]!r} has {sizes[small[0]]} "
            f"rows, so each has {sizes[small[0]] - 1} others, not {num_neighbors}"
        )
    rows = np.flatnonzero((wanted > 0)[classes.codes] & (classes.codes >= 0))
    rows = rows[np.argsort(classes.codes[rows], kind="stable")]
    code = np.repeat(np.arange(len(wanted), dtype=np.int64), wanted)
    number = np.arange(len(code), dtype=np.int64) - (np.cumsum(wanted) - wanted)[code]
    bounds = sizes[code] * num_neighbors
    drawn = below(bounds, Stream.SAME_LABEL_PARENTS, seed, epoch, code, number)
    shares = units(Stream.SAME_LABEL_SHARES, seed, epoch, code, number)
    base = (np.cumsum(sizes * (wanted > 0)) - sizes * (wanted > 0))[code] + drawn // num_neighbors
    parents = np.empty((len(code), 2), dtype=np.int64)
    if len(code):
        neighbours = _neighbours(on_cpu(vectors), classes, rows, num_neighbors, num_threads)
        parents[:, 0], parents[:, 1] = neighbours[base, drawn % num_neighbors], rows[base]
    made = np.ones(len(code), dtype=np.bool_)
    first, second = take(vectors, parents[:, 0]), take(vectors, parents[:, 1])
    return mix(first, second, parents, shares, made, False, "embeddings")


def _wanted(num_mixed: Mapping[Any, int] | None, classes: CorpusGroups, sizes: Int64) -> Int64:
    """Return the number of new points of each class."""
    if num_mixed is None:
        lifted: Int64 = sizes.max(initial=0) - sizes
        return lifted
    if not isinstance(num_mixed, Mapping):
        raise TypeError(
            f"num_mixed: expected a mapping of label to number, got a {type(num_mixed).__name__}"
        )
    places = {label: code for code, label in enumerate(classes.distinct.tolist())}
    wanted = np.zeros(len(sizes), dtype=np.int64)
    for label, count in num_mixed.items():
        if label not in places:
            raise ValueError(f"num_mixed: no row has label {label!r}")
        wanted[places[label]] = check_integer(count, f"num_mixed[{label!r}]", 0, MOST_MIXED)
    return wanted


def _neighbours(
    vectors: Any, classes: CorpusGroups, rows: Int64, count: int, threads: int | None
) -> Int64:
    """Return the nearest other rows of the same label, for some rows."""
    found: Int64 = mine(
        vectors[rows],
        vectors,
        num_negatives=count,
        metric="l2",
        exclude_self=True,
        query_ids=rows,
        query_groups=classes.codes[rows],
        corpus_groups=classes.codes,
        within_groups=True,
        on_shortage="error",
        num_threads=threads,
    ).indices
    return found
