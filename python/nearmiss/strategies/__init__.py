# SPDX-License-Identifier: Apache-2.0
"""Which of the admissible rows to pick: one small class per method, registered by name."""

from nearmiss.strategies.bands import Band, Bands
from nearmiss.strategies.base import Strategy, available, parse
from nearmiss.strategies.corpus import Uniform
from nearmiss.strategies.designs import ConditionalPoisson, Leverage
from nearmiss.strategies.geometry import Triangle
from nearmiss.strategies.owners import SaHa
from nearmiss.strategies.positive import SimANS, SimANSLaplace
from nearmiss.strategies.rank import Random, Top
from nearmiss.strategies.reserve import ConanV1, ConanV2

__all__ = [
    "Band",
    "Bands",
    "ConanV1",
    "ConanV2",
    "ConditionalPoisson",
    "Leverage",
    "Random",
    "SaHa",
    "SimANS",
    "SimANSLaplace",
    "Strategy",
    "Top",
    "Triangle",
    "Uniform",
    "available",
    "parse",
]
