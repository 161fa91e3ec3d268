# SPDX-License-Identifier: Apache-2.0
"""Batch samplers: the batches of a plan, shared out among ranks, for a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.utils.data import BatchSampler, DistributedSampler, Sampler

from nearmiss.arrays import Int64, check_choice, check_integer, check_seed
from nearmiss.batches import (
    CFCD,
    NGAME,
    RTD,
    Batches,
    BatchPlan,
    NoConflict,
    SaHa,
    Sample4Geo,
    TasBalanced,
)

Rank = int | Literal["all"]


class PlanBatchSampler(BatchSampler):
    """The batches of any plan of `nearmiss.batches`, as a DataLoader's ``batch_sampler``.

    Of the batches of an epoch, numbered as the plan has them, rank r of R gets r, r + R, r + 2R, …:
    whole batches, so that what the plan put together stays together. Every rank gets as many; what
    does not divide is left over or repeated, as ``uneven`` says.

    Parameters
    ----------
    plan : BatchPlan
        Its row numbers are the indices of the data set.
    num_replicas, rank : int, optional
        Among how many ranks batches are shared, and whose this sampler gives. Given together.
        Default: of ``torch.distributed`` where it is initialised when the sampler is made, else
        1 and 0. Either way the attributes keep the numbers.

        ``rank="all"`` gives every rank's batches in turn: for what deals out batches by itself,
        as accelerate does in a prepared DataLoader and in the Trainers built on it. It would
        otherwise deal out again what is one rank's share.
    uneven : {"drop", "repeat"}, default "drop"
        What becomes of the last batches of an epoch where there are not as many for each rank:
        ``"drop"`` leaves them out (`num_left_over` of them, their rows in `left_over`), and other
        epochs leave out others; ``"repeat"`` gives some of the first once more (`num_repeated`).
    sampler : torch.utils.data.DistributedSampler, optional
        Where ``num_replicas`` and ``rank`` come from instead; nothing else of it is used. This is
        what Lightning hands over when it makes the sampler of a ``*_dataloader`` hook anew.

    Attributes
    ----------
    plan, num_replicas, rank, uneven
        As above.
    epoch : int
        The epoch that the next iteration is of; 0 at first.
    batch_size : int or None
        The most rows of a batch. None with ``rank="all"`` of several: to accelerate this says
        that sizes differ; otherwise it skips a round whose last batch is not full.
    drop_last : bool
        As the plan's.
    sampler : torch.utils.data.Sampler
        The same rows one by one. Its `set_epoch` is that of the batch sampler: Lightning, and
        accelerate in some versions, call only this one.

    Raises
    ------
    TypeError
        For a plan, or a ``sampler``, of another kind.
    ValueError
        For ranks that do not fit, also those of ``sampler``; where ``"drop"`` would leave no batch
        at all of a plan that has some.

    Notes
    -----
    The length is exact, and the same for every epoch and rank. An iteration keeps to the epoch and
    the plan it began with. Batches come from the main process of a DataLoader, so `set_epoch`
    between two epochs works with persistent workers too.

    Examples
    --------
    >>> import nearmiss as nm
    >>> from torch.utils.data import DataLoader
    >>> plan = nm.batches.Shuffled(10, 3)
    >>> sampler = nm.loaders.PlanBatchSampler(plan, num_replicas=3, rank=0)
    >>> sampler
    PlanBatchSampler(rank 0 of 3: 1 of 4 batches, 1 left over)
    >>> loader = DataLoader(range(10), batch_sampler=sampler)
    >>> for epoch in range(2):
    ...     sampler.set_epoch(epoch)
    ...     print([len(batch) for batch in loader], len(sampler.left_over))
    [3] 1
    [3] 1
    """

    #: Which plans this class takes.
    plans: ClassVar[tuple[type[BatchPlan], ...]] = (BatchPlan,)

    plan: BatchPlan
    num_replicas: int
    rank: Rank
    uneven: Literal["drop", "repeat"]

    def __init__(
        self,
        plan: BatchPlan,
        *,
        num_replicas: int | None = None,
        rank: Rank | None = None,
        uneven: Literal["drop", "repeat"] = "drop",
        sampler: DistributedSampler[Any] | None = None,
    ) -> None:
        self._check_kind(plan)
        check_choice(uneven, "uneven", ("drop", "repeat"))
        self.num_replicas, self.rank = _resolve_ranks(num_replicas, rank, sampler)
        if uneven == "drop" and 0 < len(plan) < self.num_replicas:
            raise ValueError(
                f"num_replicas: {self.num_replicas} ranks, but the plan has {len(plan)} batches: "
                f'none would be left; use smaller batches or uneven="repeat"'
            )
        super().__init__(_Rows(self), int(plan.batch_size), bool(plan.drop_last))
        if self.rank == "all" and self.num_replicas > 1:
            self.batch_size = None  # type: ignore[assignment]
        self.plan = plan
        self.uneven = uneven
        self.epoch = 0
        self._made: tuple[int, Batches] | None = None  # of which epoch

    def __len__(self) -> int:
        return self._per_rank() * (self.num_replicas if self.rank == "all" else 1)

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        return (batches[number].tolist() for number in self._numbers())

    def set_epoch(self, epoch: int) -> None:
        """Iterate over the batches of this epoch from now on; on every rank the same."""
        self.epoch = check_seed(epoch, "epoch")

    def set_plan(self, plan: BatchPlan) -> None:
        """Iterate over the batches of this plan from now on; on every rank the same.

        For plans made anew while training goes on: ``plan.with_leaves(…)``,
        ``plan.with_neighbors(…)``.

        Raises
        ------
        TypeError
            For a plan of another kind.
        ValueError
            If it has another number of rows or batches, or larger batches, than the one before:
            schedules of the training loop rely on these.
        """
        self._check_kind(plan)
        for what, now, then in (
            ("rows", plan.num_rows, self.plan.num_rows),
            ("batches", len(plan), len(self.plan)),
            ("rows in a batch", plan.batch_size, self.plan.batch_size),
        ):
            if now != then:
                raise ValueError(f"plan: has {now} {what}, the one before has {then}")
        self.plan = plan
        self._made = None

    @property
    def num_left_over(self) -> int:
        """How many batches of an epoch no rank gets: 0 with ``uneven="repeat"``."""
        return max(0, len(self.plan) - self._per_rank() * self.num_replicas)

    @property
    def num_repeated(self) -> int:
        """How many batches of an epoch are given once more: 0 with ``uneven="drop"``."""
        return max(0, self._per_rank() * self.num_replicas - len(self.plan))

    @property
    def left_over(self) -> Int64:
        """The rows that this epoch's plan names and no rank gets, ascending.

        Those of the batches left over (if they are in no other one), and `Batches.unplaced`.
        """
        batches = self._batches()
        end = batches.indptr[len(batches) - self.num_left_over]
        named = np.concatenate([batches.indices[end:], batches.unplaced])
        return np.setdiff1d(named, batches.indices[:end])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the epoch's batches behind: the plan makes them again."""
        return {**self.__dict__, "_made": None}

    def __repr__(self) -> str:
        rank = "all ranks" if self.rank == "all" else f"rank {self.rank}"
        text = f"{rank} of {self.num_replicas}: {len(self)} of {len(self.plan)} batches"
        for number, what in ((self.num_left_over, "left over"), (self.num_repeated, "repeated")):
            text += f", {number} {what}" if number else ""
        return f"{type(self).__name__}({text})"

    def _check_kind(self, plan: BatchPlan) -> None:
        if isinstance(plan, self.plans):
            return
        names = " or ".join(kind.__name__ for kind in self.plans)
        other = "" if BatchPlan in self.plans else "; PlanBatchSampler takes any plan"
        raise TypeError(f"plan: expected {names}, got a {type(plan).__name__}{other}")

    def _per_rank(self) -> int:
        whole, rest = divmod(len(self.plan), self.num_replicas)
        return whole + (rest > 0 and self.uneven == "repeat")

    def _numbers(self) -> Iterator[int]:
        """Return the numbers of the batches to give, in order."""
        given = range(self._per_rank() * self.num_replicas)
        mine = given if self.rank == "all" else given[self.rank :: self.num_replicas]
        num_batches = len(self.plan)
        return (number % num_batches for number in mine)

    def _batches(self) -> Batches:
        if self._made is None or self._made[0] != self.epoch:
            self._made = (self.epoch, self.plan.batches(self.epoch))
        return self._made[1]


class ClusterBatchSampler(PlanBatchSampler):
    """Batches of clusters: `PlanBatchSampler` for `TasBalanced` and `NGAME`.

    Examples
    --------
    >>> import nearmiss as nm
    >>> plan = nm.batches.TasBalanced([0, 0, 0, 0, 1, 1, 1, 1], 4, coverage="all")
    >>> sampler = nm.loaders.ClusterBatchSampler(plan, num_replicas=1, rank=0)
    >>> sorted(sorted(batch) for batch in sampler)
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    """

    plans = (TasBalanced, NGAME)


class NeighborBatchSampler(PlanBatchSampler):
    """Batches of rows and their neighbours: `PlanBatchSampler` for `Sample4Geo`."""

    plans = (Sample4Geo,)


class NoConflictBatchSampler(PlanBatchSampler):
    """Batches without false negatives: `PlanBatchSampler` for `NoConflict`."""

    plans = (NoConflict,)


class GroupBatchSampler(PlanBatchSampler):
    """Batches of small groups of rows: `PlanBatchSampler` for `SaHa`, `CFCD` and `RTD`."""

    plans = (SaHa, CFCD, RTD)


class _Rows(Sampler[int]):
    """The rows of a batch sampler one by one."""

    def __init__(self, batch_sampler: PlanBatchSampler) -> None:
        self._batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[int]:
        return (row for batch in self._batch_sampler for row in batch)

    def set_epoch(self, epoch: int) -> None:
        self._batch_sampler.set_epoch(epoch)


def _resolve_ranks(
    num_replicas: int | None, rank: Rank | None, sampler: DistributedSampler[Any] | None
) -> tuple[int, Rank]:
    world = _world(sampler)
    if num_replicas is None and rank == "all":
        num_replicas = world[0]
    if num_replicas is None and rank is None:
        return world
    if num_replicas is None or rank is None:
        raise ValueError("rank: give num_replicas and rank together, or neither")
    num_replicas = check_integer(num_replicas, "num_replicas", 1)
    if rank != "all":
        rank = check_integer(rank, "rank", 0, num_replicas - 1)
    if sampler is not None and (num_replicas, rank) != world:
        raise ValueError(
            f"sampler: is of rank {world[1]} of {world[0]}, but num_replicas={num_replicas} and "
            f"rank={rank!r} were given too; leave them out, or have no sampler handed over "
            f"(Lightning: use_distributed_sampler=False)"
        )
    return num_replicas, rank


def _world(sampler: DistributedSampler[Any] | None) -> tuple[int, int]:
    """Return the number of ranks and the own one."""
    if sampler is not None:
        if not isinstance(sampler, DistributedSampler):
            raise TypeError(
                f"sampler: expected a DistributedSampler, got a {type(sampler).__name__}; "
                f"batches are made by the plan, not from a sampler"
            )
        return sampler.num_replicas, sampler.rank
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size(), torch.distributed.get_rank()
    return 1, 0
