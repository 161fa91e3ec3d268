# SPDX-License-Identifier: Apache-2.0
"""Are draws allowed, and do they follow their law? Asked of ours and of the peers."""

from __future__ import annotations

import numpy as np
from checks import WrongAnswer
from draws import DrawTask, Floats, Ids

_NUM_BUCKETS = 128
_MOST_DEVIATION = 6.0  # standard deviations of chi-square


def check_draws(name: str, task: DrawTask, rows: Ids) -> dict[str, float]:
    """Raise `WrongAnswer` for draws that are not allowed, or do not follow their law."""
    if rows.shape != (len(task.query_ids), task.k) or rows.min(initial=0) < 0:
        raise WrongAnswer(f"{name}: a row is short")
    if task.log_weights is not None:
        ordered = np.sort(rows, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            raise WrongAnswer(f"{name}: a column drawn twice")
        expected = task.probabilities().sum(axis=0)
        observed = np.bincount(rows[:, 0], minlength=task.num_items)
        return {"deviation_of_first_draws": _deviation(name, observed, expected)}
    assert task.excluded is not None
    numbers = np.arange(len(rows))[:, None] * task.num_items
    if np.isin(rows + numbers, task.excluded + numbers).any():
        raise WrongAnswer(f"{name}: an excluded item drawn")
    width = -(-task.num_items // _NUM_BUCKETS)
    observed = np.bincount(rows.ravel() // width, minlength=_NUM_BUCKETS)
    left = np.bincount(np.arange(task.num_items) // width, minlength=_NUM_BUCKETS) - np.bincount(
        task.excluded.ravel() // width, minlength=_NUM_BUCKETS
    ) / len(rows)
    return {"deviation_of_items": _deviation(name, observed, left / left.sum() * rows.size)}


def _deviation(name: str, observed: Ids, expected: Floats) -> float:
    """How many standard deviations chi-square is from its mean; too many raise `WrongAnswer`."""
    kept = expected > 5
    if not kept.any():
        raise WrongAnswer(f"{name}: too few draws to compare with their law")
    square = (observed[kept] - expected[kept]) ** 2 / expected[kept]
    deviation = float((square - 1).sum() / np.sqrt(2 * kept.sum()))
    if deviation > _MOST_DEVIATION:
        raise WrongAnswer(f"{name}: draws are {deviation:.1f} standard deviations from their law")
    return deviation


def check_same_draws(name: str, cause: str, first: Ids, second: Ids) -> None:
    """Draws for the same queries must be the same."""
    if not np.array_equal(first, second):
        raise WrongAnswer(f"{name}: draws depend on {cause}")
