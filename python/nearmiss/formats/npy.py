# SPDX-License-Identifier: Apache-2.0
"""Reading numpy's `.npy` files, memory-mapped and without pickle."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import numpy.typing as npt


def read_npy(path: str | os.PathLike[str], mode: Literal["r", "c"] = "r") -> npt.NDArray[Any]:
    """Map the array of a `.npy` file into memory, read-only or, with ``"c"``, copy-on-write.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no `.npy` file, is truncated, or holds Python objects.
    """
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"{os.fspath(path)}: not a .npy file")
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    return array
