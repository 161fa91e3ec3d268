# SPDX-License-Identifier: Apache-2.0
"""nDCG@10 and MRR@10 of every query, for relevance that is yes or no."""

from __future__ import annotations

from dataclasses import dataclass

import nearmiss as nm
import numpy as np
import numpy.typing as npt

from training.retrieval import Ids, Rows

Values = npt.NDArray[np.float64]
DEPTH = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, DEPTH + 2))


@dataclass(frozen=True)
class Quality:
    """Both metrics of each query, (n,)."""

    ndcg: Values
    mrr: Values


def judge(hits: npt.NDArray[np.bool_], num_relevant: Ids) -> Quality:
    """Metrics of ranked lists.

    Parameters
    ----------
    hits : (n, DEPTH) bool
        Whether the row at each rank is relevant.
    num_relevant : (n,) int
        How many rows of the corpus are, at least one.
    """
    ideal = np.cumsum(_DISCOUNTS)[np.minimum(num_relevant, DEPTH) - 1]
    first = hits.argmax(axis=1)
    return Quality(hits @ _DISCOUNTS / ideal, np.where(hits.any(axis=1), 1 / (first + 1), 0.0))


def evaluate(
    queries: Rows, corpus: Rows, positives: nm.Positives, rows: Ids, threads: int
) -> Quality:
    """Search all of the corpus for some of the queries and judge what is found."""
    _, found = nm.topk(queries[rows], corpus, DEPTH, num_threads=threads)
    relevant = positives.query_rows * len(corpus) + positives.corpus_rows
    hits = np.isin(rows[:, np.newaxis] * len(corpus) + found, relevant)
    return judge(hits, np.bincount(positives.query_rows, minlength=len(queries))[rows])
