# SPDX-License-Identifier: Apache-2.0
"""The table file: named arrays in the safetensors layout, memory-mapped when read.

::

    8 bytes   length of the header, little endian
    header    JSON {"__metadata__": {name: text}, name: {"dtype", "shape", "data_offsets"}},
              padded with spaces so that the data starts at a multiple of 64
    data      the arrays, little endian, C order, without gaps (safetensors forbids them),
              the wider elements first, so that every array is aligned to its elements

so the `safetensors` package reads it too. Metadata values are JSON texts.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearmiss.formats.base import Format, register, replacing

if TYPE_CHECKING:
    from nearmiss.negatives import Negatives

Arrays = dict[str, npt.NDArray[Any]]

_DTYPES = {"I64": "<i8", "F64": "<f8", "F32": "<f4", "U8": "|u1"}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_ALIGNMENT = 64
_LONGEST_HEADER = 1 << 26


def write_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, Any],
) -> None:
    """Write int64, float64, float32 and uint8 arrays and JSON-able metadata, replacing ``path``.

    Readers see the old file or the whole new one.
    """
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    with replacing(path) as file:
        file.write(_header(ordered, metadata))
        for array in ordered.values():
            if array.size:
                data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
                file.write(data.data)


def _header(arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    entries: dict[str, Any] = {
        "__metadata__": {name: json.dumps(value) for name, value in metadata.items()}
    }
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        entries[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def read_arrays(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Map the arrays of a file into memory, read-only, and return them with the metadata.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not such a file, or is truncated.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"{name}: not a table file, or truncated")
        text = file.read(length)
    try:
        entries = json.loads(text)
        metadata = {key: json.loads(value) for key, value in entries.pop("__metadata__").items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"{name}: not a table file (its header cannot be read)") from None
    start = 8 + length
    data = (
        np.memmap(path, dtype=np.uint8, mode="r", offset=start)
        if size > start
        else np.empty(0, np.uint8)
    )
    return {key: _view(data, key, entry, name) for key, entry in entries.items()}, metadata


def _view(data: npt.NDArray[Any], key: str, entry: Any, path: str) -> npt.NDArray[Any]:
    try:
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        shape = tuple(int(length) for length in entry["shape"])
        start, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: array {key!r} is described in a way not understood") from None
    if min(shape, default=0) < 0 or end - start != math.prod(shape) * dtype.itemsize or start < 0:
        raise ValueError(f"{path}: array {key!r} has a size that does not match its shape")
    if end > len(data):
        raise ValueError(
            f"{path}: truncated: array {key!r} needs {end} bytes of data, {len(data)} present"
        )
    return np.asarray(data)[start:end].view(dtype).reshape(shape)


def _write(
    path: str | os.PathLike[str], negatives: Negatives, *, query_ids: Sequence[Any] | None = None
) -> None:
    """Save the table; it identifies queries by number and needs no names for them."""
    negatives.save(path)


def _read(path: str | os.PathLike[str]) -> Negatives:
    from nearmiss.negatives import Negatives  # it stands on this module

    return Negatives.load(path)


register(
    Format(
        name="table",
        suffixes=(".safetensors", ".nearmiss"),
        summary="everything in one memory-mapped file, for Negatives.load and the loaders",
        write=_write,
        read=_read,
    )
)
