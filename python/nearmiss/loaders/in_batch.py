# SPDX-License-Identifier: Apache-2.0
"""A collate function that mines: among the rows of each batch, or in a memory bank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate, get_worker_info

from nearmiss.arrays import Int64, check_integer, check_seed
from nearmiss.corpus import Metric, check_metric
from nearmiss.limits import Limits
from nearmiss.loaders.bank import MemoryBank
from nearmiss.loaders.collate import KEYS as NEGATIVE_KEYS
from nearmiss.loaders.embeddings import EmbeddingRows
from nearmiss.loaders.epoch import DrawsPerEpoch
from nearmiss.loaders.samples import check_add, read_field, read_ids, with_added
from nearmiss.mining import mine
from nearmiss.negatives import Negatives
from nearmiss.request import merge_limits
from nearmiss.strategies.base import Strategy, resolve

#: What can be added, and under which key.
KEYS = {
    **{name: NEGATIVE_KEYS[name] for name in ("indices", "scores", "mask", "weights", "log_probs")},
    "positive_scores": "positive_scores",
    "embeddings": "negative_embeddings",
    "ids": "negative_ids",
}


class InBatchNegativeCollator(DrawsPerEpoch):
    """Collate samples that carry embeddings, and mine the negatives of each as it goes.

    Without a table: negatives are the targets of other samples of the batch, or what a
    `MemoryBank` holds. For frozen or slowly moving embeddings, and for the first epoch, before
    there is a table.

    Parameters
    ----------
    query_key : str or int
        Where a sample holds the embedding of its query, (d,): a key, a position or a field name.
    target_key : str or int, optional
        Where it holds the embedding of its positive, which is what others may get as a negative.
        Default: the same; queries are then each other's candidates, and none its own.
    num_negatives : int
        Negatives per sample; -1 where a batch has too few.
    bank : MemoryBank, optional
        Mine here instead of the batch. Rows of the sample's own id are its positives.
    add : sequence of str, default ("indices",)
        What is added, in this order: ``"indices"``, ``"scores"``, ``"mask"``, ``"weights"``,
        ``"log_probs"``, ``"embeddings"``, ``"positive_scores"``, and of a bank ``"ids"``.
    strategy : str or Strategy, default "top"
        As for `mine`.
    limits : Limits, optional
        Score limits, margins and rank windows; what there is one of per query cannot be given.
    metric : {"cosine", "ip", "l2"}, optional
        Default: the bank's, else cosine.
    group_key : str or int, optional
        Where a sample holds its group, an integer (-1 for none): samples of the same group are no
        negatives. A bank must have been given groups too.
    seed : int, default 0
        Draws are made by (seed, epoch, query id) from what the batch offers.
    id_key : str or int, default "idx"
        Where a sample holds the id of its query. A query may come twice in a batch: then neither
        is the other's negative.
    base_collate : callable, default torch.utils.data.default_collate
        Makes a batch of the samples.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used, at once; when called, for embeddings that cannot be
        searched, for weights or log-probabilities that the strategy does not give, and as `mine`.
    RuntimeError
        When called with a bank in a worker, which has a copy that nobody fills.

    Notes
    -----
    Keys, types and padding are those of `HardNegativeCollator`: ``"negative_indices"`` (B, n) and
    so on. Indices are positions in the batch, or slots of the bank, which are valid until it
    changes; ``"negative_ids"`` are the ids there, an int64 tensor padded with -1. An empty bank
    gives no negatives. The bank is filled by the training loop: ``bank.enqueue(…)``.

    Without a bank, any number of workers may collate; each mines with one thread.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> from torch.utils.data import DataLoader
    >>> vectors = np.random.default_rng(0).standard_normal((2, 100, 8), dtype=np.float32)
    >>> samples = [{"idx": i, "q": vectors[0, i], "d": vectors[1, i]} for i in range(100)]
    >>> collate = nm.loaders.InBatchNegativeCollator("q", "d", num_negatives=3)
    >>> batch = next(iter(DataLoader(samples, batch_size=20, collate_fn=collate)))
    >>> batch["negative_indices"].shape
    torch.Size([20, 3])
    """

    def __init__(
        self,
        query_key: str | int,
        target_key: str | int | None = None,
        *,
        num_negatives: int,
        bank: MemoryBank | None = None,
        add: Iterable[str] = ("indices",),
        strategy: str | Strategy = "top",
        limits: Limits | None = None,
        metric: Metric | None = None,
        group_key: str | int | None = None,
        seed: int = 0,
        id_key: str | int = "idx",
        base_collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self.query_key = query_key
        self.target_key = query_key if target_key is None else target_key
        self.num_negatives = check_integer(num_negatives, "num_negatives", 1)
        self.bank = _check_bank(bank, metric)
        self.add = check_add(add, KEYS)
        if "ids" in self.add and bank is None:
            raise ValueError("add: only what is in a bank has 'ids'; indices are in the batch")
        self.strategy = resolve(strategy)
        self.limits = merge_limits(limits, Limits())
        self.metric = metric or "cosine"
        self.group_key = group_key
        self.seed = check_seed(seed, "seed")
        self.id_key = id_key
        self.base_collate = default_collate if base_collate is None else base_collate
        super().__init__()

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Collate a list of samples and add their negatives (see the class)."""
        if self.bank is not None and get_worker_info() is not None:
            raise RuntimeError("bank: a worker has a copy that nobody fills; use num_workers=0")
        batch = self.base_collate(samples if isinstance(samples, list) else list(samples))
        ids = read_ids(samples, self.id_key)
        queries = _stacked(samples, self.query_key, "query_key")
        targets = _stacked(samples, self.target_key, "target_key")
        groups = None if self.group_key is None else _groups(samples, self.group_key)
        found = _nothing(len(ids), self.num_negatives)
        if self.bank is None or len(self.bank):
            for rows in _without_repeats(ids):
                table = self._mine(rows, ids, queries, targets, groups)
                self._require_columns(table)
                _put(found, rows, table)
        added = {KEYS[name]: self._tensor(name, found, targets) for name in self.add}
        return with_added(batch, added)

    def _mine(
        self,
        rows: Int64,
        ids: Int64,
        queries: torch.Tensor,
        targets: torch.Tensor,
        groups: Int64 | None,
    ) -> Negatives:
        """Mine for some rows of the batch, all of different ids."""
        keywords: dict[str, Any] = {
            "num_negatives": self.num_negatives,
            "strategy": self.strategy,
            "query_ids": ids[rows],
            "seed": self.seed,
            "epoch": self.epoch,
            "query_groups": None if groups is None else groups[rows],
        }
        if self.bank is not None:
            return self.bank.mine(
                queries[rows], positive_ids=ids[rows], limits=self.limits, **keywords
            )
        own = [np.flatnonzero(ids == one).tolist() for one in ids[rows]]
        # What a query is compared with itself is no positive that margins could refer to.
        compared_with_itself = self.target_key == self.query_key
        return mine(
            queries[rows],
            targets,
            None if compared_with_itself else own,
            exclude=own if compared_with_itself else None,
            limits=self.limits,
            metric=self.metric,
            corpus_groups=groups,
            **keywords,
        )

    def _require_columns(self, table: Negatives) -> None:
        for name in self.add:
            if getattr(table, name, table.indices) is None and table.counts.any():
                raise ValueError(f"add: strategy {self.strategy.name!r} gives no {name!r}")

    def _tensor(
        self, name: str, found: dict[str, torch.Tensor], targets: torch.Tensor
    ) -> torch.Tensor:
        if name not in ("embeddings", "ids"):
            return found[name]
        if self.bank is None:
            return EmbeddingRows(targets).take(found["indices"].numpy())
        if name == "ids":
            return _ids_in(self.bank, found["indices"])
        vectors: torch.Tensor = self.bank.vectors(found["indices"])
        return vectors


def _check_bank(bank: MemoryBank | None, metric: Metric | None) -> MemoryBank | None:
    if metric is not None:
        check_metric(metric)
    if bank is None:
        return None
    if not isinstance(bank, MemoryBank):
        raise TypeError(f"bank: expected a MemoryBank, got a {type(bank).__name__}")
    if metric not in (None, bank.metric):
        raise ValueError(f"metric: {metric!r}, but the bank has {bank.metric!r}")
    return bank


def _stacked(samples: Sequence[Any], key: str | int, argument: str) -> torch.Tensor:
    """Return the embeddings of the samples, (b, d)."""
    rows = read_field(samples, key, argument)
    if all(isinstance(row, torch.Tensor) for row in rows):
        return torch.stack(rows)
    return torch.from_numpy(np.stack([np.asarray(row) for row in rows]))


def _groups(samples: Sequence[Any], key: str | int) -> Int64:
    groups = read_field(samples, key, "group_key")
    return np.array([check_integer(group, f"{key!r}", -1) for group in groups], dtype=np.int64)


def _without_repeats(ids: Int64) -> Iterator[Int64]:
    """Yield parts of the rows in which no id comes twice; nearly always it is one part."""
    seen: dict[int, int] = {}
    turns = np.empty(len(ids), dtype=np.int64)
    for row, one in enumerate(ids.tolist()):
        turns[row] = seen[one] = seen.get(one, -1) + 1
    for turn in range(int(turns.max(initial=-1)) + 1):
        yield np.flatnonzero(turns == turn)


def _nothing(count: int, num_negatives: int) -> dict[str, torch.Tensor]:
    """Return what is added to a batch without negatives."""
    shape = count, num_negatives
    return {
        "indices": torch.full(shape, -1),
        "mask": torch.zeros(shape, dtype=torch.bool),
        "scores": torch.full(shape, torch.nan),
        "weights": torch.full(shape, torch.nan),
        "log_probs": torch.full(shape, torch.nan),
        "positive_scores": torch.full((count,), torch.nan),
    }


def _put(found: dict[str, torch.Tensor], rows: Int64, table: Negatives) -> None:
    for name, tensor in found.items():
        array = table.indices >= 0 if name == "mask" else getattr(table, name)
        if array is not None:
            tensor[torch.from_numpy(rows)] = torch.from_numpy(array).to(tensor.dtype)


def _ids_in(bank: MemoryBank, slots: torch.Tensor) -> torch.Tensor:
    if not len(bank):
        return slots
    ids = torch.from_numpy(bank.ids.astype(np.int64))
    return torch.where(slots >= 0, ids[slots.clamp(min=0)], -1)
