# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by rank: the nearest, or a random choice among the near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nearmiss.limits import Limits
from nearmiss.strategies.base import Plan, Strategy, register


@register
@dataclass(frozen=True)
class Top(Strategy):
    """The nearest admissible rows of the rank window.

    The window ends at ``range_max``, or ``range_min + num_negatives`` without one.
    """

    name: ClassVar[str] = "top"
    picks: ClassVar[str] = "the nearest of the rank window"

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window, just large enough if its end is open."""
        end = limits.range_max
        return Plan(
            "top", limits.range_min, limits.range_min + num_negatives if end is None else end
        )


@register
@dataclass(frozen=True)
class Random(Strategy):
    """Uniform draws without replacement among the near: the rank window, or below a ceiling.

    Needs ``range_max`` or ``max_score`` where it searches a corpus: near has to mean something.
    """

    name: ClassVar[str] = "random"
    picks: ClassVar[str] = "uniformly from the rank window, or from all below max_score"

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window; one without end is drawn from without a search."""
        if limits.range_max is not None:
            return Plan("random", limits.range_min, limits.range_max)
        if limits.max_score is None:
            raise ValueError(
                "strategy 'random': needs range_max or max_score, to say how near; "
                "'uniform' draws from the whole admissible corpus"
            )
        return Plan("uniform", limits.range_min, None)

    def plan_candidates(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window; the candidates themselves are near enough without one."""
        return Plan("random", limits.range_min, limits.range_max)
