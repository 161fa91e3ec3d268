# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw from the softmax of a pool once its unlikely rows are cut off.

Probabilities are those of ``softmax(s / temperature)`` over the admissible rows of the pool.
Equality is kept; the likeliest row always stays. A query with fewer rows left than it asks for
comes out short. The rules are those of `nearmiss.truncation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Float64
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Pool, WeightedStrategy

_SMALLEST = 1e-200  # any float32 divided by it is a finite float64
_HEWITT = "Hewitt et al., Truncation Sampling as Language Model Desmoothing, Findings of EMNLP 2022"


@dataclass(frozen=True)
class _Truncated(WeightedStrategy):
    """Draws by ``exp(s / temperature)`` among the rows that a rule keeps."""

    rule: ClassVar[str]
    limit: ClassVar[str]  # the name of the rule's parameter

    pool: int = parameter("nearest rows drawn from", minimum=1)
    temperature: float = parameter("scores are divided by it", minimum=_SMALLEST)

    def log_weights(self, pool: Pool) -> Float64:
        """Return s / temperature, -inf for what is cut."""
        scores = np.where(pool.admissible, pool.values / self.temperature, -np.inf)
        limit: float = getattr(self, self.limit)
        return _core.truncate(scores, False, self.rule, limit, 1, pool.setting.num_threads)


@register
@dataclass(frozen=True)
class MinP(_Truncated):
    """Draws among the rows that are not much less likely than the likeliest.

    In scores, a band below the best one: s ≥ max s + temperature · ln(min_p). The paper uses
    ``min_p`` of 0.05 to 0.1. All-equal scores are all kept.
    """

    name: ClassVar[str] = "min-p"
    paper: ClassVar[str] = (
        "Nguyen et al., Min P Sampling: Balancing Creativity and Coherence at High Temperature, "
        "2024"
    )
    picks: ClassVar[str] = "p ∝ exp(s / T) where p ≥ min_p · max p"
    example: ClassVar[str] = "min-p:pool=100,temperature=0.2,min_p=0.1"
    rule: ClassVar[str] = "min_p"
    limit: ClassVar[str] = "min_p"

    min_p: float = parameter("share of the greatest probability", minimum=0, maximum=1)


@register
@dataclass(frozen=True)
class TopP(_Truncated):
    """Draws among the fewest rows that are together likely enough, nearest first.

    Ties are taken in the order of the pool: the lower row first.
    """

    name: ClassVar[str] = "top-p"
    paper: ClassVar[str] = (
        "Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020"
    )
    picks: ClassVar[str] = "p ∝ exp(s / T) in the smallest set of probability ≥ top_p"
    example: ClassVar[str] = "top-p:pool=100,temperature=0.2,top_p=0.9"
    rule: ClassVar[str] = "top_p"
    limit: ClassVar[str] = "top_p"

    top_p: float = parameter("probability of what is kept, together", minimum=0, maximum=1)


@register
@dataclass(frozen=True)
class Epsilon(_Truncated):
    """Draws among the rows of a probability of at least ``epsilon``.

    Where no row is that likely, as among many of the same score, the first of the likeliest is
    all there is.
    """

    name: ClassVar[str] = "epsilon"
    paper: ClassVar[str] = _HEWITT
    picks: ClassVar[str] = "p ∝ exp(s / T) where p ≥ ε"
    example: ClassVar[str] = "epsilon:pool=100,temperature=0.2,epsilon=0.002"
    rule: ClassVar[str] = "epsilon"
    limit: ClassVar[str] = "epsilon"

    epsilon: float = parameter("least probability", minimum=0, maximum=1)


@register
@dataclass(frozen=True)
class Eta(_Truncated):
    """Draws among rows of enough probability, less being enough the flatter the pool.

    H is the entropy of the pool's softmax in nats. All-equal scores are all kept.
    """

    name: ClassVar[str] = "eta"
    paper: ClassVar[str] = _HEWITT
    picks: ClassVar[str] = "p ∝ exp(s / T) where p ≥ min(ε, √ε · exp(−H))"
    example: ClassVar[str] = "eta:pool=100,temperature=0.2,epsilon=0.002"
    rule: ClassVar[str] = "eta"
    limit: ClassVar[str] = "epsilon"

    epsilon: float = parameter("least probability in a pointed pool", minimum=0, maximum=1)
