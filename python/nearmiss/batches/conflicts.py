# SPDX-License-Identifier: Apache-2.0
"""Which rows may not share a batch, as keys that the core compares.

A row *brings* keys into its batch and *refuses* keys that other rows bring. Groups, texts and
documents that stand for themselves are brought and refused alike; positives are refused only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np

from nearmiss.arrays import Int64
from nearmiss.ids import Labels, as_labels
from nearmiss.positives import Lists, Positives, to_lists


@dataclass(frozen=True)
class Conflicts:
    """Keys of every row, numbered without gaps; only those that two rows have are kept.

    Attributes
    ----------
    brings, refuses : Lists
        Ascending keys of each row; the same object where they are alike.
    num_keys : int
    """

    brings: Lists
    refuses: Lists
    num_keys: int


def find_conflicts(
    num_rows: int, *, documents: Any, positives: Any, groups: Any, texts: Any
) -> Conflicts:
    """Bring what rows hold, each None or in a form of the user, into keys."""
    keys = _Keys(num_rows)
    if groups is not None:
        keys.add_held(_codes_of([("groups", groups)], num_rows))
    if texts is not None:
        keys.add_held(_codes_of(_text_columns(texts), num_rows))
    keys.add_documents(
        to_lists(documents, "documents", num_rows, None),
        to_lists(positives, "positives", num_rows, None),
    )
    return keys.finish()


class _Keys:
    """Pairs (row, key) as they come in; every source has a range of keys of its own."""

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows
        self._next_key = 0
        self._held: list[Int64] = []  # (2, p) rows and keys
        self._brought: list[Int64] = []
        self._refused: list[Int64] = []

    def add_held(self, codes: Int64) -> None:
        """Take (n, c) codes, -1 for none."""
        rows, columns = np.nonzero(codes >= 0)
        self._held.append(self._numbered(np.stack([rows, codes[rows, columns]])))

    def add_documents(self, documents: Lists | None, positives: Lists | None) -> None:
        """Take what rows bring and what is right for them; one alone is both."""
        if documents is None and positives is None:
            return
        if documents is None or positives is None:
            lists = positives if documents is None else documents
            assert lists is not None
            self._held.append(self._numbered(_pairs_of(lists)))
            return
        brought, refused = _pairs_of(documents), _pairs_of(positives)
        both = self._numbered(np.concatenate([brought, refused], axis=1))
        brought, refused = both[:, : brought.shape[1]], both[:, brought.shape[1] :]
        self._held.append(brought)  # a row's own documents are right for it
        self._refused.append(refused)

    def _numbered(self, pairs: Int64) -> Int64:
        """Move keys beyond those of earlier sources."""
        distinct, codes = np.unique(pairs[1], return_inverse=True)
        numbered = np.stack([pairs[0], codes.reshape(-1) + self._next_key])
        self._next_key += len(distinct)
        return numbered.astype(np.int64)

    def finish(self) -> Conflicts:
        brings = np.concatenate([np.empty((2, 0), np.int64), *self._held], axis=1)
        refuses = np.concatenate([brings, *self._refused], axis=1)
        every = to_lists(Positives(refuses[0], refuses[1]), "keys", self._num_rows, None)
        assert every is not None
        # What one row alone has can meet nothing.
        shared = np.bincount(every.rows, minlength=self._next_key) > 1
        numbers = np.cumsum(shared) - 1
        lists = [self._lists(pairs, shared, numbers) for pairs in (brings, refuses)]
        if not self._refused:
            lists[1] = lists[0]
        return Conflicts(lists[0], lists[1], int(shared.sum()))

    def _lists(self, pairs: Int64, shared: Any, numbers: Int64) -> Lists:
        rows, keys = pairs[:, shared[pairs[1]]]
        lists = to_lists(Positives(rows, numbers[keys]), "keys", self._num_rows, None)
        assert lists is not None
        return lists


def _pairs_of(lists: Lists) -> Int64:
    rows = np.repeat(np.arange(len(lists.indptr) - 1), lists.lengths())
    return np.stack([rows, lists.rows])


def _text_columns(texts: Any) -> list[tuple[str, Any]]:
    if isinstance(texts, (str, bytes, Mapping)) or not hasattr(texts, "__iter__"):
        raise TypeError(
            f"texts: expected a list of columns, each with one text per row, "
            f"got a {type(texts).__name__}"
        )
    columns = list(texts)
    for place, column in enumerate(columns):
        if isinstance(column, str):
            raise TypeError(
                f"texts: expected a list of columns, but entry {place} is {column!r}; "
                f"put a single column into a list"
            )
    return [(f"texts column {place}", column) for place, column in enumerate(columns)]


def _codes_of(columns: list[tuple[str, Any]], num_rows: int) -> Int64:
    """Return one code per row and named column, -1 for none; equal labels share one."""
    labels = [_as_row_labels(column, name, num_rows) for name, column in columns]
    codes = np.full((num_rows, len(columns)), -1, dtype=np.int64)
    if all(column.dtype == np.int64 for column in labels):
        for place, column in enumerate(labels):
            codes[:, place] = column
        return codes
    for place, column in enumerate(labels):
        if column.dtype == np.int64 and len(column):
            raise TypeError(f"{columns[place][0]} holds integers, another one strings")
    texts = list(chain.from_iterable(column.tolist() for column in labels))
    known: dict[Any, int] = {None: -1}
    # A text's code is the place where it was met first.
    flat = np.fromiter(map(known.setdefault, texts, count()), np.int64, len(texts))
    return np.ascontiguousarray(flat.reshape(len(columns), num_rows).T)


def _as_row_labels(value: Any, name: str, num_rows: int) -> Labels:
    labels = as_labels(value, name, num_rows, "row")
    if labels.dtype == np.int64 and len(labels) and labels.min() < -1:
        row = int(np.argmax(labels < -1))
        raise ValueError(f"{name}: row {row} is {labels[row]}; labels start at 0 and -1 means none")
    return labels
