# SPDX-License-Identifier: Apache-2.0
"""Stratified choice: a quota from each of several bands of ranks, scores, margins or quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, TypeAlias

from nearmiss.arrays import check_choice, check_integer, check_number
from nearmiss.limits import LAST_RANK, Limits
from nearmiss.strategies.base import Plan, Strategy, parameter, register

Scale: TypeAlias = Literal["rank", "score", "margin", "quantile"]
Spill: TypeAlias = Literal["none", "farther", "nearer"]
BandLaw: TypeAlias = Literal["uniform", "top"]


@dataclass(frozen=True)
class Band:
    """The half-open band [lo, hi) and how many to take from it.

    Parameters
    ----------
    lo, hi : float
        Its ends, on the scale of the `Bands` it belongs to; ``hi`` itself is outside.
    n : int, default 1
        How many negatives of each query.
    law : {"uniform", "top"}
        Uniform draws without replacement among its rows, or its nearest rows.

    Examples
    --------
    >>> import nearmiss as nm
    >>> print(nm.strategies.Band(10, 50, 4))
    10..50:4:uniform
    """

    lo: float
    hi: float
    n: int = 1
    law: BandLaw = "uniform"

    def __post_init__(self) -> None:
        for name in ("lo", "hi"):
            object.__setattr__(self, name, _check_end(getattr(self, name), f"band.{name}"))
        if not self.lo < self.hi:
            raise ValueError(f"band: lo must be below hi, got {self.lo} and {self.hi}")
        object.__setattr__(self, "n", check_integer(self.n, "band.n", 1))
        check_choice(self.law, "band.law", ("uniform", "top"))

    def __str__(self) -> str:
        return f"{_shown(self.lo)}..{_shown(self.hi)}:{self.n}:{self.law}"

    @classmethod
    def parse(cls, text: str) -> Band:
        """Return the band that ``lo..hi``, ``lo..hi:n`` or ``lo..hi:n:law`` stands for."""
        ends, *rest = text.strip().split(":")
        lo, dots, hi = ends.partition("..")
        if not dots or len(rest) > 2:
            raise ValueError(f"expected lo..hi:n:law, got {text!r}")
        law: Any = rest[1] if len(rest) == 2 else "uniform"
        return cls(float(lo), float(hi), int(rest[0]) if rest else 1, law)


def _check_end(value: Any, name: str) -> float:
    if isinstance(value, (int, float)) and math.isinf(value):
        return float(value)
    return check_number(value, name)


def _shown(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


@register
@dataclass(frozen=True)
class Bands(Strategy):
    """A quota from each of several bands that do not overlap.

    Parameters
    ----------
    bands : sequence of Band
        In any order.
    by : {"rank", "score", "margin", "quantile"}
        What the bands' ends are measured in: ranks, 0 for the nearest row that may be a negative;
        scores; margins s⁺ - s to the positive's score (queries without one get nothing); or
        quantiles, the rank's place in the rank window from 0 (nearest) to 1.
    spill : {"none", "farther", "nearer"}
        What becomes of the part of a quota that a band has too few rows for: a shortage, or more
        from the next band in that direction.

    Notes
    -----
    Scores, margins and quantiles need ``range_max``: the bands are those of the rank window.
    `Negatives.strata` tells which band (by its number in ``bands``) each negative is from.

    Examples
    --------
    >>> import nearmiss as nm
    >>> bands = nm.strategies.Bands([nm.strategies.Band(0, 10, 1), nm.strategies.Band(10, 100, 4)])
    >>> nm.strategies.parse("bands:bands=0..10:1;10..100:4") == bands
    True
    """

    name: ClassVar[str] = "bands"
    picks: ClassVar[str] = "n of each band [lo, hi) of ranks, scores, margins s⁺ − s or quantiles"

    example: ClassVar[str] = "bands:bands=0..10:1;10..100:4"

    bands: tuple[Band, ...] = parameter("each lo..hi:n:law")
    by: Scale = parameter("rank, score, margin or quantile", "rank")
    spill: Spill = parameter("none, farther or nearer: who makes up for a short band", "none")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_disjoint(self.bands)
        for band in self.bands:
            if self.by == "rank" and not (band.lo >= 0 and band.hi <= LAST_RANK):
                raise ValueError(f"bands: ranks start at 0 and are finite, got {band}")
            if self.by == "quantile" and not (band.lo >= 0 and band.hi <= 1):
                raise ValueError(f"bands: quantiles are from 0 to 1, got {band}")

    def needs(self) -> tuple[str, ...]:
        """Return what it needs: margins need positives."""
        return ("positives",) if self.by == "margin" else ()

    def count(self, num_negatives: int | None) -> int:
        """Return the sum of the quotas; asking for another number is a contradiction."""
        total = sum(band.n for band in self.bands)
        if num_negatives not in (None, total):
            raise ValueError(
                f"num_negatives: {num_negatives}, but the quotas of the bands add up to {total}"
            )
        return total

    def quotas(self) -> dict[str, int]:
        """Return the bands and their quotas."""
        return {str(band): band.n for band in self.bands}

    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the window that holds all bands, each of them large enough for its quota."""
        if self.by == "rank":
            start = max(limits.range_min, math.ceil(min(band.lo for band in self.bands)))
            end = math.ceil(max(band.hi for band in self.bands))
            end = end if limits.range_max is None else min(end, limits.range_max)
        else:
            if limits.range_max is None:
                raise ValueError(f"strategy {self.name!r}: by={self.by!r} needs range_max")
            start, end = limits.range_min, limits.range_max
        self._check_room(start, end)
        keywords = {
            "bands": [(band.lo, band.hi, band.n, band.law == "top") for band in self.bands],
            "band_scale": self.by,
            "band_spill": self.spill,
        }
        return Plan("bands", start, end, keywords)

    def _check_room(self, start: int, end: int) -> None:
        if self.spill != "none" or self.by in ("score", "margin"):
            return  # how many rows a band has is not known before the search
        for band in self.bands:
            if self.by == "rank":
                room = min(math.ceil(band.hi), end) - max(math.ceil(band.lo), start)
            else:
                room = math.ceil(band.hi * (end - start)) - math.ceil(band.lo * (end - start))
            if band.n > room:
                raise ValueError(
                    f"strategy {self.name!r}: band {band} has room for {max(room, 0)} rows in the "
                    f"rank window [{start}, {end})"
                )


def _require_disjoint(bands: Sequence[Band]) -> None:
    ordered = sorted(bands, key=lambda band: band.lo)
    for before, after in pairwise(ordered):
        if before.hi > after.lo:
            raise ValueError(f"bands: {before} and {after} overlap")
