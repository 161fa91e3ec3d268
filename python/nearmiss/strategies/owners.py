# SPDX-License-Identifier: Apache-2.0
"""Strategies that judge a row by the queries whose positive it is: its owners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float32, Int64
from nearmiss.limits import Limits
from nearmiss.positives import Lists
from nearmiss.strategies.base import Plan, parameter, register
from nearmiss.strategies.pool import (
    Bool,
    Picks,
    Pool,
    PoolStrategy,
    Setting,
    leading_columns,
    plan_pool,
)


@register
@dataclass(frozen=True)
class SaHa(PoolStrategy):
    """Near rows whose owners are unlike the query; those of similar owners may well be positives.

    An owner of a row is a query whose positive it is. Of the 2 · K · pool_mult nearest rows, where
    K is ``num_negatives``, the first K · pool_mult that have an owner are ordered by the score
    between the query and the owner most similar to it, ascending, and the first K are taken.

    Notes
    -----
    In the authors' code K is 7 by default and ``pool_mult`` 5; the run of their README has 15 and
    3. Their pool still holds the query's own positive. They also put queries into disjoint groups,
    so that a row whose owners were all used no longer counts, and do not sort for classification
    data: that belongs to the building of batches. Owners are compared under the metric of the
    search (the code: inner product). Rows without an owner are passed over. Ties go to the row that
    is nearer the query. A query without a positive is served like any other. Owners are the queries
    of the call: here, unlike elsewhere, a part of the queries gets other negatives than the whole.
    """

    name: ClassVar[str] = "saha"
    paper: ClassVar[str] = (
        "From Generator to Embedder: Harnessing Innate Abilities of Multimodal LLMs via Building "
        "Zero-Shot Discriminative Embedding Model"
    )
    picks: ClassVar[str] = "among the near, those whose most similar owner is least similar to q"
    inputs: ClassVar[tuple[str, ...]] = ("positive_rows", "vectors")

    pool_mult: int = parameter("owned rows compared, per negative", 5, read_in="code", minimum=1)

    @property
    def pool_size(self) -> int:
        """How many of the nearest rows it looks at for each negative."""
        return 2 * self.pool_mult

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window, which grows with the number of negatives."""
        return plan_pool(limits, num_negatives * self.pool_size)

    def chooser(self, setting: Setting) -> Callable[[Pool, int], Picks]:
        """Return what picks, the owners of all rows in its hands."""
        assert setting.positives is not None
        return partial(self._choose_by, _Owners.of(setting.positives))

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Pick the rows whose owners are least similar."""
        return self.chooser(pool.setting)(pool, num_negatives)

    def _choose_by(self, owners: _Owners, pool: Pool, num_negatives: int) -> Picks:
        owned = pool.admissible & owners.any(pool.rows)
        compared = owned & (np.cumsum(owned, axis=1) <= num_negatives * self.pool_mult)
        similarity = _best_scores(owners, pool, compared)
        order = np.argsort(np.where(compared, similarity, np.inf), axis=1, kind="stable")
        return Picks(leading_columns(order, compared, num_negatives))


@dataclass(frozen=True, eq=False)
class _Owners:
    """The owners of each corpus row, as lists one after the other."""

    rows: Int64  # ascending, those that have an owner
    indptr: Int64
    queries: Int64

    @classmethod
    def of(cls, positives: Lists) -> _Owners:
        owner = np.repeat(np.arange(len(positives.indptr) - 1), positives.lengths())
        order = np.argsort(positives.rows, kind="stable")
        rows, starts = np.unique(positives.rows[order], return_index=True)
        return cls(rows, np.append(starts, len(order)), owner[order])

    def any(self, rows: Int64) -> Bool:
        """Return which of the rows have an owner."""
        return np.isin(rows, self.rows)

    def of_rows(self, rows: Int64) -> tuple[Int64, Int64]:
        """Return how many owners each of these rows has, and all of them in turn."""
        places = np.searchsorted(self.rows, rows)
        starts, counts = self.indptr[places], self.indptr[places + 1] - self.indptr[places]
        offsets = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return counts, self.queries[np.arange(counts.sum()) + offsets]


def _best_scores(owners: _Owners, pool: Pool, where: Bool) -> Float32:
    """Return the highest score between each query and the owners of its rows, (b, p)."""
    best = np.full(pool.rows.shape, -np.inf, dtype=np.float32)
    query, _ = np.nonzero(where)
    counts, queries = owners.of_rows(pool.rows[where])
    if len(counts):
        anchors = np.repeat(pool.queries[query], counts)
        scores = pool.setting.query_scores(anchors, queries)
        best[where] = np.maximum.reduceat(scores, np.cumsum(counts) - counts)
    return best
