# SPDX-License-Identifier: Apache-2.0
"""Batches made of clusters: topics, leaves of a tree, any labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Int64,
    as_integers,
    check_choice,
    check_flag,
    check_integer,
    check_seed,
)
from nearmiss.batches.base import (
    Batches,
    BatchPlan,
    Coverage,
    Stream,
    cut,
    join,
    keys_of,
    num_batches_of,
    shuffled,
)


@dataclass(frozen=True, eq=False)
class TasBalanced(BatchPlan):
    """Topic-aware sampling: the rows of a batch are of one cluster, or of a few.

    Law of ``coverage="repeats"``, for each batch by itself: draw a cluster, every cluster with the
    same chance whatever its size; take ``batch_size / clusters_per_batch`` of its rows without
    replacement, or all if it has no more; go on with the clusters not drawn yet until the batch is
    full. Where each cluster had its turn, they have another. No row is twice in a batch; the
    authors' code draws clusters with replacement, so there a batch can hold a row twice.

    With ``coverage="all"`` every row comes once an epoch: each cluster is shuffled and cut into
    batches; what is left of the clusters is joined, cluster after cluster, and cut too.

    Parameters
    ----------
    labels : array-like of int of shape (n,)
        The cluster of each row, ≥ 0; any numbers.
    batch_size : int
    clusters_per_batch : int, default 1
        Divides ``batch_size``. The default was read in the authors' code. For ``"repeats"`` only.
    coverage : {"repeats", "all"}, default "repeats"
    num_batches : int, optional
        Batches of an epoch, for ``"repeats"`` only; default ⌊n / batch_size⌋.
    drop_last : bool, default False
        For ``"all"`` only: leave out the last batch where it is not full; its rows are then
        `Batches.unplaced`.
    seed : int, default 0

    Raises
    ------
    ValueError
        For a negative label, or a batch of more rows than there are.

    References
    ----------
    Hofstätter, Lin, Yang, Lin & Hanbury, "Efficiently Teaching an Effective Dense Retriever with
    Balanced Topic Aware Sampling", SIGIR 2021. Its other half, pairs balanced by margin, is
    a matter of negatives, not of batches.

    Examples
    --------
    >>> import nearmiss as nm
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> plan = nm.batches.TasBalanced(labels, 4, coverage="all")
    >>> sorted(sorted(batch.tolist()) for batch in plan.batches(epoch=0))
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    """

    paper: ClassVar[str] = "Hofstätter et al., Balanced Topic Aware Sampling, SIGIR 2021"

    labels: Any = field(repr=False)
    batch_size: int
    clusters_per_batch: int = field(default=1, kw_only=True)
    coverage: Coverage = field(default="repeats", kw_only=True)
    num_batches: int | None = field(default=None, kw_only=True)
    drop_last: bool = field(default=False, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    num_rows: int = field(init=False)
    _clusters: Clusters = field(init=False, repr=False)

    def __post_init__(self) -> None:
        clusters = Clusters.of(self.labels, "labels")
        num_rows = len(clusters.rows)
        size = check_integer(self.batch_size, "batch_size", 1)
        check_integer(self.clusters_per_batch, "clusters_per_batch", 1, size)
        check_choice(self.coverage, "coverage", ("repeats", "all"))
        check_flag(self.drop_last, "drop_last")
        check_seed(self.seed, "seed")
        if size % self.clusters_per_batch:
            raise ValueError(
                f"clusters_per_batch: must divide batch_size, {size}, got {self.clusters_per_batch}"
            )
        if self.coverage == "all":
            self._refuse("num_batches", None)
            self._refuse("clusters_per_batch", 1)
        else:
            self._refuse("drop_last", False)
            if size > num_rows:
                raise ValueError(
                    f"batch_size: {size} is more than there are rows, {num_rows}; no row comes "
                    f"twice in a batch"
                )
        if self.num_batches is not None:
            check_integer(self.num_batches, "num_batches", 0)
        object.__setattr__(self, "num_rows", num_rows)
        object.__setattr__(self, "_clusters", clusters)

    def _refuse(self, name: str, neutral: Any) -> None:
        if getattr(self, name) != neutral:
            raise ValueError(f'{name}: has no meaning with coverage="{self.coverage}"')

    def __len__(self) -> int:
        if self.coverage == "all":
            return num_batches_of(self.num_rows, self.batch_size, self.drop_last)
        if self.num_batches is not None:
            return self.num_batches
        return self.num_rows // self.batch_size

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        check_seed(epoch, "epoch")
        if self.coverage == "all":
            return self._cut_all(epoch)
        drawn = [self._draw_batch(batch, epoch) for batch in range(len(self))]
        return join(drawn, np.empty(0, np.int64))

    def _draw_batch(self, batch: int, epoch: int) -> Int64:
        share = self.batch_size // self.clusters_per_batch
        parts: list[Int64] = []  # of each cluster drawn, its rows in random order
        room = self.batch_size
        for cluster in self._clusters_in_turn(batch, epoch):
            members = self._clusters.members(cluster)
            numbers = np.full(len(members), batch, dtype=np.int64)
            order = shuffled(numbers, self.seed, epoch, Stream.MEMBERS, members)
            parts.append(members[order])
            room -= min(share, len(members))
            if room <= 0:
                break
        taken: list[Int64] = []
        room = self.batch_size
        for first in range(0, max(map(len, parts)), share):
            for part in parts:
                taken.append(part[first : first + min(share, room)])
                room -= len(taken[-1])
        return np.concatenate(taken)

    def _clusters_in_turn(self, batch: int, epoch: int) -> Any:
        """Draw clusters of a batch without replacement, one after the other."""
        num_clusters = len(self._clusters)
        seen: set[int] = set()
        first = 0
        while len(seen) < num_clusters:
            counters = np.arange(first, first + 8, dtype=np.int64)
            first += len(counters)
            keys = keys_of(np.full(8, batch), self.seed, epoch, Stream.CLUSTERS, counters)
            for key in keys.tolist():
                cluster = key * num_clusters >> 64
                if cluster not in seen:
                    seen.add(cluster)
                    yield cluster

    def _cut_all(self, epoch: int) -> Batches:
        rows, indptr = self._clusters.shuffled(self.seed, epoch)
        sizes = np.diff(indptr)
        place = np.arange(len(rows)) - np.repeat(indptr[:-1], sizes)
        whole = place < np.repeat(sizes - sizes % self.batch_size, sizes)
        batches = cut(np.concatenate([rows[whole], rows[~whole]]), self.batch_size, self.drop_last)
        full = len(batches.indices) // self.batch_size
        order = shuffled(full, self.seed, epoch, Stream.ORDER)
        table = batches.indices[: full * self.batch_size].reshape(full, self.batch_size)
        rest = batches.indices[full * self.batch_size :]
        indices = np.concatenate([table[order].ravel(), rest])
        return Batches(batches.indptr, indices, batches.unplaced)


#: (epoch, cluster size from then on), for LF-AmazonTitles-131K, as in the authors' code.
NGAME_CURRICULUM = (
    (0, 1),
    (10, 2),
    (20, 4),
    (25, 8),
    (50, 16),
    (75, 32),
    (100, 64),
    (125, 128),
    (150, 256),
    (200, 512),
)


@dataclass(frozen=True, eq=False)
class NGAME(BatchPlan):
    """Batches of near rows, nearer and nearer: clusters of a tree that grow with the epochs.

    An epoch's clusters are nodes of a balanced binary tree over the rows. The list of clusters is
    shuffled, their rows are laid one after the other, each cluster in random order, and the whole
    is cut into batches. Every row comes once an epoch.

    For clusters of s rows the tree is cut where it has as many nodes as the next power of two ≥
    n / s, or at its leaves if it has no more; s = 1 is a plain shuffle.

    Parameters
    ----------
    leaves : array-like of int of shape (n,)
        The leaf of each row, as `balanced_two_means` gives them: in the order of the tree, so that
        ``leaf >> 1`` is the parent.
    batch_size : int
        The authors use 1600.
    curriculum : sequence of (epoch, cluster size), optional
        Which size from which epoch on, both increasing, from epoch 0. Default: as in the authors'
        code for LF-AmazonTitles-131K, 1 for ten epochs, then doubling at epochs 10, 20, 25, 50,
        75, 100, 125, 150 and 200.
    refresh_from, refresh_every : int, default 10 and 5
        In which epochs to make the tree anew from the current embeddings (see `refresh_due`); as
        in the authors' code.
    drop_last : bool, default False
        Leave out the last batch where it is not full; its rows are then `Batches.unplaced`.
    seed : int, default 0

    Raises
    ------
    ValueError
        For a negative leaf, or a curriculum that does not start at epoch 0 or does not increase.

    References
    ----------
    Dahiya et al., "NGAME: Negative Mining-aware Mini-batching for Extreme Classification",
    WSDM 2023.

    Examples
    --------
    >>> import nearmiss as nm
    >>> plan = nm.batches.NGAME([0, 0, 1, 1], 2, curriculum=[(0, 1), (3, 2)])
    >>> [plan.cluster_size(epoch) for epoch in range(5)]
    [1, 1, 1, 2, 2]
    >>> sorted(sorted(batch.tolist()) for batch in plan.batches(epoch=3))
    [[0, 1], [2, 3]]
    """

    paper: ClassVar[str] = "Dahiya et al., NGAME, WSDM 2023"

    leaves: Any = field(repr=False)
    batch_size: int
    curriculum: Any = field(default=NGAME_CURRICULUM, kw_only=True)
    refresh_from: int = field(default=10, kw_only=True)
    refresh_every: int = field(default=5, kw_only=True)
    drop_last: bool = field(default=False, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    coverage: Coverage = field(default="all", init=False, repr=False)
    num_rows: int = field(init=False)

    def __post_init__(self) -> None:
        leaves = as_clusters(self.leaves, "leaves")
        check_integer(self.batch_size, "batch_size", 1)
        check_integer(self.refresh_from, "refresh_from", 0)
        check_integer(self.refresh_every, "refresh_every", 1)
        check_flag(self.drop_last, "drop_last")
        check_seed(self.seed, "seed")
        object.__setattr__(self, "curriculum", _as_curriculum(self.curriculum))
        object.__setattr__(self, "leaves", leaves)
        object.__setattr__(self, "num_rows", len(leaves))

    def __len__(self) -> int:
        return num_batches_of(self.num_rows, self.batch_size, self.drop_last)

    def cluster_size(self, epoch: int) -> int:
        """Return the size of the clusters of an epoch by the curriculum."""
        check_seed(epoch, "epoch")
        steps: tuple[tuple[int, int], ...] = self.curriculum
        return [size for start, size in steps if start <= epoch][-1]

    def refresh_due(self, epoch: int) -> bool:
        """Tell whether the tree is to be made anew before this epoch."""
        return epoch >= self.refresh_from and (epoch - self.refresh_from) % self.refresh_every == 0

    def with_leaves(self, leaves: npt.ArrayLike) -> NGAME:
        """Return the same plan over a new tree."""
        return replace(self, leaves=leaves)

    def clusters(self, epoch: int) -> Int64:
        """Return the cluster of each row in an epoch: a node of the tree, or the row itself."""
        size = self.cluster_size(epoch)
        if size == 1:
            return np.arange(self.num_rows, dtype=np.int64)
        depth = int(self.leaves.max(initial=0)).bit_length()
        wanted = -(-self.num_rows // size)
        wanted_depth = (wanted - 1).bit_length() if wanted else 0
        clusters: Int64 = self.leaves >> max(0, depth - wanted_depth)
        return clusters

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        clusters = Clusters.of(self.clusters(epoch), "leaves")
        rows, _ = clusters.shuffled(self.seed, epoch)
        return cut(rows, self.batch_size, self.drop_last)


@dataclass(frozen=True, eq=False)
class Clusters:
    """Rows by cluster; clusters are numbered in the order of their labels.

    Attributes
    ----------
    rows : (n,) int64
        Rows of cluster c are ``rows[indptr[c]:indptr[c + 1]]``, ascending.
    indptr : (c + 1,) int64
    """

    rows: Int64
    indptr: Int64

    @classmethod
    def of(cls, labels: Any, name: str) -> Clusters:
        """Sort rows by label."""
        codes = as_clusters(labels, name)
        rows = np.argsort(codes, kind="stable")
        sizes = np.unique(codes, return_counts=True)[1]
        return cls(rows, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def members(self, cluster: int) -> Int64:
        """Return the rows of a cluster."""
        return self.rows[self.indptr[cluster] : self.indptr[cluster + 1]]

    def shuffled(self, seed: int, epoch: int) -> tuple[Int64, Int64]:
        """Return the rows with clusters in random order and each shuffled, and where they begin."""
        order = shuffled(len(self), seed, epoch, Stream.CLUSTERS)
        sizes = np.diff(self.indptr)
        turn = np.empty(len(self), dtype=np.int64)
        turn[order] = np.arange(len(self))
        keys = keys_of(self.rows, seed, epoch, Stream.ROWS)
        rows = self.rows[np.lexsort((keys, np.repeat(turn, sizes)))]
        return rows, np.concatenate([[0], np.cumsum(sizes[order])]).astype(np.int64)


def as_clusters(value: Any, name: str, length: int | None = None) -> Int64:
    """Return the cluster of each row, ``length`` of them if given; none is negative."""
    labels = as_integers(value, name, length, "row")
    for row in np.flatnonzero(labels < 0)[:1]:
        raise ValueError(f"{name}: row {row} is {labels[row]}; clusters start at 0")
    return labels


def _as_curriculum(value: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, Iterable):
        raise TypeError(f"curriculum: expected a list of (epoch, size), got {value!r}")
    steps: list[tuple[int, int]] = []
    for place, step in enumerate(value):
        if not hasattr(step, "__len__") or len(step) != 2:
            raise ValueError(f"curriculum: step {place} is {step!r}; expected (epoch, size)")
        epoch = check_integer(step[0], f"curriculum: epoch of step {place}", 0)
        size = check_integer(step[1], f"curriculum: cluster size of step {place}", 1)
        if steps and (epoch <= steps[-1][0] or size <= steps[-1][1]):
            raise ValueError(f"curriculum: step {place}, {step!r}, does not increase")
        steps.append((epoch, size))
    if not steps or steps[0][0] != 0:
        raise ValueError("curriculum: must start at epoch 0")
    return tuple(steps)
