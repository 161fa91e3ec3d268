# SPDX-License-Identifier: Apache-2.0
"""The log of a folder of tables: what was mined and swapped when."""

from __future__ import annotations

import json
import os
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_NAME = "refresh.jsonl"


class Swap(NamedTuple):
    """From the batch after ``step`` on, the table of ``generation`` was used."""

    step: int
    generation: int


@dataclass(frozen=True)
class RefreshLog:
    """JSON lines that are only ever added to.

    Each has ``event``, ``step`` (of training, at which it happened), ``generation`` and ``time``
    (seconds since 1970):

    ============  ==================================================================================
    ``started``   a table is being mined, from a snapshot of this step
    ``swapped``   it came into use; ``seconds`` since it was started
    ``failed``    it did not: ``error`` says why; the table before is still in use
    ``resumed``   training began or went back to this step, with the table of this generation
    ============  ==================================================================================

    Parameters
    ----------
    folder : path
        The folder of tables; the file in it is ``refresh.jsonl``.
    """

    folder: str | os.PathLike[str]

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.folder) / _NAME

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries; empty if there is no file. Lines that were cut short are left out."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            with suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
        return entries

    def swaps(self) -> list[Swap]:
        """Return which table was used from which step on, ascending.

        Where training went back to a step, what came after that step the first time is forgotten.
        """
        swaps: list[Swap] = []
        for entry in self.entries():
            if entry["event"] in ("swapped", "resumed"):
                swap = Swap(entry["step"], entry["generation"])
                if entry["event"] == "resumed":
                    swaps = [earlier for earlier in swaps if earlier.step < swap.step]
                swaps.append(swap)
        return swaps

    def add(self, event: str, *, step: int, generation: int, **more: Any) -> None:
        """Add an entry. A disk that is full is warned of, but does not stop the training."""
        entry = {"event": event, "step": step, "generation": generation, **more}
        line = json.dumps({**entry, "time": round(time.time(), 3)})
        try:
            with open(self.path, "ab+") as file:
                if file.tell() and _last_byte(file) != b"\n":
                    line = "\n" + line  # after a line that was cut short
                file.write(f"{line}\n".encode())
        except OSError as error:
            warnings.warn(f"refresh: cannot write {self.path}: {error}", stacklevel=2)


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    last: bytes = file.read(1)
    return last
