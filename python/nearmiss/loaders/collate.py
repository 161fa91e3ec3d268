# SPDX-License-Identifier: Apache-2.0
"""A collate function that adds hard negatives to every batch of a DataLoader."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from nearmiss.arrays import Int64, check_integer, check_seed
from nearmiss.loaders.embeddings import EmbeddingRows
from nearmiss.loaders.epoch import DrawsPerEpoch
from nearmiss.loaders.samples import check_add, collated_ids, read_ids, with_added
from nearmiss.loaders.table_folder import TableFolder
from nearmiss.negatives import Negatives
from nearmiss.strategies.base import Strategy
from nearmiss.table_draws import PADDING, Arrays, TableDraws

Collate = Callable[[list[Any]], Any]

#: What can be added of the table, and under which key.
KEYS = {
    "indices": "negative_indices",
    "scores": "negative_scores",
    "mask": "negative_mask",
    "weights": "negative_weights",
    "log_probs": "negative_log_probs",
    "strata": "negative_strata",
    "sources": "negative_sources",
    "positive_scores": "positive_scores",
    "generation": "negative_generation",
}


class HardNegativeCollator(DrawsPerEpoch):
    """Collate samples and give each of them negatives drawn from a mined table.

    A draw depends on (seed, epoch, query id) alone: not on the batch, the order, the number of
    workers or the way they are started. If the table holds more negatives per query than
    ``num_negatives``, every epoch draws anew among them, without replacement: uniformly, or by the
    law of a strategy.

    Parameters
    ----------
    negatives_or_path : Negatives, path or TableFolder
        The table, or the file `Negatives.save` wrote. Give a path when the DataLoader has
        workers, so that all share one copy in memory: forked workers inherit the mapping, and
        spawned ones get the path and map the file on their first batch. Of a `TableFolder` (or the
        path of one) the newest table is taken: every batch looks whether there is a newer one,
        also in workers that are running.
    dataset : sequence, optional
        Where negatives are looked up by corpus row. If given, the batch also holds the items
        ``dataset[row]`` of all its negatives (without the padding), row by row and collated with
        ``base_collate``; None if it has no negatives at all. A ``__getitems__`` is used as
        DataLoader uses it.
    num_negatives : int
        Negatives per sample; at most the number of columns of the table.
    add : sequence of str, default ("indices",)
        What is added of the negatives, in this order (see the notes): ``"indices"``,
        ``"scores"``, ``"mask"``, ``"weights"``, ``"log_probs"``, ``"strata"``, ``"sources"``,
        ``"positive_scores"``, ``"generation"``.
    embeddings : array-like of shape (m, d), CPU tensor, or path, optional
        One row per corpus row; or the path of such an ``.npy`` file, of which workers share the
        memory. If given, the batch also holds the embeddings of the negatives.
    strategy : str or Strategy, optional
        The law of the draws, as for `Negatives.sample`. Default: uniform draws.
    seed : int, default 0
        Seed of the draws.
    id_key : str or int, default "idx"
        Where a sample holds its query id: a key of a dict, a position in a tuple, the name of a
        field. The id is a row number of the queries that were mined, or what `mine` got as
        ``query_ids``.
    base_collate : callable, default torch.utils.data.default_collate
        Makes a batch of the samples, in their order, as DataLoader's ``collate_fn`` does.

    Raises
    ------
    ValueError
        If ``num_negatives`` is not between 1 and the columns of the table, the table lacks what
        is to be added or what the strategy needs, or there is not one embedding per corpus row.
    KeyError
        When called, if a query id is not in the table, or a sample has no ``id_key``.
    FileNotFoundError
        When called, if no table has been published in the folder yet.

    Notes
    -----
    What is added to a batch of B samples with n = ``num_negatives``, closest first:

    ======================= ========== ============= ========================================
    key                     in ``add`` tensor        what
    ======================= ========== ============= ========================================
    ``negative_indices``    indices    int64 (B, n)  corpus rows, -1 where there are too few
    ``negative_scores``     scores     float32       scores, nan where there are too few
    ``negative_mask``       mask       bool          where there is a negative
    ``negative_weights``    weights    float32       `Negatives.weights`, nan padded
    ``negative_log_probs``  log_probs  float32       `Negatives.log_probs`, nan padded
    ``negative_strata``     strata     int64         `Negatives.strata`, -1 padded
    ``negative_sources``    sources    int64         `Negatives.sources`, 0 padded
    ``positive_scores``     the same   float32 (B,)  the score of the positive, nan for none
    ``negative_generation`` generation an int        which table of the folder it was
    ``negative_embeddings``            float32       (B, n, d), zeros where there are too few;
                                                     with ``embeddings``
    ``negatives``                                    the items of ``dataset``
    ======================= ========== ============= ========================================

    Weights, log-probabilities and strata are the strategy's, if it gives them, else the table's.

    If ``base_collate`` makes a mapping (a dict, a BatchEncoding), it gets these keys. If it makes a
    dataclass or named tuple that has fields of these names, they are set. If it makes anything
    else, the result is a tuple: what it made, then all that is added, embeddings and items last.

    The epoch lives in shared memory: `set_epoch` between two epochs reaches persistent workers.
    That of a `TableFolder` is the folder's, and so reaches other processes too. With
    ``pin_memory=True`` torch pins what is added like the rest of the batch (it pins nothing in a
    dataclass without a ``pin_memory`` method).

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> from torch.utils.data import DataLoader
    >>> vectors = np.random.default_rng(0).standard_normal((100, 8), dtype=np.float32)
    >>> table = nm.mine(vectors, vectors, num_negatives=8, exclude_self=True)
    >>> samples = [{"idx": row} for row in range(100)]
    >>> collate = nm.loaders.HardNegativeCollator(table, num_negatives=2)
    >>> batch = next(iter(DataLoader(samples, batch_size=4, collate_fn=collate)))
    >>> batch["negative_indices"].shape
    torch.Size([4, 2])

    Four negatives of the eight by a softmax of their scores, with their embeddings:

    >>> collate = nm.loaders.HardNegativeCollator(
    ...     table,
    ...     num_negatives=4,
    ...     add=("indices", "scores", "mask", "log_probs"),
    ...     embeddings=vectors,
    ...     strategy="softmax:pool=8,beta=5",
    ... )
    >>> batch = next(iter(DataLoader(samples, batch_size=4, collate_fn=collate)))
    >>> batch["negative_embeddings"].shape, batch["negative_mask"].all().item()
    (torch.Size([4, 4, 8]), True)
    """

    def __init__(
        self,
        negatives_or_path: Negatives | TableFolder | str | os.PathLike[str],
        dataset: Any = None,
        *,
        num_negatives: int,
        add: Iterable[str] = ("indices",),
        embeddings: Any = None,
        strategy: str | Strategy | None = None,
        seed: int = 0,
        id_key: str | int = "idx",
        base_collate: Collate | None = None,
    ) -> None:
        self._source = _source(negatives_or_path)
        self.dataset = dataset
        self.num_negatives = check_integer(num_negatives, "num_negatives", 1)
        self.add = check_add(add, KEYS)
        if "generation" in self.add and not isinstance(self._source, TableFolder):
            raise ValueError("add: only tables of a TableFolder have a 'generation'")
        self._embeddings = None if embeddings is None else EmbeddingRows(embeddings)
        self._draws = TableDraws(self.num_negatives, strategy)
        self._columns = _columns_for(self.add)
        self.seed = check_seed(seed, "seed")
        self.id_key = id_key
        self.base_collate: Collate = default_collate if base_collate is None else base_collate
        super().__init__(self._source if isinstance(self._source, TableFolder) else None)
        self._table: _Table | None = None
        self._generation = 0  # of the open table, if it is from a folder
        if not isinstance(self._source, TableFolder) or self._source.generation:
            self._open()

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Collate a list of samples and add their negatives (see the class)."""
        batch = self.base_collate(samples if isinstance(samples, list) else list(samples))
        table = self._open()
        rows = table.rows_of(self._ids(samples, batch))
        drawn = self._draw(table, rows)
        added = {KEYS[name]: self._tensor(name, table, rows, drawn) for name in self.add}
        if self._embeddings is not None:
            added["negative_embeddings"] = self._embeddings.take(drawn["indices"])
        if self.dataset is not None:
            items = self._items(drawn["indices"])
            added["negatives"] = self.base_collate(items) if items else None
        return with_added(batch, added)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapping behind: a worker that is started anew maps the file itself."""
        return {**self.__dict__, "_table": None}

    def _open(self) -> _Table:
        """Return the table, mapped anew if there is a newer one."""
        source = self._source
        if isinstance(source, TableFolder):
            if self._table is None or self._generation != source.generation:
                generation, negatives = source.latest()
                self._table = self._checked(negatives)
                self._generation = generation
        elif self._table is None:
            loaded = source if isinstance(source, Negatives) else Negatives.load(source)
            self._table = self._checked(loaded)
        return self._table

    def _checked(self, negatives: Negatives) -> _Table:
        check_integer(self.num_negatives, "num_negatives", 1, negatives.indices.shape[1])
        self._draws.check(negatives)
        table = _Table(negatives)
        self._draw(table, np.arange(min(1, len(negatives.counts)), dtype=np.int64))
        num_rows = negatives.params.get("m")
        if self._embeddings is not None and num_rows not in (None, len(self._embeddings)):
            raise ValueError(
                f"embeddings: expected {num_rows}, one per corpus row, got {len(self._embeddings)}"
            )
        return table

    def _ids(self, samples: Sequence[Any], batch: Any) -> Int64:
        if self.base_collate is default_collate:
            ids = collated_ids(batch, self.id_key, len(samples))
            if ids is not None:
                return ids
        return read_ids(samples, self.id_key)

    def _draw(self, table: _Table, rows: Int64) -> Arrays:
        drawn = self._draws.draw(table.negatives, rows, self.seed, self.epoch, self._columns)
        for name in self._columns:
            if name not in drawn:
                if len(rows) and (drawn["indices"] >= 0).any():
                    raise ValueError(f"add: neither the table nor the strategy has {name!r}")
                drawn[name] = np.full(drawn["indices"].shape, PADDING[name])
        return drawn

    def _tensor(self, name: str, table: _Table, rows: Int64, drawn: Arrays) -> Any:
        if name == "generation":
            return self._generation
        if name == "mask":
            return torch.from_numpy(drawn["indices"] >= 0)
        if name == "positive_scores":
            return torch.from_numpy(np.take(table.negatives.positive_scores, rows))
        array = drawn[name]
        return torch.from_numpy(array.astype(np.float32) if array.dtype.kind == "f" else array)

    def _items(self, indices: Int64) -> list[Any]:
        rows = indices[indices >= 0].tolist()
        fetch_all = getattr(self.dataset, "__getitems__", None)
        return fetch_all(rows) if fetch_all is not None else [self.dataset[row] for row in rows]


def _source(
    given: Negatives | TableFolder | str | os.PathLike[str],
) -> Negatives | TableFolder | str:
    if isinstance(given, (Negatives, TableFolder)):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(
            "negatives_or_path: expected nearmiss.Negatives, a TableFolder or a path, "
            f"got {given!r}"
        )
    path = os.path.abspath(given)
    return TableFolder(path) if os.path.isdir(path) else path


def _columns_for(add: Iterable[str]) -> tuple[str, ...]:
    """Return the arrays to draw; rows of the corpus always, everything else refers to them."""
    return ("indices", *(name for name in add if name in PADDING and name != "indices"))


class _Table:
    """An open table and the row of each query id in it."""

    def __init__(self, negatives: Negatives) -> None:
        self.negatives = negatives
        ids = np.asarray(negatives.query_ids)
        self._is_direct = np.array_equal(ids, np.arange(len(ids)))
        if not self._is_direct:
            self._order = np.argsort(ids, kind="stable")
            self._sorted_ids = ids[self._order]

    def rows_of(self, query_ids: Int64) -> Int64:
        """Return the table's row of each id, none negative; KeyError names one that is missing."""
        num_rows = len(self.negatives.counts)
        if self._is_direct:
            if len(query_ids) and query_ids.max() >= num_rows:
                self._refuse(query_ids, query_ids < num_rows)
            return query_ids
        places = np.searchsorted(self._sorted_ids, query_ids)
        found = places < num_rows
        found[found] = self._sorted_ids[places[found]] == query_ids[found]
        if not found.all():
            self._refuse(query_ids, found)
        return self._order[places]

    def _refuse(self, query_ids: Int64, found: np.ndarray) -> None:
        missing = query_ids[np.argmin(found)]
        num_rows = len(self.negatives.counts)
        raise KeyError(f"query id {missing} is not in the table of {num_rows} queries")
