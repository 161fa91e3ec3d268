# SPDX-License-Identifier: Apache-2.0
"""Strategies that mine a reserve as well, and replace negatives that stopped being hard by it.

The table of the search holds the first negatives and the reserve; `Negatives.renew` is told their
current scores from time to time and returns the table with replacements.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float64
from nearmiss.limits import Limits
from nearmiss.strategies.base import Plan, parameter, register
from nearmiss.strategies.pool import Bool, Picks, Pool, PoolStrategy, first_columns, plan_pool


class ReserveStrategy(PoolStrategy):
    """The n nearest of the rank window, and a reserve from which each is replaced.

    The reserve starts at the rank ``start``, or behind the n nearest if that is later, and consists
    of ``windows`` windows of n ranks. The negative that was the j-th at first is replaced by the
    j-th of the first window, then by the j-th of the second, and so on. So no row comes twice.
    """

    start: int
    windows: int

    @abstractmethod
    def is_stale(self, initial: Float64, current: Float64) -> Bool:
        """Return which negatives stopped being hard, from their scores at first and now.

        Scores that are not known are nan; what is returned for them plays no part.
        """

    @property
    def pool_size(self) -> int:
        """How many windows it has, the first negatives among them."""
        return self.windows + 1

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window, which holds the negatives and the reserve."""
        reserve = max(self.start, limits.range_min + num_negatives)
        end = reserve + self.windows * num_negatives
        plan = plan_pool(limits, end - limits.range_min)
        if plan.range_max is not None and plan.range_max <= reserve:
            raise ValueError(
                f"strategy {self.name!r}: the reserve starts at rank {reserve}, beyond the rank "
                f"window [{plan.range_min}, {plan.range_max})"
            )
        return plan

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Pick the nearest, and the reserve."""
        behind = pool.first_rank + num_negatives
        first = pool.admissible & (pool.ranks < behind)
        later = pool.admissible & (pool.ranks >= max(self.start, behind))
        columns = first_columns(first, num_negatives)
        places = np.broadcast_to(np.arange(-num_negatives, 0), columns.shape)
        return Picks(
            columns,
            places=np.ascontiguousarray(places),
            reserve=first_columns(later, self.windows * num_negatives),
        )


@register
@dataclass(frozen=True)
class ConanV1(ReserveStrategy):
    """The nearest, each replaced once its score has fallen: ratio · S < S0 and |S| < max_score.

    S0 is the score it was mined with, S the current one, a cosine.

    Notes
    -----
    Two accounts of the paper agree on ratio = 1.15, max_score = 0.8 and start = 10, with a look at
    the scores every 100 steps; they were not read in the paper or in code, so nothing is a default.
    The i-th replacement is then from the ranks [(i - 1) n + 10, i n + 10). Which negatives are used
    before the first replacement they do not say: here the nearest of the rank window, so
    ``range_min`` is what keeps the very nearest out. Where scores equal a bound, the negative
    stays. Queries without a positive are served like others.
    """

    name: ClassVar[str] = "conan-v1"
    paper: ClassVar[str] = (
        "Conan-embedding: General Text Embedding with More and Better Negative Samples"
    )
    picks: ClassVar[str] = "the nearest; renewed where ratio · S < S0 and |S| < max_score"
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)
    example: ClassVar[str] = "conan-v1:start=10,windows=4,ratio=1.15,max_score=0.8"

    start: int = parameter("rank the reserve starts at", minimum=0)
    windows: int = parameter("replacements kept for each negative", minimum=1)
    ratio: float = parameter("fall of the score", minimum=1)
    max_score: float = parameter("score from which it stays hard", above=0)

    def is_stale(self, initial: Float64, current: Float64) -> Bool:
        """Return where ratio · S < S0 and |S| < max_score."""
        fallen: Bool = self.ratio * current < initial
        return fallen & (np.abs(current) < self.max_score)


@register
@dataclass(frozen=True)
class ConanV2(ReserveStrategy):
    """The nearest, each replaced if it never was hard or its score has fallen.

    That is if S0 < min_initial, or ratio · S < S0 and S < max_score, S0 being the score it was
    mined with and S the current one, a cosine.

    Notes
    -----
    An account that quotes the paper's equation has min_initial = 0.4, ratio = 1.2, max_score = 0.7
    and 7 negatives, with a look at the scores in every step; they were not read in the paper or in
    code, so nothing is a default. Where scores equal a bound, the negative stays. Queries without a
    positive are served like others.
    """

    name: ClassVar[str] = "conan-v2"
    paper: ClassVar[str] = "Conan-Embedding-v2: Training an LLM from Scratch for Text Embeddings"
    picks: ClassVar[str] = (
        "the nearest; renewed where S0 < min_initial, or ratio · S < S0 and S < max_score"
    )
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)
    example: ClassVar[str] = "conan-v2:windows=4,min_initial=0.4,ratio=1.2,max_score=0.7"

    windows: int = parameter("replacements kept for each negative", minimum=1)
    min_initial: float = parameter("score below which it was never hard")
    ratio: float = parameter("fall of the score", minimum=1)
    max_score: float = parameter("score from which it stays hard")
    start: int = parameter("rank the reserve starts at, if it is behind the nearest", 0, minimum=0)

    def is_stale(self, initial: Float64, current: Float64) -> Bool:
        """Return where S0 < min_initial, or ratio · S < S0 and S < max_score."""
        fallen: Bool = self.ratio * current < initial
        return (initial < self.min_initial) | (fallen & (current < self.max_score))
