# SPDX-License-Identifier: Apache-2.0
"""One training run: a method, a seed, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nearmiss as nm
import torch
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
    head = Head(queries.shape[1], settings.head)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate)
    rows_of_queries, rows_of_documents = torch.from_numpy(queries), torch.from_numpy(corpus)
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
            documents = batch["positive"]
            if method.mines:
                documents = torch.cat([documents, batch["negative_indices"].flatten()])
            encoded = head.documents(rows_of_documents[documents.clamp(min=0)])
            scores = settings.scale * head(rows_of_queries[batch["idx"]]) @ encoded.T
            loss = contrastive_loss(scores, documents, batch["positive"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after_epoch(head)
    return head, described


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
