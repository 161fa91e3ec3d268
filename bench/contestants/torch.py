# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the CPU: one matrix product and `topk`, in blocks of queries that fit memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from contestants import Answer, Task

_BLOCK_SCORES = 1 << 26  # 256 MiB of float32 scores


def describe() -> dict[str, str]:
    return {"version": torch.__version__, "simd": torch.backends.cpu.get_cpu_capability()}


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def read(result: Any) -> Answer:
    scores, rows = result
    return Answer(scores.numpy(), rows.numpy().astype(np.int64, copy=False))


def _topk(task: Task) -> Callable[[], Any]:
    """Tensors exist beforehand, as in a training loop."""
    queries = torch.from_numpy(task.vectors.queries)
    transposed = torch.from_numpy(task.vectors.corpus).T
    block = max(1, _BLOCK_SCORES // transposed.shape[1])

    def one_call() -> Any:
        return torch.topk(queries @ transposed, task.k, dim=1)

    def in_blocks() -> Any:
        found = [torch.topk(part @ transposed, task.k, dim=1) for part in queries.split(block)]
        return torch.cat([top.values for top in found]), torch.cat([top.indices for top in found])

    return one_call if len(queries) <= block else in_blocks


JOBS = {"cold": _topk}
