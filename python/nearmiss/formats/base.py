# SPDX-License-Identifier: Apache-2.0
"""The registry of output formats: one module each, found by name or by the suffix of a path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from nearmiss.arrays import check_choice

if TYPE_CHECKING:
    from nearmiss.negatives import Negatives


class Writer(Protocol):
    """Writes a table to a path; ``query_ids`` names the rows of the queries that were mined."""

    def __call__(
        self,
        path: str | os.PathLike[str],
        negatives: Negatives,
        *,
        query_ids: Sequence[Any] | None = None,
    ) -> None:
        """Write the file; on error nothing is left at ``path``."""


@dataclass(frozen=True)
class Format:
    """One output format.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        The path suffixes that mean this format, with their dots.
    summary : str
        One line for lists of formats.
    write : Writer
    read : callable, optional
        ``read(path) -> Negatives``, where everything can be read back.
    check_ids : callable, optional
        ``check_ids(ids, side)`` raises ValueError for an id that cannot be written, so that this
        is known before a long search; ``side`` is ``"query"`` or ``"corpus"``.
    """

    name: str
    suffixes: tuple[str, ...]
    summary: str
    write: Writer
    read: Callable[[str | os.PathLike[str]], Negatives] | None = None
    check_ids: Callable[[Iterable[Any], str], None] | None = None


_registry: dict[str, Format] = {}


def register(entry: Format) -> None:
    """Add a format; names and suffixes must be new."""
    taken = {suffix for known in _registry.values() for suffix in known.suffixes}
    if entry.name in _registry or taken.intersection(entry.suffixes):
        raise ValueError(f"format {entry.name!r}: name or suffix is already registered")
    _registry[entry.name] = entry


def available() -> dict[str, Format]:
    """Return the formats by name."""
    return dict(_registry)


def get(name: str) -> Format:
    """Return the format of this name; ValueError with the closest name if there is none."""
    return _registry[check_choice(name, "format", sorted(_registry))]


def for_path(path: str | os.PathLike[str]) -> Format | None:
    """Return the format that the path's suffix means, or None."""
    suffix = Path(path).suffix.lower()
    return next((entry for entry in _registry.values() if suffix in entry.suffixes), None)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its place when the block succeeds.

    A reader sees the old file or the new one, never half of either, and an error or Ctrl-C
    leaves no trace. Links are followed.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If ``path`` is something else than a file, such as a pipe or a device like ``/dev/null``:
        a file would take its place.
    """
    target = Path(os.path.realpath(path))
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError(f"{os.fspath(path)}: a device or a pipe, not a file")
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
