# SPDX-License-Identifier: Apache-2.0
"""NumPy: brute force by a matrix product, `argpartition`, and a sort of what is left; draws by
`Generator.choice` row by row, and by drawing again whatever is excluded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from draws import DrawTask

from contestants import Answer, Task

_BLOCK_SCORES = 1 << 26


def describe() -> dict[str, str]:
    return {"version": np.__version__}


def set_threads(threads: int) -> None:
    """The runner limits NumPy's BLAS through threadpoolctl."""


def read(result: Any) -> Answer:
    return Answer(*result)


def _topk_block(queries: Any, corpus: Any, k: int) -> tuple[Any, Any]:
    scores = queries @ corpus.T
    rows = np.argpartition(scores, -k, axis=1)[:, -k:]
    scores = np.take_along_axis(scores, rows, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _topk(task: Task) -> Callable[[], Any]:
    queries, corpus = task.vectors.queries, task.vectors.corpus
    block = max(1, _BLOCK_SCORES // len(corpus))

    def run() -> Any:
        starts = range(0, len(queries), block)
        found = [_topk_block(queries[i : i + block], corpus, task.k) for i in starts]
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    return run


JOBS = {"cold": _topk}


def _choice(task: DrawTask) -> Callable[[], Any]:
    """Row by row; the probabilities exist beforehand."""
    probabilities = task.probabilities()

    def run() -> Any:
        rng = np.random.default_rng(0)
        return np.stack(
            [rng.choice(task.num_items, task.k, replace=False, p=row) for row in probabilities]
        )

    return run


def _reject_by_search(task: DrawTask) -> Callable[[], Any]:
    """All rows at once: a (query, item) pair is one number, looked up among the excluded ones."""
    assert task.excluded is not None
    lists = task.excluded
    offsets = np.arange(len(lists)) * task.num_items

    def run() -> Any:
        rng = np.random.default_rng(0)
        excluded = (lists + offsets[:, None]).ravel()
        pairs = rng.integers(0, task.num_items, (len(lists), task.k))
        pairs += offsets[:, None]
        drawn = pairs.reshape(-1)
        again = np.arange(drawn.size)
        while again.size:
            places = np.searchsorted(excluded, drawn[again])
            places[places == excluded.size] = 0
            again = again[excluded[places] == drawn[again]]
            fresh = rng.integers(0, task.num_items, again.size)
            drawn[again] = offsets[again // task.k] + fresh
        return pairs - offsets[:, None]

    return run


def _reject_by_comparison(task: DrawTask) -> Callable[[], Any]:
    """Some rows at once: every draw is compared with the whole list."""
    assert task.excluded is not None
    lists = task.excluded
    block = 64

    def run() -> Any:
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, task.num_items, (len(lists), task.k))
        for first in range(0, len(lists), block):
            some, excluded = drawn[first : first + block], lists[first : first + block]
            while (again := (some[:, :, None] == excluded[:, None, :]).any(axis=2)).any():
                some[again] = rng.integers(0, task.num_items, int(again.sum()))
        return drawn

    return run


DRAWS = {
    "choice": _choice,
    "reject-by-search": _reject_by_search,
    "reject-by-comparison": _reject_by_comparison,
}
