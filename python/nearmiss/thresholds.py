# SPDX-License-Identifier: Apache-2.0
"""One threshold for each row of scores, from the scores of that row.

For cutting rows into likely positives and negatives, or outliers from the rest: compare a row with
its threshold, or give the thresholds as ``max_score`` or ``min_score`` to `mine`. nan stands for
no score, wherever it is, so padded tables may be used as they are; a row without a score has the
threshold nan. Everything is computed in float64, float32 scores exactly widened first.
"""

from __future__ import annotations

import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import (
    Float64,
    as_float64_matrix,
    check_choice,
    check_integer,
    check_number,
)
from nearmiss.runtime import resolve_num_threads

_METHODS = ("linear", "inverted")


def mean_plus_sd(
    scores: npt.ArrayLike,
    c: float = 1.0,
    *,
    ddof: int = 1,
    num_threads: int | None = None,
) -> Float64:
    """Return mean + c · standard deviation of each row.

    With the defaults the threshold of ATSS (Zhang et al., "Bridging the gap between anchor-based
    and anchor-free detection", CVPR 2020, algorithm 1): scores at or above it are taken for
    positives.

    Parameters
    ----------
    scores : array-like of shape (n, k)
        Finite, or nan for no score.
    c : float, default 1.0
        May be negative.
    ddof : int, default 1
        Degrees of freedom lost: 1 is the sample's standard deviation, as in the code of ATSS, 0
        the population's. A row of no more than ``ddof`` scores has the deviation 0.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (n,) float64
        Where all scores of a row are equal, just that score: ``scores >= threshold`` then keeps
        all of them.

    Raises
    ------
    ValueError
        For an infinite score, naming row and column.

    Examples
    --------
    >>> mean_plus_sd([[0.1, 0.2, 0.3, 0.6, 0.8]]).round(6).tolist()
    [0.691548]
    """
    c = check_number(c, "c")
    ddof = check_integer(ddof, "ddof", 0, 2**31 - 1)
    rows = as_float64_matrix(scores, "scores")
    return _core.mean_plus_sd(rows, c, ddof, resolve_num_threads(num_threads))


def quantile(
    scores: npt.ArrayLike,
    q: float,
    *,
    method: str = "linear",
    num_threads: int | None = None,
) -> Float64:
    """Return the q-quantile of each row.

    Parameters
    ----------
    scores : array-like of shape (n, k)
        Finite, or nan for no score.
    q : float
        From 0, the least score, to 1, the greatest.
    method : {"linear", "inverted"}, default "linear"
        With the L scores of a row ascending and numbered from 0, ``"linear"`` interpolates at
        place q · (L - 1) (Hyndman & Fan 1996, type 7; the default of numpy). ``"inverted"`` takes
        the score at place floor(q · L), the last for q = 1, as the code of UNPG does: the least
        score that more than q · L scores do not exceed.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (n,) float64
        nan for a row without a score.

    Raises
    ------
    ValueError
        For an infinite score, naming row and column, or q out of range.
    """
    q = check_number(q, "q")
    if not 0 <= q <= 1:
        raise ValueError(f"q: must be from 0 to 1, got {q}")
    method = check_choice(method, "method", _METHODS)
    rows = as_float64_matrix(scores, "scores")
    return _core.quantile(rows, q, method, resolve_num_threads(num_threads))


def whisker(
    scores: npt.ArrayLike,
    w: float = 1.5,
    *,
    side: str = "upper",
    method: str = "inverted",
    num_threads: int | None = None,
) -> Float64:
    """Return where the whiskers of each row's box plot may end: q3 + w · (q3 - q1), or its mirror.

    Tukey's fences. UNPG (Jung et al., "Unified negative pair generation toward well-discriminative
    feature space for face recognition", BMVC 2022) keeps the negatives between both, equality
    included.

    Parameters
    ----------
    scores : array-like of shape (n, k)
        Finite, or nan for no score.
    w : float, default 1.5
        How many interquartile ranges beyond the box, ≥ 0. UNPG's code uses 1.5 for large sets of
        faces and 1.0 for a small one.
    side : {"upper", "lower"}, default "upper"
        q3 + w · (q3 - q1), or q1 - w · (q3 - q1).
    method : {"inverted", "linear"}, default "inverted"
        How the quartiles are taken, see `quantile`; the default is UNPG's.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (n,) float64
        nan for a row without a score.

    Raises
    ------
    ValueError
        For an infinite score, naming row and column, or a negative w.
    """
    w = check_number(w, "w")
    if w < 0:
        raise ValueError(f"w: must be at least 0, got {w}")
    side = check_choice(side, "side", ("upper", "lower"))
    method = check_choice(method, "method", _METHODS)
    rows = as_float64_matrix(scores, "scores")
    return _core.whisker(rows, w, side, method, resolve_num_threads(num_threads))
