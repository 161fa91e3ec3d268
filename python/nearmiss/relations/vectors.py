# SPDX-License-Identifier: Apache-2.0
"""Vectors that no search looks at before they are used: checked here, under their own names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float64, Int64, Matrix, as_matrix
from nearmiss.corpus import widen
from nearmiss.rounding import to_float64

_BLOCK = 1 << 20  # numbers held at a time


def as_vectors(value: npt.ArrayLike, name: str, *, length: int | None = None) -> Matrix:
    """Return rows of finite numbers, ``length`` of them if given."""
    matrix = as_matrix(value, name)
    if length is not None and len(matrix.rows) != length:
        raise ValueError(f"{name}: expected {length} rows, got {len(matrix.rows)}")
    for first, values in blocks(matrix):
        for row in np.flatnonzero(~np.isfinite(values).all(axis=1))[:1]:
            raise ValueError(f"{name}: row {first + row} holds a value that is not finite")
    return matrix


def check_directions(matrix: Matrix, name: str) -> None:
    """Raise ValueError if a row is zero and so has no cosine."""
    for first, values in blocks(matrix):
        for row in np.flatnonzero(~values.any(axis=1))[:1]:
            raise ValueError(f"{name}: row {first + row} is zero, which has no cosine")


def check_dimensions(matrix: Matrix, name: str, other: Matrix, other_name: str) -> None:
    """Raise ValueError if the rows of two matrices differ in length."""
    dim, expected = matrix.rows.shape[1], other.rows.shape[1]
    if dim != expected:
        raise ValueError(
            f"{name}: expected rows of {expected} dimensions, as {other_name} has, got {dim}"
        )


def blocks(matrix: Matrix, order: Int64 | None = None) -> Iterator[tuple[int, Float64]]:
    """Yield rows in float64 by blocks, in ``order`` if given, and where each block begins."""
    count = len(matrix.rows) if order is None else len(order)
    step = max(1, _BLOCK // matrix.rows.shape[1])
    for first in range(0, count, step):
        block = slice(first, first + step)
        rows = matrix.rows[block] if order is None else matrix.rows[order[block]]
        yield first, to_float64(widen(matrix._replace(rows=rows)))
