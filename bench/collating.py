# SPDX-License-Identifier: Apache-2.0
"""The problems of the suite ``collate``: what hard negatives add to the work of a DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import nearmiss as nm
import numpy as np
from checks import WrongAnswer

if TYPE_CHECKING:
    import torch

# rows: whole rows of the table; draws: from rows four times as wide; embeddings: looked up as well.
CollateKind: TypeAlias = Literal["collate-rows", "collate-draws", "collate-embeddings"]

CORPUS_ROWS = 200_000
_BATCHES = 40  # of the loader, in one run
_WIDER = 4
_QUERIES = 10_000  # whose vectors the samples carry, over and over


@dataclass(frozen=True)
class CollateTask:
    """Batches of samples that hold an id and a vector, and the table of their negatives."""

    kind: CollateKind
    batch_size: int
    num_negatives: int
    table: nm.Negatives
    vectors: torch.Tensor
    embeddings: torch.Tensor | None

    def __len__(self) -> int:
        """The number of samples, as a data set."""
        return min(_BATCHES * self.batch_size, len(self.table.counts))

    def __getitem__(self, row: int) -> dict[str, Any]:
        # Ids that lie all over the table, as a shuffled epoch has them.
        query = row * 7919 % len(self.table.counts)
        return {"idx": query, "query": self.vectors[query % _QUERIES]}

    def loader(self, collate: Callable[[list[Any]], Any] | None) -> Iterator[Any]:
        """An unmodified loader, without workers: what it costs is seen on one clock."""
        from torch.utils.data import DataLoader

        return iter(DataLoader(self, self.batch_size, collate_fn=collate))  # type: ignore[arg-type]


def make_task(kind: CollateKind, n: int, m: int, k: int, d: int) -> CollateTask:
    """Batches of n, a table of m rows, k negatives each, vectors of d dimensions."""
    import torch  # which other suites can do without

    rng = np.random.default_rng(17)
    columns = k * _WIDER if kind == "collate-draws" else k
    scores = np.linspace(1, 0, columns, dtype=np.float32)[np.newaxis]
    corpus_rows = min(CORPUS_ROWS, m)
    one = nm.mine_candidates(scores, np.arange(columns)[np.newaxis], num_negatives=columns)
    table = replace(
        one,
        indices=rng.integers(0, corpus_rows, (m, columns)),
        scores=np.broadcast_to(scores, (m, columns)),
        counts=np.full(m, columns),
        positive_scores=np.full(m, np.nan, dtype=np.float32),
        query_indices=np.arange(m),
        query_ids=np.arange(m),
    )
    vectors = torch.from_numpy(rng.standard_normal((_QUERIES, d), dtype=np.float32))
    embeddings = None
    if kind == "collate-embeddings":
        embeddings = torch.from_numpy(rng.standard_normal((corpus_rows, d), dtype=np.float32))
    return CollateTask(kind, n, k, table, vectors, embeddings)


def check_batches(name: str, task: CollateTask, ours: Any, theirs: Any) -> dict[str, int]:
    """Raise `WrongAnswer` unless both loaders gave the same but for what ours adds."""
    queries = ours["idx"].numpy()
    if not np.array_equal(queries, theirs["idx"].numpy()):
        raise WrongAnswer(f"{name}: other samples")
    drawn = task.table.sample(task.num_negatives, epoch=0, seed=0, rows=queries).indices
    if not np.array_equal(ours["negative_indices"].numpy(), drawn):
        raise WrongAnswer("negatives that the table does not give")
    if task.embeddings is not None and not np.array_equal(
        ours["negative_embeddings"].numpy(), theirs["negative_embeddings"].numpy()
    ):
        raise WrongAnswer(f"{name}: other embeddings")
    return {"samples": len(queries)}
