# SPDX-License-Identifier: Apache-2.0
"""Which of the admissible rows to pick: one small class per method, registered by name."""

from nearmiss.strategies.bands import Band, Bands
from nearmiss.strategies.base import Strategy, available, parse
from nearmiss.strategies.bins import TASBalanced
from nearmiss.strategies.corpus import Uniform
from nearmiss.strategies.distance import PADS, DistanceWeighted
from nearmiss.strategies.positive import SimANS, SimANSLaplace
from nearmiss.strategies.rank import Random, Top
from nearmiss.strategies.softmax import Power, Softmax, Softrank
from nearmiss.strategies.sources import R2anker
from nearmiss.strategies.thresholds import ATSS, CAR, UNPG
from nearmiss.strategies.truncation import Epsilon, Eta, MinP, TopP
from nearmiss.strategies.values import APOLLO

__all__ = [
    "APOLLO",
    "ATSS",
    "CAR",
    "PADS",
    "UNPG",
    "Band",
    "Bands",
    "DistanceWeighted",
    "Epsilon",
    "Eta",
    "MinP",
    "Power",
    "R2anker",
    "Random",
    "SimANS",
    "SimANSLaplace",
    "Softmax",
    "Softrank",
    "Strategy",
    "TASBalanced",
    "Top",
    "TopP",
    "Uniform",
    "available",
    "parse",
]
