# SPDX-License-Identifier: Apache-2.0
"""usearch: exact search, in blocks of queries because it allocates 16 bytes a pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import usearch
from usearch.index import MetricKind, search

from contestants import Answer, Task

_BLOCK_PAIRS = 1 << 26


def describe() -> dict[str, str]:
    return {"version": usearch.__version__}


def set_threads(threads: int) -> None:
    """Every call says how many."""


def read(result: Any) -> Answer:
    distances, rows = result
    return Answer(1 - distances, rows.astype(np.int64))


def _topk(task: Task) -> Callable[[], Any]:
    queries, corpus = task.vectors.queries, task.vectors.corpus
    block = max(1, _BLOCK_PAIRS // len(corpus))

    def run() -> Any:
        found = [
            search(
                corpus,
                queries[i : i + block],
                task.k,
                MetricKind.IP,
                exact=True,
                threads=task.threads,
            )
            for i in range(0, len(queries), block)
        ]
        return (
            np.concatenate([matches.distances for matches in found]),
            np.concatenate([matches.keys for matches in found]),
        )

    return run


JOBS = {"cold": _topk}
