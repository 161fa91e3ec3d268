# SPDX-License-Identifier: Apache-2.0
"""One adapter per peer. Each is a module with the functions of `Adapter`.

A job takes a problem and returns a function without arguments that does the timed work; what
the job prepares beforehand (an index, tensors, a data set) is outside the timing. Which jobs a
case runs is written in its row of ``cases.py``, as ``"adapter:job"``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from clusters import ClusterTask
from data import Vectors
from draws import DrawTask
from in_batch import InBatchTask
from limits import Limits


@dataclass(frozen=True)
class Task:
    """What is asked: k neighbours, or k negatives at a relative margin; with how many threads."""

    vectors: Vectors
    k: int
    threads: int
    relative_margin: float | None = None
    limits: Limits | None = None
    query_ids: npt.NDArray[np.int64] | None = None  # which queries these are; None: 0, 1, 2, …

    def take(self, queries: npt.NDArray[np.int64], threads: int) -> Task:
        """The same question for some of the queries, with other threads."""
        vectors, limits = self.vectors, self.limits
        positives = None if vectors.positives is None else vectors.positives[queries]
        return replace(
            self,
            vectors=replace(
                vectors, queries=vectors.queries[queries], positives=positives, groups=None
            ),
            threads=threads,
            limits=None if limits is None else limits.take(queries),
            query_ids=queries if self.query_ids is None else self.query_ids[queries],
        )


@dataclass(frozen=True)
class Answer:
    """Rows (n, k) int64, -1 where none was found, and their scores (n, k)."""

    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]

    def take(self, queries: npt.NDArray[np.int64]) -> Answer:
        """Those of some of the queries."""
        return Answer(self.scores[queries], self.rows[queries])


Job: TypeAlias = Callable[[Task], Callable[[], Any]]
DrawJob: TypeAlias = Callable[[DrawTask], Callable[[], Any]]
InBatchJob: TypeAlias = Callable[[InBatchTask], Callable[[], Any]]
# Returns the centres, or the rows chosen, (k, d); of clusters of equal size the labels, (n,).
ClusterJob: TypeAlias = Callable[[ClusterTask], Callable[[], Any]]


class Adapter(Protocol):
    """A peer. ``JOBS`` maps a job's name to what prepares it.

    An adapter with jobs of the suite ``sample`` has them in ``DRAWS``, a mapping to `DrawJob`; of
    the suite ``batches`` in ``PACKS``, a mapping to `PackJob` of packing.py; of the suite
    ``in-batch`` in ``MINERS``, a mapping to `InBatchJob`; of the suite ``kmeans`` in ``CLUSTERS``,
    a mapping to `ClusterJob`; of the suite ``collate`` in ``COLLATES``.
    """

    JOBS: Mapping[str, Job]

    def describe(self) -> dict[str, str]:
        """Version and build settings, for the record."""
        ...

    def set_threads(self, threads: int) -> None:
        """Limit the peer to so many threads."""
        ...

    def read(self, result: Any) -> Answer:
        """Bring a result of any of its jobs into the common form. Not timed."""
        ...


class Unavailable(Exception):
    """The peer is not installed; the message says what is missing."""


def load_adapter(name: str) -> Adapter:
    """Import an adapter, raising `Unavailable` when its package is missing."""
    try:
        return cast(Adapter, importlib.import_module(f"{__name__}.{name}"))
    except ImportError as error:
        raise Unavailable(f"{name}: {error}") from error
