# SPDX-License-Identifier: Apache-2.0
"""Random draws by weight, reproducible to the last bit.

`weighted` draws columns of a table without replacement, `AliasTable` items with replacement, and
`complement` items that a query's list does not hold. Every draw is a function of (seed, epoch,
query id) and of the data of its own row: batches, shards, threads and SIMD targets agree.
Designs of fixed size, support truncation and row thresholds have modules of their own and are
found here too.
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
    as_float64_vector,
    as_integers,
    as_row_matrix,
    check_flag,
    check_integer,
    check_number,
    check_seed,
)
from nearmiss.designs import (
    ConditionalPoissonSample,
    conditional_poisson,
    conditional_poisson_inclusion,
    conditional_poisson_weights,
    inclusion_probabilities,
    leverage_scores,
    local_pivotal,
    pivotal,
)
from nearmiss.positives import Lists, count_lists, to_lists
from nearmiss.request import check_query_ids
from nearmiss.runtime import resolve_num_threads
from nearmiss.thresholds import mean_plus_sd, quantile, whisker
from nearmiss.truncation import epsilon, eta, min_p, top_p

__all__ = [
    "AliasTable",
    "ConditionalPoissonSample",
    "Draws",
    "complement",
    "conditional_poisson",
    "conditional_poisson_inclusion",
    "conditional_poisson_weights",
    "epsilon",
    "eta",
    "inclusion_probabilities",
    "leverage_scores",
    "local_pivotal",
    "mean_plus_sd",
    "min_p",
    "pivotal",
    "quantile",
    "top_p",
    "weighted",
    "whisker",
]

_MOST_DRAWN = 2**31 - 1  # per row
_MOST_ITEMS = 2**62


class Draws(NamedTuple):
    """What was drawn for each row, in the order of the draws.

    Attributes
    ----------
    indices : (n, k) int64
        Columns or items, padded with -1.
    counts : (n,) int64
        How many each row holds.
    log_probs : (n, k) float64 or None
        Natural logarithm of the probability of each draw given those before it, padded with nan.
    """

    indices: Int64
    counts: Int64
    log_probs: Float64 | None = None


def weighted(
    log_weights: npt.ArrayLike,
    n: int,
    *,
    ids: npt.ArrayLike | None = None,
    seed: int = 0,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
    return_log_probs: bool = False,
    num_threads: int | None = None,
) -> Draws:
    """Draw ``n`` columns of each row without replacement, with probabilities by their weights.

    Each draw takes a column with probability proportional to its weight among those left
    (successive sampling, the Plackett-Luce law). They are found as the columns with the greatest
    ``log_weights + noise``, where the noise of a candidate is Gumbel-distributed and a function of
    (seed, epoch, query id, candidate id); equal sums go to the lower id. So the first k of n draws
    are the k draws, and a candidate keeps its noise when others join or leave its row.

    Parameters
    ----------
    log_weights : array-like of shape (rows, columns)
        Natural logarithms of weights, as float64; they need not be normalised. ``-inf`` is never
        drawn.
    n : int
        How many to draw from each row, at least 1.
    ids : array-like of int of shape (rows, columns), optional
        What each column stands for, such as a corpus row; keys the noise. -1 for none, whatever
        its weight. Those of a row must differ. Default: the column number.
    seed, epoch : int, default 0
    query_ids : array-like of int of shape (rows,), optional
        All different. Default: row numbers.
    return_log_probs : bool, default False
        Whether to compute ``log_probs``: log w - log(sum of the weights left), to about 1e-15.
    num_threads : int, optional
        Default: all that are allowed; one inside a DataLoader worker. Never changes the answer.

    Returns
    -------
    Draws
        A row with fewer than ``n`` columns that can be drawn holds all of them; one with none is
        empty. ``counts`` tells.

    Raises
    ------
    ValueError
        For a weight that is nan or infinite, an id below -1 or twice in a row (naming row and
        column), or a wrong shape.
    TypeError
        For arguments of a wrong type.

    Notes
    -----
    Noise is ``-log(-log((b + 1/2) / 2**52))``, where b is the upper 52 of the candidate's 64
    random bits (``rng_scheme`` 1, stream 1), with logarithms of the core that have the same bits
    on every machine.

    References
    ----------
    Gumbel-top-k: Kool, van Hoof, Welling, "Stochastic beams and where to find them", ICML 2019,
    section 2 and appendix A. As keys u**(1/w): Efraimidis, Spirakis, "Weighted random sampling
    with a reservoir", Information Processing Letters 97(5), 2006.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> drawn = nm.sampling.weighted(np.log([[5.0, 3.0, 2.0]]), 2, return_log_probs=True)
    >>> drawn.indices.shape, drawn.counts
    ((1, 2), array([2]))
    """
    count = check_integer(n, "n", 1, _MOST_DRAWN)
    seed = check_seed(seed, "seed")
    epoch = check_seed(epoch, "epoch")
    with_log_probs = check_flag(return_log_probs, "return_log_probs")
    threads = resolve_num_threads(num_threads)
    weights = as_float64_matrix(log_weights, "log_weights")
    candidates = None if ids is None else as_row_matrix(ids, "ids")
    if candidates is not None and candidates.shape != weights.shape:
        raise ValueError(
            f"ids: expected shape {weights.shape}, that of log_weights, got {candidates.shape}"
        )
    queries = check_query_ids(query_ids, len(weights))
    return Draws(
        *_core.sample_weighted(
            weights, candidates, count, queries, seed, epoch, with_log_probs, threads
        )
    )


class AliasTable:
    """Draws of items with replacement by their weights, each in constant time.

    Parameters
    ----------
    weights : array-like of shape (m,)
        Finite, not negative, at least one positive; they need not be normalised.

    Raises
    ------
    ValueError
        For weights that are negative, nan or infinite (naming the item), or all zero.

    Notes
    -----
    Weights are multiplied by a power of two and rounded to integers of about 2**62 in all; the rest
    is integer arithmetic, so probabilities are exactly proportional to these integers. Integer
    weights of moderate size are represented exactly. An item of less than some 2**-63 of the
    total is never drawn.

    References
    ----------
    Walker, "An efficient method for generating discrete random variables with general
    distributions", ACM TOMS 3(3), 1977; construction: Vose, "A linear algorithm for generating
    random numbers with a given distribution", IEEE TSE 17(9), 1991.

    Examples
    --------
    >>> import nearmiss as nm
    >>> table = nm.sampling.AliasTable.from_counts([100, 10, 1], power=0.75)
    >>> table.probabilities.round(6).tolist()
    [0.826822, 0.147032, 0.026146]
    >>> table.draw(4, query_ids=[0, 1]).shape
    (2, 4)
    """

    def __init__(self, weights: npt.ArrayLike) -> None:
        # A copy, which pickling needs.
        self._weights = np.array(as_float64_vector(weights, "weights"))
        self._core = _core.AliasTable(self._weights)

    @classmethod
    def from_counts(cls, counts: npt.ArrayLike, power: float = 0.75) -> AliasTable:
        """Make a table of weights ``counts ** power``, popularity softened.

        Parameters
        ----------
        counts : array-like of shape (m,)
            How often each item occurs: finite, not negative.
        power : float, default 0.75
            1 draws in proportion to counts, 0 uniformly (counts of 0 included); in between, rare
            items are drawn more often than they occur. Negative powers need positive counts.

        Notes
        -----
        The default is that of word2vec's negative samples: Mikolov et al., "Distributed
        representations of words and phrases and their compositionality", NeurIPS 2013, section 2.2.
        """
        values = as_float64_vector(counts, "counts")
        return cls(_core.power_weights(values, check_number(power, "power"), "counts"))

    def __len__(self) -> int:
        return len(self._weights)

    def __repr__(self) -> str:
        return f"AliasTable({len(self)} items)"

    def __reduce__(self) -> tuple[type[AliasTable], tuple[Float64]]:
        return type(self), (self._weights,)

    @property
    def probabilities(self) -> Float64:
        """The probability of each item, (m,)."""
        return self._core.probabilities()

    def draw(
        self,
        num_drawn: int,
        seed: int = 0,
        epoch: int = 0,
        query_ids: npt.ArrayLike | None = None,
        *,
        num_threads: int | None = None,
    ) -> Int64:
        """Draw items with replacement.

        Parameters
        ----------
        num_drawn : int
            How many for each query, at least 1.
        seed, epoch : int, default 0
        query_ids : array-like of int of shape (n,), optional
            All different. Default: one query, 0.
        num_threads : int, optional
            Default: all that are allowed. Never changes the answer.

        Returns
        -------
        (n, num_drawn) int64
            Items, in the order of the draws; fewer draws are the first of more.
        """
        num_drawn = check_integer(num_drawn, "num_drawn", 1, _MOST_DRAWN)
        seed = check_seed(seed, "seed")
        epoch = check_seed(epoch, "epoch")
        threads = resolve_num_threads(num_threads)
        queries = _queries(query_ids, 1)
        return self._core.draw(num_drawn, queries, seed, epoch, threads)


def complement(
    num_items: int,
    excluded: Any,
    num_drawn: int,
    *,
    weights: npt.ArrayLike | None = None,
    power: float = 1.0,
    replace: bool = False,
    seed: int = 0,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> Draws:
    """Draw items that a query's list does not hold, uniformly or by weight.

    A draw among what is left is mapped to its item by a search in the list, so nothing is drawn in
    vain: a query whose list holds nearly everything costs no more than another.

    Parameters
    ----------
    num_items : int
        There are the items 0, 1, …, ``num_items`` - 1.
    excluded
        The items each query must not get, such as its known positives, in any form that
        ``mine(positives=…)`` takes. None for none (then ``query_ids`` says how many queries).
    num_drawn : int
        How many for each query, at least 1.
    weights : array-like of shape (num_items,), optional
        Finite, not negative, at least one positive, such as counts. Default: all alike.
    power : float, default 1
        Weights are taken to this power: 0.75 with counts is word2vec's popularity sampling, 0 is
        uniform. As in `AliasTable.from_counts`.
    replace : bool, default False
        Whether a query may get an item twice. Without replacement each draw is by weight among
        the items left.
    seed, epoch : int, default 0
    query_ids : array-like of int of shape (n,), optional
        All different. Default: row numbers.
    num_threads : int, optional
        Default: all that are allowed. Never changes the answer.

    Returns
    -------
    Draws
        A query with fewer items left than asked for gets all of them, in random order, and with
        replacement comes out short only where nothing is left at all; then its row is empty.
        ``counts`` tells.

    Raises
    ------
    ValueError
        For items out of range or unusable weights, naming the query or the item.
    TypeError
        For arguments of a wrong type.

    Notes
    -----
    By weight, probabilities are proportional to integers as in `AliasTable`.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.sampling.complement(4, [[0, 1, 3], [0, 1, 2, 3]], 2)
    Draws(indices=array([[ 2, -1],
           [-1, -1]]), counts=array([1, 0]), log_probs=None)
    """
    num_items = check_integer(num_items, "num_items", 1, _MOST_ITEMS)
    num_drawn = check_integer(num_drawn, "num_drawn", 1, _MOST_DRAWN)
    seed = check_seed(seed, "seed")
    epoch = check_seed(epoch, "epoch")
    replace = check_flag(replace, "replace")
    exponent = check_number(power, "power")
    threads = resolve_num_threads(num_threads)
    masses = None
    if weights is not None:
        given = as_float64_vector(weights, "weights", num_items, "item")
        masses = _core.power_weights(given, exponent, "weights")
    elif exponent != 1:
        raise ValueError(f"power: {exponent} needs weights to apply to")
    queries = _queries(query_ids, count_lists(excluded))
    lists = to_lists(excluded, "excluded", len(queries), num_items)
    if lists is None:
        lists = Lists(np.zeros(len(queries) + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    return Draws(
        *_core.sample_complement(
            num_items, lists, num_drawn, masses, replace, queries, seed, epoch, threads
        )
    )


def _queries(query_ids: npt.ArrayLike | None, count: int | None) -> Int64:
    """Return the query ids; without them ``count`` row numbers."""
    if query_ids is not None:
        ids = as_integers(query_ids, "query_ids")
        return check_query_ids(ids, len(ids))
    if count is None:
        raise ValueError(
            "query_ids: needed, since excluded does not say how many queries there are"
        )
    return np.arange(count, dtype=np.int64)
