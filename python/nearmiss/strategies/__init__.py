# SPDX-License-Identifier: Apache-2.0
"""Which of the admissible rows to pick: one small class per method, registered by name."""

from nearmiss.strategies.base import Strategy, available, parse
from nearmiss.strategies.corpus import Uniform
from nearmiss.strategies.rank import Random, Top

__all__ = ["Random", "Strategy", "Top", "Uniform", "available", "parse"]
