# SPDX-License-Identifier: Apache-2.0
"""scikit-learn: brute-force neighbours, Lloyd's k-means and its seeding. Euclidean, which orders
unit vectors alike and is the metric its fused kernel serves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sklearn
from clusters import ClusterTask
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.neighbors import NearestNeighbors

from contestants import Answer, Task


def describe() -> dict[str, str]:
    return {"version": sklearn.__version__}


def set_threads(threads: int) -> None:
    """Its OpenMP pool is limited through threadpoolctl."""


def read(result: Any) -> Answer:
    distances, rows = result
    return Answer((1 - distances**2 / 2).astype(np.float32), rows.astype(np.int64))


def _topk(task: Task) -> Callable[[], Any]:
    finder = NearestNeighbors(n_neighbors=task.k, algorithm="brute").fit(task.vectors.corpus)
    return lambda: finder.kneighbors(task.vectors.queries)


JOBS = {"cold": _topk}


def _lloyd(task: ClusterTask) -> Callable[[], Any]:
    def run() -> Any:
        model = KMeans(
            len(task.centers),
            init=task.centers,
            n_init=1,
            max_iter=task.iterations,
            tol=0,
            algorithm="lloyd",
        )
        return model.fit(task.rows).cluster_centers_

    return run


def _seeding(task: ClusterTask, trials: int | None) -> Callable[[], Any]:
    return lambda: kmeans_plusplus(
        task.rows, len(task.centers), n_local_trials=trials, random_state=0
    )[0]


CLUSTERS = {
    "lloyd": _lloyd,
    "plus-plus": partial(_seeding, trials=1),
    "greedy-plus-plus": partial(_seeding, trials=None),
}
