# SPDX-License-Identifier: Apache-2.0
"""The training loop's side. Needs torch; importing `nearmiss` alone does not."""

from nearmiss.loaders import miners
from nearmiss.loaders.bank import MemoryBank
from nearmiss.loaders.collate import HardNegativeCollator
from nearmiss.loaders.in_batch import InBatchNegativeCollator
from nearmiss.loaders.refresh import Refresher, Replay
from nearmiss.loaders.samplers import (
    ClusterBatchSampler,
    GroupBatchSampler,
    NeighborBatchSampler,
    NoConflictBatchSampler,
    PlanBatchSampler,
)
from nearmiss.loaders.table_folder import TableFolder

__all__ = [
    "ClusterBatchSampler",
    "GroupBatchSampler",
    "HardNegativeCollator",
    "InBatchNegativeCollator",
    "MemoryBank",
    "NeighborBatchSampler",
    "NoConflictBatchSampler",
    "PlanBatchSampler",
    "Refresher",
    "Replay",
    "TableFolder",
    "miners",
]
