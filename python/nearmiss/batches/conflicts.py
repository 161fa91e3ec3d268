# SPDX-License-Identifier: Apache-2.0
"""Which rows may not share a batch, as keys that the core compares.

A row *brings* keys into its batch and *refuses* keys that other rows bring. Groups, texts and
documents that stand for themselves are brought and refused alike; positives are refused only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Int64
from nearmiss.batches.texts import codes_of
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
        keys.add_held(codes_of([("groups", groups)], num_rows))
    if texts is not None:
        keys.add_held(codes_of(text_columns(texts), num_rows))
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
        codes, num_codes = _without_gaps(pairs[1])
        numbered = np.stack([pairs[0], codes + self._next_key])
        self._next_key += num_codes
        return numbered

    def finish(self) -> Conflicts:
        held = np.concatenate([np.empty((2, 0), np.int64), *self._held], axis=1)
        refused = np.concatenate([held, *self._refused], axis=1)
        shared = self._shared(refused)
        numbers = np.cumsum(shared) - 1
        brings = self._lists(held, shared, numbers)
        refuses = self._lists(refused, shared, numbers) if self._refused else brings
        return Conflicts(brings, refuses, int(shared.sum()))

    def _shared(self, pairs: Int64) -> npt.NDArray[np.bool_]:
        """Return which keys more than one row has: what one alone has can meet nothing."""
        several = np.bincount(pairs[1], minlength=self._next_key) > 1
        # Of these, a single row may have some more than once.
        lists = self._lists(pairs, several, np.arange(self._next_key))
        return np.bincount(lists.rows, minlength=self._next_key) > 1

    def _lists(self, pairs: Int64, kept: npt.NDArray[np.bool_], numbers: Int64) -> Lists:
        rows, keys = pairs
        chosen = kept[keys]
        found = Positives(rows[chosen], numbers[keys[chosen]])
        lists = to_lists(found, "keys", self._num_rows, None)
        assert lists is not None
        return lists


def _without_gaps(keys: Int64) -> tuple[Int64, int]:
    """Return keys numbered 0, 1, … in ascending order, and how many there are."""
    if len(keys) and keys.max() < 4 * len(keys):  # few gaps: no need to sort
        present = np.zeros(keys.max() + 1, dtype=np.bool_)
        present[keys] = True
        return (np.cumsum(present) - 1)[keys], int(present.sum())
    distinct, codes = np.unique(keys, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), len(distinct)


def _pairs_of(lists: Lists) -> Int64:
    rows = np.repeat(np.arange(len(lists.indptr) - 1), lists.lengths())
    return np.stack([rows, lists.rows])


def text_columns(texts: Any) -> list[tuple[str, Any]]:
    """Return columns of texts, each with its name in errors."""
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
