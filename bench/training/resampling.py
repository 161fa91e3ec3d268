# SPDX-License-Identifier: Apache-2.0
"""How sure is a difference? A paired bootstrap over seeds and queries at once.

Each resample draws seeds with replacement and, independently, queries with replacement; a mean is
taken over all pairs of them. Every method sees the same resamples, so a difference of two means is
that of paired runs and paired queries.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
_BLOCK = 500  # resamples worked on at a time


class Resamples:
    """Resamples of (num_seeds, num_queries) values."""

    def __init__(self, num_seeds: int, num_queries: int, count: int = 5000, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        # How often each one is drawn.
        self.seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), count)
        self.queries = rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), count)

    def means(self, values: Values) -> Values:
        """The mean of values (num_seeds, num_queries) in each resample."""
        found = np.empty(len(self.seeds))
        for first in range(0, len(found), _BLOCK):
            part = slice(first, first + _BLOCK)
            found[part] = ((self.seeds[part] @ values) * self.queries[part]).sum(axis=1)
        return found / values.size


def interval(resampled: Values) -> tuple[float, float]:
    """The middle 95 % of resampled means or differences."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)
