# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the CPU: one matrix product and `topk`, in blocks of queries that fit memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from collating import CollateTask
from torch.utils.data import default_collate

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


def _bank(task: Task, mask_by_id: bool) -> Callable[[], Any]:
    """Replace rows, multiply, mask, select. Without ``mask_by_id`` the slots to mask are known."""
    queries = torch.from_numpy(task.vectors.queries)
    bank = torch.from_numpy(task.vectors.corpus.copy())
    bank_ids = torch.arange(len(bank))
    ids = torch.arange(len(queries)) if task.query_ids is None else torch.from_numpy(task.query_ids)
    lines = torch.arange(len(queries))

    def run() -> Any:
        bank[ids] = queries
        scores = queries @ bank.T
        if mask_by_id:
            scores.masked_fill_(ids[:, None] == bank_ids, -torch.inf)
        else:
            scores[lines, ids] = -torch.inf
        return torch.topk(scores, task.k, dim=1)

    return run


def _loader(task: CollateTask) -> Callable[[], Any]:
    """The loader as it is, without negatives."""

    def run() -> Any:
        for batch in task.loader(None):
            last = batch
        return last

    return run


def _gather(task: CollateTask) -> Callable[[], Any]:
    """A collate function by hand: ids, rows of a tensor, rows of the embeddings."""
    samples = [task[row] for row in range(min(task.batch_size, len(task)))]
    table = torch.from_numpy(task.table.indices)
    embeddings = task.embeddings
    assert embeddings is not None

    def run() -> Any:
        batch = default_collate(samples)
        batch["negative_embeddings"] = embeddings[table[batch["idx"]]]
        return batch

    return run


COLLATES = {"loader": _loader, "gather": _gather}
JOBS = {
    "cold": _topk,
    "bank": partial(_bank, mask_by_id=True),
    "bank-known-slots": partial(_bank, mask_by_id=False),
}
