# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by a power, an exponential or the rank of the score alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float64
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Pool, WeightedStrategy, log

_KIRSCH = (
    "Kirsch et al., Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning, "
    "TMLR 2023"
)
_LARGEST = 1e200  # times any float32 still a finite float64


@dataclass(frozen=True)
class _Stochastic(WeightedStrategy):
    """Draws that grow with the score: ``beta`` 0 is uniform, a large one takes the nearest."""

    pool: int = parameter("nearest rows drawn from", minimum=1)
    beta: float = parameter(
        "sharpness, 0 for uniform draws", 1.0, read_in="paper", minimum=0, maximum=_LARGEST
    )


@register
@dataclass(frozen=True)
class Power(_Stochastic):
    """Draws in proportion to a power of the score: hard, but diverse.

    Scores have to be positive: rows with a score of 0 or less are never drawn, and a query that
    has too few others comes out short. (The code of baal then turns to uniform draws without
    saying so.) Under ``"l2"`` no score is positive, so that metric is refused, and
    `mine_candidates` finds nothing among distances.
    """

    name: ClassVar[str] = "power"
    paper: ClassVar[str] = _KIRSCH
    picks: ClassVar[str] = "p ∝ s^β, s > 0"
    metrics: ClassVar[tuple[str, ...]] = ("cosine", "ip")
    example: ClassVar[str] = "power:pool=100"

    def log_weights(self, pool: Pool) -> Float64:
        """Return β ln s."""
        positive = pool.values > 0
        logarithms = log(np.where(positive, pool.values, 1.0))
        return np.where(positive, self.beta * logarithms, -np.inf)


@register
@dataclass(frozen=True)
class Softmax(_Stochastic):
    """Draws from the softmax of the scores: hard, but diverse.

    The law of several methods. MC-PO draws a rejected answer so by its reward; Q-Probe draws with
    a temperature T = 1 / beta; the weights that Robinson et al. give negatives in the loss
    (beta / t here, t the temperature of their loss, which their code divides scores by first)
    are those of draws by this law.
    """

    name: ClassVar[str] = "softmax"
    paper: ClassVar[str] = (
        _KIRSCH + "; Preference Optimization via Contrastive Divergence (MC-PO); Li et al., "
        "Q-Probe: A Lightweight Approach to Reward Maximization for Language Models, ICML 2024; "
        "Robinson et al., Contrastive Learning with Hard Negative Samples, ICLR 2021"
    )
    picks: ClassVar[str] = "p ∝ exp(β s)"
    example: ClassVar[str] = "softmax:pool=100"

    def log_weights(self, pool: Pool) -> Float64:
        """Return β s."""
        return self.beta * pool.values


@register
@dataclass(frozen=True)
class Softrank(_Stochastic):
    """Draws by rank alone, whatever the scale of the scores.

    Ranks count the admissible rows of the pool from 1; rows of the same score share the mean of
    their ranks, as in the code of baal.
    """

    name: ClassVar[str] = "softrank"
    paper: ClassVar[str] = _KIRSCH
    picks: ClassVar[str] = "p ∝ rank^−β, ranks from 1, ties share their mean"
    example: ClassVar[str] = "softrank:pool=100"

    def log_weights(self, pool: Pool) -> Float64:
        """Return -β ln rank."""
        return -self.beta * log(_mean_ranks(pool))


def _mean_ranks(pool: Pool) -> Float64:
    """Return the ranks of admissible rows among themselves, from 1; of equal ones the mean."""
    counts = np.cumsum(pool.admissible, axis=1)
    fresh = np.ones(pool.rows.shape, dtype=np.bool_)
    fresh[:, 1:] = pool.scores[:, 1:] != pool.scores[:, :-1]
    last_of_run = np.ones_like(fresh)
    last_of_run[:, :-1] = fresh[:, 1:]
    first = np.maximum.accumulate(np.where(fresh, counts - pool.admissible + 1, 0), axis=1)
    ends = np.where(last_of_run, counts, pool.rows.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    # Runs without an admissible row have no ranks; any positive number will do.
    ranks: Float64 = np.maximum(first + last, 2) / 2.0
    return ranks
