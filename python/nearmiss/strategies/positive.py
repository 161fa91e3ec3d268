# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by how a row's score compares with the positive's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float64
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Pool, WeightedStrategy

_SIMANS = "Zhou et al., SimANS: Simple Ambiguous Negatives Sampling, EMNLP 2022"


@register
@dataclass(frozen=True)
class SimANS(WeightedStrategy):
    """Draws rows about as close as the positive: too near ones may be false, far ones are easy.

    The weight of a row is ``exp(-a * (s - s⁺ - b)**2)``, the paper's formula (its section 3).
    The authors' code has ``+ b`` in place of ``- b``: to follow a script of theirs, negate b.
    """

    name: ClassVar[str] = "simans"
    paper: ClassVar[str] = _SIMANS
    picks: ClassVar[str] = "p ∝ exp(−a (s − s⁺ − b)²)"
    inputs: ClassVar[tuple[str, ...]] = ("positives",)

    a: float = parameter("sharpness, per squared score", 0.5, read_in="code", minimum=0)
    b: float = parameter("where the peak lies above s⁺", 0.0, read_in="code")
    pool: int = parameter("nearest rows drawn from", 200, read_in="code, MS MARCO", minimum=1)

    def log_weights(self, pool: Pool) -> Float64:
        """Return -a (s - s⁺ - b)²."""
        distance = pool.values - pool.references - self.b
        return -self.a * (distance * distance)


@register
@dataclass(frozen=True)
class SimANSLaplace(WeightedStrategy):
    """Draws rows about as close as the positive, with the heavier tails of a Laplace law.

    The form that the authors' code has for MS MARCO passages in place of `SimANS`.
    """

    name: ClassVar[str] = "simans-laplace"
    paper: ClassVar[str] = _SIMANS + " (its code)"
    picks: ClassVar[str] = "p ∝ exp(−τ |s − s⁺|)"
    inputs: ClassVar[tuple[str, ...]] = ("positives",)

    tau: float = parameter("sharpness", 3.0, read_in="code, MS MARCO passages", minimum=0)
    pool: int = parameter("nearest rows drawn from", 200, read_in="code, MS MARCO", minimum=1)

    def log_weights(self, pool: Pool) -> Float64:
        """Return -τ |s - s⁺|."""
        return -self.tau * np.abs(pool.values - pool.references)
