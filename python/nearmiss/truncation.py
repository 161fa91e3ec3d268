# SPDX-License-Identifier: Apache-2.0
"""Support truncation: cutting off what is too unlikely before a sample is drawn.

Each function takes rows of log-weights and returns them with -inf for what is cut; what is left
keeps its log-weight, which is all that samplers need. With w the weights of a row, T their sum
and p = w / T:

========= =====================================================================
`min_p`   keeps w ≥ limit · max w
`top_p`   keeps the likeliest items that hold a share of the limit or more
`epsilon` keeps p ≥ limit
`eta`     keeps p ≥ min(limit, √limit · exp(-entropy of p))
========= =====================================================================

Equality is kept. An item of log-weight -inf does not exist: it is neither counted nor kept. The
``min_keep`` likeliest items of a row, at least one, stay whatever the rule says, ties to the left;
so a row never loses everything, and only a row that has no item comes back without one. Scores
become log-weights by division by a temperature.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Float64, as_float64_matrix, check_flag, check_integer, check_number
from nearmiss.runtime import resolve_num_threads

_MOST_KEPT = 2**31 - 1


def min_p(
    log_weights: npt.ArrayLike,
    min_p: float,
    *,
    min_keep: int = 1,
    probabilities: bool = False,
    num_threads: int | None = None,
) -> Float64:
    """Keep what is at least ``min_p`` times as likely as the likeliest item of its row.

    In log-weights a margin to the best: s ≥ max s + ln(min_p). Min-p sampling (Nguyen et al.,
    2024).

    Parameters
    ----------
    log_weights : array-like of shape (n, p)
        Finite, or -inf for no item. Any real type; decided in float64.
    min_p : float
        From 0, which cuts nothing, to 1, which keeps only what ties with the likeliest. The paper
        uses 0.05 to 0.1.
    min_keep : int, default 1
        So many of the likeliest stay in any case.
    probabilities : bool, default False
        The rows are probabilities, or weights of any total, instead of logarithms: finite, ≥ 0,
        and 0 for no item.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (n, p) float64
        Log-weights, -inf where an item is cut.

    Raises
    ------
    ValueError
        For nan, +inf or (as probability) negative values, naming row and column, or a parameter
        out of range.

    Examples
    --------
    >>> import numpy as np
    >>> p = [[0.5, 0.25, 0.15, 0.06, 0.04]]
    >>> np.exp(min_p(p, 0.2, probabilities=True)).round(2).tolist()
    [[0.5, 0.25, 0.15, 0.0, 0.0]]
    """
    return _truncate("min_p", log_weights, min_p, min_keep, probabilities, num_threads)


def top_p(
    log_weights: npt.ArrayLike,
    top_p: float,
    *,
    min_keep: int = 1,
    probabilities: bool = False,
    num_threads: int | None = None,
) -> Float64:
    """Keep the smallest set of likeliest items that holds a share of at least ``top_p``.

    Ties are taken from the left. Nucleus sampling (Holtzman et al., "The curious case of neural
    text degeneration", 2020, §3.1).

    Parameters
    ----------
    log_weights : array-like of shape (n, p)
        See `min_p`.
    top_p : float
        From 0, which keeps ``min_keep``, to 1, which cuts nothing.
    min_keep, probabilities, num_threads
        See `min_p`.

    Returns
    -------
    (n, p) float64
        Log-weights, -inf where an item is cut.

    Raises
    ------
    ValueError
        See `min_p`.
    """
    return _truncate("top_p", log_weights, top_p, min_keep, probabilities, num_threads)


def epsilon(
    log_weights: npt.ArrayLike,
    epsilon: float,
    *,
    min_keep: int = 1,
    probabilities: bool = False,
    num_threads: int | None = None,
) -> Float64:
    """Keep what has a probability of at least ``epsilon``.

    Epsilon sampling (Hewitt, Manning & Liang, "Truncation sampling as language model desmoothing",
    2022, §4).

    Parameters
    ----------
    log_weights : array-like of shape (n, p)
        See `min_p`; probabilities are their softmax.
    epsilon : float
        From 0 to 1.
    min_keep, probabilities, num_threads
        See `min_p`. ``probabilities`` need not sum to 1; they are divided by their sum.

    Returns
    -------
    (n, p) float64
        Log-weights, -inf where an item is cut.

    Raises
    ------
    ValueError
        See `min_p`.
    """
    return _truncate("epsilon", log_weights, epsilon, min_keep, probabilities, num_threads)


def eta(
    log_weights: npt.ArrayLike,
    epsilon: float,
    *,
    min_keep: int = 1,
    probabilities: bool = False,
    num_threads: int | None = None,
) -> Float64:
    """Keep a probability of at least min(ε, √ε · exp(-H)), H the entropy of the row in nats.

    The flatter a row, the lower its threshold: a uniform row keeps everything. Eta sampling
    (Hewitt, Manning & Liang 2022, §4).

    Parameters
    ----------
    log_weights : array-like of shape (n, p)
        See `min_p`; probabilities are their softmax.
    epsilon : float
        From 0 to 1.
    min_keep, probabilities, num_threads
        See `epsilon`.

    Returns
    -------
    (n, p) float64
        Log-weights, -inf where an item is cut.

    Raises
    ------
    ValueError
        See `min_p`.
    """
    return _truncate("eta", log_weights, epsilon, min_keep, probabilities, num_threads)


def _truncate(
    rule: str,
    values: npt.ArrayLike,
    limit: Any,
    min_keep: Any,
    probabilities: bool,
    num_threads: int | None,
) -> Float64:
    weights = check_flag(probabilities, "probabilities")
    name = "epsilon" if rule == "eta" else rule
    limit = check_number(limit, name)
    if not 0 <= limit <= 1:
        raise ValueError(f"{name}: must be from 0 to 1, got {limit}")
    min_keep = check_integer(min_keep, "min_keep", 1, _MOST_KEPT)
    rows = as_float64_matrix(values, "log_weights")
    threads = resolve_num_threads(num_threads)
    return _core.truncate(rows, weights, rule, limit, min_keep, threads)
