# SPDX-License-Identifier: Apache-2.0
"""k-means with limited sizes: assignments of least loss by scipy, on every pair."""

import numpy as np
import oracle
import oracle_kmeans
from scipy.optimize import linear_sum_assignment


def limits(n: int, k: int, max_cluster_size: int | None) -> tuple[int, int]:
    """Return the least and the most rows of a cluster."""
    return (n // k, -(-n // k)) if max_cluster_size is None else (1, max_cluster_size)


def least_loss(
    rows: np.ndarray, centers: np.ndarray, metric: str, least: int, most: int
) -> tuple[float, np.ndarray]:
    """Return the least inertia within the limits, and labels of it.

    A cluster has ``least`` places that must be taken and others that may: what stays free there is
    taken by as many rows that cost nothing and may go nowhere else.
    """
    scores = oracle.scores(rows, centers, oracle_kmeans.NAMES[metric])
    loss = oracle_kmeans.losses(scores, metric)
    n, k = loss.shape
    most = min(most, n)
    free = k * most - n
    clusters = np.concatenate(
        [np.repeat(np.arange(k), least), np.repeat(np.arange(k), most - least)]
    )
    costs = loss[:, clusters]
    spare = np.zeros((free, len(clusters)))
    spare[:, : k * least] = 1e6 * (1 + np.abs(loss).max())
    taken, places = linear_sum_assignment(np.concatenate([costs, spare]))
    labels = clusters[places[np.argsort(taken)][:n]]
    return float(loss[np.arange(n), labels].sum()), labels
