# SPDX-License-Identifier: Apache-2.0
"""The limits of the "all limits on" case: groups, excluded rows and a ceiling per query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_GROUPS = 100
CEILING_RANK = 50
# Just under the ceiling, where excluding a row changes the answer.
EXCLUDED_RANKS = (55, 60, 65, 70, 75)
RANKS_NEEDED = max(EXCLUDED_RANKS) + 1


@dataclass(frozen=True)
class Limits:
    """Who may not be a negative. ``exclude`` (n, 5) rows, ``max_score`` (n,) closed ceilings."""

    query_groups: npt.NDArray[np.int64]
    corpus_groups: npt.NDArray[np.int64]
    exclude: npt.NDArray[np.int64]
    max_score: npt.NDArray[np.float64]

    def head(self, count: int) -> Limits:
        """Those of the first ``count`` queries."""
        return Limits(
            self.query_groups[:count],
            self.corpus_groups,
            self.exclude[:count],
            self.max_score[:count],
        )


def make_limits(
    scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], num_rows: int
) -> Limits:
    """Limits that bite, from each query's ``RANKS_NEEDED`` nearest rows.

    Group labels are random. A query's own group then holds 1 % of the corpus, near rows included.
    """
    rng = np.random.default_rng(7)
    wide = scores.astype(np.float64)
    return Limits(
        query_groups=rng.integers(0, NUM_GROUPS, len(rows)),
        corpus_groups=rng.integers(0, NUM_GROUPS, num_rows),
        exclude=np.ascontiguousarray(rows[:, EXCLUDED_RANKS]),
        max_score=(wide[:, CEILING_RANK - 1] + wide[:, CEILING_RANK]) / 2,
    )
