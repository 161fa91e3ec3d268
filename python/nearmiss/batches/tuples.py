# SPDX-License-Identifier: Apache-2.0
"""Batches made of small tuples: an anchor and what is to be compared with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nearmiss import _core
from nearmiss.arrays import (
    Int64,
    as_row_matrix,
    check_integer,
    check_seed,
)
from nearmiss.batches.base import Batches, BatchPlan, Coverage, Stream, join, shuffled
from nearmiss.corpus import Corpus, as_corpus_matrix, check_metric
from nearmiss.positives import Lists, to_lists
from nearmiss.runtime import resolve_num_threads


@dataclass(frozen=True, eq=False)
class RTD(BatchPlan):
    """Refined batches: every triplet together with its own reference as a hard negative.

    For training on triplets (reference, change, target): besides the pair (reference + change →
    target) a batch holds the pair (reference → reference). A batch of B triplets becomes 2B rows;
    row i + B is the twin of row i, always a negative of it, never a positive.

    Rows below n are triplets, row n + t is the twin of triplet t: row numbers of the data sets of
    triplets and of references, one after the other.

    Parameters
    ----------
    triplets : BatchPlan
        Batches of triplets; the authors' are `Shuffled` with ``batch_size=128``. With
        ``NoConflict(texts=[references, targets])`` no reference is a false negative of another
        triplet.

    References
    ----------
    "Reducing Task Discrepancy of Text Encoders for Zero-Shot Composed Image Retrieval".

    Examples
    --------
    >>> import nearmiss as nm
    >>> plan = nm.batches.RTD(nm.batches.Shuffled(4, 2))
    >>> batch = plan.batches(epoch=0)[0]
    >>> (batch[2:] - batch[:2]).tolist()
    [4, 4]
    """

    paper: ClassVar[str] = "Reducing Task Discrepancy of Text Encoders for Zero-Shot CIR (RTD)"

    triplets: BatchPlan
    coverage: Coverage = field(init=False, repr=False)
    num_rows: int = field(init=False, repr=False)
    batch_size: int = field(init=False, repr=False)
    drop_last: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.triplets, BatchPlan):
            raise TypeError(f"triplets: expected a BatchPlan, got a {type(self.triplets).__name__}")
        object.__setattr__(self, "coverage", self.triplets.coverage)
        object.__setattr__(self, "num_rows", 2 * self.triplets.num_rows)
        object.__setattr__(self, "batch_size", 2 * self.triplets.batch_size)
        object.__setattr__(self, "drop_last", self.triplets.drop_last)

    def __len__(self) -> int:
        return len(self.triplets)

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        plain, n = self.triplets.batches(epoch), self.triplets.num_rows
        rows = [np.concatenate([batch, batch + n]) for batch in plain]
        return join(rows, np.concatenate([plain.unplaced, plain.unplaced + n]))


@dataclass(frozen=True, eq=False)
class SaHa(BatchPlan):
    """Self-aware hard negatives: groups of rows whose targets look alike and whose queries do not.

    A row is a query with its targets. A near target is a false negative if the query that owns it
    is much like the anchor's; so near targets are taken from the owners *least* like the anchor,
    and the owner comes along whole, a row like any other, which makes the group consistent.

    For each anchor, in the order of rows: walk its candidates, the nearest first, without its own
    targets; take the owner of each that is in no group yet (the one most similar to the anchor, if
    there are several) until there are ``top_k · pool_multiple``; keep the ``top_k`` least similar
    to the anchor, those in ascending order, ties to the lower row. These and the anchor are a
    group. In a second pass rows without a group may take owners that have one from the first pass,
    of twice as many candidates, and as few as there are. What still has no owner is unplaced.

    Groups are the same in every epoch, their order is not. A batch holds ``groups_per_batch``; the
    last one what is left.

    Parameters
    ----------
    queries : array-like of shape (n, d)
        Embeddings of the rows' queries, in any form and type that `mine` takes.
    candidates : array-like of int of shape (n, c)
        Targets near each query, the nearest first, -1 for none: ``indices`` of
        ``topk(queries, targets, c)``. Used are the first 2 · top_k · pool_multiple, in the second
        pass twice as many.
    positives : lists of int
        The targets of each row, in any form that ``positives`` of `mine` takes.
    top_k : int, default 7
        Rows of a group besides the anchor. Defaults are those of the authors' code; their
        instructions run 15 and a ``pool_multiple`` of 3.
    pool_multiple : int, default 5
    groups_per_batch : int, default 1
    metric : {"ip", "cosine", "l2"}, default "ip"
        How alike two queries are.
    second_pass : bool, default True
        False: rows without a full group in the first pass are unplaced; then no row comes twice,
        and coverage is ``"subset"``.
    seed : int, default 0
    num_threads : int, optional
        Threads of the construction; results never depend on them.

    Raises
    ------
    ValueError
        For arguments of different lengths, candidates below -1 or embeddings that are not finite.

    References
    ----------
    "From Generator to Embedder: Harnessing Innate Abilities of Multimodal LLMs via Building
    Zero-Shot Discriminative Embedding Model".
    """

    paper: ClassVar[str] = "From Generator to Embedder (SaHa)"

    queries: Any = field(repr=False)
    candidates: Any = field(repr=False)
    positives: Any = field(repr=False)
    top_k: int = field(default=7, kw_only=True)
    pool_multiple: int = field(default=5, kw_only=True)
    groups_per_batch: int = field(default=1, kw_only=True)
    metric: str = field(default="ip", kw_only=True)
    second_pass: bool = field(default=True, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    num_threads: int | None = field(default=None, kw_only=True, repr=False)
    coverage: Coverage = field(init=False, repr=False)
    num_rows: int = field(init=False)
    batch_size: int = field(init=False, repr=False)
    groups: tuple[Int64, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("top_k", "pool_multiple", "groups_per_batch"):
            check_integer(getattr(self, name), name, 1)
        check_seed(self.seed, "seed")
        candidates = as_row_matrix(self.candidates, "candidates")
        targets = to_lists(self.positives, "positives", len(candidates), None)
        if targets is None:
            raise TypeError("positives: needed")
        for row in np.flatnonzero((candidates < -1).any(axis=1))[:1]:
            raise ValueError(f"candidates: row {row} is below -1, which means none")
        likeness = _Likeness(self.queries, self.metric, len(candidates), self.num_threads)
        grouping = _Grouping(candidates, targets, likeness, self.top_k, self.pool_multiple)
        groups = list(grouping.first_pass())
        if self.second_pass:
            groups += grouping.second_pass()
        object.__setattr__(self, "coverage", "repeats" if self.second_pass else "subset")
        object.__setattr__(self, "num_rows", len(candidates))
        object.__setattr__(self, "batch_size", self.groups_per_batch * (self.top_k + 1))
        object.__setattr__(self, "groups", tuple(groups))

    def __len__(self) -> int:
        return -(-len(self.groups) // self.groups_per_batch)

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        order = shuffled(len(self.groups), self.seed, epoch, Stream.ORDER)
        turns = [self.groups[group] for group in order]
        parts = [
            np.concatenate(turns[first : first + self.groups_per_batch])
            for first in range(0, len(turns), self.groups_per_batch)
        ]
        placed = np.zeros(self.num_rows, dtype=np.bool_)
        for group in self.groups:
            placed[group] = True
        return join(parts, np.flatnonzero(~placed))


class _Likeness:
    """Exact scores of pairs of queries."""

    def __init__(self, queries: Any, metric: str, num_rows: int, num_threads: int | None) -> None:
        matrix = as_corpus_matrix(queries, "queries")
        if len(matrix.rows) != num_rows:
            raise ValueError(f"queries: expected {num_rows}, one per row, got {len(matrix.rows)}")
        self._matrix = matrix
        threads = resolve_num_threads(num_threads)
        self._corpus = Corpus._of_matrix(matrix, check_metric(metric), None, threads, "auto")

    def to(self, anchor: int, rows: Int64) -> Any:
        return _core.pair_scores(
            self._matrix.rows,
            self._matrix.element_type,
            self._corpus._core,
            np.full(len(rows), anchor, dtype=np.int64),
            rows,
            num_threads=1,
        )


class _Grouping:
    """The two passes of `SaHa`."""

    def __init__(
        self,
        candidates: Int64,
        targets: Lists,
        likeness: _Likeness,
        top_k: int,
        pool_multiple: int,
    ) -> None:
        self._candidates = candidates
        self._targets = targets
        self._likeness = likeness
        self._top_k = top_k
        self._cap = top_k * pool_multiple
        self._owners = _invert(targets)
        self._grouped = np.zeros(len(candidates), dtype=np.bool_)

    def first_pass(self) -> Iterator[Int64]:
        used = self._grouped
        for anchor in range(len(used)):
            group = None if used[anchor] else self._group(anchor, used, self._cap)
            if group is not None and len(group) == self._top_k + 1:
                used[group] = True
                yield group

    def second_pass(self) -> Iterator[Int64]:
        left = np.flatnonzero(~self._grouped)
        used = np.zeros_like(self._grouped)
        for anchor in left.tolist():
            group = None if used[anchor] else self._group(anchor, used, 2 * self._cap)
            if group is not None and len(group) > 1:
                used[group] = True
                yield group

    def _group(self, anchor: int, used: Any, cap: int) -> Int64:
        """Return the anchor and the owners chosen for it, of rows that are not used."""
        owners, scores = self._nearest_owners(anchor, used, cap)
        kept = np.lexsort((owners, scores))[: self._top_k]
        return np.concatenate([[anchor], owners[kept]])

    def _nearest_owners(self, anchor: int, used: Any, cap: int) -> tuple[Int64, Any]:
        own = self._targets.rows[self._targets.indptr[anchor] : self._targets.indptr[anchor + 1]]
        pool = self._candidates[anchor, : 2 * cap]
        pool = pool[(pool >= 0) & (pool < len(self._owners.indptr) - 1)]  # others have no owner
        pool = pool[~np.isin(pool, own)]
        starts, sizes = self._owners.indptr[pool], self._owners.lengths()[pool]
        ends = np.cumsum(sizes)
        rows = self._owners.rows[
            np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)
        ]
        places = np.repeat(np.arange(len(pool)), sizes)
        free = ~used[rows] & (rows != anchor)
        rows, places = rows[free], places[free]
        scores = self._likeness.to(anchor, rows)
        return _first_owners(rows, places, scores, cap)


def _first_owners(rows: Int64, places: Int64, scores: Any, cap: int) -> tuple[Int64, Any]:
    """Take of each place in turn the owner most similar to the anchor that is not taken yet."""
    best_first = np.lexsort((rows, -scores, places))
    chosen: dict[int, float] = {}
    last_place = -1
    for at in best_first.tolist():
        row, place = int(rows[at]), int(places[at])
        if place == last_place or row in chosen:
            continue
        chosen[row] = scores[at]
        last_place = place
        if len(chosen) == cap:
            break
    return np.array(list(chosen), dtype=np.int64), np.array(list(chosen.values()))


def _invert(lists: Lists) -> Lists:
    """Return the rows of each target."""
    rows = np.repeat(np.arange(len(lists.indptr) - 1), lists.lengths())
    counts = np.bincount(lists.rows, minlength=1)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return Lists(indptr, rows[np.argsort(lists.rows, kind="stable")])
