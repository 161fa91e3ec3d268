# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by the date of each corpus row, or another value that must come before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nearmiss.limits import Limits
from nearmiss.strategies.base import Plan, Strategy, parameter, register
from nearmiss.strategies.corpus import Uniform
from nearmiss.strategies.pool import PickLaw
from nearmiss.strategies.rank import Random, Top


@register
@dataclass(frozen=True)
class ECtHRPCR(Strategy):
    """Cases decided before the query's: the nearest of them, or random ones.

    A case can only cite what there was, so ``corpus_values`` holds the date of each case and
    ``max_value`` that of each query; equal dates are not earlier. The limit acts inside the search:
    a query gets all it asks for if so many earlier cases exist. ``law="random"`` draws from all
    earlier cases, or from the rank window where ``range_max`` ends one. Which samplers the paper
    compares was not verified, so none of them is the default.
    """

    name: ClassVar[str] = "ecthr-pcr"
    paper: ClassVar[str] = (
        "ECtHR-PCR: A Dataset for Precedent Understanding and Prior Case Retrieval in the "
        "European Court of Human Rights"
    )
    picks: ClassVar[str] = "the nearest, or uniformly, of value < max_value of the query"
    inputs: ClassVar[tuple[str, ...]] = ("corpus_values",)
    example: ClassVar[str] = "ecthr-pcr:law=top"

    law: PickLaw = parameter("top or random")

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the plan of the law."""
        _require_dates(limits)
        return self._law(limits).plan(limits, num_negatives)

    def plan_candidates(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the plan of the law; candidates are near already."""
        _require_dates(limits)
        law = Top() if self.law == "top" else Random()
        return law.plan_candidates(limits, num_negatives)

    def _law(self, limits: Limits) -> Strategy:
        if self.law == "top":
            return Top()
        return Uniform() if limits.range_max is None else Random()


def _require_dates(limits: Limits) -> None:
    if limits.max_value is None:
        raise ValueError("strategy 'ecthr-pcr': needs max_value, the date of each query")
