# SPDX-License-Identifier: Apache-2.0
"""Batches in which no row is a false negative of another."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Int64, as_row_matrix, check_flag, check_integer, check_seed
from nearmiss.batches.base import (
    Batches,
    BatchPlan,
    Coverage,
    Stream,
    join,
    keys_of,
    num_batches_of,
    shuffled,
)
from nearmiss.batches.conflicts import Conflicts, find_conflicts, text_columns
from nearmiss.positives import length_of


@dataclass(frozen=True, eq=False)
class NoConflict(BatchPlan):
    """Batches without false negatives: no two rows of a batch are each other's positives.

    In-batch negatives are the other rows' documents. Two rows *conflict*, and never share a batch,
    if a document of one is a positive of the other, or if they are of one group or have a text in
    common. What sentence-transformers calls ``NO_DUPLICATES`` is ``texts=[anchors, positives]``.

    Packed greedily in an order drawn for each epoch. A group with as many rows left as there are
    batches to come gets a place in every one of them, so if groups are all there is, no packing
    places more rows. Rows that find no place are `Batches.unplaced`: some, for example, if a group
    has more rows than there are batches. More batches (``num_batches``) make more room.

    Parameters
    ----------
    batch_size : int
        The most rows of a batch. Batches are smaller where conflicts leave nothing to add; none is
        empty.
    documents : lists of int, optional
        The documents that each row brings into its batch, in any form that ``positives`` of `mine`
        takes: one per row, or several. Without it, its positives.
    positives : lists of int, optional
        All documents that are right for each row, known from relevance judgements for example.
        Without it, its documents.
    groups : array-like of int or str of shape (n,), optional
        A label of each row, such as a product or a duplicate cluster; -1 or None for none.
    texts : list of columns, optional
        Each with one str per row, or one label (int); None or -1 for none. The same text in any
        two columns is the same: characters are compared, not their hashes. A column is any
        sequence or array. Arrow columns of text are read where they lie, without making Python
        strings: those of pyarrow, polars and pandas, and ``dataset["anchor"]`` of a
        `datasets.Dataset` (other columns of which are read as it gives them out).
    neighbors : array-like of int of shape (n, k), optional
        Rows that are hard for each row, the nearest first, -1 for none: ``indices`` of a search.
        Batches then grow from a random row over its neighbours and theirs in turn, so that near
        rows meet.
    num_batches : int, optional
        Default: as few as hold all rows, ⌈n / batch_size⌉; with ``drop_last`` ⌊n / batch_size⌋.
    drop_last : bool, default False
        One batch less, if the last could not be full anyway: what is left over is unplaced.
    num_rows : int, optional
        Only where nothing else says it.
    seed : int, default 0

    Raises
    ------
    TypeError, ValueError
        For arguments of a wrong form, length or range, naming argument and row.

    Examples
    --------
    >>> import nearmiss as nm
    >>> plan = nm.batches.NoConflict(2, groups=["a", "a", "b", "b", "c", "c"])
    >>> len(plan), plan.batches(epoch=0).sizes().tolist()
    (3, [2, 2, 2])
    """

    batch_size: int
    documents: Any = field(default=None, repr=False, kw_only=True)
    positives: Any = field(default=None, repr=False, kw_only=True)
    groups: Any = field(default=None, repr=False, kw_only=True)
    texts: Any = field(default=None, repr=False, kw_only=True)
    neighbors: Any = field(default=None, repr=False, kw_only=True)
    num_batches: int | None = field(default=None, kw_only=True)
    drop_last: bool = field(default=False, kw_only=True)
    num_rows: Any = field(default=None, kw_only=True)  # an int once made
    seed: int = field(default=0, kw_only=True)
    coverage: Coverage = field(default="all", init=False, repr=False)
    _conflicts: Conflicts = field(init=False, repr=False)
    _length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_integer(self.batch_size, "batch_size", 1)
        check_flag(self.drop_last, "drop_last")
        check_seed(self.seed, "seed")
        num_rows = self._find_num_rows()
        length = num_batches_of(num_rows, self.batch_size, self.drop_last)
        if self.num_batches is not None:
            length = check_integer(self.num_batches, "num_batches", min(num_rows, 1), num_rows)
        neighbors = self.neighbors
        if neighbors is not None:
            neighbors = as_neighbors(neighbors, num_rows)
        conflicts = find_conflicts(
            num_rows,
            documents=self.documents,
            positives=self.positives,
            groups=self.groups,
            texts=self.texts,
        )
        found = {"num_rows": num_rows, "neighbors": neighbors, "_conflicts": conflicts}
        for name, value in {**found, "_length": length}.items():
            object.__setattr__(self, name, value)

    def _find_num_rows(self) -> int:
        if self.num_rows is not None:
            return check_integer(self.num_rows, "num_rows", 0)
        for name in ("documents", "positives", "groups", "neighbors"):
            if getattr(self, name) is not None:
                return length_of(getattr(self, name), name)
        columns = [] if self.texts is None else text_columns(self.texts)
        if columns:
            name, first = columns[0]
            return length_of(first, name)
        raise ValueError(
            "num_rows: needed where none of documents, positives, groups, texts and neighbors "
            "is given"
        )

    def __len__(self) -> int:
        return self._length

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`.

        They come in random order, full ones first. Time is that of sorting the rows; with
        neighbours, n · k more.
        """
        batches = pack(
            shuffled(self.num_rows, self.seed, epoch),
            self.batch_size,
            self._length,
            conflicts=self._conflicts,
            wanted=self.neighbors,
            onward=True,
        )
        batches = _without_empty(batches)
        batch_numbers = np.arange(len(batches), dtype=np.int64)
        drawn = keys_of(batch_numbers, self.seed, epoch, Stream.ORDER)
        return _reorder(batches, np.lexsort((drawn, batches.sizes() < self.batch_size)))


def pack(
    order: Int64,
    batch_size: int,
    num_batches: int,
    *,
    conflicts: Conflicts | None = None,
    wanted: Int64 | None = None,
    onward: bool = False,
) -> Batches:
    """Fill batches in a given order of all rows, each row followed by those it wants.

    ``onward``: whether rows that were wanted are followed by those they want in turn.
    """
    if conflicts is None or not conflicts.num_keys:
        brings, refuses, num_keys = None, None, 0
    else:
        brings, refuses, num_keys = conflicts.brings, conflicts.refuses, conflicts.num_keys
    indptr, indices, unplaced = _core.pack_batches(
        order, brings, refuses, num_keys, wanted, onward, batch_size, num_batches
    )
    return Batches(indptr, indices, np.sort(unplaced))


def as_neighbors(value: Any, num_rows: int | None = None) -> Int64:
    """Return a table of rows (n, k), -1 for none, one line per row."""
    table = as_row_matrix(value, "neighbors")
    if num_rows is not None and len(table) != num_rows:
        raise ValueError(f"neighbors: expected {num_rows} rows, got {len(table)}")
    beyond = (table < -1) | (table >= len(table))
    if beyond.any():
        row, column = (int(place) for place in np.argwhere(beyond)[0])
        raise ValueError(
            f"neighbors: row {row} holds {table[row, column]}; expected rows below {len(table)}, "
            f"or -1 for none"
        )
    return table


def _without_empty(batches: Batches) -> Batches:
    """Give each empty batch a row of the largest: alone it conflicts with nothing.

    A loader cannot collate an empty batch. Where there is one, all rows are placed, and there are
    no more batches than rows.
    """
    empty = np.flatnonzero(batches.sizes() == 0).tolist()
    if not empty:
        return batches
    groups = list(batches)
    largest = [(-len(group), number) for number, group in enumerate(groups)]
    heapq.heapify(largest)
    for number in empty:
        size, giver = largest[0]
        groups[number], groups[giver] = groups[giver][-1:], groups[giver][:-1]
        heapq.heapreplace(largest, (size + 1, giver))
    return join(groups, batches.unplaced)


def _reorder(batches: Batches, order: Int64) -> Batches:
    sizes = batches.sizes()[order]
    indptr = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(sizes, out=indptr[1:])
    moved = np.arange(indptr[-1]) + np.repeat(batches.indptr[order] - indptr[:-1], sizes)
    return Batches(indptr, batches.indices[moved], batches.unplaced)
