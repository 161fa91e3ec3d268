# SPDX-License-Identifier: Apache-2.0
"""How a strategy's picks are made: by the core, or from the pools it passes on block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nearmiss.arrays import Float32, Int64
from nearmiss.members import draw_members
from nearmiss.negatives import OPTIONAL_COLUMNS
from nearmiss.request import Request
from nearmiss.strategies.centroids import ClusterStrategy
from nearmiss.strategies.pool import Bool, Picks, Pool, PoolStrategy, Setting


def choose(
    request: Request,
    query_ids: Int64,
    setting: Setting,
    mine_in_core: partial[Any],
    pass_pools: Callable[..., Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Have the core pick, from clusters or not, or the strategy from pools the core passes on."""
    if isinstance(request.strategy, ClusterStrategy):
        return draw_members(request.strategy, request, query_ids, setting, mine_in_core)
    if not isinstance(request.strategy, PoolStrategy):
        found: Mapping[str, Any] = mine_in_core(**request.choice_arguments(query_ids))
        return found
    table = PoolTable(request.strategy, request, query_ids, setting)
    return table.complete(pass_pools(table.add))


class PoolTable:
    """Takes the pools of a search and keeps what a strategy picks from them."""

    def __init__(
        self, strategy: PoolStrategy, request: Request, query_ids: Int64, setting: Setting
    ) -> None:
        shape = (setting.num_queries, request.num_negatives)
        self._choose = strategy.chooser(setting)
        self._first_rank = request.plan.range_min
        self._query_ids = query_ids
        self._setting = setting
        self._arrays: dict[str, Any] = {
            "indices": np.full(shape, -1, dtype=np.int64),
            "scores": np.full(shape, np.nan, dtype=np.float32),
            "counts": np.zeros(shape[0], dtype=np.int64),
        }

    def add(
        self,
        first_query: int,
        scores: Float32,
        rows: Int64,
        admissible: Bool,
        positive_scores: Float32,
    ) -> None:
        """Pick for the queries from ``first_query`` on; the core calls this."""
        if rows.shape[1] == 0:
            return
        block = slice(first_query, first_query + len(rows))
        pool = Pool(
            np.arange(block.start, block.stop, dtype=np.int64),
            self._query_ids[block],
            scores,
            rows,
            admissible,
            positive_scores,
            self._first_rank,
            self._setting,
        )
        picks = self._choose(pool, self._arrays["indices"].shape[1])
        self._write(block, pool, picks)
        if picks.reserve is not None:
            self._write_reserve(block, pool, picks.reserve)

    def _write(self, block: slice, pool: Pool, picks: Picks) -> None:
        columns = np.where(_taken(pool.admissible, picks.columns), picks.columns, -1)
        # Best first; gaps go to the end.
        order = np.argsort(np.where(columns < 0, pool.rows.shape[1], columns), kind="stable")
        columns = np.take_along_axis(columns, order, axis=1)
        filled = columns >= 0
        where = np.maximum(columns, 0)
        self._put("indices", block, filled, np.take_along_axis(pool.rows, where, axis=1))
        self._put("scores", block, filled, np.take_along_axis(pool.scores, where, axis=1))
        self._arrays["counts"][block] = filled.sum(axis=1)
        for name, padding in OPTIONAL_COLUMNS.items():
            values = getattr(picks, name, None)
            if values is None:
                continue
            if name not in self._arrays:
                shape = self._arrays["indices"].shape
                self._arrays[name] = np.full(shape, padding, dtype=values.dtype)
            self._put(name, block, filled, np.take_along_axis(values, order, axis=1))

    def _write_reserve(self, block: slice, pool: Pool, columns: Int64) -> None:
        for name, values, padding in (
            ("reserve_indices", pool.rows, -1),
            ("reserve_scores", pool.scores, np.nan),
        ):
            if name not in self._arrays:
                shape = self._setting.num_queries, columns.shape[1]
                self._arrays[name] = np.full(shape, padding, dtype=values.dtype)
            taken = np.take_along_axis(values, np.maximum(columns, 0), axis=1)
            self._put(name, block, columns >= 0, taken)

    def _put(self, name: str, block: slice, filled: Bool, values: Any) -> None:
        self._arrays[name][block][filled] = values[filled]

    def complete(self, searched: Mapping[str, Any]) -> dict[str, Any]:
        """Return the core's account of the search with the table in it."""
        return {**searched, **self._arrays}


def _taken(admissible: Bool, columns: Int64) -> Bool:
    """Return which of the picked columns hold a row that may be a negative."""
    return (columns >= 0) & np.take_along_axis(admissible, np.maximum(columns, 0), axis=1)
