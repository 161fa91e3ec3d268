# SPDX-License-Identifier: Apache-2.0
"""How negatives are mined and batches planned: all that differs between runs of one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import nearmiss as nm
import numpy as np
from contestants import load_adapter

from training.retrieval import Ids, Problem, Rows

NUM_NEGATIVES = 7
_ROWS_PER_CLUSTER = 16  # for `NGAME`

Mined: TypeAlias = Literal["once", "every epoch", "refreshed"]
Batching: TypeAlias = Literal["random", "ngame", "tas-balanced", "neighbours"]


@dataclass(frozen=True)
class Method:
    """Negatives of a query: the other documents of its batch, and what was mined for it.

    Attributes
    ----------
    strategy
        What `nearmiss.mine` is told; None: nothing is mined, in-batch negatives alone.
    relative_margin, window
        The same: how far below the positive, and among how many of the nearest rows, positives
        included.
    peer
        sentence-transformers mines instead, at this relative margin.
    mined
        ``"every epoch"``: drawn anew, by the embeddings training began with. ``"refreshed"``: mined
        anew by the head as it is when the epoch begins; so are batches of clusters.
    batches
        Who shares a batch.
    """

    name: str
    strategy: str | None = None
    relative_margin: float | None = None
    window: int | None = None
    peer: bool = False
    mined: Mined = "once"
    batches: Batching = "random"

    @property
    def mines(self) -> bool:
        return self.peer or self.strategy is not None

    def due(self, epoch: int) -> bool:
        """Whether negatives and batches are made anew before this epoch."""
        return epoch == 0 or self.mined != "once"


def mine(
    method: Method, queries: Rows, corpus: Rows, positives: Ids, seed: int, epoch: int, threads: int
) -> nm.Negatives:
    """The table of an epoch."""
    if not method.peer:
        return nm.mine(
            queries,
            corpus,
            positives,
            num_negatives=NUM_NEGATIVES,
            strategy=method.strategy or "top",
            relative_margin=method.relative_margin,
            range_max=method.window,
            range_mode="raw" if method.window else "filtered",
            seed=seed,
            epoch=epoch,
            num_threads=threads,
        )
    theirs = load_adapter("sentence_transformers")
    scores, rows = theirs.mine_rows(
        queries, corpus, positives, NUM_NEGATIVES, method.relative_margin
    )
    return nm.mine_candidates(
        scores,
        rows,
        positives=positives,
        positive_scores=np.einsum("nd,nd->n", queries, corpus[positives]),
        num_negatives=NUM_NEGATIVES,
    )


def plan_batches(
    method: Method, queries: Rows, problem: Problem, batch_size: int, seed: int, threads: int
) -> nm.batches.BatchPlan:
    """Batches over the training queries, as many for every method."""
    num_rows = len(queries)
    if method.batches == "random":
        return nm.batches.Shuffled(num_rows, batch_size, drop_last=True, seed=seed)
    if method.batches == "ngame":
        leaves = nm.batches.balanced_two_means(
            queries, num_rows // _ROWS_PER_CLUSTER, seed, num_threads=threads
        )
        grown = [(0, _ROWS_PER_CLUSTER)]
        return nm.batches.NGAME(leaves, batch_size, curriculum=grown, drop_last=True, seed=seed)
    if method.batches == "tas-balanced":
        clusters = nm.KMeans(
            num_rows // batch_size, metric="cosine", random_state=seed, num_threads=threads
        )
        labels = clusters.fit(queries).labels_
        return nm.batches.TasBalanced(labels, batch_size, coverage="all", drop_last=True, seed=seed)
    _, near = nm.topk(queries, queries, _ROWS_PER_CLUSTER, num_threads=threads)
    documents = problem.positive_rows(problem.train)
    return nm.batches.NoConflict(
        batch_size, documents=documents, neighbors=near[:, 1:], drop_last=True, seed=seed
    )
