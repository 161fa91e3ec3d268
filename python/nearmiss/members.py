# SPDX-License-Identifier: Apache-2.0
"""One random member of each of the clusters that a strategy picks for a query."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nearmiss.arrays import Int64
from nearmiss.request import Request
from nearmiss.strategies.centroids import ClusterStrategy
from nearmiss.strategies.pool import Setting


def draw_members(
    strategy: ClusterStrategy,
    request: Request,
    query_ids: Int64,
    setting: Setting,
    mine_in_core: partial[Any],
) -> dict[str, Any]:
    """Have the core draw a member of one cluster of each query after the other."""
    assert setting.corpus_groups is not None
    count = request.num_negatives
    clusters = strategy.clusters(setting, query_ids, count)
    nowhere = int(setting.corpus_groups.max(initial=-1)) + 1  # a group without members
    parts = [
        mine_in_core(
            law="uniform",
            num_negatives=1,
            query_ids=query_ids,
            query_groups=np.where(column < 0, nowhere, column),
            within_groups=True,
            seed=request.seed,
            epoch=(request.epoch * count + number) % 2**64,  # each column draws anew
            progress=_part_of(mine_in_core.keywords["progress"], number, count),
        )
        for number, column in enumerate(np.ascontiguousarray(clusters.T))
    ]
    rows, scores = (np.hstack([part[name] for part in parts]) for name in ("indices", "scores"))
    order = np.lexsort((rows, -scores), axis=1)  # nan goes last
    return {
        "indices": np.take_along_axis(rows, order, axis=1),
        "scores": np.take_along_axis(scores, order, axis=1),
        "counts": (rows >= 0).sum(axis=1),
        "positive_scores": parts[0]["positive_scores"],
        "skipped": sum(part["skipped"] for part in parts),
        "work": {name: sum(part["work"][name] for part in parts) for name in parts[0]["work"]},
    }


def _part_of(
    report: Callable[[float], object] | None, number: int, count: int
) -> Callable[[float], object] | None:
    if report is None:
        return None
    return lambda fraction: report((number + fraction) / count)
