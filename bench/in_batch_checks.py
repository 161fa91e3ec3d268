# SPDX-License-Identifier: Apache-2.0
"""Did miners of a batch find the same, and do draws keep to their rule?"""

from __future__ import annotations

from typing import Any

import numpy as np
from checks import WrongAnswer
from in_batch import CUTOFF, EPSILON, MARGIN, InBatchTask, distances, halves_of

# Peers take distances from float32 products; near 1 they are then about so far off.
_TOLERANCE = 2e-5


def check_mined(task: InBatchTask, ours: Any, name: str, theirs: Any) -> dict[str, int]:
    """Raise `WrongAnswer` unless both found the same but for what is a matter of rounding."""
    if task.kind == "distance-weighted":
        return check_draws(task, theirs, name)
    apart = distances(task)
    differing = 0
    for mine, other in zip(halves_of(ours), halves_of(theirs), strict=True):
        a, b = (set(map(tuple, found.tolist())) for found in (mine, other))
        for one in a ^ b:
            differing += 1
            if not _is_a_near_tie(task, apart, one):
                raise WrongAnswer(f"{name}: {one} was found by one of both")
    return {"found": sum(map(len, halves_of(ours))), "other_by_rounding": differing}


def check_draws(task: InBatchTask, result: Any, name: str) -> dict[str, int]:
    """Negatives of another class, nearer than the cut-off."""
    triplets = halves_of(result)[0]
    anchors, positives, negatives = triplets.T
    labels = task.labels.cpu().numpy()
    apart = distances(task)[anchors, negatives]
    right = (labels[anchors] == labels[positives]) & (labels[anchors] != labels[negatives])
    if not (right & (anchors != positives) & (apart < CUTOFF + _TOLERANCE)).all():
        raise WrongAnswer(f"{name}: a triplet that must not be drawn")
    return {"found": len(triplets)}


def _is_a_near_tie(task: InBatchTask, apart: np.ndarray, one: tuple[int, ...]) -> bool:
    labels = task.labels.cpu().numpy()
    row = apart[one[0]]
    same = labels == labels[one[0]]
    same[one[0]] = False
    others = labels != labels[one[0]]
    if task.kind == "batch-hard":
        gaps = [row[same].max() - row[one[1]], row[one[2]] - row[others].min()]
    elif task.kind == "margin":
        gaps = [row[one[2]] - row[one[1]] - MARGIN]
    else:
        cosines = 1.0 - row**2 / 2.0
        edge = cosines[others].max() if same[one[1]] else cosines[same].min()
        gaps = [abs(cosines[one[1]] - edge) - EPSILON]
    return bool(np.abs(gaps).max() <= _TOLERANCE)
