# SPDX-License-Identifier: Apache-2.0
"""The limits of the cases: an everyday mix of all of them, and the worst of each kind.

Made from each query's nearest rows, or from groups that hold them, so that they bite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from data import Ids, Vectors

LimitsKind: TypeAlias = Literal["all", "own-cluster", "ceiling", "exclude-near", "own-slot"]

# "all": a ceiling, and excluded rows just under it, where excluding changes the answer.
_NUM_GROUPS = 100
_CEILING_RANK = 50
_EXCLUDED_RANKS = (55, 60, 65, 70, 75)
# "ceiling": so many rows above it. "exclude-near": so many excluded.
_RANKS_ABOVE_CEILING = 1000
_NUM_EXCLUDED = 300

RANKS_NEEDED: Mapping[LimitsKind, int] = {
    "all": max(_EXCLUDED_RANKS) + 1,
    "own-cluster": 2000,
    "ceiling": _RANKS_ABOVE_CEILING + 1,
    "exclude-near": _NUM_EXCLUDED,
    "own-slot": 1,
}


@dataclass(frozen=True)
class Limits:
    """Who may not be a negative; None where there is no such limit.

    ``query_groups`` (n,) and ``corpus_groups`` (m,): the own group is ruled out. ``exclude``
    (n, e) rows. ``max_score`` (n,) closed ceilings. ``note`` says in words how they were made.
    """

    note: str
    query_groups: Ids | None = None
    corpus_groups: Ids | None = None
    exclude: Ids | None = None
    max_score: npt.NDArray[np.float64] | None = None

    def take(self, queries: Ids) -> Limits:
        """Those of some queries."""
        return Limits(
            self.note,
            None if self.query_groups is None else self.query_groups[queries],
            self.corpus_groups,
            None if self.exclude is None else self.exclude[queries],
            None if self.max_score is None else self.max_score[queries],
        )


@dataclass(frozen=True)
class Nearest:
    """Each query's nearest rows, best first: at least ``RANKS_NEEDED`` of them."""

    scores: npt.NDArray[np.float32]
    rows: Ids

    def ceiling_at(self, rank: int) -> npt.NDArray[np.float64]:
        """Halfway between the score at this rank and the one before."""
        wide = self.scores.astype(np.float64)
        return (wide[:, rank - 1] + wide[:, rank]) / 2


def make_limits(kind: LimitsKind, vectors: Vectors, nearest: Nearest) -> Limits:
    """The limits of a kind for a problem."""
    return _MAKERS[kind](vectors, nearest)


def _make_all(vectors: Vectors, nearest: Nearest) -> Limits:
    """Group labels are random: a query's own group holds 1 % of the corpus, near rows included."""
    rng = np.random.default_rng(7)
    return Limits(
        f"{_NUM_GROUPS} random groups, {len(_EXCLUDED_RANKS)} excluded rows and a ceiling at "
        f"rank {_CEILING_RANK}",
        query_groups=rng.integers(0, _NUM_GROUPS, len(vectors.queries)),
        corpus_groups=rng.integers(0, _NUM_GROUPS, len(vectors.corpus)),
        exclude=np.ascontiguousarray(nearest.rows[:, _EXCLUDED_RANKS]),
        max_score=nearest.ceiling_at(_CEILING_RANK),
    )


def _make_own_cluster(vectors: Vectors, nearest: Nearest) -> Limits:
    if vectors.groups is None:
        raise ValueError("these limits need vectors that come in groups")
    query_groups, corpus_groups = vectors.groups
    own = corpus_groups[nearest.rows] == query_groups[:, None]
    return Limits(
        f"the own cluster ruled out, which holds {np.median(own.mean(axis=1)):.0%} of a query's "
        f"nearest {own.shape[1]:,} rows (median)",
        query_groups=query_groups,
        corpus_groups=corpus_groups,
    )


def _make_ceiling(vectors: Vectors, nearest: Nearest) -> Limits:
    return Limits(
        f"a ceiling below the nearest {_RANKS_ABOVE_CEILING:,} rows of every query",
        max_score=nearest.ceiling_at(_RANKS_ABOVE_CEILING),
    )


def _make_exclude_near(vectors: Vectors, nearest: Nearest) -> Limits:
    return Limits(
        f"the nearest {_NUM_EXCLUDED} rows of every query excluded one by one",
        exclude=np.ascontiguousarray(nearest.rows[:, :_NUM_EXCLUDED]),
    )


def _make_own_slot(vectors: Vectors, nearest: Nearest) -> Limits:
    return Limits(
        "the own slot of every query ruled out",
        exclude=np.arange(len(vectors.queries), dtype=np.int64)[:, np.newaxis],
    )


_MAKERS: Mapping[LimitsKind, Callable[[Vectors, Nearest], Limits]] = {
    "all": _make_all,
    "own-cluster": _make_own_cluster,
    "ceiling": _make_ceiling,
    "exclude-near": _make_exclude_near,
    "own-slot": _make_own_slot,
}
