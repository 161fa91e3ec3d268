# SPDX-License-Identifier: Apache-2.0
"""Reading text files that hold one id or one label per line, in the order of the rows."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a file without the blanks around them.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not UTF-8, or a line is empty (only the end of the file may be).
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read().rstrip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)}: not UTF-8 text ({error.reason})") from error
    # Not splitlines(): an id may hold one of the rarer line separators.
    lines = [line.strip() for line in text.split("\n")] if text else []
    if "" in lines:
        raise ValueError(f"{os.fspath(path)}: line {lines.index('') + 1} is empty")
    return lines


def read_labels(path: str | os.PathLike[str]) -> list[str | None] | npt.NDArray[np.int64]:
    """Return one group label per line: int64 if every line is an integer, else text.

    -1 means "in no group", which is None among text.

    Raises
    ------
    OSError, ValueError
        As `read_ids`.
    """
    lines = read_ids(path)
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError):
        return [None if line == "-1" else line for line in lines]
