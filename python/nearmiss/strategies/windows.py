# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by a window of ranks: which part of the list is near but not too near.

Where a method's code cuts its list before it takes the positives out, so do these: their ranks are
raw (`Limits.range_mode`), and a query can fall short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float64, Int64
from nearmiss.limits import Limits
from nearmiss.strategies.bands import Band, Bands
from nearmiss.strategies.base import Plan, Strategy, parameter, register
from nearmiss.strategies.pool import (
    Bool,
    FilteredStrategy,
    PickLaw,
    Picks,
    Pool,
    PoolStrategy,
    draw_uniformly,
    first_columns,
)
from nearmiss.strategies.rank import Random, Top

_DRHARD = "Zhan et al., Optimizing Dense Retrieval Model Training with Hard Negatives, SIGIR 2021"
_SCINCL = (
    "Ostendorff et al., Neighborhood Contrastive Learning for Scientific Document "
    "Representations with Citation Embeddings, EMNLP 2022"
)


# --- uniform in a window --------------------------------------------------------------------------


@register
@dataclass(frozen=True)
class ANCE(Random):
    """Uniform draws from the nearest rows of an index that is refreshed now and then.

    The code searches ``pool`` rows, takes the positive out, shuffles and keeps the first few: 20
    for MS MARCO (the default number here), 100 for NQ and TriviaQA. It leaves out one positive of
    each query only; here all known ones are left out. Its switch for the nearest instead of a
    shuffle is `Top`. For the refresh, mine again with another ``epoch``.
    """

    name: ClassVar[str] = "ance"
    paper: ClassVar[str] = (
        "Xiong et al., Approximate Nearest Neighbor Negative Contrastive Learning for Dense Text "
        "Retrieval, ICLR 2021"
    )
    picks: ClassVar[str] = "uniformly from raw ranks r < pool"
    usual_count: ClassVar[int] = 20

    pool: int = parameter("nearest rows, positives included", 200, read_in="code", minimum=1)

    def limits(self) -> Limits:
        """Return the raw window."""
        return Limits(range_max=self.pool, range_mode="raw")


@register
@dataclass(frozen=True)
class STAR(FilteredStrategy):
    """Uniform draws from a static list: the first so many negatives of a longer search.

    The code searches ``depth`` rows, takes all positives out and keeps the first ``pool``; it stops
    with an error where fewer are left, while here a query draws from what there is. Training draws
    one of them at each step (the default number here; another ``epoch`` gives another).
    """

    name: ClassVar[str] = "star"
    paper: ClassVar[str] = _DRHARD
    picks: ClassVar[str] = "uniformly from the first pool negatives among raw ranks r < depth"
    law: ClassVar[PickLaw] = "random"
    usual_count: ClassVar[int] = 1

    depth: int = parameter("rows searched, positives included", 210, read_in="code", minimum=1)
    pool: int = parameter("negatives kept of them", 200, read_in="code", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool > self.depth:
            raise ValueError(f"star.pool: must be at most depth {self.depth}, got {self.pool}")

    @property
    def pool_size(self) -> int:
        """How many of the nearest rows it looks at."""
        return self.depth

    def limits(self) -> Limits:
        """Return the raw window."""
        return Limits(range_max=self.depth, range_mode="raw")

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window; no more can be drawn than are kept."""
        if num_negatives > self.pool:
            raise ValueError(
                f"num_negatives: {num_negatives}, but strategy 'star' keeps {self.pool}"
            )
        return super().plan(limits, num_negatives)

    def keep(self, pool: Pool) -> Bool:
        """Return the first rows that may be negatives."""
        first: Bool = np.cumsum(pool.admissible, axis=1) <= self.pool
        return first


@register
@dataclass(frozen=True)
class SciNCL(Random):
    """Uniform draws from a band of far ranks, well apart from the positives' band.

    The default is the band of the README's best run, two hard negatives from [3998, 4000) (two is
    the default number here), for neighbours in a citation graph of their corpus; the code's own
    default is [497, 500). Queries are rows of the corpus there and their own rank does not count:
    give ``exclude_self=True``. Positives, ranks [20, 25) there, do count in the authors' list; here
    ranks count the rows that may be negatives, or all, the query too, with ``range_mode="raw"``.

    The authors add three easy negatives for each query, at random beyond the band:
    ``nm.mine(…, strategy="uniform", range_min=4000, num_negatives=3)``.

    Their other ways are `SciNCLRange` and `SciNCLCentroids`.
    """

    name: ClassVar[str] = "scincl"
    paper: ClassVar[str] = _SCINCL
    picks: ClassVar[str] = "uniformly from ranks lo ≤ r < hi"
    example: ClassVar[str] = "scincl:lo=20,hi=60"
    usual_count: ClassVar[int] = 2

    lo: int = parameter("first rank", 3998, read_in="code, README", minimum=0)
    hi: int = parameter("rank after the last", 4000, read_in="code, README", minimum=1)

    def limits(self) -> Limits:
        """Return the band."""
        return Limits(range_min=self.lo, range_max=self.hi)


@register
@dataclass(frozen=True)
class SPN4CIR(Random):
    """Uniform draws from a band of very far ranks, among images ranked by similarity.

    The partners of synthetic triplets are drawn so: ranks 10,000 to 20,000 for FashionIQ (the
    default), to 15,000 for CIRR. The code ranks all images, the one itself included; give
    ``range_mode="raw"`` to count so. Its negative ``i2i_rank``, for partners from anywhere, is
    `Uniform`, and so are the negatives it draws from its bank of all targets.
    """

    name: ClassVar[str] = "spn4cir"
    paper: ClassVar[str] = (
        "Improving Composed Image Retrieval via Contrastive Learning with Scaling Positives and "
        "Negatives"
    )
    picks: ClassVar[str] = "uniformly from ranks i2i_rank ≤ r < i2i_rank_max"
    example: ClassVar[str] = "spn4cir:i2i_rank=20,i2i_rank_max=60"

    i2i_rank: int = parameter("first rank", 10_000, read_in="code, FashionIQ", minimum=0)
    i2i_rank_max: int = parameter(
        "rank after the last", 20_000, read_in="code, FashionIQ", minimum=1
    )

    def limits(self) -> Limits:
        """Return the band."""
        return Limits(range_min=self.i2i_rank, range_max=self.i2i_rank_max)


@register
@dataclass(frozen=True)
class KaLMV2(FilteredStrategy):
    """Uniform draws from a band of ranks, for queries whose positives rank well.

    A query whose best positive scores less than the row at raw rank ``filter_rank`` gets nothing
    (ranking-consistency filter): its annotation is doubtful. Equal scores pass, and so does a query
    that has no row at that rank, or no positive to compare.

    s⁺ is the highest of several positives, for the filter and for margins you set. The code fills
    short lists with random texts, positives not excepted; here they stay short. It keeps negatives
    that a data set brings and tops them up to 7 (the default number here).
    """

    name: ClassVar[str] = "kalm-v2"
    paper: ClassVar[str] = (
        "KaLM-Embedding-V2: Superior Training Techniques and Data Inspire A Versatile Embedding "
        "Model, 2025"
    )
    picks: ClassVar[str] = "uniformly from raw ranks lo ≤ r < hi, if max s⁺ ≥ s at filter_rank"
    inputs: ClassVar[tuple[str, ...]] = ("positives",)
    law: ClassVar[PickLaw] = "random"
    usual_count: ClassVar[int] = 7
    example: ClassVar[str] = "kalm-v2:lo=20,hi=60,filter_rank=20"

    lo: int = parameter("first rank", 50, read_in="code, script", minimum=0)
    hi: int = parameter("rank after the last", 100, read_in="code, script", minimum=1)
    filter_rank: int = parameter(
        "rank of the row no closer than the positive", 50, read_in="code, script", minimum=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lo <= self.filter_rank < self.hi:
            raise ValueError(
                f"kalm-v2.filter_rank: must be in the band [{self.lo}, {self.hi}), "
                f"got {self.filter_rank}"
            )

    @property
    def pool_size(self) -> int:
        """The width of the band."""
        return self.hi - self.lo

    def limits(self) -> Limits:
        """Return the raw band, and the best positive as the one to compare with."""
        return Limits(
            range_min=self.lo, range_max=self.hi, range_mode="raw", margin_reference="max"
        )

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window, which must hold the rank of the filter."""
        plan = super().plan(limits, num_negatives)
        end = plan.range_max
        if plan.range_min > self.filter_rank or (end is not None and end <= self.filter_rank):
            raise ValueError(
                f"strategy 'kalm-v2': the rank window [{plan.range_min}, {end}) leaves out "
                f"filter_rank {self.filter_rank}"
            )
        return plan

    def keep(self, pool: Pool) -> Bool:
        """Return all rows of consistent queries."""
        column = self.filter_rank - pool.first_rank
        if column >= pool.rows.shape[1]:
            return pool.present
        inconsistent = pool.references < pool.values[:, [column]]  # nan is never less
        return pool.present & ~inconsistent


# --- other laws in a window -----------------------------------------------------------------------


@register
@dataclass(frozen=True)
class CoderPP(Top):
    """Those of a term's nearest neighbours that name another concept.

    Groups are concepts: rows of the query's own are its hard positives, never negatives. The code's
    30 neighbours include the term itself, so ranks are raw. All negatives among them are taken
    unless a number is given; a term among its synonyms gets few.
    """

    name: ClassVar[str] = "coder-pp"
    paper: ClassVar[str] = (
        "Automatic Biomedical Term Clustering by Learning Fine-grained Term Representations "
        "(CODER++), BioNLP 2022"
    )
    picks: ClassVar[str] = "the nearest of raw ranks r < pool, of other groups than the query's"
    inputs: ClassVar[tuple[str, ...]] = ("query_groups",)

    pool: int = parameter("neighbours, the term included", 30, read_in="code", minimum=1)

    def count(self, num_negatives: int | None) -> int:
        """Return as many as there can be."""
        return self.pool if num_negatives is None else num_negatives

    def limits(self) -> Limits:
        """Return the raw window."""
        return Limits(range_max=self.pool, range_mode="raw")


@register
@dataclass(frozen=True)
class TripClick(PoolStrategy):
    """Uniform draws from a candidate list, after which positives are dropped.

    Numbers vary: of c positives among C candidates, ``num_negatives * (1 - c / C)`` draws remain
    on average, a hypergeometric number. Whatever else may not be a negative is dropped as well.
    The code draws up to 20 (the default number here) from a BM25 list, once for each clicked
    document. To drop first and get all, take `Random`.
    """

    name: ClassVar[str] = "tripclick"
    paper: ClassVar[str] = (
        "Hofstätter et al., Establishing Strong Baselines for TripClick Health Retrieval, ECIR 2022"
    )
    picks: ClassVar[str] = "num_negatives uniformly from raw ranks r < pool, less the inadmissible"
    example: ClassVar[str] = "tripclick:pool=100"
    usual_count: ClassVar[int] = 20

    pool: int = parameter("length of the candidate list, positives included", minimum=1)

    def limits(self) -> Limits:
        """Return the raw window."""
        return Limits(range_max=self.pool, range_mode="raw")

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Draw from all rows, then drop."""
        columns = draw_uniformly(pool, pool.present, num_negatives)
        allowed = np.take_along_axis(pool.admissible, np.maximum(columns, 0), axis=1)
        return Picks(np.where(allowed, columns, -1))


@register
@dataclass(frozen=True)
class ADORE(PoolStrategy):
    """The nearest rows under the current query encoder, weighted as LambdaRank weighs pairs.

    The weight of a negative at rank j (from 1, positives included) is ``|1/i - 1/j|``, summed over
    the query's positives at ranks i: how much swapping them would change the reciprocal rank. If
    none of the positives is in the list they follow it, at ranks K + 1, K + 2, and so on. A query
    without a positive has weights of nan. All of the list is taken unless a number is given; the
    code divides its loss by twice the number of pairs.

    With ``metric_cut``, reciprocal ranks beyond it count as 0, as in the code (whose README sets
    200). For one step of training, mine its queries against a packed `Corpus`.
    """

    name: ClassVar[str] = "adore"
    paper: ClassVar[str] = _DRHARD
    picks: ClassVar[str] = "the nearest of raw ranks r < pool; weights Σ |1/r⁺ − 1/r|"
    inputs: ClassVar[tuple[str, ...]] = ("positive_rows",)

    pool: int = parameter("length of the list, positives included", 200, read_in="code", minimum=1)
    metric_cut: int | None = parameter("last rank that counts", None, minimum=1)

    def count(self, num_negatives: int | None) -> int:
        """Return as many as there can be."""
        return self.pool if num_negatives is None else num_negatives

    def limits(self) -> Limits:
        """Return the raw window."""
        return Limits(range_max=self.pool, range_mode="raw")

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window, which must start where ranks do."""
        if limits.range_min > 0:
            raise ValueError(
                f"strategy 'adore': its ranks start at the nearest row, but range_min is "
                f"{limits.range_min}"
            )
        return super().plan(limits, num_negatives)

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Take the nearest, and weigh each against the positives."""
        columns = first_columns(pool.admissible, num_negatives)
        negatives = self._reciprocal(np.where(columns < 0, np.nan, columns + 1.0))
        positives = self._reciprocal(_ranks_of_positives(pool))
        weights = np.full(columns.shape, np.nan)
        for place in range(positives.shape[1]):
            change = np.abs(positives[:, [place]] - negatives)
            weights = np.where(np.isnan(change), weights, np.nan_to_num(weights) + change)
        return Picks(columns, weights=weights)

    def _reciprocal(self, ranks: Float64) -> Float64:
        reciprocal: Float64 = 1 / ranks
        if self.metric_cut is not None:
            reciprocal[ranks > self.metric_cut] = 0
        return reciprocal


def _ranks_of_positives(pool: Pool) -> Float64:
    """Return the ranks, from 1, of each query's positives that count, (b, most); nan padded."""
    assert pool.setting.positives is not None  # they are an input
    known = pool.setting.positives.lengths()[pool.queries]
    listed = pool.positives.sum(axis=1)
    numbers = np.where(listed > 0, listed, known)
    most = int(numbers.max(initial=0))
    columns = first_columns(pool.positives, most)
    after = pool.present.sum(axis=1)[:, None] + np.arange(most)
    ranks: Int64 = np.where(listed[:, None] > 0, columns, after) + 1
    return np.where(np.arange(most) < numbers[:, None], ranks, np.nan)


@register
@dataclass(frozen=True)
class Sample4Geo(Strategy):
    """The nearest rows and, as many, uniform draws from those behind them.

    Half of a query's places go to its ``near`` nearest, half to draws from ranks [near, reach).
    `Negatives.strata` tells them apart: 0 is near, 1 far. In the code a row of the query's own
    label is no neighbour: that is what groups are for. It never picks the row with id 0, by
    mistake; here all rows are alike.

    The neighbours may be geographic. The code feeds degrees to a function that takes radians, so
    its own tables are not the nearest places; points (cos lat cos lon, cos lat sin lon, sin lat)
    under ``metric="ip"`` are ranked as great-circle distances rank them. The batches that the
    method fills with these neighbours are not its part.
    """

    name: ClassVar[str] = "sample4geo"
    paper: ClassVar[str] = (
        "Deuser et al., Sample4Geo: Hard Negative Sampling For Cross-View Geo-Localisation, "
        "ICCV 2023"
    )
    picks: ClassVar[str] = "the near nearest, and far uniformly from ranks near ≤ r < reach"
    example: ClassVar[str] = "sample4geo:near=3,far=3,reach=40"

    near: int = parameter("nearest rows", 32, read_in="code", minimum=1)
    far: int = parameter("rows drawn behind them", 32, read_in="code", minimum=1)
    reach: int = parameter("rank after the last", 128, read_in="code", minimum=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.near + self.far > self.reach:
            raise ValueError(
                f"sample4geo.reach: must be at least near + far = {self.near + self.far}, "
                f"got {self.reach}"
            )

    @property
    def _bands(self) -> Bands:
        near = Band(0, self.near, self.near, "top")
        return Bands((near, Band(self.near, self.reach, self.far)))

    def count(self, num_negatives: int | None) -> int:
        """Return near + far; asking for another number is a contradiction."""
        return self._bands.count(num_negatives)

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the two bands."""
        return self._bands.plan(limits, num_negatives)


# --- the end of a list ----------------------------------------------------------------------------


@register
@dataclass(frozen=True)
class SciNCLRange(PoolStrategy):
    """The rows just above a similarity: the last of all that reach it.

    A query with fewer than ``num_negatives + spare`` rows at ``min_score`` or above gets nothing
    (the code then falls back to random rows: `Uniform`, for the queries that came out short). So
    does one with more than ``pool``, whose last ones cannot be told: take a larger pool. The code
    counts positives among the rows; here only rows that may be negatives count, or all under
    ``range_mode="raw"``. Its own row is the query's first, so give ``exclude_self=True``.
    """

    name: ClassVar[str] = "scincl-range"
    paper: ClassVar[str] = _SCINCL + " (its code)"
    picks: ClassVar[str] = "the farthest with s ≥ min_score"
    example: ClassVar[str] = "scincl-range:min_score=0.0,pool=200"

    min_score: float = parameter("the least a negative may score")
    pool: int = parameter("the most rows at min_score or above", minimum=1)
    spare: int = parameter("rows left over above those picked", 10, read_in="code", minimum=0)

    @property
    def pool_size(self) -> int:
        """One more than the pool, to see whether it is enough."""
        return self.pool + 1

    def limits(self) -> Limits:
        """Return the floor."""
        return Limits(min_score=self.min_score)

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window, with room for those picked and those to spare."""
        if num_negatives + self.spare > self.pool:
            raise ValueError(
                f"num_negatives: {num_negatives} and {self.spare} to spare do not fit in the "
                f"pool of strategy 'scincl-range', {self.pool} rows"
            )
        return super().plan(limits, num_negatives)

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Take the last columns."""
        above = pool.present & (pool.values >= self.min_score)
        number = above.sum(axis=1, keepdims=True)
        told = (number >= num_negatives + self.spare) & (number <= self.pool)
        from_the_end = first_columns((told & pool.admissible)[:, ::-1], num_negatives)
        last = pool.rows.shape[1] - 1
        return Picks(np.where(from_the_end < 0, -1, last - from_the_end))
