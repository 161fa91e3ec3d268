# SPDX-License-Identifier: Apache-2.0
"""A folder in which tables of negatives follow each other while a training run goes on.

::

    state                           64 bytes, mapped by everybody: int64 words, see below
    negatives-00000001.safetensors  the tables, one for each generation, by `Negatives.save`

Words of ``state``, little endian, each aligned so that it is read and written at once: "nearmiss",
the version of this layout, the epoch, the generation (0: no table yet); the others are 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np

from nearmiss.arrays import check_integer
from nearmiss.negatives import Negatives

_STATE = "state"
_SUFFIX = ".safetensors"
#: Tables, and temporary files on their way to become a table or the state.
_OURS = re.compile(
    r"negatives-\d{8,}\.safetensors|\.(negatives-\d{8,}\.safetensors|state)\.\w+\.tmp"
)
_WORDS = 8
_MAGIC = int.from_bytes(b"nearmiss", "little")
_VERSION = 1
_EPOCH, _GENERATION = 2, 3
_LARGEST = 2**63 - 1


class TableFolder:
    """A folder of mined tables, of which the newest counts, and the epoch of the run.

    One process publishes tables; any number of others, workers of DataLoaders and ranks among
    them, see the new generation and the epoch at once, through a small file that all of them map.

    Parameters
    ----------
    path : path
        The folder; made if it does not exist.
    keep : int or None, default 2
        How many of the newest tables `publish` and `adopt` leave there, at least 2, as who read
        the counter just before it was raised opens the older one. None: all; `Replay` needs them.

    Raises
    ------
    OSError
        If the folder cannot be made or written.
    ValueError
        If its state is none, or is of a later version.

    Notes
    -----
    A table is written to a temporary file, which is renamed when complete; only then is the
    generation raised. A writer that is killed at any moment leaves a folder in which the
    generation names a whole table, and what it left behind goes with the next `publish`.

    There must be only one writer at a time: `publish` is not for two processes at once. All may
    call `set_epoch`. Pickling keeps the path alone, and a fork shares the mapping.

    Examples
    --------
    >>> import tempfile, nearmiss as nm
    >>> folder = nm.loaders.TableFolder(tempfile.mkdtemp())
    >>> vectors = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]
    >>> folder.publish(nm.mine(vectors, vectors, num_negatives=1, exclude_self=True))
    1
    >>> folder.load().indices.tolist()
    [[1], [0], [1]]
    """

    def __init__(self, path: str | os.PathLike[str], *, keep: int | None = 2) -> None:
        self.keep = None if keep is None else check_integer(keep, "keep", 2)
        self.path = Path(os.path.abspath(path))
        self.path.mkdir(parents=True, exist_ok=True)
        self._state = _open_state(self.path / _STATE)

    def __repr__(self) -> str:
        return f"TableFolder({str(self.path)!r}, generation={self.generation}, epoch={self.epoch})"

    def __reduce__(self) -> tuple[Callable[[str], TableFolder], tuple[str]]:
        return partial(TableFolder, keep=self.keep), (str(self.path),)

    @property
    def generation(self) -> int:
        """The number of the newest table, from 1; 0 if there is none yet."""
        return int(self._state[_GENERATION])

    @property
    def epoch(self) -> int:
        """The epoch of the run, 0 at first."""
        return int(self._state[_EPOCH])

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, for all who have the folder open."""
        self._state[_EPOCH] = check_integer(epoch, "epoch", 0, _LARGEST)

    def table_path(self, generation: int | None = None) -> Path:
        """Return the path of a table, by default the newest.

        Raises
        ------
        FileNotFoundError
            If there is no table yet.
        """
        number = self._newest() if generation is None else generation
        return (
            self.path / f"negatives-{check_integer(number, 'generation', 1, _LARGEST):08}{_SUFFIX}"
        )

    def load(self) -> Negatives:
        """Map the newest table; see `latest`."""
        return self.latest()[1]

    def latest(self) -> tuple[int, Negatives]:
        """Map the newest table and return it after its generation.

        Raises
        ------
        FileNotFoundError
            If there is no table yet.
        """
        while True:
            generation = self._newest()
            try:
                return generation, Negatives.load(self.table_path(generation))
            except FileNotFoundError:
                # Two newer ones may have been published since the counter was read.
                if generation == self.generation:
                    raise

    def _newest(self) -> int:
        generation = self.generation
        if generation == 0:
            raise FileNotFoundError(f"{self.path}: no table has been published yet")
        return generation

    def publish(self, negatives: Negatives) -> int:
        """Write a table and make it the newest; return its generation.

        Whoever has an older one open keeps what it mapped, also when its file is gone.
        """
        if not isinstance(negatives, Negatives):
            raise TypeError(f"negatives: expected Negatives, got a {type(negatives).__name__}")
        self._sweep()
        generation = self.generation + 1
        negatives.save(self.table_path(generation))
        return self._count_up(generation)

    def adopt(self, path: str | os.PathLike[str]) -> int:
        """Move a table that `Negatives.save` wrote into the folder as the newest.

        The file must be on the folder's file system: it is renamed, not read, which takes no time.
        Returns its generation.
        """
        self._sweep()
        generation = self.generation + 1
        os.replace(path, self.table_path(generation))
        return self._count_up(generation)

    def _count_up(self, generation: int) -> int:
        """Make the newest what is there complete."""
        self._state[_GENERATION] = generation
        self._state.flush()
        self._sweep()
        return generation

    def _sweep(self) -> None:
        """Remove tables that are too old, and what a writer that was killed left behind."""
        first = 1 if self.keep is None else max(1, self.generation + 1 - self.keep)
        newest = range(first, self.generation + 1)
        kept = {self.table_path(generation).name for generation in newest}
        for path in self.path.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in kept:
                with suppress(OSError):  # on Windows it may be mapped: the next call will
                    path.unlink()


def _open_state(path: Path) -> np.memmap[tuple[int], np.dtype[np.int64]]:
    """Map the state, shared and writable; make it first if it is not there."""
    if not path.exists():
        _make_state(path)
    size = path.stat().st_size
    if size != 8 * _WORDS:
        raise ValueError(f"{path}: not the state of a table folder: {size} bytes, not {8 * _WORDS}")
    state = np.memmap(path, dtype="<i8", mode="r+", shape=(_WORDS,))
    if state[0] != _MAGIC:
        raise ValueError(f"{path}: not the state of a table folder")
    if state[1] != _VERSION:
        raise ValueError(f"{path}: version {state[1]}; this package reads version {_VERSION}")
    return state


def _make_state(path: Path) -> None:
    """Make the file appear whole, and only where no other process was quicker.

    A link does not replace what is there, as a rename would: others may have that mapped.
    """
    words = np.zeros(_WORDS, dtype="<i8")
    words[:2] = _MAGIC, _VERSION
    temporary = path.with_name(f".{_STATE}.{uuid4().hex[:8]}.tmp")
    try:
        temporary.write_bytes(words.tobytes())
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        pass  # not found: swept by one who has it already
    finally:
        temporary.unlink(missing_ok=True)
