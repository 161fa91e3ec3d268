# SPDX-License-Identifier: Apache-2.0
"""Sampling designs of fixed size, whose inclusion probabilities are known exactly.

A *design* draws a set of a row's items without replacement. An item's *inclusion probability* π is
the chance to be in that set. Where it is known, a sum over all items can be estimated from the
sample without bias, each drawn value divided by its π (Horvitz & Thompson 1952); successive
weighted draws (Plackett-Luce, Gumbel-top-k) do not have a simple π.

=================== ========= ======================================
design              is given  its sets
=================== ========= ======================================
conditional Poisson weights   are the most random of all with these π
pivotal             π         are spread over the row's order, or not
local pivotal       π         are spread over the space of vectors
=================== ========= ======================================

`conditional_poisson_weights` turns π into weights, `inclusion_probabilities` turns sizes into π.

Rows are independent. A draw depends on (seed, epoch, query id) and the row, and on nothing else:
not on other rows, batches, threads or machine. Columns of a row that hold no item have the weight
or probability 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import (
    Float64,
    Int64,
    as_float64_matrix,
    as_integers,
    as_matrix,
    as_row_matrix,
    check_choice,
    check_integer,
    check_seed,
)
from nearmiss.runtime import resolve_num_threads

_MOST_DRAWN = 2**31 - 1


class ConditionalPoissonSample(NamedTuple):
    """What `conditional_poisson` draws.

    Attributes
    ----------
    indices : (rows, n) int64
        Columns of the row that were drawn, ascending; -1 padded where sizes differ.
    log_probabilities : (rows,) float64
        The natural logarithm of the probability of each set.
    """

    indices: Int64
    log_probabilities: Float64


def inclusion_probabilities(
    weights: npt.ArrayLike, n: int | npt.ArrayLike, *, num_threads: int | None = None
) -> Float64:
    """Return inclusion probabilities proportional to weight, for samples of n items.

    π = n · w / Σw; items that would exceed 1 get 1, and the rest of n is shared among the others
    in proportion, until none exceeds 1 (Särndal, Swensson & Wretman 1992, §3.6.2).

    Parameters
    ----------
    weights : array-like of shape (rows, p)
        Finite, ≥ 0; 0 for no item. Probabilities, or leverage scores for leverage score sampling.
    n : int or array-like of shape (rows,)
        Items to draw, ≥ 0.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (rows, p) float64
        Each row sums to n, up to rounding.

    Raises
    ------
    ValueError
        For a weight that is negative or not finite, or fewer than n items of positive weight;
        names the row.

    Examples
    --------
    >>> inclusion_probabilities([[8.0, 1.0, 1.0, 0.0]], 2).tolist()
    [[1.0, 0.5, 0.5, 0.0]]
    """
    table = as_float64_matrix(weights, "weights")
    sizes = _sizes(n, len(table))
    return _core.inclusion_probabilities(table, sizes, resolve_num_threads(num_threads))


def conditional_poisson(
    log_weights: npt.ArrayLike,
    n: int | npt.ArrayLike,
    seed: int = 0,
    *,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> ConditionalPoissonSample:
    """Draw exactly n items of each row, a set with probability ∝ the product of its weights.

    Conditional Poisson sampling (Hájek 1964), also called rejective or maximum entropy sampling:
    independent draws of all items, given that there are n of them. Drawn item by item from tables
    of Poisson binomial probabilities (Chen & Liu 1997; for beams Meister, Amini, Vieira &
    Cotterell 2021). Weights are odds p / (1 - p) of the independent draws; multiplying a row by a
    constant changes nothing. Time and memory per row: p · n.

    Parameters
    ----------
    log_weights : array-like of shape (rows, p)
        Natural logarithms of the weights: -inf is never drawn, +inf always. Not the logarithms of
        inclusion probabilities: see `conditional_poisson_weights` for those.
    n : int or array-like of shape (rows,)
        Items to draw, ≥ 0.
    seed : int, default 0
    epoch : int, default 0
        Another epoch is another draw.
    query_ids : array-like of int of shape (rows,), optional
        What draws go by; default 0, 1, 2, …. Makes batches agree with one call.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    ConditionalPoissonSample
        ``(indices, log_probabilities)``.

    Raises
    ------
    ValueError
        For nan, fewer than n items above -inf, or more than n of +inf; names the row.

    Examples
    --------
    >>> import numpy as np
    >>> sample = conditional_poisson(np.log([[1.0, 2.0, 3.0]]), 2, seed=0)
    >>> sample.indices.shape
    (1, 2)
    """
    table = as_float64_matrix(log_weights, "log_weights")
    columns, log_probabilities = _core.conditional_poisson(
        table,
        _sizes(n, len(table)),
        *_keys(seed, epoch, query_ids, len(table)),
        resolve_num_threads(num_threads),
    )
    return ConditionalPoissonSample(columns, log_probabilities)


def conditional_poisson_inclusion(
    log_weights: npt.ArrayLike, n: int | npt.ArrayLike, *, num_threads: int | None = None
) -> Float64:
    """Return the inclusion probabilities of `conditional_poisson`.

    Exact up to rounding, by the recursion over items from both ends: no sampling, no subtraction.

    Parameters
    ----------
    log_weights, n, num_threads
        See `conditional_poisson`.

    Returns
    -------
    (rows, p) float64
        Each row sums to n.

    Raises
    ------
    ValueError
        See `conditional_poisson`.

    Examples
    --------
    >>> import numpy as np
    >>> conditional_poisson_inclusion(np.log([[1.0, 2.0, 3.0]]), 2).round(6).tolist()
    [[0.454545, 0.727273, 0.818182]]
    """
    table = as_float64_matrix(log_weights, "log_weights")
    sizes = _sizes(n, len(table))
    return _core.conditional_poisson_inclusion(table, sizes, resolve_num_threads(num_threads))


def conditional_poisson_weights(
    inclusion: npt.ArrayLike, *, num_threads: int | None = None
) -> Float64:
    """Return the log-weights with which `conditional_poisson` has given inclusion probabilities.

    They exist and are unique up to a constant, here chosen so that their mean is 0 (Chen, Dempster
    & Liu 1994, theorem 1). Found by iterative proportional fitting, one item after the other.

    Parameters
    ----------
    inclusion : array-like of shape (rows, p)
        From 0 to 1. Each row sums to an integer n, up to 1e-6, and is then brought to it; draw
        with this n.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (rows, p) float64
        -inf where an inclusion probability is 0, +inf where it is 1.

    Raises
    ------
    ValueError
        For a value outside [0, 1], a sum that is no integer, or probabilities so close to 0 and 1
        that no weights are found in float64; names the row.
    """
    table = as_float64_matrix(inclusion, "inclusion")
    return _core.conditional_poisson_weights(table, resolve_num_threads(num_threads))


def pivotal(
    inclusion: npt.ArrayLike,
    seed: int = 0,
    *,
    order: str = "random",
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> Int64:
    """Draw samples with given inclusion probabilities by the pivotal method.

    Items fight one after the other; in each fight one of the two is decided, the other takes what
    is left of their probabilities (Deville & Tillé 1998). Exact: fights are decided in integers.

    Parameters
    ----------
    inclusion : array-like of shape (rows, p)
        From 0 to 1. A row that sums to an integer, up to 1e-6, always gets as many items; any other
        gets the integer below or above.
    seed : int, default 0
    order : {"random", "given"}, default "random"
        Who fights whom: in an order drawn anew for each row, or as the columns are. In the given
        order neighbours seldom are drawn together, so a row sorted by score is sampled evenly over
        the scores; some sets of items then cannot occur.
    epoch, query_ids, num_threads
        See `conditional_poisson`.

    Returns
    -------
    (rows, width) int64
        Columns that were drawn, ascending, -1 padded. The width is the largest sample that could
        have been drawn.

    Raises
    ------
    ValueError
        For a value outside [0, 1]; names the row.
    """
    table = as_float64_matrix(inclusion, "inclusion")
    order = check_choice(order, "order", ("random", "given"))
    keys = _keys(seed, epoch, query_ids, len(table))
    return _core.pivotal(table, order, *keys, resolve_num_threads(num_threads))


def local_pivotal(
    inclusion: npt.ArrayLike,
    vectors: npt.ArrayLike,
    seed: int = 0,
    *,
    candidates: npt.ArrayLike | None = None,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> Int64:
    """Draw samples with given inclusion probabilities that are spread over a space.

    The local pivotal method (Grafström, Lundström & Schelin 2012, LPM2): an undecided item, chosen
    at random, fights the nearest undecided one, by Euclidean distance with ties to the lower
    column. Near items seldom are drawn together. With inclusion probabilities in proportion to
    `leverage_scores` it is the sampling of Shimizu et al. ("Improved active learning via dependent
    leverage score sampling", 2024), with neighbours in place of their tree. Time per row: p² · d.

    Parameters
    ----------
    inclusion : array-like of shape (rows, p)
        See `pivotal`.
    vectors : array-like of shape (m, d)
        Any form and type that `mine` takes as embeddings.
    seed : int, default 0
    candidates : array-like of int of shape (rows, p), optional
        Which of the vectors each column stands for, -1 for none: the ``indices`` of a search.
        Default: column j is vector j, in every row.
    epoch, query_ids, num_threads
        See `conditional_poisson`.

    Returns
    -------
    (rows, width) int64
        See `pivotal`. These are columns, also where candidates are given.

    Raises
    ------
    ValueError
        For a value outside [0, 1], a candidate that is no row of the vectors, an inclusion
        probability where there is no candidate, or vectors that are not finite; names the row.
    """
    table = as_float64_matrix(inclusion, "inclusion")
    matrix = as_matrix(vectors, "vectors")
    places = _places(candidates, table.shape, len(matrix.rows))
    keys = _keys(seed, epoch, query_ids, len(table))
    threads = resolve_num_threads(num_threads)
    return _core.local_pivotal(table, matrix.rows, matrix.element_type, places, *keys, threads)


def leverage_scores(
    vectors: npt.ArrayLike,
    *,
    candidates: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> Float64:
    """Return the leverage scores of vectors, or of the candidates of each row among themselves.

    The leverage of row i of a matrix A is aᵢᵀ (AᵀA)⁺ aᵢ, the squared norm of that row of an
    orthonormal basis of A's column space: how far the row alone decides a least squares fit. Scores
    sum to the rank of A. Where there are no more vectors than dimensions, and none depends on the
    others, each has leverage 1. Directions that are shorter than 1e-10 of the longest column count
    as none. Time per row: p · d · min(p, d).

    Parameters
    ----------
    vectors : array-like of shape (m, d)
        Any form and type that `mine` takes as embeddings.
    candidates : array-like of int of shape (rows, p), optional
        Which of the vectors each column stands for, -1 for none: the ``indices`` of a search.
        Default: one row of all vectors.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (rows, p) float64
        From 0 to 1; 0 where there is no candidate.

    Raises
    ------
    ValueError
        For a candidate that is no row of the vectors, or vectors that are not finite; names the
        row.

    Examples
    --------
    >>> leverage_scores([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]).round(6).tolist()
    [[0.5, 0.5, 1.0]]
    """
    matrix = as_matrix(vectors, "vectors")
    places = (
        np.arange(len(matrix.rows), dtype=np.int64)[None]
        if candidates is None
        else as_row_matrix(candidates, "candidates")
    )
    threads = resolve_num_threads(num_threads)
    return _core.leverage_scores(matrix.rows, matrix.element_type, places, threads)


def _places(candidates: Any, shape: tuple[int, ...], num_vectors: int) -> Int64:
    if candidates is None:
        if num_vectors != shape[1]:
            raise ValueError(
                f"vectors: expected {shape[1]}, one per column of inclusion, got {num_vectors}; "
                f"or give candidates"
            )
        columns = np.broadcast_to(np.arange(num_vectors, dtype=np.int64), shape)
        return np.ascontiguousarray(columns)
    places = as_row_matrix(candidates, "candidates")
    if places.shape != shape:
        raise ValueError(f"candidates: expected shape {shape}, as inclusion, got {places.shape}")
    return places


def _sizes(n: Any, num_rows: int) -> Int64:
    if np.ndim(n) == 0:
        return np.full(num_rows, check_integer(n, "n", 0, _MOST_DRAWN), dtype=np.int64)
    sizes = as_integers(n, "n", num_rows, "row")
    for row in np.flatnonzero((sizes < 0) | (sizes > _MOST_DRAWN))[:1]:
        raise ValueError(f"n: row {row} is {sizes[row]}; expected 0 to {_MOST_DRAWN}")
    return sizes


def _keys(seed: Any, epoch: Any, query_ids: Any, num_rows: int) -> tuple[Int64, int, int]:
    ids = (
        np.arange(num_rows, dtype=np.int64)
        if query_ids is None
        else as_integers(query_ids, "query_ids", num_rows, "row")
    )
    return (
        ids,
        check_seed(seed, "seed"),
        check_seed(epoch, "epoch"),
    )
