# SPDX-License-Identifier: Apache-2.0
"""One training run: a method, a seed, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nearmiss as nm
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from training.head import Head, contrastive_loss
from training.metrics import Quality, evaluate
from training.negatives import NUM_NEGATIVES, Method, mine, plan_batches
from training.retrieval import Ids, Problem, Retrieval
from training.settings import Settings


@dataclass(frozen=True)
class Mined:
    """What an epoch's table looked like, as shares of the negatives asked for."""

    missing: float
    above_positive: float  # score higher than the query's positive


def train(
    problem: Problem,
    settings: Settings,
    method: Method,
    seed: int,
    threads: int,
    after_epoch: Callable[[Head], None] = lambda head: None,
) -> tuple[Head, Mined | None]:
    """Train a head; also returns a description of the first table, if there is one."""
    torch.manual_seed(seed)
    queries, corpus = problem.learned.queries[problem.train], problem.learned.corpus
    positives = problem.positive_rows(problem.train)
    samples = [{"idx": idx, "positive": int(row)} for idx, row in enumerate(positives)]
    vectors = torch.from_numpy(queries), torch.from_numpy(corpus)
    head = Head(queries.shape[1], settings.head)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate)
    collate: Any = default_collate
    described = None
    for epoch in range(settings.epochs):
        if method.due(epoch):
            refreshed = method.mined == "refreshed"
            now = head.encode(queries, corpus) if refreshed else (queries, corpus)
            if method.mines:
                table = mine(method, *now, positives, seed, epoch, threads)
                collate = nm.loaders.HardNegativeCollator(
                    table, num_negatives=NUM_NEGATIVES, seed=seed
                )
                described = described or describe(table)
            if epoch == 0 or refreshed:
                plan = plan_batches(method, now[0], problem, settings.batch_size, seed, threads)
                sampler = nm.loaders.PlanBatchSampler(plan, num_replicas=1, rank=0)
        sampler.set_epoch(epoch)
        for batch in DataLoader(samples, batch_sampler=sampler, collate_fn=collate):
            optimizer.zero_grad()
            batch_loss(head, batch, *vectors, settings.scale).backward()
            optimizer.step()
        after_epoch(head)
    return head, described


def batch_loss(
    head: Head, batch: dict[str, Tensor], queries: Tensor, corpus: Tensor, scale: float
) -> Tensor:
    """The loss of a batch: its positives, then its mined negatives, if any, are the documents."""
    documents = batch["positive"]
    if "negative_indices" in batch:
        documents = torch.cat([documents, batch["negative_indices"].flatten()])
    encoded = head.documents(corpus[documents.clamp(min=0)])
    scores = scale * head(queries[batch["idx"]]) @ encoded.T
    return contrastive_loss(scores, documents, batch["positive"])


def describe(table: nm.Negatives) -> Mined:
    wanted = table.indices.size
    above = (table.scores > table.positive_scores[:, None]).sum()
    return Mined(1 - float(table.counts.sum()) / wanted, float(above) / wanted)


def measure(head: Head, problem: Problem, threads: int) -> dict[str, Quality]:
    """The held-out queries, and all queries of the other collections."""
    learned = problem.learned
    found = {
        "validation": _measure(head, learned, problem.validation, threads),
        "test": _measure(head, learned, problem.test, threads),
    }
    for other in problem.transfer:
        found[other.name] = _measure(head, other, other.judged(), threads)
    return found


def _measure(head: Head, retrieval: Retrieval, rows: Ids, threads: int) -> Quality:
    queries, corpus = head.encode(retrieval.queries, retrieval.corpus)
    return evaluate(queries, corpus, retrieval.positives, rows, threads)
