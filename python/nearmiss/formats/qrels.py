# SPDX-License-Identifier: Apache-2.0
"""Relevance judgements: TREC and BEIR files, and mappings of the same content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nearmiss.arrays import check_number
from nearmiss.formats.pairs import NamedPair, numbered_lines, parse_number

_HEADERS = {"query-id", "query_id", "queryid", "qid", "query", "topic", "topic_id"}
# Columns of query, document and relevance by the number of columns of a file.
_COLUMNS: dict[int, tuple[int, int, int | None]] = {
    2: (0, 1, None),
    3: (0, 1, 2),
    4: (0, 2, 3),
}


def read(qrels: Any, min_relevance: float) -> Iterator[NamedPair]:
    """Return the pairs of a file or mapping whose relevance is at least ``min_relevance``."""
    least = check_number(min_relevance, "min_relevance")
    if isinstance(qrels, Mapping):
        judged = _read_mapping(qrels)
    elif isinstance(qrels, (str, os.PathLike)):
        judged = _read_file(qrels)
    else:
        raise TypeError(f"qrels: expected a path or a mapping, got a {type(qrels).__name__}")
    return (pair for pair in judged if pair.value >= least)


def _read_mapping(qrels: Mapping[Any, Any]) -> Iterator[NamedPair]:
    for query, documents in qrels.items():
        where = f"query {query!r}"
        if isinstance(documents, Mapping):
            for document, relevance in documents.items():
                number = check_number(relevance, f"qrels: {where}, document {document!r}")
                yield NamedPair(str(query), str(document), number, "mapping")
        elif isinstance(documents, (list, tuple, set, frozenset, np.ndarray)):
            for document in documents:
                yield NamedPair(str(query), str(document), float("inf"), "mapping")
        else:
            # A string would be taken apart into letters.
            raise TypeError(
                f"qrels: {where}: expected a list of document ids or a mapping of them to "
                f"relevance, got {documents!r}"
            )


def _read_file(path: str | os.PathLike[str]) -> Iterator[NamedPair]:
    columns = 0
    for where, line in numbered_lines(path):
        fields = _split(line)
        if not columns:
            columns = len(fields)
            if columns not in _COLUMNS:
                raise ValueError(f"{where}: expected 2 to 4 columns, got {columns}")
            if fields[0].lower() in _HEADERS:
                continue
        if len(fields) != columns:
            raise ValueError(
                f"{where}: expected {columns} columns as in the first line, got {len(fields)}"
            )
        yield _parse(fields, where)


def _split(line: str) -> list[str]:
    separator = "\t" if "\t" in line else None
    return [field.strip() for field in line.rstrip("\r\n").split(separator)]


def _parse(fields: list[str], where: str) -> NamedPair:
    query, document, relevance = _COLUMNS[len(fields)]
    if not fields[query] or not fields[document]:
        raise ValueError(f"{where}: an id is empty")
    number = float("inf")
    if relevance is not None:
        number = parse_number(fields[relevance], "relevance", where)
    return NamedPair(fields[query], fields[document], number, where)
