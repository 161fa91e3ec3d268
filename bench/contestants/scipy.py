# SPDX-License-Identifier: Apache-2.0
"""scipy: clusters of equal size by `linear_sum_assignment`, every centre once for each place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
from clusters import ClusterTask
from scipy.optimize import linear_sum_assignment


def describe() -> dict[str, str]:
    return {"version": scipy.__version__}


def set_threads(threads: int) -> None:
    """It has one; the BLAS pool is limited through threadpoolctl."""


def _assign(rows: npt.NDArray[Any], centers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The labels of least loss in clusters whose sizes differ by one at most.

    Where there are more places than rows, the spare ones are among the last place of each cluster.
    """
    n, k = len(rows), len(centers)
    loss = np.einsum("kd,kd->k", centers, centers) - 2 * rows @ centers.T
    clusters = np.tile(np.arange(k), -(-n // k))
    costs = np.full((len(clusters), len(clusters)), np.abs(loss).max() * 1e6)
    costs[:n] = loss[:, clusters]
    costs[n:, -k:] = 0
    places = linear_sum_assignment(costs)[1]
    return clusters[places[:n]]


def _balanced(task: ClusterTask) -> Callable[[], Any]:
    def run() -> Any:
        rows = task.rows.astype(np.float64)
        centers = task.centers.astype(np.float64)
        for _ in range(task.iterations):
            labels = _assign(rows, centers)
            centers = np.stack([rows[labels == c].mean(axis=0) for c in range(len(centers))])
        return _assign(rows, centers)

    return run


CLUSTERS = {"balanced": _balanced}
