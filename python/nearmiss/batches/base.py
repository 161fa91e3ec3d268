# SPDX-License-Identifier: Apache-2.0
"""What a batch plan is, and what it returns: batches of row numbers.

A plan is a frozen description. What it says of an epoch is a function of its fields and the epoch
alone: draws are those of the core (rng_scheme 1), by (seed, epoch, row or batch). Arrays it was
given are kept where they have the right form, not copied: do not change them.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Int64, check_seed

Coverage = Literal["all", "subset", "repeats"]


class Stream(IntEnum):
    """The streams of random numbers that batches draw from, as the core's random.hpp lists them."""

    ROWS = 96
    ORDER = 97
    CLUSTERS = 98
    MEMBERS = 99
    FAR = 100
    TUPLES = 101


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of one epoch; a sequence of arrays of row numbers.

    Attributes
    ----------
    indptr : (b + 1,) int64
        Batch i is ``indices[indptr[i]:indptr[i + 1]]``.
    indices : (t,) int64
        The rows of all batches, one batch after the other.
    unplaced : (u,) int64
        Rows that should be in a batch and are in none, ascending. Empty for plans that draw
        batches at random with repeats (`TasBalanced`, `CFCD`), which promise no row a place.

    Examples
    --------
    >>> import nearmiss as nm
    >>> batches = nm.batches.Shuffled(5, 2).batches(epoch=0)
    >>> len(batches), batches.sizes().tolist()
    (3, [2, 2, 1])
    """

    indptr: Int64
    indices: Int64
    unplaced: Int64

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, batch: int) -> Int64:
        """Return the rows of one batch; negative numbers count from the end."""
        number = range(len(self))[operator.index(batch)]
        return self.indices[self.indptr[number] : self.indptr[number + 1]]

    def __iter__(self) -> Iterator[Int64]:
        return (self[batch] for batch in range(len(self)))

    def sizes(self) -> Int64:
        """Return the number of rows of each batch."""
        return np.diff(self.indptr)

    def __repr__(self) -> str:
        placed = f"{len(self.indices)} rows in {len(self)} batches"
        return f"Batches({placed}, {len(self.unplaced)} unplaced)"


class BatchPlan(ABC):
    """Base of all plans.

    Attributes
    ----------
    coverage : {"all", "subset", "repeats"}
        What an epoch holds of the rows. ``"all"``: each of them once, but for those that
        `Batches.unplaced` names. ``"subset"``: none twice, and some are left out by design.
        ``"repeats"``: some come more than once, others not at all.
    num_rows : int
        The number of rows that batches are made of: row numbers are below it.
    batch_size : int
        The most rows that a batch can have.
    drop_last : bool
        Whether rows of a last batch that is not full are left out.
    paper : str
        Where the method was published; empty for what has no author.
    """

    coverage: Coverage
    num_rows: int
    batch_size: int
    drop_last: bool = False
    paper: ClassVar[str] = ""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same for every epoch."""

    @abstractmethod
    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch.

        Parameters
        ----------
        epoch : int, default 0
            Another epoch is another draw.
        """


def shuffled(
    ids: Int64 | int,
    seed: int,
    epoch: int,
    stream: Stream = Stream.ROWS,
    counters: Int64 | None = None,
) -> Int64:
    """Return positions of ``ids`` (0, 1, … below a number) in an order drawn by their own keys.

    Every order is equally likely, up to the chance that two keys of 64 bits are equal.
    """
    drawn_by = np.arange(ids, dtype=np.int64) if isinstance(ids, int) else ids
    keys = keys_of(drawn_by, seed, epoch, stream, counters)
    order = np.argsort(keys)  # the faster sort, which may not keep equal keys in order
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.argsort(keys, kind="stable")
    return order


def keys_of(
    ids: Int64, seed: int, epoch: int, stream: Stream, counters: Int64 | None = None
) -> npt.NDArray[np.uint64]:
    """Return 64 random bits for each (id, counter); counters are 0 by default."""
    if counters is None:
        counters = np.zeros(len(ids), dtype=np.int64)
    return _core.random_bits(seed, int(stream), check_seed(epoch, "epoch"), ids, counters)


def num_batches_of(num_rows: int, batch_size: int, drop_last: bool) -> int:
    """Return how many batches ``num_rows`` rows make, without or with one that is not full."""
    return num_rows // batch_size if drop_last else -(-num_rows // batch_size)


def cut(rows: Int64, batch_size: int, drop_last: bool) -> Batches:
    """Cut rows into batches; with ``drop_last`` those of an incomplete one stay unplaced."""
    num_batches = num_batches_of(len(rows), batch_size, drop_last)
    ends = np.minimum(np.arange(num_batches + 1, dtype=np.int64) * batch_size, len(rows))
    return Batches(ends, rows[: ends[-1]], np.sort(rows[ends[-1] :]))


def join(groups: list[Int64], unplaced: Int64) -> Batches:
    """Make batches of given arrays."""
    indptr = np.zeros(len(groups) + 1, dtype=np.int64)
    np.cumsum([len(group) for group in groups], out=indptr[1:])
    indices = np.concatenate([np.empty(0, np.int64), *groups])
    return Batches(indptr, indices, unplaced)
