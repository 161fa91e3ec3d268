# SPDX-License-Identifier: Apache-2.0
"""One refresh: what a ``mine`` function is told, and what is asked of its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nearmiss.negatives import Negatives


@dataclass(frozen=True)
class Refresh:
    """Which table is to be mined; the second argument of a ``mine`` function.

    A table should be a function of the snapshot and this, so that it can be made again.

    Attributes
    ----------
    generation : int
        The number of the table, from 1; also a good ``epoch`` for `mine`, which varies the draws.
    step : int
        The training step of the snapshot; 0 before training. `Curriculum.at` takes it.
    epoch : int
        The training epoch of the snapshot.
    previous_path : str or None
        The file of the table in use, None for the first one.
    """

    generation: int
    step: int
    epoch: int
    previous_path: str | None = None

    def previous(self) -> Negatives | None:
        """Map the table in use, which `teleport` takes; None if this is the first."""
        return None if self.previous_path is None else Negatives.load(self.previous_path)


Mine: TypeAlias = Callable[[Any, Refresh], Negatives]


def mine_table(mine: Mine, snapshot: Any, refresh: Refresh) -> Negatives:
    """Call ``mine`` and make sure that training can go on with what it returns.

    Raises
    ------
    TypeError
        If that is no `Negatives`.
    ValueError
        If it lacks queries that the table in use has, or is narrower: the next batch could fail.
    """
    table = mine(snapshot, refresh)
    if not isinstance(table, Negatives):
        raise TypeError(f"mine: expected it to return Negatives, got a {type(table).__name__}")
    previous = refresh.previous()
    if previous is not None:
        gone = np.setdiff1d(previous.query_ids, table.query_ids)
        if len(gone):
            raise ValueError(
                f"mine: its table lacks {len(gone)} queries of the one in use, "
                f"the first has id {gone[0]}"
            )
        width, before = table.indices.shape[1], previous.indices.shape[1]
        if width < before:
            raise ValueError(f"mine: its table has {width} columns, the one in use has {before}")
    return table
