# SPDX-License-Identifier: Apache-2.0
"""The nearest rows that pass a cut-off: the methods NV-Retriever compares.

Each is `Top` under one more limit, so cut-offs act inside the search and are closed: a row exactly
at one is kept. Together with the user's own limits the strictest wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nearmiss.limits import Limits
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.rank import Top

_NV_RETRIEVER = (
    "NV-Retriever: Improving text embedding models with effective hard-negative mining, 2024"
)


@register
@dataclass(frozen=True)
class TopKAbs(Top):
    """The nearest rows that score at most a fixed number: what is closer may be a positive.

    Reported to work best at 0.7 (cosine of the paper's teacher; not verified), hence no default.
    The same for all queries, with a positive or without.

    References
    ----------
    NV-Retriever, 2024, "TopK-Abs".
    """

    name: ClassVar[str] = "topk-abs"
    paper: ClassVar[str] = _NV_RETRIEVER
    picks: ClassVar[str] = "the nearest with s ≤ max_score"
    example: ClassVar[str] = "topk-abs:max_score=0.7"

    max_score: float = parameter("the most a negative may score")

    def limits(self) -> Limits:
        """Return the ceiling."""
        return Limits(max_score=self.max_score)


@register
@dataclass(frozen=True)
class TopKMarginPos(Top):
    """The nearest rows that score less than the positive by a margin.

    With several positives s⁺ is the lowest, unless ``margin_reference`` says otherwise. A query
    without a positive has no margin: its nearest rows are taken. The margin reported to work best
    is 0.05 (not verified), hence no default. NeMo's miner calls this the ``"abs"`` margin.

    References
    ----------
    NV-Retriever, 2024, "TopK-MarginPos".
    """

    name: ClassVar[str] = "topk-margin-pos"
    paper: ClassVar[str] = _NV_RETRIEVER
    picks: ClassVar[str] = "the nearest with s ≤ s⁺ − margin"
    inputs: ClassVar[tuple[str, ...]] = ("positives",)
    example: ClassVar[str] = "topk-margin-pos:margin=0.05"

    margin: float = parameter("how far below s⁺ a negative stays", minimum=0)

    def limits(self) -> Limits:
        """Return the margin."""
        return Limits(absolute_margin=self.margin)


@register
@dataclass(frozen=True)
class TopKPercPos(Top):
    """The nearest rows that score at most a fraction of the positive: NV-Retriever's best.

    The threshold is ``s⁺ - (1 - fraction) |s⁺|``: the fraction of a score above 0, and still below
    the positive where it is negative. NeMo's miner multiplies by the fraction whatever the sign,
    which lets rows pass that are closer than a positive of negative score; LG-ANNA's report has the
    inequality the wrong way round. Under ``"l2"``, whose scores are negative distances, it asks
    for distances of at least ``2 - fraction`` times the positive's.

    With several positives s⁺ is the lowest, as in NeMo, unless ``margin_reference`` says otherwise.
    A query without a positive has no threshold: its nearest rows are taken.

    LG-ANNA is this filter over a list fused of several: merge with
    ``nm.Candidates.merge(lists, how="rrf")``, put one model's scores in place of the fused ranks
    with ``rescored``, and give the result to `mine_candidates`.

    References
    ----------
    NV-Retriever, 2024, "TopK-PercPos"; LG-ANNA-Embedding technical report.
    """

    name: ClassVar[str] = "topk-perc-pos"
    paper: ClassVar[str] = _NV_RETRIEVER + "; LG-ANNA-Embedding technical report"
    picks: ClassVar[str] = "the nearest with s ≤ s⁺ − (1 − fraction) |s⁺|"
    inputs: ClassVar[tuple[str, ...]] = ("positives",)

    fraction: float = parameter(
        "of s⁺ that a negative may reach", 0.95, read_in="code, NeMo", above=0, maximum=1
    )

    def limits(self) -> Limits:
        """Return the relative margin; rounded, so that 0.95 means the margin 0.05."""
        return Limits(relative_margin=round(1 - self.fraction, 12))


@register
@dataclass(frozen=True)
class TopKShifted(Top):
    """The nearest rows after the first few, which may be false negatives.

    Ranks count the rows that pass all other limits, or every row under ``range_mode="raw"``. The
    shift reported to work best is 10 (not verified), hence no default.

    References
    ----------
    NV-Retriever, 2024, "TopK shifted by N".
    """

    name: ClassVar[str] = "topk-shifted"
    paper: ClassVar[str] = _NV_RETRIEVER
    picks: ClassVar[str] = "the nearest from rank shift on"
    example: ClassVar[str] = "topk-shifted:shift=10"

    shift: int = parameter("how many of the nearest are left out", minimum=1)

    def limits(self) -> Limits:
        """Return the start of the window."""
        return Limits(range_min=self.shift)
