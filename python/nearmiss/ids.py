# SPDX-License-Identifier: Apache-2.0
"""Ids of the user: unique integers or strings, one per row, and their look-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Int64, as_integers, as_plain_array

Labels = npt.NDArray[Any]  # int64, or object holding str


def as_labels(value: Any, name: str, length: int | None, what: str) -> Labels:
    """Return integers as int64, or strings as an object array, one per ``what``.

    Raises TypeError for anything else or a mixture, ValueError for a wrong shape.
    """
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: expected a sequence, got a {type(value).__name__}")
    if not hasattr(value, "__array__"):
        value = list(value)
        if any(isinstance(item, str) or item is None for item in value):
            strings = np.empty(len(value), dtype=object)
            strings[:] = value
            return _as_strings(strings, name, length, what)
        return as_integers(value, name, length, what)
    array = as_plain_array(value, name)
    if array.dtype.kind in "OTU":
        return _as_strings(array.astype(object), name, length, what)
    return as_integers(array, name, length, what)


def _as_strings(array: npt.NDArray[Any], name: str, length: int | None, what: str) -> Labels:
    if array.ndim != 1:
        raise ValueError(f"{name}: expected a 1-dimensional array, got shape {array.shape}")
    if length is not None and len(array) != length:
        raise ValueError(f"{name}: expected {length}, one per {what}, got {len(array)}")
    if set(map(type, array.tolist())) <= {str, NoneType}:
        return array
    for row, item in enumerate(array):
        if item is not None and not isinstance(item, str):
            raise TypeError(
                f"{name}: expected all integers or all strings, but row {row} holds {item!r}"
            )
    return array


def as_unique_ids(value: Any, name: str, length: int | None = None, what: str = "row") -> Labels:
    """Return a copy of ids (see `as_labels`), each once and none missing.

    Raises
    ------
    ValueError
        If an id is missing or occurs twice; the message names the rows.
    """
    labels = as_labels(value, name, length, what).copy()
    if labels.dtype == object:
        for row, item in enumerate(labels):
            if item is None:
                raise ValueError(f"{name}: row {row} has no id")
    if len(labels) != len(np.unique(labels) if labels.dtype == np.int64 else set(labels)):
        _raise_duplicate(labels.tolist(), name)
    return labels


def _raise_duplicate(labels: Iterable[Any], name: str) -> None:
    first: dict[Any, int] = {}
    for row, item in enumerate(labels):
        if item in first:
            raise ValueError(f"{name}: rows {first[item]} and {row} have the same id {item!r}")
        first[item] = row


def rows_by_text(ids: Iterable[Any], name: str) -> dict[str, int]:
    """Return the row of each id, ids written as text (as files have them).

    Raises ValueError if two ids read the same.
    """
    texts = [str(item) for item in as_unique_ids(ids, name)]
    rows = {text: row for row, text in enumerate(texts)}
    if len(rows) != len(texts):
        _raise_duplicate(texts, name)
    return rows


@dataclass(frozen=True, eq=False)
class ReferencedIds:
    """The ids of those corpus rows that a table mentions.

    Attributes
    ----------
    rows : (u,) int64
        Corpus rows, ascending.
    values : (u,) int64, or object holding str
        Their ids.
    """

    rows: Int64
    values: Labels

    @classmethod
    def of(cls, ids: Labels, indices: Int64) -> ReferencedIds:
        """Keep the ids of the rows found in ``indices``, in which -1 means none."""
        mentioned = np.zeros(len(ids), dtype=np.bool_)
        mentioned[indices[indices >= 0]] = True
        rows = np.flatnonzero(mentioned).astype(np.int64)
        return cls(rows, ids[rows])

    def lookup(self, indices: Int64) -> Labels:
        """Return the ids of ``indices`` in the same shape; -1 becomes -1, or None for strings.

        Raises KeyError for a row that the table does not mention.
        """
        missing: int | None = -1 if self.values.dtype == np.int64 else None
        found = np.full(indices.shape, missing, dtype=self.values.dtype)
        filled = indices >= 0
        wanted = indices[filled]
        places = np.searchsorted(self.rows, wanted)
        known = places < len(self.rows)
        known[known] = self.rows[places[known]] == wanted[known]
        if not known.all():
            raise KeyError(f"ids: the table holds no id of corpus row {wanted[~known][0]}")
        found[filled] = self.values[places]
        return found

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays for a table file: strings as UTF-8 bytes and where each one ends."""
        if self.values.dtype == np.int64:
            return {"id_rows": self.rows, "id_values": self.values}
        text, ends = encode_strings(self.values)
        return {"id_rows": self.rows, "id_ends": ends, "id_text": text}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ReferencedIds | None:
        """Return what `to_arrays` was called on; None if the file holds no ids."""
        if "id_rows" not in arrays:
            return None
        if "id_values" in arrays:
            return cls(arrays["id_rows"], arrays["id_values"])
        return cls(arrays["id_rows"], decode_strings(arrays["id_text"], arrays["id_ends"]))


def encode_strings(strings: Labels) -> tuple[npt.NDArray[np.uint8], Int64]:
    """Return strings as UTF-8 bytes, one after the other, and where each one ends."""
    texts = [text.encode() for text in strings]
    ends = np.cumsum(np.array([len(text) for text in texts], dtype=np.int64), dtype=np.int64)
    return np.frombuffer(b"".join(texts), dtype=np.uint8), ends


def decode_strings(text: npt.NDArray[Any], ends: npt.NDArray[Any]) -> Labels:
    """Return what `encode_strings` was called on."""
    whole, stops = text.tobytes(), ends.tolist()
    values = np.empty(len(stops), dtype=object)
    values[:] = [
        whole[start:end].decode()
        for start, end in zip([0, *stops][: len(stops)], stops, strict=True)
    ]
    return values
