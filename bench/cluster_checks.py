# SPDX-License-Identifier: Apache-2.0
"""Are clusterings as good as each other? Judged by their objective, computed here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from checks import WrongAnswer
from clusters import ClusterTask

_BLOCK = 8192
_LARGEST_DIFFERENCE = 1e-3  # of the objective
# The same where a peer draws its own centres to begin with.
_LARGEST_DIFFERENCE_OF_OTHER_CENTERS = 2e-2
_DRAWS_ITS_OWN_CENTERS = ("superkmeans",)
_LARGEST_GAP = 0.02  # of the objective of clusters of equal size, to theirs by optimal assignments
# Seedings of one law differ by chance.
_LARGEST_POTENTIAL = 1.1  # over theirs


def objective(task: ClusterTask, centers: npt.NDArray[Any]) -> float:
    """The sum of squared distances to the nearest centre, in float64 for the one chosen."""
    centers = np.asarray(centers, dtype=np.float32)
    half_norms = np.einsum("kd,kd->k", centers, centers, dtype=np.float64) / 2
    total = 0.0
    for begin in range(0, len(task.rows), _BLOCK):
        rows = task.rows[begin : begin + _BLOCK]
        nearest = (rows @ centers.T - half_norms.astype(np.float32)).argmax(axis=1)
        gaps = rows.astype(np.float64) - centers[nearest]
        total += float(np.einsum("nd,nd->", gaps, gaps))
    return total


def check_objectives(task: ClusterTask, ours: str, centers: dict[str, Any]) -> dict[str, Any]:
    """All must be as good as each other; raises `WrongAnswer`."""
    found = {name: objective(task, of) for name, of in centers.items()}
    for name, value in found.items():
        other_centers = name.partition(":")[0] in _DRAWS_ITS_OWN_CENTERS
        largest = _LARGEST_DIFFERENCE_OF_OTHER_CENTERS if other_centers else _LARGEST_DIFFERENCE
        if abs(value / found[ours] - 1) > largest:
            raise WrongAnswer(f"{name}: objective {value:.6g}, ours {found[ours]:.6g}")
    return {name: {"objective": value} for name, value in found.items()}


def check_start(task: ClusterTask, ours: str, centers: dict[str, Any]) -> dict[str, Any]:
    """Ours are no worse than from rows after as many iterations; raises `WrongAnswer`."""
    found = {name: objective(task, of) for name, of in centers.items()}
    for name, value in found.items():
        if found[ours] > value:
            raise WrongAnswer(f"{ours}: objective {found[ours]:.6g}, {name} {value:.6g}")
    return {name: {"objective": value} for name, value in found.items()}


def check_seeds(task: ClusterTask, ours: str, seeds: dict[str, Any]) -> dict[str, Any]:
    """Different rows, and ours leave no more than others leave; raises `WrongAnswer`."""
    found = {name: objective(task, of) for name, of in seeds.items()}
    for name, value in found.items():
        if seeds[name].shape != task.centers.shape:
            raise WrongAnswer(f"{name}: {len(seeds[name])} seeds, expected {len(task.centers)}")
        if found[ours] > _LARGEST_POTENTIAL * value and "greedy" not in name:
            raise WrongAnswer(f"{ours}: objective {found[ours]:.6g}, {name} {value:.6g}")
    return {name: {"objective": value} for name, value in found.items()}


def objective_of_labels(task: ClusterTask, labels: npt.NDArray[Any]) -> float:
    """The sum of squared distances to the means of the clusters."""
    total = float(np.einsum("nd,nd->", task.rows, task.rows, dtype=np.float64))
    for cluster in range(len(task.centers)):
        members = task.rows[labels == cluster].astype(np.float64)
        if len(members):
            mean = members.mean(axis=0)
            total -= len(members) * float(mean @ mean)
    return total


def check_balanced(task: ClusterTask, ours: str, found: dict[str, Any]) -> dict[str, Any]:
    """Sizes differ by one at most, and ours are about as good as others'; raises `WrongAnswer`.

    Who does not balance gives centres instead of labels, and its objective is free of limits.
    """
    values: dict[str, float] = {}
    for name, result in found.items():
        values[name] = (objective if result.ndim == 2 else objective_of_labels)(task, result)
    for name, result in found.items():
        if result.ndim == 2:
            continue
        sizes = np.bincount(result, minlength=len(task.centers))
        if sizes.max() - sizes.min() > 1:
            raise WrongAnswer(f"{name}: sizes from {sizes.min()} to {sizes.max()}")
        if values[ours] > (1 + _LARGEST_GAP) * values[name]:
            raise WrongAnswer(f"{ours}: objective {values[ours]:.6g}, {name} {values[name]:.6g}")
    return {
        name: {"objective": value, "ours_over_this": values[ours] / value}
        for name, value in values.items()
    }
