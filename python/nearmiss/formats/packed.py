# SPDX-License-Identifier: Apache-2.0
"""The file of a packed corpus: what packing found out, in the layout of `nearmiss.formats.table`.

It holds no vectors: whoever loads it gives the same embeddings again. Their shape, element type and
a sample of rows are compared with what was packed.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Matrix, digest
from nearmiss.formats.table import read_arrays, write_arrays

_FORMAT = "nearmiss.corpus"
_VERSION = 1
_SAMPLED_ROWS = 1024
#: Arrays are padded to whole lines of the cache, so that the ones behind them stay aligned.
_LINE = 64


def write_packed(
    path: str | os.PathLike[str], state: dict[str, Any], description: dict[str, Any]
) -> None:
    """Write the core's packed state and what it was packed from."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    numbers = {name: value for name, value in state.items() if name not in arrays}
    metadata = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "description": description,
        "numbers": numbers,
        "lengths": {name: len(array) for name, array in arrays.items()},
    }
    write_arrays(path, {name: _padded(array) for name, array in arrays.items()}, metadata)


def read_packed(path: str | os.PathLike[str], description: dict[str, Any]) -> dict[str, Any]:
    """Map a packed state into memory and check that it was packed from what is described.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not such a file, is truncated, or was packed from something else.
    """
    name = os.fspath(path)
    arrays, metadata = read_arrays(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{name}: not a packed corpus")
    if metadata.get("format_version") != _VERSION:
        raise ValueError(
            f"{name}: packed corpus version {metadata.get('format_version')!r}; "
            f"this package reads version {_VERSION}; pack the embeddings again"
        )
    try:
        packed = metadata["description"]
        state = dict(metadata["numbers"])
        for key, length in metadata["lengths"].items():
            state[key] = arrays[key][:length]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{name}: a packed corpus with parts missing") from None
    for key, value in description.items():
        if packed.get(key) != value:
            raise ValueError(
                f"{key}: the corpus in {name} was packed from {packed.get(key)!r}, got {value!r}"
            )
    return state


def describe(
    matrix: Matrix, metric: str, group_codes: npt.NDArray[np.int64] | None
) -> dict[str, Any]:
    """Return what a packed state depends on, by the name of the argument it came from."""
    rows = matrix.rows
    sample = rows[:: max(1, len(rows) // _SAMPLED_ROWS)]
    return {
        "shape of embeddings": list(rows.shape),
        "element type of embeddings": matrix.element_type,
        "metric": metric,
        "groups": None if group_codes is None else digest(group_codes),
        "embeddings": digest(sample),
    }


def _padded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    spare = -array.nbytes % _LINE
    if spare == 0:
        return array
    return np.concatenate([array, np.zeros(spare // array.itemsize, array.dtype)])
