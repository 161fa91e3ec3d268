# SPDX-License-Identifier: Apache-2.0
"""faiss-cpu: `knn` (cold), `IndexFlatIP` (warm), and over-fetching by hand for mining."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from contestants import Answer, Task

# Tile sizes of its matrix products, tried on a slice of every problem; the first are its defaults.
_QUERY_TILES = (4096, 1024, 256)
_CORPUS_TILES = (1024, 4096)
_TRIAL_ROWS = 16_384
_WORTH_TUNING = 1e10  # multiply-adds

_chosen_tiles = "defaults"


def describe() -> dict[str, str]:
    return {
        "version": faiss.__version__,
        "compile_options": faiss.get_compile_options().strip(),
        "tiles": _chosen_tiles,
    }


def set_threads(threads: int) -> None:
    faiss.omp_set_num_threads(threads)


def read(result: Any) -> Answer:
    return Answer(*result)


def _knn(queries: Any, corpus: Any, k: int) -> Any:
    return faiss.knn(queries, corpus, k, metric=faiss.METRIC_INNER_PRODUCT)


def _set_tiles(query_tile: int, corpus_tile: int) -> None:
    faiss.cvar.distance_compute_blas_query_bs = query_tile
    faiss.cvar.distance_compute_blas_database_bs = corpus_tile


def _tune(task: Task) -> None:
    """Set the tile sizes that are fastest on this problem's first rows."""
    global _chosen_tiles
    _chosen_tiles = "defaults"
    queries, corpus = task.vectors.queries, task.vectors.corpus
    choices = list(itertools.product(_QUERY_TILES, _CORPUS_TILES))
    _set_tiles(*choices[0])
    if queries.shape[0] * float(corpus.size) < _WORTH_TUNING:
        return
    best = dict.fromkeys(choices, np.inf)
    for _ in range(2):
        for choice in choices:
            _set_tiles(*choice)
            start = time.perf_counter()
            _knn(queries, corpus[:_TRIAL_ROWS], task.k)
            best[choice] = min(best[choice], time.perf_counter() - start)
    winner = min(choices, key=lambda choice: best[choice])
    _set_tiles(*winner)
    _chosen_tiles = f"queries {winner[0]}, corpus {winner[1]}"


def _topk_cold(task: Task) -> Callable[[], Any]:
    _tune(task)
    return lambda: _knn(task.vectors.queries, task.vectors.corpus, task.k)


def _topk_warm(task: Task) -> Callable[[], Any]:
    _tune(task)
    index = faiss.IndexFlatIP(task.vectors.corpus.shape[1])
    index.add(task.vectors.corpus)
    return lambda: index.search(task.vectors.queries, task.k)


def _mine_by_hand(task: Task) -> Callable[[], Any]:
    """What a careful user writes: fetch more than needed, mask, keep the first k.

    Fetches as many as sentence-transformers does, so it can come up short like it.
    """
    _tune(task)
    vectors, k, margin = task.vectors, task.k, task.relative_margin
    if vectors.positives is None or margin is None:
        raise ValueError("mining by hand needs positives and a relative margin")
    positives = vectors.positives
    fetched = 10 * k + 2

    def run() -> Any:
        scores, rows = _knn(vectors.queries, vectors.corpus, fetched)
        positive_scores = np.einsum("nd,nd->n", vectors.queries, vectors.corpus[positives])
        threshold = positive_scores - margin * np.abs(positive_scores)
        kept = (scores <= threshold[:, None]) & (rows != positives[:, None])
        first = np.argsort(~kept, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(kept, first, axis=1)
        rows = np.where(found, np.take_along_axis(rows, first, axis=1), -1)
        scores = np.where(found, np.take_along_axis(scores, first, axis=1), np.nan)
        return scores, rows

    return run


JOBS = {"cold": _topk_cold, "warm": _topk_warm, "mine": _mine_by_hand}
