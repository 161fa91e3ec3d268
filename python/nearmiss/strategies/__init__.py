# SPDX-License-Identifier: Apache-2.0
"""Which of the admissible rows to pick: one small class per method, registered by name."""

from nearmiss.strategies.bands import Band, Bands
from nearmiss.strategies.base import Strategy, available, parse
from nearmiss.strategies.bins import TASBalanced
from nearmiss.strategies.centroids import SciNCLCentroids
from nearmiss.strategies.corpus import Uniform
from nearmiss.strategies.cutoffs import TopKAbs, TopKMarginPos, TopKPercPos, TopKShifted
from nearmiss.strategies.dates import ECtHRPCR
from nearmiss.strategies.designs import ConditionalPoisson, Leverage
from nearmiss.strategies.distance import PADS, DistanceWeighted
from nearmiss.strategies.geometry import Triangle
from nearmiss.strategies.owners import SaHa
from nearmiss.strategies.positive import SimANS, SimANSLaplace
from nearmiss.strategies.rank import Random, Top
from nearmiss.strategies.reserve import ConanV1, ConanV2
from nearmiss.strategies.softmax import Power, Softmax, Softrank
from nearmiss.strategies.sources import R2anker
from nearmiss.strategies.thresholds import ATSS, CAR, UNPG
from nearmiss.strategies.truncation import Epsilon, Eta, MinP, TopP
from nearmiss.strategies.values import APOLLO
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
    "APOLLO",
    "ATSS",
    "CAR",
    "PADS",
    "SPN4CIR",
    "STAR",
    "UNPG",
    "Band",
    "Bands",
    "CoderPP",
    "ConanV1",
    "ConanV2",
    "ConditionalPoisson",
    "DistanceWeighted",
    "ECtHRPCR",
    "Epsilon",
    "Eta",
    "KaLMV2",
    "Leverage",
    "MinP",
    "Power",
    "R2anker",
    "Random",
    "SaHa",
    "Sample4Geo",
    "SciNCL",
    "SciNCLCentroids",
    "SciNCLRange",
    "SimANS",
    "SimANSLaplace",
    "Softmax",
    "Softrank",
    "Strategy",
    "TASBalanced",
    "Top",
    "TopKAbs",
    "TopKMarginPos",
    "TopKPercPos",
    "TopKShifted",
    "TopP",
    "Triangle",
    "TripClick",
    "Uniform",
    "available",
    "parse",
]
