# SPDX-License-Identifier: Apache-2.0
"""Batches of row numbers in which in-batch negatives are hard, and none of them false.

A *plan* says how; `BatchPlan.batches` gives the batches of an epoch. Needs numpy only.
"""

from nearmiss.batches.base import Batches, BatchPlan
from nearmiss.batches.clusters import NGAME, NGAME_CURRICULUM, TasBalanced
from nearmiss.batches.confusions import CFCD
from nearmiss.batches.geography import great_circle_km, nearest_places
from nearmiss.batches.neighbors import Sample4Geo
from nearmiss.batches.no_conflict import NoConflict
from nearmiss.batches.shuffled import Shuffled
from nearmiss.batches.trees import balanced_two_means
from nearmiss.batches.tuples import RTD, SaHa

__all__ = [
    "CFCD",
    "NGAME",
    "NGAME_CURRICULUM",
    "RTD",
    "BatchPlan",
    "Batches",
    "NoConflict",
    "SaHa",
    "Sample4Geo",
    "Shuffled",
    "TasBalanced",
    "balanced_two_means",
    "great_circle_km",
    "nearest_places",
]
