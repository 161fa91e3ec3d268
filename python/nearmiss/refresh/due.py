# SPDX-License-Identifier: Apache-2.0
"""When the next table is due."""

from __future__ import annotations

from dataclasses import dataclass

from nearmiss.arrays import check_integer


class Schedule:
    """Base of schedules: due never. Pure functions, so that all ranks agree without talking."""

    def due_at_step(self, step: int, since: int) -> bool:
        """Tell if a table became due after step ``since``, up to ``step`` (steps count from 1)."""
        return False

    def due_at_epoch(self, epoch: int) -> bool:
        """Tell if a table is due before the first batch of this epoch (epochs count from 0)."""
        return False


@dataclass(frozen=True)
class EverySteps(Schedule):
    """A table every ``steps`` optimiser steps, from step ``first`` on.

    Parameters
    ----------
    steps : int
        ANCE's scripts write a checkpoint to mine with every 10,000 steps on MS MARCO and every
        1,000 on NQ and TriviaQA; SimANS mines every 5,000 and 2,000.
    first : int, optional
        Default: ``steps``.
    """

    steps: int
    first: int | None = None

    def __post_init__(self) -> None:
        check_integer(self.steps, "steps", 1)
        if self.first is not None:
            check_integer(self.first, "first", 1)

    def due_at_step(self, step: int, since: int) -> bool:
        """Tell if a table became due after step ``since``, up to ``step``."""
        return self._count(step) > self._count(since)

    def _count(self, step: int) -> int:
        """Return how many tables were due up to a step."""
        first = self.steps if self.first is None else self.first
        return 0 if step < first else (step - first) // self.steps + 1


@dataclass(frozen=True)
class EveryEpochs(Schedule):
    """A table every ``epochs`` epochs, before the epoch begins, from epoch ``first`` on.

    No batch is under way between epochs, so that every batch, also of workers, is of a known table.

    Parameters
    ----------
    epochs : int
        NGAME's scripts: 5, the first before epoch 10.
    first : int, optional
        Default: ``epochs``; the table of epoch 0 is the one to start with.
    """

    epochs: int
    first: int | None = None

    def __post_init__(self) -> None:
        check_integer(self.epochs, "epochs", 1)
        if self.first is not None:
            check_integer(self.first, "first", 1)

    def due_at_epoch(self, epoch: int) -> bool:
        """Tell if a table is due before the first batch of this epoch."""
        first = self.epochs if self.first is None else self.first
        return epoch >= first and (epoch - first) % self.epochs == 0
