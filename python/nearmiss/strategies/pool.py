# SPDX-License-Identifier: Apache-2.0
"""Strategies that look at the exact pool of each query and pick from it by a formula.

The core finds the pools, block by block; a strategy states, for all rows of a block at once, a
weight for each row (`WeightedStrategy`) or which rows are left (`FilteredStrategy`), and the draws
are the core's again. Arithmetic that decides anything is IEEE + - * / and the square root, or
`log` and `exp` of this module, so picks have the same bits on every machine.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Float32, Float64, Int64, Matrix
from nearmiss.corpus import Corpus
from nearmiss.limits import LAST_RANK, Limits
from nearmiss.positives import Lists
from nearmiss.rounding import to_float64
from nearmiss.strategies.base import Plan, Strategy

if TYPE_CHECKING:
    from nearmiss.candidates import Candidates

Bool = npt.NDArray[np.bool_]
PickLaw: TypeAlias = Literal["top", "random"]


def log(x: Float64) -> Float64:
    """Return the natural logarithm, with the same bits on every machine."""
    return _core.log(np.ascontiguousarray(x).ravel()).reshape(x.shape)


def exp(x: Float64) -> Float64:
    """Return the exponential, with the same bits on every machine."""
    return _core.exp(np.ascontiguousarray(x).ravel()).reshape(x.shape)


@dataclass(frozen=True, eq=False)
class Setting:
    """The call a pool belongs to.

    Attributes
    ----------
    num_queries : int
    positives : Lists or None
        The rows of the positives of all queries.
    corpus_values : (m,) float64 or None
        The argument of that name.
    query_groups : (n,) int64 or None
        The queries' groups by number, -1 for none, too large for one that no corpus row has; None
        where candidates were given.
    corpus_groups : (m,) int64 or None
        Those of the corpus rows.
    corpus, queries, metric
        None where candidates were given: then there are no vectors.
    candidates : Candidates or None
        The lists given, if they came with their sources.
    seed, epoch, num_threads : int
    """

    num_queries: int
    positives: Lists | None = None
    corpus_values: Float64 | None = None
    query_groups: Int64 | None = None
    corpus_groups: Int64 | None = None
    corpus: Corpus | None = None
    queries: Matrix | None = None
    metric: str | None = None
    candidates: Candidates | None = None
    seed: int = 0
    epoch: int = 0
    num_threads: int = 0

    @property
    def vectors(self) -> Matrix:
        """The embeddings of the corpus."""
        assert self.corpus is not None  # a strategy that asks for them names "vectors" as an input
        return self.corpus._matrix

    def corpus_scores(self, rows: Int64, others: Int64) -> Float32:
        """Return the exact scores of pairs of corpus rows; any shape, row -1 gives nan."""
        assert self.corpus is not None
        matrix = self.vectors
        return _scores_of_pairs(matrix, self.corpus, rows, others, self.num_threads)

    def query_scores(self, queries: Int64, others: Int64) -> Float32:
        """Return the exact scores of pairs of queries; any shape, query -1 gives nan."""
        assert self.queries is not None
        return _scores_of_pairs(
            self.queries, self._packed_queries, queries, others, self.num_threads
        )

    @cached_property
    def _packed_queries(self) -> Corpus:
        assert self.queries is not None
        assert self.metric is not None
        return Corpus._of_matrix(self.queries, self.metric, None, self.num_threads, "auto")


def _scores_of_pairs(
    matrix: Matrix, corpus: Corpus, first: Int64, second: Int64, num_threads: int
) -> Float32:
    first, second = np.broadcast_arrays(first, second)
    known = (first >= 0) & (second >= 0)
    scores = np.full(first.shape, np.nan, dtype=np.float32)
    scores[known] = _core.pair_scores(
        matrix.rows,
        matrix.element_type,
        corpus._core,
        np.ascontiguousarray(first[known]),
        np.ascontiguousarray(second[known]),
        num_threads=num_threads,
    )
    return scores


@dataclass(frozen=True, eq=False)
class Pool:
    """The rank windows of successive queries, best first: b queries, up to p ≥ 1 rows each.

    Attributes
    ----------
    queries : (b,) int64
        Their numbers.
    query_ids : (b,) int64
        What stands for them in draws.
    scores : (b, p) float32
        Padded with nan.
    rows : (b, p) int64
        Corpus rows, padded with -1.
    admissible : (b, p) bool
        Whether a row may be a negative. Under ``range_mode="raw"`` windows hold rows that may not;
        otherwise only padding is False.
    positive_scores : (b,) float32
        The score margins refer to, nan for queries without a positive.
    first_rank : int
        The rank of the first column.
    setting : Setting
    """

    queries: Int64
    query_ids: Int64
    scores: Float32
    rows: Int64
    admissible: Bool
    positive_scores: Float32
    first_rank: int
    setting: Setting

    @cached_property
    def values(self) -> Float64:
        """The scores as float64."""
        return to_float64(self.scores)

    @cached_property
    def references(self) -> Float64:
        """The positives' scores as float64, (b, 1)."""
        return to_float64(self.positive_scores)[:, None]

    @cached_property
    def ranks(self) -> Int64:
        """The rank of each column, (p,), 0 for the nearest row."""
        return self.first_rank + np.arange(self.rows.shape[1], dtype=np.int64)

    @cached_property
    def present(self) -> Bool:
        """Where there is a row, admissible or not."""
        return self.rows >= 0

    @cached_property
    def positives(self) -> Bool:
        """Where there is one of the query's own positives, as far as their rows were given."""
        lists = self.setting.positives
        if lists is None or len(self.queries) == 0:
            return np.zeros(self.rows.shape, np.bool_)
        first, last = int(self.queries[0]), int(self.queries[-1])
        rows = lists.rows[lists.indptr[first] : lists.indptr[last + 1]]
        owners = np.repeat(np.arange(last + 1 - first), lists.lengths()[first : last + 1])
        # Pairs (query, row) as one number each, a row being its place among those that occur.
        distinct, places = np.unique(rows, return_inverse=True)
        known = owners * len(distinct) + places
        found = np.searchsorted(distinct, self.rows)
        pairs = np.arange(len(self.rows))[:, None] * len(distinct) + found
        occurs = np.isin(self.rows, distinct)
        return occurs & np.isin(pairs, known)


class Picks(NamedTuple):
    """What a strategy picked from each pool, in any order.

    Attributes
    ----------
    columns : (b, k) int64
        Columns of the pool, each at most once, -1 for none.
    log_probs, weights : (b, k) float64, optional
        Log-probability of each draw given those before it; a weight for the loss.
    strata : (b, k) int64, optional
        Which part of the pool each is from.
    places : (b, k) int64, optional
        Where each stands in the reserve: see `Negatives.places`.
    reserve : (b, r) int64, optional
        Columns that are kept to take the place of negatives later, -1 padded.
    """

    columns: Int64
    log_probs: Float64 | None = None
    weights: Float64 | None = None
    strata: Int64 | None = None
    places: Int64 | None = None
    reserve: Int64 | None = None


@dataclass(frozen=True)
class PoolStrategy(Strategy):
    """A strategy that picks from pools in Python.

    The pool is the rank window [range_min, range_min + pool_size), or up to ``range_max`` if that
    is less. Subclasses have a parameter ``pool``, or say otherwise in ``pool_size``.
    """

    @property
    def pool_size(self) -> int:
        """How many of the nearest rows it looks at."""
        return int(self.pool)  # type: ignore[attr-defined]

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window."""
        return plan_pool(limits, self.pool_size)

    def chooser(self, setting: Setting) -> Callable[[Pool, int], Picks]:
        """Return what picks from pools in this call; for what is worked out once for all."""
        return self.choose

    @abstractmethod
    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Pick up to ``num_negatives`` columns for each query of the pool."""


def plan_pool(limits: Limits, size: int) -> Plan:
    """Return the plan to look at ``size`` rows, or at what the rank window has if that is less."""
    end = min(limits.range_min + size, LAST_RANK)
    end = end if limits.range_max is None else min(end, limits.range_max)
    return Plan("pool", limits.range_min, end)


class WeightedStrategy(PoolStrategy):
    """Draws without replacement from the pool, in proportion to a weight.

    Queries without a positive, where the weight refers to it, are drawn for uniformly.
    """

    @abstractmethod
    def log_weights(self, pool: Pool) -> Float64:
        """Return the natural logarithm of each row's weight, (b, p).

        -inf is never drawn. What stands where there is no admissible row plays no part; nan
        elsewhere means that the weight cannot be told, for want of a positive.
        """

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Draw by weight."""
        return draw_weighted(pool, self.log_weights(pool), num_negatives)


def draw_weighted(pool: Pool, log_weights: Float64, num_negatives: int) -> Picks:
    """Draw from the admissible rows, successively in proportion to their weights."""
    weights = np.where(np.isnan(log_weights), 0.0, log_weights)
    return _draw(pool, np.where(pool.admissible, weights, -np.inf), num_negatives, log_probs=True)


def draw_uniformly(pool: Pool, drawn_from: Bool, num_negatives: int) -> Int64:
    """Draw columns without replacement from those where the mask holds, admissible or not."""
    log_weights = np.where(drawn_from, 0.0, -np.inf)
    return _draw(pool, log_weights, num_negatives, log_probs=False).columns


def _draw(pool: Pool, log_weights: Float64, num_negatives: int, *, log_probs: bool) -> Picks:
    setting = pool.setting
    columns, _, found = _core.sample_weighted(
        log_weights,
        pool.rows,
        num_negatives,
        pool.query_ids,
        setting.seed,
        setting.epoch,
        log_probs,
        setting.num_threads,
    )
    return Picks(columns, found)


@dataclass(frozen=True)
class FilteredStrategy(PoolStrategy):
    """Picks from those rows of the pool that a rule keeps: the nearest, or uniformly.

    ``law`` says which; subclasses may make it a parameter.
    """

    law: ClassVar[PickLaw] = "top"

    @abstractmethod
    def keep(self, pool: Pool) -> Bool:
        """Return which rows stay, (b, p); what is not admissible goes anyway."""

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Pick from what is kept."""
        kept = self.keep(pool) & pool.admissible
        if self.law == "top":
            return Picks(first_columns(kept, num_negatives))
        return Picks(draw_uniformly(pool, kept, num_negatives))


def first_columns(mask: Bool, count: int) -> Int64:
    """Return the first ``count`` columns of each row where the mask holds, -1 padded."""
    return leading_columns(np.argsort(~mask, axis=1, kind="stable"), mask, count)


def leading_columns(order: Int64, mask: Bool, count: int) -> Int64:
    """Return the first ``count`` of an order that has the mask's columns first, -1 padded."""
    order = order[:, :count].astype(np.int64)
    filled = np.take_along_axis(mask, order, axis=1)
    columns = np.where(filled, order, -1)
    missing = count - columns.shape[1]
    return np.pad(columns, ((0, 0), (0, missing)), constant_values=-1) if missing else columns
