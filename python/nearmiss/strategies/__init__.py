# SPDX-License-Identifier: Apache-2.0
"""Which of the admissible rows to pick: one small class per method, registered by name."""

from nearmiss.strategies.bands import Band, Bands
from nearmiss.strategies.base import Strategy, available, parse
from nearmiss.strategies.corpus import Uniform
from nearmiss.strategies.cutoffs import TopKAbs, TopKMarginPos, TopKPercPos, TopKShifted
from nearmiss.strategies.dates import ECtHRPCR
from nearmiss.strategies.positive import SimANS, SimANSLaplace
from nearmiss.strategies.rank import Random, Top
from nearmiss.strategies.windows import (
    ADORE,
    ANCE,
    SPN4CIR,
    STAR,
    CoderPP,
    KaLMV2,
    Sample4Geo,
    SciNCL,
    SciNCLRange,
    TripClick,
)

__all__ = [
    "ADORE",
    "ANCE",
    "SPN4CIR",
    "STAR",
    "Band",
    "Bands",
    "CoderPP",
    "ECtHRPCR",
    "KaLMV2",
    "Random",
    "Sample4Geo",
    "SciNCL",
    "SciNCLRange",
    "SimANS",
    "SimANSLaplace",
    "Strategy",
    "Top",
    "TopKAbs",
    "TopKMarginPos",
    "TopKPercPos",
    "TopKShifted",
    "TripClick",
    "Uniform",
    "available",
    "parse",
]
