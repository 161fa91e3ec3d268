# SPDX-License-Identifier: Apache-2.0
"""Relevance judgements: TREC and BEIR files, and mappings of the same content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from nearmiss.arrays import Int64, check_number

_LARGEST_ROW = 2**63 - 1
_HEADERS = {"query-id", "query_id", "queryid", "qid", "query", "topic", "topic_id"}
# Columns of query, document and relevance by the number of columns of a file.
_COLUMNS: dict[int, tuple[int, int, int | None]] = {
    2: (0, 1, None),
    3: (0, 1, 2),
    4: (0, 2, 3),
}


class Judgement(NamedTuple):
    """One relevant pair and where it was written."""

    query: str
    document: str
    where: str


def read(qrels: Any, min_relevance: float) -> list[Judgement]:
    """Return the pairs of a file or mapping whose relevance is at least ``min_relevance``."""
    least = check_number(min_relevance, "min_relevance")
    if isinstance(qrels, Mapping):
        judged = _read_mapping(qrels)
    elif isinstance(qrels, (str, os.PathLike)):
        judged = _read_file(qrels)
    else:
        raise TypeError(f"qrels: expected a path or a mapping, got a {type(qrels).__name__}")
    return [judgement for judgement, relevance in judged if relevance >= least]


def _read_mapping(qrels: Mapping[Any, Any]) -> Iterator[tuple[Judgement, float]]:
    for query, documents in qrels.items():
        where = f"query {query!r}"
        if isinstance(documents, Mapping):
            for document, relevance in documents.items():
                number = check_number(relevance, f"qrels: {where}, document {document!r}")
                yield Judgement(str(query), str(document), "mapping"), number
        elif isinstance(documents, (list, tuple, set, frozenset, np.ndarray)):
            for document in documents:
                yield Judgement(str(query), str(document), "mapping"), float("inf")
        else:
            # A string would be taken apart into letters.
            raise TypeError(
                f"qrels: {where}: expected a list of document ids or a mapping of them to "
                f"relevance, got {documents!r}"
            )


def _read_file(path: str | os.PathLike[str]) -> Iterator[tuple[Judgement, float]]:
    try:
        yield from _read_lines(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)}: not UTF-8 text ({error.reason})") from error


def _read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[Judgement, float]]:
    with open(path, encoding="utf-8-sig") as lines:
        columns = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            fields = _split(line)
            if not columns:
                columns = len(fields)
                if columns not in _COLUMNS:
                    raise ValueError(
                        f"{path}: line {number}: expected 2 to 4 columns, got {columns}"
                    )
                if fields[0].lower() in _HEADERS:
                    continue
            if len(fields) != columns:
                raise ValueError(
                    f"{path}: line {number}: expected {columns} columns as in the first line, "
                    f"got {len(fields)}"
                )
            yield _parse(fields, f"{path}: line {number}")


def _split(line: str) -> list[str]:
    separator = "\t" if "\t" in line else None
    return [field.strip() for field in line.rstrip("\r\n").split(separator)]


def _parse(fields: list[str], where: str) -> tuple[Judgement, float]:
    query, document, relevance = _COLUMNS[len(fields)]
    if not fields[query] or not fields[document]:
        raise ValueError(f"{where}: an id is empty")
    judgement = Judgement(fields[query], fields[document], where)
    if relevance is None:
        return judgement, float("inf")
    try:
        return judgement, check_number(float(fields[relevance]), f"{where}: relevance")
    except ValueError:
        raise ValueError(
            f"{where}: expected a number for the relevance, got {fields[relevance]!r}"
        ) from None


def look_up(
    judgements: list[Judgement],
    query_rows: dict[str, int] | None,
    corpus_rows: dict[str, int] | None,
    *,
    ignore_unknown: bool,
) -> tuple[Int64, Int64]:
    """Return the rows of queries and documents; None maps each number to itself.

    Raises ValueError for an unknown id, naming its place, and for numbers beyond int64.
    """
    queries: list[int] = []
    documents: list[int] = []
    unknown: list[tuple[Judgement, str]] = []
    for judgement in judgements:
        query = _row(judgement.query, query_rows, judgement.where)
        document = _row(judgement.document, corpus_rows, judgement.where)
        if query is None:
            unknown.append((judgement, f"query {judgement.query!r} is not in query_ids"))
        elif document is None:
            unknown.append((judgement, f"document {judgement.document!r} is not in corpus_ids"))
        else:
            queries.append(query)
            documents.append(document)
    if unknown and not ignore_unknown:
        _raise_unknown(unknown, query_rows, corpus_rows)
    return np.array(queries, dtype=np.int64), np.array(documents, dtype=np.int64)


def _row(text: str, rows: dict[str, int] | None, where: str) -> int | None:
    if rows is not None:
        return rows.get(text)
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    # The length first: Python refuses to convert thousands of digits.
    if len(digits) > 19 or int(digits) > _LARGEST_ROW:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise ValueError(f"qrels: {where}: row number {shown} is beyond the range of int64")
    return int(digits)


def _raise_unknown(
    unknown: list[tuple[Judgement, str]],
    query_rows: dict[str, int] | None,
    corpus_rows: dict[str, int] | None,
) -> None:
    judgement, reason = unknown[0]
    hints = []
    for rows, side in ((query_rows, "query"), (corpus_rows, "corpus")):
        if rows is None:
            hints.append(f"without {side}_ids the {side} column must hold row numbers")
        else:
            examples = ", ".join(repr(item) for item in islice(rows, 2))
            hints.append(f"{side}_ids begin {examples}")
    raise ValueError(
        f"qrels: {judgement.where}: {reason} ({len(unknown)} such pairs in all; "
        f"{'; '.join(hints)}); unknown='ignore' leaves them out"
    )
