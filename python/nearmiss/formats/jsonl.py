# SPDX-License-Identifier: Apache-2.0
"""JSON lines: one object per query, with its positives, its negatives and their scores.

::

    {"query_id": "q1", "positive_ids": ["d7"], "positive_score": 0.83,
     "negative_ids": ["d2", "d9"], "negative_scores": [0.79, 0.75]}

Queries keep their order; one without negatives has empty lists. Ids are those of the queries and
of the corpus, or row numbers where there are none. ``positive_score`` is the one that margins
refer to, null without a positive. A score has the digits that its float32 needs, no more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nearmiss.formats.base import Format, register, replacing

if TYPE_CHECKING:
    from nearmiss.negatives import Negatives


def write(
    path: str | os.PathLike[str], negatives: Negatives, *, query_ids: Sequence[Any] | None = None
) -> None:
    """Write one line per query of the table.

    Parameters
    ----------
    path : path
    negatives : Negatives
    query_ids : sequence of int or str, optional
        The id of each query that was mined; by default their row numbers.
    """
    with replacing(path) as file:
        for entry in _entries(negatives, query_ids):
            file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _entries(negatives: Negatives, query_ids: Any) -> Iterator[dict[str, Any]]:
    lists, known = negatives.positives, negatives.referenced_ids
    query_names = query_ids.tolist() if isinstance(query_ids, np.ndarray) else query_ids
    for row, query in enumerate(negatives.query_indices.tolist()):
        found = np.asarray(negatives.indices[row, : negatives.counts[row]])
        positives = found[:0]
        if lists is not None:
            positives = np.asarray(lists.rows[lists.indptr[row] : lists.indptr[row + 1]])
        score = negatives.positive_scores[row]
        yield {
            "query_id": query if query_names is None else query_names[query],
            "positive_ids": (positives if known is None else known.lookup(positives)).tolist(),
            "positive_score": None if np.isnan(score) else shortest(score),
            "negative_ids": (found if known is None else known.lookup(found)).tolist(),
            "negative_scores": [shortest(s) for s in negatives.scores[row, : len(found)]],
        }


def shortest(score: np.float32) -> float:
    """Return the float of fewest digits that rounds to this float32, so that none is lost."""
    return float(str(score))


register(
    Format(
        name="jsonl",
        suffixes=(".jsonl",),
        summary="one JSON object per query: ids of positives and negatives, scores",
        write=write,
    )
)
