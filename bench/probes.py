# SPDX-License-Identifier: Apache-2.0
"""Approximate search at equal recall: how many lists each contestant must look at, and the check.

Every contestant has as many lists, and the fewest probes with which the wanted part of the exact
answers of some queries is found. The same run then measures recall on all queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from checks import WrongAnswer

Ids = npt.NDArray[np.int64]

WANTED_RECALL = 0.95
_TUNING_QUERIES = 1024
# Recall of all queries, a quarter of which tuned it.
_LARGEST_SHORTFALL = 0.01


def num_lists(num_rows: int) -> int:
    """As many as ours makes by default."""
    return max(1, int(4 * math.sqrt(num_rows)))


def tuning_queries(queries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return queries[:_TUNING_QUERIES]


def recall(found: Ids, exact: Ids) -> float:
    """The part of the exact rows that was found."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, exact, strict=True))
    return hits / exact.size


def fewest_probes(find: Callable[[int], Ids], exact: Ids, lists: int) -> int:
    """The least number of probes that reaches the wanted recall; ``find(probes)`` returns rows."""
    too_few, enough = 0, lists
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if recall(find(middle), exact) >= WANTED_RECALL:
            enough = middle
        else:
            too_few = middle
    return enough


def check_recalls(rows: dict[str, Ids], exact: str) -> dict[str, Any]:
    """Measure every contestant against the exact one; raises `WrongAnswer` if one falls short."""
    found = {name: recall(of, rows[exact]) for name, of in rows.items()}
    for name, value in found.items():
        if value < WANTED_RECALL - _LARGEST_SHORTFALL:
            raise WrongAnswer(f"{name}: recall {value:.4f} where {WANTED_RECALL} is wanted")
    return {name: {"recall": value} for name, value in found.items()}
