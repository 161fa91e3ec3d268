# SPDX-License-Identifier: Apache-2.0
"""TREC run files: one line per result, ``query Q0 document rank score tag``.

Evaluation tools and other miners write and read them. Ranks start at 1. Ids are those of the
queries and of the corpus, or row numbers where there are none; blanks separate the columns, so an
id with a blank in it cannot be written. A query without results has no line.

`write` is for tables of negatives; `read_run` reads what any retriever wrote, as candidates.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nearmiss.arrays import check_number
from nearmiss.formats.base import Format, register, replacing
from nearmiss.formats.pairs import NamedPair, numbered_lines, parse_number

if TYPE_CHECKING:
    from nearmiss.negatives import Negatives

TAG = "nearmiss"


def write(
    path: str | os.PathLike[str], negatives: Negatives, *, query_ids: Sequence[Any] | None = None
) -> None:
    """Write one line per negative, query after query, closest first.

    Parameters
    ----------
    path : path
    negatives : Negatives
    query_ids : sequence of int or str, optional
        The id of each query that was mined; by default their row numbers.

    Raises
    ------
    ValueError
        If an id is empty or holds a blank; no file is written.
    """
    documents = negatives.indices if negatives.ids is None else negatives.ids
    with replacing(path) as file:
        for row, query in enumerate(negatives.query_indices.tolist()):
            name = _column(query if query_ids is None else query_ids[query], "query")
            for column in range(int(negatives.counts[row])):
                document = _column(documents[row, column], "corpus")
                score = negatives.scores[row, column]
                line = f"{name} Q0 {document} {column + 1} {score!s} {TAG}\n"
                file.write(line.encode())


def check_ids(ids: Iterable[Any], side: str) -> None:
    """Raise ValueError for an id that is empty or holds a blank."""
    for value in ids:
        _column(value, side)


def _column(value: Any, side: str) -> str:
    text = str(value)
    if text.split() != [text]:
        raise ValueError(f"trec: {side} id {text!r} cannot stand in a column separated by blanks")
    return text


def read_run(run: Any) -> Iterator[NamedPair]:
    """Return the scored pairs of a run file, or of a mapping ``{query: {document: score}}``.

    Ranks and tags are not read: evaluation tools go by score as well.

    Raises
    ------
    TypeError
        For any other kind of object.
    ValueError
        For a malformed line, or a score that is no finite number, naming its place. (This and
        what concerns the content of a mapping comes when the pairs are iterated over.)
    """
    if isinstance(run, Mapping):
        return _read_mapping(run)
    if isinstance(run, (str, os.PathLike)):
        return _read_file(run)
    raise TypeError(f"run: expected a path or a mapping, got a {type(run).__name__}")


def _read_mapping(run: Mapping[Any, Any]) -> Iterator[NamedPair]:
    for query, documents in run.items():
        if not isinstance(documents, Mapping):
            raise TypeError(
                f"run: query {query!r}: expected a mapping of document ids to scores, "
                f"got {documents!r}"
            )
        for document, score in documents.items():
            number = check_number(score, f"run: query {query!r}, document {document!r}")
            yield NamedPair(str(query), str(document), number, "mapping")


def _read_file(path: str | os.PathLike[str]) -> Iterator[NamedPair]:
    for where, line in numbered_lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise ValueError(
                f"{where}: expected 6 columns (query Q0 document rank score tag), got {len(fields)}"
            )
        yield NamedPair(fields[0], fields[2], parse_number(fields[4], "score", where), where)


register(
    Format(
        name="trec",
        suffixes=(".trec", ".run"),
        summary="a TREC run: query Q0 document rank score tag",
        write=write,
        check_ids=check_ids,
    )
)
