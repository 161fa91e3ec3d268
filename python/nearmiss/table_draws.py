# SPDX-License-Identifier: Apache-2.0
"""Draws from the rows of a table: uniformly, or by a strategy, as if they were mined anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Int64, check_integer, check_seed
from nearmiss.limits import Limits
from nearmiss.negatives import OPTIONAL_COLUMNS, Negatives, pick
from nearmiss.pools import choose
from nearmiss.request import Queries, Request, candidate_scores
from nearmiss.runtime import resolve_num_threads
from nearmiss.strategies.base import Strategy
from nearmiss.strategies.pool import Setting
from nearmiss.strategies.reserve import ReserveStrategy

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

#: The arrays with one entry per negative, and what they hold where there is none.
PADDING = {"indices": -1, "scores": np.nan, **OPTIONAL_COLUMNS}
_MOST_DRAWN = 2**31 - 1
_LOOKUP_ENTRIES = 1 << 24  # comparisons at a time, a byte each


class TableDraws:
    """Draws ``num_drawn`` negatives from each row of tables.

    A draw depends on (seed, epoch, query id) and the row alone.

    Parameters
    ----------
    num_drawn : int
        Rows with fewer keep all they have.
    strategy : str or Strategy, optional
        Picks from the row as `mine_candidates` picks from a list. Default: uniformly, without
        replacement.

    Raises
    ------
    ValueError
        For a strategy that needs more than scores and the positive's score, or keeps a reserve.
    """

    def __init__(self, num_drawn: int, strategy: str | Strategy | None = None) -> None:
        self.num_drawn = check_integer(num_drawn, "n", 1, _MOST_DRAWN)
        self._request: Request | None = None
        if strategy is not None:
            self._request = Request.of(
                self.num_drawn, strategy, Limits(), 0, 0, "pad", candidates=True
            )
            self._request.require_inputs({"positives"})
            if isinstance(self._request.strategy, ReserveStrategy):
                name = self._request.strategy.name
                raise ValueError(f"strategy {name!r}: keeps a reserve, so it needs a search")

    @property
    def strategy(self) -> Strategy | None:
        """The strategy; None: uniform draws."""
        return None if self._request is None else self._request.strategy

    def check(self, table: Negatives) -> None:
        """Raise ValueError if the strategy needs what the table does not have."""
        if self._request is None:
            return
        has_positives = not np.isnan(table.positive_scores).all() or not len(table.counts)
        self._request.require_inputs({"positives"} if has_positives else ())
        if "metric" in table.params:
            self._request.require_metric(table.params["metric"])

    def draw(
        self, table: Negatives, rows: Int64, seed: int, epoch: int, names: Collection[str]
    ) -> Arrays:
        """Draw from these rows of the table, best first.

        Parameters
        ----------
        table : Negatives
        rows : (b,) int64
            In range.
        seed, epoch : int
        names : collection of str
            The arrays wanted, of `PADDING`. Those that the strategy gives are the draw's own; the
            others say of each negative what they say in the table.

        Returns
        -------
        dict of (b, num_drawn) arrays
            Those of ``names`` that there are.
        """
        seed, epoch = check_seed(seed, "seed"), check_seed(epoch, "epoch")
        if self._request is None:
            return self._draw_uniformly(table, rows, seed, epoch, names)
        return self._draw_by_strategy(self._request, table, rows, seed, epoch, names)

    def _draw_uniformly(
        self, table: Negatives, rows: Int64, seed: int, epoch: int, names: Collection[str]
    ) -> Arrays:
        num_columns = table.indices.shape[1]
        present = {name: array for name in names if (array := getattr(table, name)) is not None}
        if self.num_drawn == num_columns:  # whole rows
            return {name: np.take(array, rows, axis=0) for name, array in present.items()}
        columns = _core.sample_columns(
            np.take(table.counts, rows),
            num_columns,
            np.take(table.query_ids, rows),
            self.num_drawn,
            seed,
            epoch,
        )
        return {name: pick(array, columns, PADDING[name], rows) for name, array in present.items()}

    def _draw_by_strategy(
        self,
        request: Request,
        table: Negatives,
        rows: Int64,
        seed: int,
        epoch: int,
        names: Collection[str],
    ) -> Arrays:
        request = replace(request, seed=seed, epoch=epoch)
        indices = np.take(table.indices, rows, axis=0)
        queries = _queries(request.limits, table, rows)
        searched = candidate_scores(np.take(table.scores, rows, axis=0), indices, True), indices
        threads = resolve_num_threads(None)
        keywords: dict[str, Any] = {
            **request.limit_arguments(),
            **queries.core_arguments(),
            "num_threads": threads,
        }
        found = choose(
            request,
            queries.ids,
            Setting(num_queries=len(rows), seed=seed, epoch=epoch, num_threads=threads),
            partial(_core.mine_candidates, *searched, **keywords),
            partial(_core.candidate_pools, *searched, **keywords),
        )
        drawn = {name: found[name] for name in names if found.get(name) is not None}
        left = {name: getattr(table, name) for name in names if name not in drawn}
        left = {name: array for name, array in left.items() if array is not None}
        if left:
            columns = _columns_of(indices, found["indices"])
            for name, array in left.items():
                drawn[name] = pick(array, columns, PADDING[name], rows)
        return drawn


def _queries(limits: Limits, table: Negatives, rows: Int64) -> Queries:
    """Return what there is one of per query. Ids may repeat: a batch may hold a query twice."""
    return Queries(
        count=len(rows),
        positives=None,
        exclude=None,
        self_rows=None,
        positive_scores=np.take(table.positive_scores, rows),
        max_score=limits.per_query("max_score", len(rows)),
        min_score=limits.per_query("min_score", len(rows)),
        ids=np.take(table.query_ids, rows),
    )


def _columns_of(indices: Int64, drawn: Int64) -> Int64:
    """Return in which column of ``indices`` each drawn row of the corpus stands, -1 for none."""
    columns = np.empty(drawn.shape, dtype=np.int64)
    block = max(1, _LOOKUP_ENTRIES // max(1, indices.shape[1] * drawn.shape[1]))
    for start in range(0, len(drawn), block):
        part = slice(start, start + block)
        same = indices[part, np.newaxis, :] == drawn[part, :, np.newaxis]
        columns[part] = np.where(drawn[part] >= 0, same.argmax(axis=2), -1)
    return columns
