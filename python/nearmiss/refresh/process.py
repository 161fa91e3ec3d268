# SPDX-License-Identifier: Apache-2.0
"""A background process that mines one table into a file.

Whatever becomes of it, the training process only ever looks at whether it has ended and left a
complete table. All its files are in the folder of tables and begin with `_PREFIX`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from nearmiss.refresh.job import Mine, Refresh, mine_table

_PREFIX = ".refresh-"


class Outcome(NamedTuple):
    """How a refresh ended: with a complete table, or with a reason why there is none."""

    refresh: Refresh
    table: Path | None
    error: str


class BackgroundMiner:
    """Mines one table at a time in a process of its own.

    Parameters
    ----------
    mine : callable
        Importable, as it is pickled.
    num_threads : int
        For the core, and for torch if ``mine`` uses it.
    niceness : int
        By how much its priority is lower than that of this process, where the system knows nice
        values.

    Raises
    ------
    TypeError
        If ``mine`` cannot be pickled.
    """

    def __init__(self, mine: Mine, num_threads: int, niceness: int) -> None:
        try:
            pickle.dumps(mine)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(
                f"mine: a background process must be able to import it, so it must be a function "
                f"of a module, or an object of a class of one ({error})"
            ) from None
        self._mine = mine
        self._num_threads = num_threads
        self._niceness = niceness
        self._current: _Running | None = None

    @property
    def running(self) -> bool:
        """Whether a refresh was started whose outcome nobody has asked for."""
        return self._current is not None

    def start(self, folder: Path, snapshot: Any, refresh: Refresh) -> None:
        """Pickle the snapshot as it is now, and begin to mine.

        Files go to ``folder``; those that a run which was killed left there are removed.
        """
        _Files(folder / _PREFIX).remove()
        files = _Files(folder / f"{_PREFIX}{refresh.generation}-{uuid4().hex[:8]}")
        # Through a file: what is sent by a pipe keeps the sender waiting until the child reads it.
        # By plain pickle: torch's own would share memory that training goes on to change.
        with open(files.job, "wb") as file:
            pickle.dump((self._mine, snapshot, refresh), file, pickle.HIGHEST_PROTOCOL)
        process = multiprocessing.get_context("spawn").Process(
            target=_run,
            args=(files, self._num_threads, self._niceness),
            name=f"nearmiss refresh {refresh.generation}",
            daemon=True,  # ends with the training process
        )
        process.start()
        self._current = _Running(refresh, files, process)

    def poll(self) -> Outcome | None:
        """Return how the refresh ended, once; None while it runs or if there is none."""
        current = self._current
        if current is None or current.process.is_alive():
            return None
        self._current = None
        error = _error_of(current)
        current.process.close()
        if error:
            current.files.remove()
            return Outcome(current.refresh, None, error)
        _remove(current.files.job)
        return Outcome(current.refresh, current.files.table, "")

    def wait(self) -> None:
        """Wait until the refresh that runs has ended, if there is one."""
        if self._current is not None:
            self._current.process.join()

    def stop(self) -> None:
        """End the refresh that runs, if there is one; nothing of it remains."""
        current, self._current = self._current, None
        if current is not None:
            current.process.kill()
            current.process.join()
            current.process.close()
            current.files.remove()


class _Files:
    """The files of one refresh, beside each other."""

    def __init__(self, stem: Path) -> None:
        self.stem = stem
        self.job = stem.with_name(f"{stem.name}.job")
        self.table = stem.with_name(f"{stem.name}.table")
        self.error = stem.with_name(f"{stem.name}.error")

    def remove(self) -> None:
        """Remove them, and a table that is written in part."""
        for pattern in (f"{self.stem.name}*", f".{self.stem.name}*"):
            for path in self.stem.parent.glob(pattern):
                _remove(path)


class _Running(NamedTuple):
    """A refresh that was started."""

    refresh: Refresh
    files: _Files
    process: BaseProcess


def _error_of(ended: _Running) -> str:
    """Return why there is no table, empty if there is one."""
    if ended.files.error.exists():
        return ended.files.error.read_text(encoding="utf-8")
    code = ended.process.exitcode
    if code == 0 and ended.files.table.exists():
        return ""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with exit code {code} and without a table"


def _remove(path: Path) -> None:
    with suppress(OSError):  # still open, on Windows: the next run removes it
        path.unlink()


# --- in the child ---------------------------------------------------------------------------------


def _run(files: _Files, num_threads: int, niceness: int) -> None:
    """Mine, and leave a complete table or the text of an error."""
    _yield_to_training(niceness)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in ("NEARMISS_NUM_THREADS", "OMP_NUM_THREADS"):  # the latter for what is imported late
        os.environ[name] = str(num_threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training process
    try:
        with open(files.job, "rb") as file:
            mine, snapshot, refresh = pickle.load(file)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(num_threads)
        mine_table(mine, snapshot, refresh).save(files.table)
    except Exception as error:
        traceback.print_exc()
        files.error.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


def _yield_to_training(niceness: int) -> None:
    """Lower the priority of this process, threads that imported libraries started included."""
    if not hasattr(os, "setpriority"):
        return
    threads = Path("/proc/self/task")  # on Linux a priority is of one thread
    numbers = [int(path.name) for path in threads.iterdir()] if threads.exists() else [0]
    lower = min(os.getpriority(os.PRIO_PROCESS, 0) + niceness, 19)
    for number in numbers:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, number, lower)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
