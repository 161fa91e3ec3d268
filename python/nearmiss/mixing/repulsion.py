# SPDX-License-Identifier: Apache-2.0
"""Vectors pushed away from what they match."""

from __future__ import annotations

from typing import Any

import numpy as np

from nearmiss.arrays import check_number
from nearmiss.mining import topk
from nearmiss.mixing.vectors import (
    as_floats,
    cast_like,
    check_finite,
    check_same_library,
    like,
    on_cpu,
    take,
    where,
)


def repel(
    embeddings: Any,
    references: Any,
    *,
    threshold: float,
    strength: float = 0.9,
    num_threads: int | None = None,
) -> tuple[Any, Any]:
    """Push vectors away from their best match: ``(1 + a)·x - a·match`` (NegToMe).

    Parameters
    ----------
    embeddings : array or tensor of shape (n, d)
    references : array or tensor of shape (m, d)
    threshold : float
        Move only where the match's cosine similarity is above it; the authors' code has 0.65 or
        0.7, depending on the model.
    strength : float, default 0.9
        a; the default is that of the authors' code.
    num_threads : int, optional

    Returns
    -------
    vectors : (n, d)
        Moved, and as they were where nothing matches.
    matches : (n,) int64
        The rows of ``references`` they moved away from; -1 for none.

    Raises
    ------
    ValueError, TypeError
        As for `nearmiss.topk`, which finds the matches; for vectors beyond the element type.

    References
    ----------
    "Negative Token Merging: Image-based Adversarial Feature Guidance".
    """
    vectors = as_floats(embeddings, "embeddings", 2)
    others = as_floats(references, "references", 2)
    check_same_library(others, vectors, "references")
    threshold = check_number(threshold, "threshold")
    strength = check_number(strength, "strength", minimum=0)
    scores, rows = topk(
        on_cpu(vectors), on_cpu(others), 1, metric="cosine", num_threads=num_threads
    )
    near = scores[:, 0].astype(np.float64) > threshold
    matched = take(cast_like(others, vectors), rows[:, 0])
    moved = (1 + strength) * vectors - strength * matched
    kept = where(near[:, np.newaxis], moved, vectors)
    check_finite(kept, "embeddings")
    return kept, like(np.where(near, rows[:, 0], -1), vectors)
