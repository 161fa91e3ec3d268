# SPDX-License-Identifier: Apache-2.0
"""TREC run files: one line per negative, ``query Q0 document rank score tag``.

Evaluation tools and other miners read them. Ranks start at 1. Ids are those of the queries and of
the corpus, or row numbers where there are none; blanks separate the columns, so an id with a
blank in it cannot be written. A query without negatives has no line.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nearmiss.formats.base import Format, register, replacing

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


def _column(value: Any, side: str) -> str:
    text = str(value)
    if text.split() != [text]:
        raise ValueError(f"trec: {side} id {text!r} cannot stand in a column separated by blanks")
    return text


register(
    Format(
        name="trec",
        suffixes=(".trec", ".run"),
        summary="a TREC run: query Q0 document rank score tag",
        write=write,
    )
)
