# SPDX-License-Identifier: Apache-2.0
"""Reading text files that hold one id, label or number per line, in the order of the rows."""

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


def read_numbers(path: str | os.PathLike[str]) -> npt.NDArray[np.int64 | np.float64]:
    """Return one number per line: int64 if every line is an integer, else float64.

    Raises
    ------
    OSError, ValueError
        As `read_ids`; and ValueError for a line that is no number, or an integer beyond int64.
    """
    lines = read_ids(path)
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except OverflowError:
        raise ValueError(f"{os.fspath(path)}: holds an integer beyond int64") from None
    except ValueError:
        return np.array([_number(path, i, line) for i, line in enumerate(lines, start=1)])


def _number(path: str | os.PathLike[str], number: int, line: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise ValueError(f"{os.fspath(path)}: line {number} is no number: {line!r}") from None


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
