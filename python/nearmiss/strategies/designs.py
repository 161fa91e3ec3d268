# SPDX-License-Identifier: Apache-2.0
"""Sampling designs of fixed size: each row's chance to be drawn is known exactly.

`Negatives.log_probs` then holds the logarithm of that inclusion probability π. A sum over the pool
is estimated without bias by value / π over the negatives (Horvitz & Thompson 1952).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Float64, Int64
from nearmiss.designs import (
    conditional_poisson,
    conditional_poisson_inclusion,
    inclusion_probabilities,
)
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Picks, Pool, PoolStrategy, exp, log

_LOWEST = -1e300


@register
@dataclass(frozen=True)
class ConditionalPoisson(PoolStrategy):
    """Exactly so many of the pool, a set with probability ∝ the product of its rows' odds.

    With p the softmax of the pool's scores, a row's odds are p / (1 - p): each row is drawn
    independently with probability p, given that ``num_negatives`` of them are. Of all designs with
    the same inclusion probabilities it is the most random (conditional Poisson sampling).

    Notes
    -----
    `Negatives.log_probs` holds the logarithm of each negative's inclusion probability. The paper
    samples beams of a decoder whose probabilities need no temperature; 1 changes nothing. Its
    code clips probabilities near 1, or means to; here the odds of a row with p = 1 are infinite
    and it is always drawn. Its optional cut to a nucleus is not part of this. A pool with no more
    rows than asked for is returned whole, each with π = 1. Positives play no part. See
    `nearmiss.sampling.conditional_poisson`.
    """

    name: ClassVar[str] = "conditional-poisson"
    paper: ClassVar[str] = "Meister et al., Conditional Poisson Stochastic Beam Search, EMNLP 2021"
    picks: ClassVar[str] = "sets with p ∝ ∏ pᵢ / (1 − pᵢ), p = softmax(s / temperature)"
    example: ClassVar[str] = "conditional-poisson:pool=100"

    pool: int = parameter("nearest rows drawn from", minimum=1)
    temperature: float = parameter("of the softmax", 1.0, above=0)

    def log_odds(self, pool: Pool) -> Float64:
        """Return log(p / (1 - p)), (b, p); -inf where there is no admissible row."""
        values = np.where(pool.admissible, pool.values, _LOWEST)
        with np.errstate(over="ignore"):
            logs = (values - values.max(axis=1, initial=_LOWEST, keepdims=True)) / self.temperature
        logs = np.maximum(logs, _LOWEST)  # rows may be hopeless, but they are there
        masses = np.where(pool.admissible, exp(logs), 0.0)
        log_odds: Float64 = logs - log(_sums_of_others(masses))
        return np.where(pool.admissible, log_odds, -np.inf)

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Draw a set of fixed size."""
        log_odds = self.log_odds(pool)
        sizes = np.minimum(pool.admissible.sum(axis=1, dtype=np.int64), num_negatives)
        setting = pool.setting
        drawn = conditional_poisson(
            log_odds,
            sizes,
            setting.seed,
            epoch=setting.epoch,
            query_ids=pool.query_ids,
            num_threads=setting.num_threads,
        ).indices
        inclusion = conditional_poisson_inclusion(log_odds, sizes, num_threads=setting.num_threads)
        return _picks(drawn, inclusion, num_negatives)


@register
@dataclass(frozen=True)
class Leverage(PoolStrategy):
    """Rows of the pool that stand out, spread over the space: local pivotal by leverage scores.

    The leverage of a row is aᵢᵀ (AᵀA)⁺ aᵢ, A being the vectors of its pool: near 1 if no other row
    of the pool points where it does, 1/c for one of c copies. Inclusion probabilities are
    min(1, c · leverage), with c such that ``num_negatives`` are drawn; rows near to each other are
    seldom drawn together.

    Notes
    -----
    `Negatives.log_probs` holds the logarithm of each negative's inclusion probability. The paper,
    on active learning, lets rows compete along a binary tree; here each fights its nearest
    neighbour, by Euclidean distance (see `nearmiss.sampling.local_pivotal`). Vectors are taken as
    they are, whatever the metric. A pool of no more rows than dimensions whose vectors are
    independent has equal leverage throughout: then only the spread is left, so pools should be
    larger than that. Vectors of zeros are never drawn; scores and positives play no part.
    """

    name: ClassVar[str] = "leverage"
    paper: ClassVar[str] = (
        "Shimizu et al., Improved Active Learning via Dependent Leverage Score Sampling, 2024"
    )
    picks: ClassVar[str] = "spread over the pool, π = min(1, c · leverage)"
    inputs: ClassVar[tuple[str, ...]] = ("vectors",)
    example: ClassVar[str] = "leverage:pool=100"

    pool: int = parameter("nearest rows drawn from", minimum=1)

    def choose(self, pool: Pool, num_negatives: int) -> Picks:
        """Draw a set of fixed size."""
        if not pool.admissible.any():
            none = np.zeros((len(pool.rows), 0), dtype=np.int64)
            return _picks(none, np.zeros(pool.rows.shape), num_negatives)
        setting = pool.setting
        threads = setting.num_threads
        matrix = setting.vectors
        known, inverse = np.unique(pool.rows[pool.admissible], return_inverse=True)
        vectors = matrix.rows[known]
        places = np.full(pool.rows.shape, -1, dtype=np.int64)
        places[pool.admissible] = inverse
        leverage = _core.leverage_scores(vectors, matrix.element_type, places, threads)
        sizes = np.minimum((leverage > 0).sum(axis=1, dtype=np.int64), num_negatives)
        inclusion = inclusion_probabilities(leverage, sizes, num_threads=threads)
        drawn = _core.local_pivotal(
            inclusion,
            vectors,
            matrix.element_type,
            places,
            pool.query_ids,
            setting.seed,
            setting.epoch,
            threads,
        )
        return _picks(drawn, inclusion, num_negatives)


def _sums_of_others(values: Float64) -> Float64:
    """Return for each entry the sum of the others in its row, of which nothing is subtracted."""
    none = np.zeros((len(values), 1))
    before = np.cumsum(np.concatenate([none, values], axis=1), axis=1)[:, :-1]
    after = np.cumsum(np.concatenate([none, values[:, ::-1]], axis=1), axis=1)[:, -2::-1]
    sums: Float64 = before + after
    return sums


def _picks(drawn: Int64, inclusion: Float64, num_negatives: int) -> Picks:
    """Return the drawn columns, as many as asked for, with their inclusion probabilities."""
    columns = np.full((len(drawn), num_negatives), -1, dtype=np.int64)
    columns[:, : drawn.shape[1]] = drawn
    chances = np.full(columns.shape, np.nan)
    filled = columns >= 0
    query, _ = np.nonzero(filled)
    chances[filled] = inclusion[query, columns[filled]]
    return Picks(columns, log(chances))
