# SPDX-License-Identifier: Apache-2.0
"""The problems of the suite ``sample``: random draws.

Both are what training does at every step: draw from a pool of near rows by weight (SimANS), and
draw from everything but a query's positives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
DrawsKind: TypeAlias = Literal["weighted", "complement"]

_SHARPNESS = 20.0  # a of SimANS: the weights of a pool then span three orders of magnitude


@dataclass(frozen=True)
class DrawTask:
    """k draws for each of n queries: of pools by weight, or of items that are not excluded."""

    k: int
    threads: int
    query_ids: Ids
    num_items: int
    log_weights: Floats | None = None  # (n, num_items)
    excluded: Ids | None = None  # (n, e) ascending

    def take(self, queries: Ids, threads: int) -> DrawTask:
        """The same question for some of the queries, with other threads."""
        return replace(
            self,
            threads=threads,
            query_ids=self.query_ids[queries],
            log_weights=None if self.log_weights is None else self.log_weights[queries],
            excluded=None if self.excluded is None else self.excluded[queries],
        )

    def probabilities(self) -> Floats:
        """Those of the first draw, (n, num_items); of pools only."""
        assert self.log_weights is not None
        weights = np.exp(self.log_weights - self.log_weights.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


def make_task(kind: DrawsKind, n: int, m: int, k: int, excluded: int, threads: int) -> DrawTask:
    """A seeded problem: n queries, m items or columns, k draws."""
    rng = np.random.default_rng(11)
    ids = np.arange(n, dtype=np.int64)
    if kind == "weighted":
        scores = -np.sort(-rng.normal(0.6, 0.1, (n, m)), axis=1)
        positive = rng.normal(0.75, 0.1, (n, 1))
        return DrawTask(k, threads, ids, m, log_weights=-_SHARPNESS * (scores - positive) ** 2)
    # One from each of `excluded` stretches, so that a list holds nothing twice.
    width = m // excluded
    lists = rng.integers(0, width, (n, excluded)) + np.arange(excluded) * width
    return DrawTask(k, threads, ids, m, excluded=lists)


def rows_of(result: Any) -> Ids:
    """The draws of any contestant, (n, k)."""
    rows: Ids = getattr(result, "indices", result)
    return rows
