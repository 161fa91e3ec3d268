# SPDX-License-Identifier: Apache-2.0
"""Strategies that look where a row lies between the query and its positives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Int64
from nearmiss.positives import Lists
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Bool, FilteredStrategy, Pool


@register
@dataclass(frozen=True)
class Triangle(FilteredStrategy):
    """The nearest rows that lie closer to the query than to its positive, and than its positive.

    With cosine distances d, a row D is kept if d(Q, D) < d(Q, P) and d(Q, D) < d(P, D): it outranks
    the positive P, yet is no copy of it. This is the opposite of the margins to the positive, which
    rule out what outranks it: under such a margin nothing is left.

    Notes
    -----
    The rule is that of several accounts which agree and quote the paper. The paper speaks of one
    positive and takes one negative. Here, of several positives d(Q, D) < d(P, D) must hold for
    each, and d(Q, P) is the distance that margins would refer to: that of the positive that is
    farthest from the query, with ``margin_reference="max"`` the nearest. Where equal distances
    meet, the row is not kept. A query without a positive gets nothing, nor does one with no such
    row. The paper's projection of several models' vectors (PCA) is left to the caller.
    """

    name: ClassVar[str] = "triangle"
    paper: ClassVar[str] = (
        "Hard Negative Mining for Domain-Specific Retrieval in Enterprise Systems"
    )
    picks: ClassVar[str] = "the nearest with d(Q, D) < d(Q, P) and d(Q, D) < d(P, D)"
    inputs: ClassVar[tuple[str, ...]] = ("positive_rows", "vectors")
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)
    example: ClassVar[str] = "triangle:pool=100"

    pool: int = parameter("nearest rows looked at", minimum=1)

    def keep(self, pool: Pool) -> Bool:
        """Return which rows are closer to the query than the positive is, and than to it."""
        kept = pool.admissible & (pool.values > pool.references)
        for positives in _nth_positives(pool):
            others = np.where(kept, pool.rows, -1)
            to_positive = pool.setting.corpus_scores(others, positives[:, None])
            kept &= (positives < 0)[:, None] | (pool.scores > to_positive)
        return kept


def _nth_positives(pool: Pool) -> list[Int64]:
    """Return the first positives of the pool's queries, the second and so on; -1 for none."""
    lists = pool.setting.positives
    assert isinstance(lists, Lists)
    starts, lengths = lists.indptr[pool.queries], lists.lengths()[pool.queries]
    nth = []
    for n in range(lengths.max(initial=0)):
        places = np.where(n < lengths, starts + n, 0)
        nth.append(np.where(n < lengths, lists.rows[places], -1))
    return nth
