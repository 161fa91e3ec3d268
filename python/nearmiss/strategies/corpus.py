# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw from the whole admissible corpus, near or far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nearmiss.limits import Limits
from nearmiss.strategies.base import Plan, Strategy, register


@register
@dataclass(frozen=True)
class Uniform(Strategy):
    """Uniform draws without replacement from every admissible row, from ``range_min`` on."""

    name: ClassVar[str] = "uniform"
    picks: ClassVar[str] = "uniformly from every row that may be a negative"

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return a window without end; one with an end is a contradiction."""
        if limits.range_max is not None:
            raise ValueError(
                "strategy 'uniform': draws from the whole admissible corpus, so range_max "
                "does not apply; 'random' draws from a rank window"
            )
        return Plan("uniform", limits.range_min, None)

    def plan_candidates(self, limits: Limits, num_negatives: int) -> Plan:
        """Refuse: candidates are not the whole corpus."""
        raise ValueError(
            "strategy 'uniform': draws from the whole corpus, which mine_candidates does not "
            "see; 'random' draws from the candidates"
        )
