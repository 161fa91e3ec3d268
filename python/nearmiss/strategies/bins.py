# SPDX-License-Identifier: Apache-2.0
"""Strategies that balance draws over bins of equal width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float64, Int64
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Picks, Pool, PoolStrategy, draw_weighted, log


@register
@dataclass(frozen=True)
class TASBalanced(PoolStrategy):
    """Draws so that every margin between positive and negative is about as frequent.

    Between the least and the greatest margin s⁺ - s of a query's pool lie ``bins`` bins of equal
    width. The first draw takes a bin uniformly from those that hold a row, then a row uniformly
    from the bin: ``p = 1 / (filled bins · rows in the bin)``. Further draws go by the same weights
    among the rows that are left. The bins do not change with s⁺, which moves all margins of a
    query alike, so no positives are needed. Scores should be the teacher's: give them to
    `mine_candidates`.

    `Negatives.strata` holds the bin, 0 for the smallest margins. The greatest margin belongs to
    the last bin. Where all scores are equal there is one bin and the draw is uniform (the
    authors' code divides by zero); queries with a single candidate, which that code drops, get it.
    The other half of the method, batches of queries from one cluster, is a batch sampler's.
    """

    name: ClassVar[str] = "tas-balanced"
    paper: ClassVar[str] = (
        "Hofstätter et al., Efficiently Teaching an Effective Dense Retriever with Balanced Topic "
        "Aware Sampling, SIGIR 2021"
    )
    picks: ClassVar[str] = "a bin of margins s⁺ − s uniformly, then one of its rows"
    example: ClassVar[str] = "tas-balanced:pool=100"

    pool: int = parameter("nearest rows drawn from", minimum=1)
    bins: int = parameter("of equal width", 10, read_in="code", minimum=1, maximum=1_000_000)

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Draw with the weight 1 / rows in the bin."""
        bins = self._bins_of(pool)
        picks = draw_weighted(pool, -log(_sizes_of(bins)), num_negatives)
        strata = np.take_along_axis(bins, np.maximum(picks.columns, 0), axis=1)
        return picks._replace(strata=strata)

    def _bins_of(self, pool: Pool) -> Int64:
        """Return the bin of each row, -1 where there is no admissible one."""
        best = np.where(pool.admissible, pool.values, -np.inf).max(axis=1, initial=-np.inf)
        worst = np.where(pool.admissible, pool.values, np.inf).min(axis=1, initial=np.inf)
        found = pool.admissible.any(axis=1)
        best, worst = np.where(found, best, 0.0), np.where(found, worst, 0.0)
        width = np.where(best > worst, best - worst, 1.0)[:, None]
        gaps = np.where(pool.admissible, best[:, None] - pool.values, 0.0)
        bins: Float64 = np.floor(gaps * self.bins / width)
        numbers = np.minimum(bins, self.bins - 1).astype(np.int64)
        return np.where(pool.admissible, numbers, -1)


def _sizes_of(bins: Int64) -> Float64:
    """Return how many rows of the query share each row's bin."""
    queries = np.arange(len(bins), dtype=np.int64)[:, None]
    codes = queries * (bins.max(initial=0) + 2) + bins + 1
    _, places, sizes = np.unique(codes.ravel(), return_inverse=True, return_counts=True)
    return sizes[places].reshape(bins.shape).astype(np.float64)
