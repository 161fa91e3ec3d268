# SPDX-License-Identifier: Apache-2.0
"""A collate function that adds hard negatives to every batch of a DataLoader."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from nearmiss import _core
from nearmiss.arrays import Int64, check_integer, check_seed
from nearmiss.loaders.epoch import SharedEpoch
from nearmiss.loaders.table_folder import TableFolder
from nearmiss.negatives import Negatives

_LARGEST_ID = 2**63 - 1


class HardNegativeCollator:
    """Collate samples and give each of them negatives drawn from a mined table.

    A draw depends on (seed, epoch, query id) alone: not on the batch, the order, the number of
    workers or the way they are started. If the table holds more negatives per query than
    ``num_negatives``, every epoch draws anew among them, uniformly and without replacement.

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
        ``base_collate``; None if it has no negatives at all.
    num_negatives : int
        Negatives per sample; at most the number of columns of the table.
    seed : int, default 0
        Seed of the draws.
    id_key : str or int, default "idx"
        Where a sample holds its query id: a key of a dict, or a position in a tuple. The id is a
        row number of the queries that were mined, or what `mine` got as ``query_ids``.
    base_collate : callable, default torch.utils.data.default_collate
        Makes a batch of the samples, as DataLoader's ``collate_fn`` does.

    Raises
    ------
    ValueError
        If ``num_negatives`` is not between 1 and the columns of the table.
    KeyError
        When called, if a query id is not in the table, or a sample has no ``id_key``.

    Notes
    -----
    What a call returns, for B samples: if ``base_collate`` makes a dict, that dict with
    ``"negative_indices"``, an int64 tensor (B, num_negatives) of corpus rows, closest first and
    padded with -1 where the table has fewer; with a ``dataset`` also ``"negatives"``. If it makes
    anything else, the tuple (batch, negative_indices) or, with a ``dataset``,
    (batch, negative_indices, negatives).

    The epoch lives in shared memory: `set_epoch` between two epochs reaches persistent workers.
    That of a `TableFolder` is the folder's, and so reaches other processes too.

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
    """

    def __init__(
        self,
        negatives_or_path: Negatives | TableFolder | str | os.PathLike[str],
        dataset: Any = None,
        *,
        num_negatives: int,
        seed: int = 0,
        id_key: str | int = "idx",
        base_collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self._source = _source(negatives_or_path)
        self._table: _Table | None = None
        self._generation = 0  # of the open table, if it is from a folder
        self.dataset = dataset
        self.num_negatives = check_integer(num_negatives, "num_negatives", 1)
        if not isinstance(self._source, TableFolder) or self._source.generation:
            self._open()
        self.seed = check_seed(seed, "seed")
        self.id_key = id_key
        self.base_collate = default_collate if base_collate is None else base_collate
        self._clock = self._source if isinstance(self._source, TableFolder) else SharedEpoch()

    @property
    def epoch(self) -> int:
        """The epoch the draws are made for."""
        return self._clock.epoch

    def set_epoch(self, epoch: int) -> None:
        """Draw for this epoch from now on. Call it between epochs, also with workers running."""
        self._clock.set_epoch(epoch)

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Collate a list of samples and add their negatives (see the class)."""
        batch = self.base_collate(list(samples))
        rows = self._draw(self._query_ids(samples))
        added: dict[str, Any] = {"negative_indices": torch.from_numpy(rows)}
        if self.dataset is not None:
            items = [self.dataset[int(row)] for row in rows[rows >= 0]]
            added["negatives"] = self.base_collate(items) if items else None
        return {**batch, **added} if isinstance(batch, Mapping) else (batch, *added.values())

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
        return _Table(negatives)

    def _draw(self, query_ids: Int64) -> Int64:
        table = self._open()
        rows = table.rows_of(query_ids)
        columns = _core.sample_columns(
            table.negatives.counts[rows],
            table.num_columns,
            query_ids,
            self.num_negatives,
            self.seed,
            self.epoch,
        )
        drawn = table.negatives.indices[rows[:, np.newaxis], np.maximum(columns, 0)]
        return np.where(columns >= 0, drawn, -1)

    def _query_ids(self, samples: Sequence[Any]) -> Int64:
        ids = np.empty(len(samples), dtype=np.int64)
        for position, sample in enumerate(samples):
            try:
                value = sample[self.id_key]
            except (KeyError, IndexError):
                raise KeyError(f"id_key: sample {position} has no {self.id_key!r}") from None
            except TypeError:
                raise TypeError(
                    f"id_key: {self.id_key!r} does not fit a sample of type "
                    f"{type(sample).__name__}; give a key for dicts, a position for tuples"
                ) from None
            ids[position] = check_integer(
                value, f"{self.id_key!r} of sample {position}", 0, _LARGEST_ID
            )
        return ids


def _source(
    given: Negatives | TableFolder | str | os.PathLike[str],
) -> Negatives | TableFolder | str:
    if isinstance(given, (Negatives, TableFolder)):
        return given
    path = os.path.abspath(given)
    return TableFolder(path) if os.path.isdir(path) else path


class _Table:
    """An open table and the row of each query id in it."""

    def __init__(self, negatives: Negatives) -> None:
        self.negatives = negatives
        self.num_columns = negatives.indices.shape[1]
        self._order = np.argsort(negatives.query_ids, kind="stable")
        self._sorted_ids = np.asarray(negatives.query_ids)[self._order]

    def rows_of(self, query_ids: Int64) -> Int64:
        """Return the table's row of each id; KeyError names an id that is not there."""
        places = np.searchsorted(self._sorted_ids, query_ids)
        found = places < len(self._sorted_ids)
        found[found] = self._sorted_ids[places[found]] == query_ids[found]
        if not found.all():
            missing = query_ids[np.argmin(found)]
            raise KeyError(f"query id {missing} is not in the table of {len(self._order)} queries")
        return self._order[places]
