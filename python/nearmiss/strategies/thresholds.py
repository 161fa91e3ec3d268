# SPDX-License-Identifier: Apache-2.0
"""Strategies that keep what lies within thresholds that each pool sets itself.

A query of whose pool too little is kept comes out short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Float64
from nearmiss.limits import Limits
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Bool, FilteredStrategy, PickLaw, Pool


@register
@dataclass(frozen=True)
class ATSS(FilteredStrategy):
    """The nearest of the pool once those that stand out from it are taken for positives.

    Whatever scores at least mean + standard deviation of the pool is dropped: `mean_plus_sd` of
    `nearmiss.thresholds`, the sample's deviation (n - 1) as in the code of ATSS. Where all scores
    of a pool are equal, or it has a single row, all of it is dropped: the rule takes equality for
    a positive.
    """

    name: ClassVar[str] = "atss"
    paper: ClassVar[str] = (
        "Zhang et al., Bridging the Gap Between Anchor-based and Anchor-free Detection via "
        "Adaptive Training Sample Selection, CVPR 2020"
    )
    picks: ClassVar[str] = "the nearest with s < mean + sd of the pool"
    example: ClassVar[str] = "atss:pool=100"

    pool: int = parameter("nearest rows, of which mean and sd are taken", minimum=1)

    def keep(self, pool: Pool) -> Bool:
        """Keep what is below the threshold."""
        threshold = _core.mean_plus_sd(_scores(pool), 1.0, 1, pool.setting.num_threads)
        return pool.values < threshold[:, None]


@register
@dataclass(frozen=True)
class UNPG(FilteredStrategy):
    """The nearest of the pool that are no outliers of it, by the whiskers of its box plot.

    Keeps scores from q1 - w · (q3 - q1) to q3 + w · (q3 - q1), ends included, with the quartiles
    of the pool as UNPG's code takes them, without interpolation (`nearmiss.thresholds.whisker`).
    That code has w = 1.5 for its large set of faces, and 1.0 for a small one and as the default of
    its class. It filters all negative pairs of a batch together; here each query has its own pool.
    All-equal scores are all kept.
    """

    name: ClassVar[str] = "unpg"
    paper: ClassVar[str] = (
        "Jung et al., Unified Negative Pair Generation toward Well-discriminative Feature Space "
        "for Face Recognition, BMVC 2022"
    )
    picks: ClassVar[str] = "the nearest with q1 − w IQR ≤ s ≤ q3 + w IQR of the pool"
    example: ClassVar[str] = "unpg:pool=100"

    pool: int = parameter("nearest rows, of which quartiles are taken", minimum=1)
    w: float = parameter(
        "interquartile ranges beyond the box", 1.5, read_in="code, large set of faces", minimum=0
    )

    def keep(self, pool: Pool) -> Bool:
        """Keep what is between the whiskers' ends."""
        scores, threads = _scores(pool), pool.setting.num_threads
        lower = _core.whisker(scores, self.w, "lower", "inverted", threads)
        upper = _core.whisker(scores, self.w, "upper", "inverted", threads)
        return (pool.values >= lower[:, None]) & (pool.values <= upper[:, None])


@register
@dataclass(frozen=True)
class CAR(FilteredStrategy):
    """Uniform draws from a band of middling scores, which reaches down until it holds enough.

    The band is [lo, hi]. While it holds fewer than ``wanted`` rows of the pool, its lower end
    falls by ``step``, at most ``widenings`` times. The upper end never moves, so likely false
    negatives stay out: it is a ``max_score``, and the pool is the nearest rows below it.

    CAR measures the similarity to the correct answer, not to the question: mine with the
    positives' vectors for queries to do the same. Its pool is 50 random rows, and it drops
    questions for which it finds too few distractors: ``on_shortage="drop"``.
    """

    name: ClassVar[str] = "car"
    paper: ClassVar[str] = (
        "Wang et al., CAR: Conceptualization-Augmented Reasoner for Zero-Shot Commonsense "
        "Question Answering, Findings of EMNLP 2023"
    )
    picks: ClassVar[str] = "uniformly from lo ≤ s ≤ hi, lo lowered while fewer than wanted"
    example: ClassVar[str] = "car:pool=100"
    law: ClassVar[PickLaw] = "random"

    pool: int = parameter("nearest rows of score at most hi", minimum=1)
    lo: float = parameter("lower end of the band", 0.3, read_in="code")
    hi: float = parameter("upper end of the band", 0.4, read_in="code")
    step: float = parameter("how far the lower end falls", 0.05, read_in="code", minimum=0)
    widenings: int = parameter("how often at most", 10, read_in="code", maximum=1000)
    wanted: int = parameter("rows that are enough", 10, read_in="code", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lo <= self.hi:
            raise ValueError(f"car: lo must be at most hi, got {self.lo} and {self.hi}")

    def limits(self) -> Limits:
        """Return the upper end."""
        return Limits(max_score=self.hi)

    def keep(self, pool: Pool) -> Bool:
        """Keep what is above the lower end that each query needs."""
        ends = np.full((len(pool.rows), 1), self.lo)
        for times in range(1, self.widenings + 1):
            held = pool.admissible & (pool.values >= ends)
            short = held.sum(axis=1, keepdims=True) < self.wanted
            # Rounded to the decimals that are meant: 0.2, not 0.19999999999999998.
            ends = np.where(short, round(self.lo - times * self.step, 12), ends)
        return pool.values >= ends


def _scores(pool: Pool) -> Float64:
    return np.where(pool.admissible, pool.values, np.nan)
