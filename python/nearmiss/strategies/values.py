# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by a value of each row of the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.limits import Limits
from nearmiss.strategies.base import Plan, parameter, register
from nearmiss.strategies.pool import Picks, Pool, PoolStrategy, draw_uniformly


@register
@dataclass(frozen=True)
class APOLLO(PoolStrategy):
    """Uniform draws with a quota of rows that have an attribute, such as holding a number.

    ``corpus_values`` says which: a row has the attribute if its value is not 0. Of a query's
    negatives ``quota`` have it and the others have not; where a kind runs out, the other makes up
    for it, so a query is short only if its pool is. The paper prefers facts with numbers but its
    ratio is not known, hence the required quota; the code that was released draws uniformly.

    `Negatives.strata` is 1 for rows with the attribute and 0 for the others.
    """

    name: ClassVar[str] = "apollo"
    paper: ClassVar[str] = (
        "APOLLO: An Optimized Training Approach for Long-form Numerical Reasoning"
    )
    picks: ClassVar[str] = "uniformly, quota of them with corpus_values ≠ 0"
    inputs: ClassVar[tuple[str, ...]] = ("corpus_values",)
    example: ClassVar[str] = "apollo:pool=100,quota=2"

    pool: int = parameter("nearest rows drawn from", minimum=1)
    quota: int = parameter("how many negatives have the attribute", minimum=0)

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window; the quota must fit in the number of negatives."""
        if self.quota > num_negatives:
            raise ValueError(
                f"apollo.quota: {self.quota} do not fit in num_negatives={num_negatives}"
            )
        return super().plan(limits, num_negatives)

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Draw all rows in random order, then take the first of each kind."""
        values = pool.setting.corpus_values
        assert values is not None  # it is an input
        has = pool.admissible & (values[np.maximum(pool.rows, 0)] != 0)
        count = max(num_negatives, pool.rows.shape[1])
        order = draw_uniformly(pool, pool.admissible, count)
        drawn = order >= 0
        marked = drawn & np.take_along_axis(has, np.maximum(order, 0), axis=1)
        others = drawn & ~marked
        rest = num_negatives - self.quota
        wanted = (marked & (np.cumsum(marked, axis=1) <= self.quota)) | (
            others & (np.cumsum(others, axis=1) <= rest)
        )
        turns = np.where(wanted, 0, np.where(drawn, 1, 2))
        first = np.argsort(turns, axis=1, kind="stable")[:, :num_negatives]
        return Picks(
            np.take_along_axis(order, first, axis=1),
            strata=np.take_along_axis(marked, first, axis=1).astype(np.int64),
        )
