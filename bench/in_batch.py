# SPDX-License-Identifier: Apache-2.0
"""The problems of the suite ``in-batch``: miners that compare the rows of a training batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

MinerKind: TypeAlias = Literal["batch-hard", "margin", "distance-weighted", "multi-similarity"]

# Positives then have a cosine of about .31: half trained.
_NOISE = 1.5
MARGIN = 0.2
EPSILON = 0.1
CUTOFF = 1.4


@dataclass(frozen=True)
class InBatchTask:
    """A batch with several rows of each class."""

    kind: MinerKind
    embeddings: torch.Tensor
    labels: torch.Tensor
    threads: int


def make_task(
    kind: MinerKind, n: int, per_class: int, d: int, threads: int, device: str
) -> InBatchTask:
    """A seeded batch of n unit vectors on a device: a centre for each class, and noise."""
    import torch  # which other suites can do without

    rng = np.random.default_rng(13)
    labels = np.arange(n) // per_class
    rows = rng.normal(size=(n, d))[labels] + _NOISE * rng.normal(size=(n, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    embeddings = torch.from_numpy(rows.astype(np.float32)).to(device)
    return InBatchTask(kind, embeddings, torch.from_numpy(labels).to(device), threads)


def mine_batch(task: InBatchTask, miner: Callable[..., Any]) -> Callable[[], Any]:
    """What to time: it ends when the device has ended."""

    def run() -> Any:
        found = miner(task.embeddings, task.labels)
        if task.embeddings.is_cuda:
            found[0].cpu()
        return found

    return run


def distances(task: InBatchTask) -> npt.NDArray[np.float64]:
    """Between all rows, in float64, (n, n)."""
    rows = task.embeddings.cpu().numpy().astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * (rows @ rows.T)))


def halves_of(result: Any) -> list[npt.NDArray[np.int64]]:
    """Triplets, (t, 3), or pairs of positives and of negatives, (p, 2) each; in their order."""
    parts = [part.cpu().numpy() for part in result]
    groups = [parts] if len(parts) == 3 else [parts[:2], parts[2:]]
    return [np.stack(group, axis=1) for group in groups]
