# SPDX-License-Identifier: Apache-2.0
"""What judgements and runs have in common: (query, document) pairs by name, each with a number.

Pairs are read one by one and looked up as they come, so that the names of a long file are never
all in memory.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from nearmiss.arrays import Float64, Int64, check_number

_LARGEST_ROW = 2**63 - 1


class NamedPair(NamedTuple):
    """One pair, its relevance or score, and where it was written."""

    query: str
    document: str
    value: float
    where: str


def numbered_lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yield where each line that is not blank stands, and the line.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}: line {number}", line
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)}: not UTF-8 text ({error.reason})") from error


def parse_number(text: str, what: str, where: str) -> float:
    """Return the finite number that a column holds; ValueError names the column and its place."""
    try:
        return check_number(float(text), what)
    except ValueError:
        raise ValueError(f"{where}: expected a number for the {what}, got {text!r}") from None


def look_up(
    pairs: Iterable[NamedPair],
    query_rows: dict[str, int] | None,
    corpus_rows: dict[str, int] | None,
    name: str,
    *,
    ignore_unknown: bool,
) -> tuple[Int64, Int64, Float64]:
    """Return the rows of queries and documents, and the values; None maps a number to itself.

    Raises ValueError for an unknown id, naming its place, and for numbers beyond int64; ``name``
    is the argument that the pairs come from.
    """
    queries, documents, values = array("q"), array("q"), array("d")
    unknown = 0
    first: tuple[NamedPair, str] | None = None
    for pair in pairs:
        query = _row(pair.query, query_rows, pair.where, name)
        document = _row(pair.document, corpus_rows, pair.where, name)
        if query is not None and document is not None:
            queries.append(query)
            documents.append(document)
            values.append(pair.value)
            continue
        unknown += 1
        if first is None:
            first = pair, "query" if query is None else "document"
    if first is not None and not ignore_unknown:
        _raise_unknown(*first, unknown, query_rows, corpus_rows, name)
    return (
        np.array(queries, dtype=np.int64),
        np.array(documents, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )


def _row(text: str, rows: dict[str, int] | None, where: str, name: str) -> int | None:
    if rows is not None:
        return rows.get(text)
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    # The length first: Python refuses to convert thousands of digits.
    if len(digits) > 19 or int(digits) > _LARGEST_ROW:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise ValueError(f"{name}: {where}: row number {shown} is beyond the range of int64")
    return int(digits)


def _raise_unknown(
    pair: NamedPair,
    side: str,
    count: int,
    query_rows: dict[str, int] | None,
    corpus_rows: dict[str, int] | None,
    name: str,
) -> None:
    if side == "query":
        reason = f"query {pair.query!r} is not in query_ids"
    else:
        reason = f"document {pair.document!r} is not in corpus_ids"
    hints = []
    for rows, ids in ((query_rows, "query"), (corpus_rows, "corpus")):
        if rows is None:
            hints.append(f"without {ids}_ids the {ids} column must hold row numbers")
        else:
            examples = ", ".join(repr(item) for item in islice(rows, 2))
            hints.append(f"{ids}_ids begin {examples}")
    raise ValueError(
        f"{name}: {pair.where}: {reason} ({count} such pairs in all; "
        f"{'; '.join(hints)}); unknown='ignore', on the command line --ignore-unknown, leaves them "
        "out"
    )
