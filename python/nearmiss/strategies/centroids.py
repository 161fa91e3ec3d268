# SPDX-License-Identifier: Apache-2.0
"""Strategies that pick clusters, and then a member of each.

The clusters are the groups of the corpus; a query's own is its group.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Float32, Int64, as_matrix
from nearmiss.corpus import Corpus
from nearmiss.limits import LAST_RANK, Limits
from nearmiss.strategies.base import Plan, Strategy, parameter, register
from nearmiss.strategies.pool import Setting, first_columns

_QUERIES_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class ClusterStrategy(Strategy):
    """A strategy that picks clusters for each query; a random member of each is its negative."""

    inputs: ClassVar[tuple[str, ...]] = ("query_groups", "vectors")

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the law by which clusters give one member each."""
        if limits.within_groups:
            raise ValueError(
                f"within_groups: strategy {self.name!r} picks from other clusters than the query's"
            )
        if limits.range_min or limits.range_max is not None:
            name = "range_min" if limits.range_min else "range_max"
            raise ValueError(f"{name}: strategy {self.name!r} ranks clusters, not rows")
        return Plan("members", 0, None)

    @abstractmethod
    def clusters(self, setting: Setting, query_ids: Int64, num_negatives: int) -> Int64:
        """Return different clusters for each query, (n, num_negatives), padded with -1."""


@register
@dataclass(frozen=True)
class SciNCLCentroids(ClusterStrategy):
    """A random member of each of several random clusters from a band of ranks of centroids.

    Clusters are ranked by the similarity of their centroid to that of the query's own cluster;
    ``num_negatives`` of those at ranks [lo, hi) are drawn, and a member of each that may be a
    negative. The groups are the clusters: give the labels of a `KMeans` as ``query_groups`` and
    ``corpus_groups``. A centroid is the mean of its members (under ``"cosine"`` of their
    directions).

    The authors rank the query's own cluster too, which comes first; here rank 0 is the nearest
    other cluster, so their band [k_min, k_max) is [k_min - 1, k_max - 1). A cluster all of whose
    members are ruled out gives nothing, and a query of no known cluster gets nothing.
    """

    name: ClassVar[str] = "scincl-centroids"
    paper: ClassVar[str] = (
        "Ostendorff et al., Neighborhood Contrastive Learning for Scientific Document "
        "Representations with Citation Embeddings, EMNLP 2022 (its code)"
    )
    picks: ClassVar[str] = (
        "uniformly one of each of k clusters, uniform from centroid ranks lo ≤ r < hi"
    )
    example: ClassVar[str] = "scincl-centroids:lo=0,hi=4"

    lo: int = parameter("first rank", minimum=0)
    hi: int = parameter("rank after the last", minimum=1, maximum=LAST_RANK - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lo >= self.hi:
            raise ValueError(f"{self.name}.lo: must be below hi {self.hi}, got {self.lo}")

    def count(self, num_negatives: int | None) -> int:
        """Return how many clusters, which must fit in the band; by default 3, or all if fewer."""
        width = self.hi - self.lo
        if num_negatives is None:
            return min(self.usual_count, width)
        if num_negatives > width:
            raise ValueError(
                f"num_negatives: {num_negatives} do not fit in the band [{self.lo}, {self.hi}) of "
                f"strategy {self.name!r}"
            )
        return num_negatives

    def clusters(self, setting: Setting, query_ids: Int64, num_negatives: int) -> Int64:
        """Draw from the band without replacement."""
        assert setting.query_groups is not None  # both are inputs
        bands = self._bands(setting)
        drawn = np.full((setting.num_queries, num_negatives), -1, dtype=np.int64)
        known = (setting.query_groups >= 0) & (setting.query_groups < len(bands))
        for begin in range(0, setting.num_queries, _QUERIES_AT_ONCE):
            block = begin + np.flatnonzero(known[begin : begin + _QUERIES_AT_ONCE])
            band = bands[setting.query_groups[block]]
            columns, _, _ = _core.sample_weighted(
                np.zeros(band.shape),
                band,
                num_negatives,
                query_ids[block],
                setting.seed,
                setting.epoch,
                False,
                setting.num_threads,
            )
            places = np.take_along_axis(band, np.maximum(columns, 0), axis=1)
            drawn[block] = np.where(columns < 0, -1, places)
        return drawn

    def _bands(self, setting: Setting) -> Int64:
        """Return the clusters in the band of each cluster, (number of clusters, hi - lo)."""
        assert setting.metric is not None
        centroids = _centroids(setting)
        number = len(centroids)
        bands = np.full((number, self.hi - self.lo), -1, dtype=np.int64)
        if number <= self.lo + 1:
            return bands
        matrix = as_matrix(centroids, "centroids")
        packed = Corpus._of_matrix(matrix, setting.metric, None, setting.num_threads, "auto")
        _, order, _ = _core.topk(
            matrix.rows,
            matrix.element_type,
            packed._core,
            min(self.hi + 1, number),
            num_threads=setting.num_threads,
        )
        others = first_columns(order != np.arange(number)[:, None], min(self.hi, number - 1))
        band = np.take_along_axis(order, others, axis=1)[:, self.lo :]
        bands[:, : band.shape[1]] = band
        return bands


def _centroids(setting: Setting) -> Float32:
    """Return the means of the groups' rows, (number of groups, d)."""
    matrix, groups = setting.vectors, setting.corpus_groups
    assert groups is not None
    number = int(groups.max(initial=-1)) + 1
    if number == 0:
        return np.empty((0, matrix.rows.shape[1]), dtype=np.float32)
    measure = "cosine" if setting.metric == "cosine" else "l2"
    points = _core.Points(matrix.rows, matrix.element_type, measure, None, setting.num_threads)
    labels = np.where(groups < 0, number, groups).astype(np.int32)
    sums, weights = points.sum_clusters(labels, number + 1, setting.num_threads)
    means: Float32 = (sums[:number] / weights[:number, None]).astype(np.float32)
    if setting.metric == "cosine" and not means.any(axis=1).all():
        cluster = int((~means.any(axis=1)).argmax())
        raise ValueError(
            f"corpus_groups: the directions of group number {cluster} have a mean of zero, which "
            "has no cosine"
        )
    return means
