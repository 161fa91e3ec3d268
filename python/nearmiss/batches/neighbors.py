# SPDX-License-Identifier: Apache-2.0
"""Batches of a row and some of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Int64, check_flag, check_integer, check_seed
from nearmiss.batches.base import (
    Batches,
    BatchPlan,
    Coverage,
    Stream,
    keys_of,
    num_batches_of,
    shuffled,
)
from nearmiss.batches.no_conflict import as_neighbors, pack


@dataclass(frozen=True, eq=False)
class Sample4Geo(BatchPlan):
    """Batches of rows with their nearest neighbours and some of their farther ones.

    Rows come in random order. Each one that has not been in a batch of the epoch goes into the
    current one, followed by its ``near`` first neighbours, then by ``far`` of the others, drawn
    uniformly without replacement. What is in a batch of the epoch already, or finds no room, is
    skipped; a full batch ends at once. So every row comes once an epoch. Without neighbours it is
    a plain shuffle.

    The paper first uses a table of geographic neighbours (`nearest_places`), later one of similar
    embeddings, made anew every four epochs (`with_neighbors`); that is
    ``nm.mine(queries, references, num_negatives=128, …).indices``, limits keeping out whatever is
    of the query's own label.

    Differences from the authors' code: their haversine search is given degrees where it expects
    radians, so that its neighbours are not the nearest; theirs cannot have row 0 as a neighbour.

    Parameters
    ----------
    neighbors : array-like of int of shape (n, k)
        Neighbours of each row, the nearest first, -1 for none. The authors use 128.
    batch_size : int, default 128
    near : int, default 32
        How many of the first neighbours follow a row.
    far : int, default 32
        How many of the other neighbours follow it. All defaults are those of the authors' code.
    drop_last : bool, default True
        Leave out the last batch where it is not full, as the authors do; its rows are then
        `Batches.unplaced`.
    seed : int, default 0

    Raises
    ------
    ValueError
        For neighbours that are not rows, naming the row.

    References
    ----------
    Deuser, Habel & Oswald, "Sample4Geo: Hard Negative Sampling For Cross-View Geo-Localisation",
    ICCV 2023.

    Examples
    --------
    >>> import nearmiss as nm
    >>> table = nm.batches.nearest_places([[0, 0], [50, 9], [0, 1], [50, 8]], 1)
    >>> plan = nm.batches.Sample4Geo(table, 2, near=1, far=0)
    >>> sorted(sorted(batch.tolist()) for batch in plan.batches(epoch=0))
    [[0, 2], [1, 3]]
    """

    paper: ClassVar[str] = "Deuser, Habel & Oswald, Sample4Geo, ICCV 2023"

    neighbors: Any = field(repr=False)
    batch_size: int = 128
    near: int = field(default=32, kw_only=True)
    far: int = field(default=32, kw_only=True)
    drop_last: bool = field(default=True, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    coverage: Coverage = field(default="all", init=False, repr=False)
    num_rows: int = field(init=False)

    def __post_init__(self) -> None:
        neighbors = as_neighbors(self.neighbors)
        check_integer(self.batch_size, "batch_size", 1)
        check_integer(self.near, "near", 0)
        check_integer(self.far, "far", 0)
        check_flag(self.drop_last, "drop_last")
        check_seed(self.seed, "seed")
        object.__setattr__(self, "neighbors", neighbors)
        object.__setattr__(self, "num_rows", len(neighbors))

    def __len__(self) -> int:
        return num_batches_of(self.num_rows, self.batch_size, self.drop_last)

    def with_neighbors(self, neighbors: npt.ArrayLike) -> Sample4Geo:
        """Return the same plan over another table of neighbours."""
        return replace(self, neighbors=neighbors)

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        order = shuffled(self.num_rows, self.seed, epoch)
        wanted = np.concatenate([self.neighbors[:, : self.near], self._draw_far(epoch)], axis=1)
        return pack(order, self.batch_size, len(self), wanted=np.ascontiguousarray(wanted))

    def _draw_far(self, epoch: int) -> Int64:
        """Draw ``far`` of each row's neighbours beyond the near ones, in random order."""
        others: Int64 = self.neighbors[:, self.near :]
        rows, columns = np.indices(others.shape).reshape(2, -1)
        keys = keys_of(rows, self.seed, epoch, Stream.FAR, columns + self.near)
        missing = others < 0  # they come last
        order = np.lexsort((keys.reshape(others.shape), missing), axis=1)[:, : self.far]
        drawn: Int64 = np.take_along_axis(others, order, axis=1)
        return drawn
