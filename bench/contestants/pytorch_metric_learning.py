# SPDX-License-Identifier: Apache-2.0
"""pytorch-metric-learning: its miners, with their defaults."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import torch
from in_batch import CUTOFF, EPSILON, MARGIN, InBatchTask, mine_batch
from pytorch_metric_learning import miners

from contestants import Answer, Job

JOBS: dict[str, Job] = {}  # it has no search


def describe() -> dict[str, str]:
    version = importlib.metadata.version("pytorch-metric-learning")
    return {"version": version, "torch": torch.__version__}


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def read(result: Any) -> Answer:
    raise NotImplementedError("miners return no table")


def _mine(task: InBatchTask) -> Callable[[], Any]:
    miner = {
        "batch-hard": lambda: miners.BatchHardMiner(),
        "margin": lambda: miners.TripletMarginMiner(margin=MARGIN),
        "distance-weighted": lambda: miners.DistanceWeightedMiner(nonzero_loss_cutoff=CUTOFF),
        "multi-similarity": lambda: miners.MultiSimilarityMiner(epsilon=EPSILON),
    }[task.kind]()
    return mine_batch(task, miner)


MINERS = {"mine": _mine}
