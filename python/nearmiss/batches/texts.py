# SPDX-License-Identifier: Apache-2.0
"""Labels and texts of rows, column by column, and which of them are equal."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Int64
from nearmiss.ids import as_labels


def codes_of(columns: list[tuple[str, Any]], num_rows: int) -> Int64:
    """Return one code per row and named column, (n, c); equal labels share one, -1 is none.

    Integers are codes themselves; the code of a text is the place where it comes first, column by
    column.
    """
    labels = [_labels_of(column, name, num_rows) for name, column in columns]
    integers = [isinstance(column, np.ndarray) for column in labels]
    if all(integers):
        return np.column_stack([np.empty((num_rows, 0), np.int64), *labels])
    for (name, _), column, holds_integers in zip(columns, labels, integers, strict=True):
        if holds_integers and len(column):
            raise TypeError(f"{name} holds integers, another one strings")
    named = [(name, column) for (name, _), column in zip(columns, labels, strict=True)]
    return _core.first_equal(named).reshape(len(columns), num_rows).T


def _labels_of(value: Any, name: str, num_rows: int) -> Any:
    """Return an array of integers, or texts as `_core.first_equal` takes them."""
    column = _data_of(value)
    if _core.is_arrow_text(column):
        _check_length(column, name, num_rows)
        return column
    if isinstance(column, (list, tuple)) and any(map(_may_be_text, column)):
        _check_length(column, name, num_rows)
        return tuple(column)
    labels = as_labels(column, name, num_rows, "row")
    if labels.dtype == object:
        return tuple(labels.tolist())
    if len(labels) and labels.min() < -1:
        row = int(np.argmax(labels < -1))
        raise ValueError(f"{name}: row {row} is {labels[row]}; labels start at 0 and -1 means none")
    return labels


def _data_of(value: Any) -> Any:
    """Return what a column of a `datasets.Dataset` reads from, anything else as it is."""
    column_type = getattr(sys.modules.get("datasets"), "Column", ())
    if not isinstance(value, column_type):
        return value
    dataset = value.source
    if getattr(dataset, "format", {}).get("type", "custom") == "custom":  # made by a function
        return value[:]
    return dataset.with_format("arrow")[value.column_name][:]


def _may_be_text(item: Any) -> bool:
    return item is None or isinstance(item, str)


def _check_length(column: Any, name: str, num_rows: int) -> None:
    if len(column) != num_rows:
        raise ValueError(f"{name}: expected {num_rows}, one per row, got {len(column)}")
