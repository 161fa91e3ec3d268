# SPDX-License-Identifier: Apache-2.0
"""faiss-cpu: `knn` (cold), `IndexFlatIP` (warm), 8-bit codes, lists, mining by hand, `Kmeans`."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from clusters import ClusterTask
from probes import fewest_probes, num_lists, tuning_queries

from contestants import Answer, Task

# Tile sizes of its matrix products, tried on a slice of every large problem; the first are its
# defaults. Below a number of queries it multiplies without BLAS; with few queries both ways are
# tried, on the whole problem, because what counts then is memory.
_QUERY_TILES = (4096, 1024, 256)
_CORPUS_TILES = (1024, 4096)
_TRIAL_ROWS = 16_384
_WORTH_TUNING = 1e10  # multiply-adds
_BLAS_FROM = 20  # queries
_BLAS_ALWAYS = 1
_WORTH_TUNING_FEW = 1e8

_TRAINING_ROWS_PER_LIST = 32

_chosen_settings = "defaults"


@dataclass(frozen=True)
class _Settings:
    query_tile: int = _QUERY_TILES[0]
    corpus_tile: int = _CORPUS_TILES[0]
    blas_from: int = _BLAS_FROM

    def apply(self) -> None:
        faiss.cvar.distance_compute_blas_query_bs = self.query_tile
        faiss.cvar.distance_compute_blas_database_bs = self.corpus_tile
        faiss.cvar.distance_compute_blas_threshold = self.blas_from

    def __str__(self) -> str:
        tiles = f"tiles queries {self.query_tile}, corpus {self.corpus_tile}"
        return f"{tiles}; BLAS from {self.blas_from} queries"


def describe() -> dict[str, str]:
    return {
        "version": faiss.__version__,
        "compile_options": faiss.get_compile_options().strip(),
        "settings": _chosen_settings,
    }


def set_threads(threads: int) -> None:
    faiss.omp_set_num_threads(threads)


def read(result: Any) -> Answer:
    return Answer(*result)


def _knn(queries: Any, corpus: Any, k: int) -> Any:
    return faiss.knn(queries, corpus, k, metric=faiss.METRIC_INNER_PRODUCT)


def _tune(task: Task) -> None:
    """Use the settings that are fastest on this problem, or on its first rows."""
    global _chosen_settings
    _chosen_settings = "defaults"
    _Settings().apply()
    queries, corpus = task.vectors.queries, task.vectors.corpus
    work = queries.shape[0] * float(corpus.size)
    if queries.shape[0] < _BLAS_FROM and work >= _WORTH_TUNING_FEW:
        with_blas = [_Settings(corpus_tile=c, blas_from=_BLAS_ALWAYS) for c in _CORPUS_TILES]
        choices, trial = [_Settings(), *with_blas], corpus
    elif work >= _WORTH_TUNING:
        tiles = itertools.product(_QUERY_TILES, _CORPUS_TILES)
        choices, trial = [_Settings(*pair) for pair in tiles], corpus[:_TRIAL_ROWS]
    else:
        return
    winner = _fastest(choices, lambda: _knn(queries, trial, min(task.k, len(trial))))
    winner.apply()
    _chosen_settings = str(winner)


def _fastest(choices: list[_Settings], run: Callable[[], Any]) -> _Settings:
    best = dict.fromkeys(choices, np.inf)
    for _ in range(2):
        for choice in choices:
            choice.apply()
            start = time.perf_counter()
            run()
            best[choice] = min(best[choice], time.perf_counter() - start)
    return min(choices, key=lambda choice: best[choice])


def _topk_cold(task: Task) -> Callable[[], Any]:
    _tune(task)
    return lambda: _knn(task.vectors.queries, task.vectors.corpus, task.k)


def _topk_warm(task: Task) -> Callable[[], Any]:
    _tune(task)
    index = faiss.IndexFlatIP(task.vectors.corpus.shape[1])
    index.add(task.vectors.corpus)
    return lambda: index.search(task.vectors.queries, task.k)


def _topk_codes(task: Task) -> Callable[[], Any]:
    """int8 rows kept as they are in a prebuilt index; its interface is float32."""
    index = faiss.IndexScalarQuantizer(
        task.vectors.corpus.shape[1],
        faiss.ScalarQuantizer.QT_8bit_direct_signed,
        faiss.METRIC_INNER_PRODUCT,
    )
    index.add(task.vectors.corpus.astype(np.float32))
    queries = task.vectors.queries.astype(np.float32)
    return lambda: index.search(queries, task.k)


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


def _topk_lists(task: Task) -> Callable[[], Any]:
    """`IndexIVFFlat` with as many lists and training rows as ours, and as few probes as do."""
    global _chosen_settings
    corpus = task.vectors.corpus
    m, d = corpus.shape
    lists = num_lists(m)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _TRAINING_ROWS_PER_LIST
    start = time.perf_counter()
    index.train(corpus)
    index.add(corpus)
    print(f"  faiss: {lists} lists made in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    queries = tuning_queries(task.vectors.queries)
    exact = _knn(queries, corpus, task.k)[1]

    def find(probes: int) -> Any:
        index.nprobe = probes
        return index.search(queries, task.k)[1]

    index.nprobe = fewest_probes(find, exact, lists)
    _chosen_settings = f"{lists} lists, {index.nprobe} probes"
    print(f"  faiss: {index.nprobe} probes", file=sys.stderr)
    return lambda: index.search(task.vectors.queries, task.k)


JOBS = {
    "cold": _topk_cold,
    "warm": _topk_warm,
    "codes": _topk_codes,
    "mine": _mine_by_hand,
    "lists": _topk_lists,
}


def _lloyd(task: ClusterTask) -> Callable[[], Any]:
    """Without its subsampling. It assigns once less than the others: its labels are stale."""
    k, d = task.centers.shape

    def run() -> Any:
        model = faiss.Kmeans(
            d,
            k,
            niter=task.iterations,
            min_points_per_centroid=1,
            max_points_per_centroid=len(task.rows),
        )
        model.train(task.rows, init_centroids=task.centers)
        return model.centroids

    return run


CLUSTERS = {"lloyd": _lloyd}
