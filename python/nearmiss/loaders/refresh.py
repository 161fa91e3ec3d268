# SPDX-License-Identifier: Apache-2.0
"""Re-mining while a model trains, and playing the tables of a run back."""

from __future__ import annotations

import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nearmiss.arrays import check_choice, check_integer
from nearmiss.loaders.ranks import Ranks
from nearmiss.loaders.table_folder import TableFolder
from nearmiss.negatives import Negatives
from nearmiss.refresh.due import Schedule
from nearmiss.refresh.job import Mine, Refresh, mine_table
from nearmiss.refresh.log import RefreshLog, Swap
from nearmiss.refresh.process import BackgroundMiner, Outcome

if TYPE_CHECKING:
    from typing_extensions import Self

Mode: TypeAlias = Literal["sync", "background"]

_LARGEST = 2**63 - 1
_MOST_THREADS = 1024


class TableSwitch(ABC):
    """What swaps the tables of a folder at steps of a training run; told of each of them.

    Parameters
    ----------
    folder : TableFolder or path
        What the collators follow. On several ranks all of them have it on one machine.
    group : ProcessGroup, optional
        Of `torch.distributed`; default: all ranks. Its timeout must be longer than mining takes.
    """

    def __init__(self, folder: TableFolder | str | os.PathLike[str], group: Any = None) -> None:
        self.folder = folder if isinstance(folder, TableFolder) else TableFolder(folder)
        self._ranks = Ranks(group)
        self._step: int | None = None

    def step(self, step: int) -> None:
        """Say that ``step`` optimiser steps are done; call it after each, on every rank.

        The same number again does nothing; a lower one means that training went back to it.
        """
        step = check_integer(step, "step", 0, _LARGEST)
        if self._step == step:
            return
        since = self._step
        if since is None or since > step:
            since = max(step - 1, 0)
            self._begin_at(since)
        self._step = step
        self._after_step(step, since)

    def begin_epoch(self, epoch: int, step: int | None = None) -> None:
        """Say that an epoch begins, on every rank; sets the epoch of the folder.

        Parameters
        ----------
        epoch : int
        step : int, optional
            How many steps are done. Default: as many as `step` was told.
        """
        epoch = check_integer(epoch, "epoch", 0, _LARGEST)
        step = (self._step or 0) if step is None else check_integer(step, "step", 0, _LARGEST)
        if self._step is None or step < self._step:
            self._begin_at(step)
        self._step = step
        with self._ranks.stand_still():
            if self._ranks.is_first:
                self.folder.set_epoch(epoch)
        self._before_epoch(epoch)

    @abstractmethod
    def close(self) -> None:
        """End what runs in the background."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def _begin_at(self, step: int) -> None:
        """Take note that training begins at this step, or goes back to it."""

    @abstractmethod
    def _after_step(self, step: int, since: int) -> None:
        """Do what became due after step ``since``, up to ``step``."""

    @abstractmethod
    def _before_epoch(self, epoch: int) -> None:
        """Do what is due before an epoch."""


class Refresher(TableSwitch):
    """Mine negatives anew, by the model as it is, now and then while it trains (ANCE).

    Each table is written whole, renamed, and only then counted; `HardNegativeCollator`, given the
    same folder, takes it for its next batch, in persistent workers too. If mining fails, whatever
    the reason, training goes on with the table it has: there is a RuntimeWarning and an entry in
    the log, and the next due step tries again.

    Parameters
    ----------
    folder : TableFolder or path
        Where the tables go. An existing one is taken up where it was left.
    mine : callable
        ``mine(snapshot, refresh) -> Negatives``; ``refresh`` is a `nearmiss.refresh.Refresh`, with
        generation, step, epoch and the table in use. As a function of these two it can be repeated.
    snapshot : callable, optional
        ``snapshot()`` returns what of the model ``mine`` needs: encoded arrays, a ``state_dict``,
        the path of a checkpoint. Runs in the training process on every rank, as some models need
        all of them for it; what rank 0 returns is mined. Default: None.
    schedule : Schedule
        When: `nearmiss.refresh.EverySteps` or `EveryEpochs`.
    mode : {"sync", "background"}, default "sync"
        ``"sync"``: training waits. A run can be repeated exactly.
        ``"background"``: another process mines, one table at a time, and the table is swapped at
        a later step, which depends on how long that took; the log tells which, and `Replay` swaps
        at the same ones. A table that becomes due meanwhile is begun as soon as that has ended.
    poll_every : int, default 10
        Of ``"background"``: look for the table at steps that are a multiple of this. On several
        ranks that is a broadcast.
    num_threads : int, default 1
        Threads of the background process, for this package and for torch.
    niceness : int, default 8
        By how much the nice value of the background process is above that of training, 0 to 19.
    group : ProcessGroup, optional
        Of `torch.distributed`. Default: all ranks.

    Raises
    ------
    TypeError
        If ``mine`` is not callable, or, in ``"background"``, is not importable.
    ValueError
        For numbers out of range.

    Notes
    -----
    **When a batch sees a new table.** A table that is swapped after step n is in the next batch
    that anybody begins to collate. Without workers that is batch n + 1. What a DataLoader fetched
    ahead (``num_workers * prefetch_factor`` batches; one in Trainers built on accelerate) still
    has the table before, and how far workers are depends on time. With `EveryEpochs` and ``"sync"``
    no batch is under way when a table is swapped, and workers change nothing.

    **Several ranks.** All call `step`, `begin_epoch`, `refresh` and `wait` alike. Rank 0 mines and
    writes, while all ranks stand still inside of the call: all swap between the same two steps,
    in both modes.

    **The background process** is started by "spawn": it imports the main module, so a script needs
    ``if __name__ == "__main__":``. The snapshot is pickled at once, so it may refer to weights that
    training goes on to change. The process ends with the one that trains. It has no share in the
    memory of a GPU that training fills.

    **Log.** ``refresh.jsonl`` in the folder, see `nearmiss.refresh.RefreshLog`.

    References
    ----------
    Xiong et al., "Approximate Nearest Neighbor Negative Contrastive Learning for Dense Text
    Retrieval", ICLR 2021.

    Examples
    --------
    >>> import tempfile, numpy as np, nearmiss as nm
    >>> vectors = np.random.default_rng(0).standard_normal((50, 8), dtype=np.float32)
    >>> def mine(encoded, refresh):
    ...     return nm.mine(encoded, encoded, num_negatives=4, exclude_self=True)
    >>> refresher = nm.loaders.Refresher(
    ...     tempfile.mkdtemp(), mine, lambda: vectors, schedule=nm.refresh.EverySteps(100)
    ... )
    >>> refresher.refresh()  # the first table
    1
    >>> for step in range(1, 201):
    ...     refresher.step(step)
    >>> refresher.folder.generation
    3
    """

    def __init__(
        self,
        folder: TableFolder | str | os.PathLike[str],
        mine: Mine,
        snapshot: Callable[[], Any] | None = None,
        *,
        schedule: Schedule,
        mode: Mode = "sync",
        poll_every: int = 10,
        num_threads: int = 1,
        niceness: int = 8,
        group: Any = None,
    ) -> None:
        if not callable(mine):
            raise TypeError(f"mine: expected a function, got a {type(mine).__name__}")
        if snapshot is not None and not callable(snapshot):
            raise TypeError(f"snapshot: expected a function, got a {type(snapshot).__name__}")
        if not isinstance(schedule, Schedule):
            raise TypeError(f"schedule: expected a Schedule, got a {type(schedule).__name__}")
        check_choice(mode, "mode", ("sync", "background"))
        self.poll_every = check_integer(poll_every, "poll_every", 1)
        threads = check_integer(num_threads, "num_threads", 1, _MOST_THREADS)
        niceness = check_integer(niceness, "niceness", 0, 19)
        background = BackgroundMiner(mine, threads, niceness) if mode == "background" else None
        super().__init__(folder, group)
        self.log = RefreshLog(self.folder.path)
        self.schedule = schedule
        self._mine = mine
        self._take_snapshot = (lambda: None) if snapshot is None else snapshot
        self._background = background
        self._due = False  # in the background, and not begun
        self._started = 0.0

    @property
    def mode(self) -> Mode:
        """Where tables are mined."""
        return "sync" if self._background is None else "background"

    @property
    def mining(self) -> bool:
        """Whether this process has a refresh under way in the background."""
        return self._background is not None and self._background.running

    def refresh(self) -> int:
        """Mine now, in this process, and swap; such as the first table. Returns the generation.

        What runs in the background is ended.

        Raises
        ------
        Exception
            What ``snapshot`` or ``mine`` raised, on rank 0; a RuntimeError on the others.
        """
        self.close()
        error = self._refresh_here()
        text = self._ranks.agree(None if error is None else str(error))
        if error is not None:
            raise error
        if text is not None:
            raise RuntimeError(f"refresh: failed on rank 0: {text}")
        return self.folder.generation

    def wait(self) -> None:
        """Wait for the refresh that runs in the background, and swap its table in."""
        if self._background is not None:
            self._background.wait()
            self._meet()

    def close(self) -> None:
        """End the refresh that runs in the background; nothing of it is kept.

        A later due step begins another.
        """
        self._due = False
        if self._background is not None:
            self._background.stop()

    def _begin_at(self, step: int) -> None:
        generation = self.folder.generation
        if not self._ranks.is_first or generation == 0:
            return
        last = self.log.swaps()[-1:]
        if not last or last[0].generation != generation or last[0].step > step:
            self.log.add("resumed", step=step, generation=generation)

    def _after_step(self, step: int, since: int) -> None:
        due = self.schedule.due_at_step(step, since)
        if self._background is None:
            if due:
                self._refresh_or_warn()
            return
        self._due |= due
        if step // self.poll_every > since // self.poll_every:
            self._meet()

    def _before_epoch(self, epoch: int) -> None:
        due = self.schedule.due_at_epoch(epoch)
        if self._background is not None:
            self._due |= due
            self._meet()
        elif due:
            self._refresh_or_warn()

    # --- in this process --------------------------------------------------------------------------

    def _refresh_or_warn(self) -> None:
        error = self._refresh_here()
        if error is not None:
            _warn(error)

    def _refresh_here(self) -> Exception | None:
        """Mine and swap while all ranks stand still; return what went wrong, on this rank."""
        with self._ranks.stand_still():
            refresh = self._begin()
            try:
                snapshot = self._take_snapshot()
                if self._ranks.is_first:
                    table = mine_table(self._mine, snapshot, refresh)
                    self._swapped(refresh, self.folder.publish(table))
            except Exception as error:
                self._failed(refresh, error)
                return error
        return None

    # --- in the background ------------------------------------------------------------------------

    def _meet(self) -> None:
        """Swap in what is done and begin what is due; rank 0 decides for all."""
        outcome = self._background.poll() if self._background is not None else None
        if outcome is not None and outcome.table is None:
            self._failed(outcome.refresh, outcome.error)
            _warn(outcome.error)
        swap = outcome is not None and outcome.table is not None
        swap, begin = self._ranks.agree((swap, self._due and not self.mining))
        if swap:
            with self._ranks.stand_still():
                if outcome is not None:
                    self._swap_in(outcome)
        if begin:
            self._due = False
            self._mine_behind()

    def _swap_in(self, outcome: Outcome) -> None:
        assert outcome.table is not None
        try:
            self._swapped(outcome.refresh, self.folder.adopt(outcome.table))
        except OSError as error:
            self._failed(outcome.refresh, error)
            _warn(error)

    def _mine_behind(self) -> None:
        refresh = self._begin()
        try:
            snapshot = self._take_snapshot()
            if self._ranks.is_first and self._background is not None:
                self._background.start(self.folder.path, snapshot, refresh)
        except Exception as error:
            self._failed(refresh, error)
            _warn(error)

    # --- log --------------------------------------------------------------------------------------

    def _begin(self) -> Refresh:
        generation = self.folder.generation
        refresh = Refresh(
            generation=generation + 1,
            step=self._step or 0,
            epoch=self.folder.epoch,
            previous_path=str(self.folder.table_path(generation)) if generation else None,
        )
        self._started = time.monotonic()
        self._note("started", refresh.step, refresh.generation, epoch=refresh.epoch)
        return refresh

    def _swapped(self, refresh: Refresh, generation: int) -> None:
        seconds = round(time.monotonic() - self._started, 3)
        self._note("swapped", self._step or 0, generation, of_step=refresh.step, seconds=seconds)

    def _failed(self, refresh: Refresh, error: Exception | str) -> None:
        self._note("failed", self._step or 0, refresh.generation, error=_describe(error))

    def _note(self, event: str, step: int, generation: int, **more: Any) -> None:
        if self._ranks.is_first:
            self.log.add(event, step=step, generation=generation, **more)


class Replay(TableSwitch):
    """Swap the tables of an earlier run at the steps it swapped them; nothing is mined.

    Takes the place of the `Refresher`: the same training, with the same seeds, then sees the same
    table at every step, though that run mined in the background. Where `Refresher` says that a
    batch depends on time, it does so here.

    Parameters
    ----------
    source : TableFolder or path
        The folder of that run, which must have kept its tables: ``TableFolder(…, keep=None)``.
    folder : TableFolder or path
        A new one, which the collators follow. The tables of before the first step are published at
        once, so on several ranks make it after ``init_process_group``.
    group : ProcessGroup, optional
        As for `Refresher`.

    Raises
    ------
    ValueError
        If the log names no table or one that is not there, or ``folder`` has tables already.
    """

    def __init__(
        self,
        source: TableFolder | str | os.PathLike[str],
        folder: TableFolder | str | os.PathLike[str],
        *,
        group: Any = None,
    ) -> None:
        self.source = source if isinstance(source, TableFolder) else TableFolder(source)
        self.swaps = RefreshLog(self.source.path).swaps()
        if not self.swaps:
            raise ValueError(f"source: {self.source.path} has no log of swaps")
        for swap in self.swaps:
            if not self.source.table_path(swap.generation).exists():
                raise ValueError(
                    f"source: the table of generation {swap.generation} is gone from "
                    f"{self.source.path}; a run to replay needs TableFolder(…, keep=None)"
                )
        super().__init__(folder, group)
        if self._ranks.agree(self.folder.generation):
            raise ValueError(f"folder: {self.folder.path} has tables already, expected a new one")
        self._publish([swap for swap in self.swaps if swap.step == 0])

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""

    def _begin_at(self, step: int) -> None:
        pass

    def _before_epoch(self, epoch: int) -> None:
        pass  # what was swapped there is logged with the step before

    def _after_step(self, step: int, since: int) -> None:
        self._publish([swap for swap in self.swaps if since < swap.step <= step])

    def _publish(self, swaps: list[Swap]) -> None:
        if not swaps:
            return
        with self._ranks.stand_still():
            if self._ranks.is_first:
                path = self.source.table_path(swaps[-1].generation)
                self.folder.publish(Negatives.load(path))


def _describe(error: Exception | str) -> str:
    return error if isinstance(error, str) else f"{type(error).__name__}: {error}"


def _warn(error: Exception | str) -> None:
    warnings.warn(
        f"refresh: failed, training goes on with the table it has: {_describe(error)}",
        RuntimeWarning,
        stacklevel=4,
    )
