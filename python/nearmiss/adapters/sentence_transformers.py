# SPDX-License-Identifier: Apache-2.0
"""For use with sentence-transformers. Needs torch; does not import sentence-transformers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal

from nearmiss.adapters.hard_negatives import mine_hard_negatives
from nearmiss.arrays import check_choice
from nearmiss.batches import BatchPlan
from nearmiss.loaders.collate import HardNegativeCollator
from nearmiss.loaders.samplers import PlanBatchSampler
from nearmiss.loaders.table_folder import TableFolder
from nearmiss.negatives import Negatives

__all__ = ["NegativeColumns", "TrainerBatchSampler", "mine_hard_negatives"]


@dataclass(frozen=True, eq=False)
class TrainerBatchSampler:
    """The batches of a plan, for ``batch_sampler=`` of a Trainer's arguments.

    The Trainer calls it with each data set it is to make a loader for, and gets a
    `PlanBatchSampler` with ``rank="all"``: on several processes the Trainer deals out the batches
    itself. It sets the epochs too.

    Parameters
    ----------
    plan : BatchPlan or callable
        A plan over the rows of the training set; its ``batch_size`` is
        ``per_device_train_batch_size`` (times the devices, if one process drives several). Or a
        function that is called as ``plan(dataset, batch_size=…, drop_last=…, seed=…)``, with the
        Trainer's arguments, and returns one: for several data sets, or one to evaluate on too.
        The Trainer saves its arguments with pickle: a function must be importable.
    uneven : {"drop", "repeat"}, default "drop"
        As for `PlanBatchSampler`.

    Raises
    ------
    TypeError
        For a plan of another type, also one that is returned.
    ValueError
        When called, if the plan's rows are not those of the data set, or its batches are not of
        the Trainer's size.

    Notes
    -----
    Draws are the plan's own, by its seed; the Trainer's ``generator`` is not used, and a plan that
    is no function also decides by itself whether the last batch is dropped. Several data sets on
    several processes do not work together: sentence-transformers then asks for one batch size, and
    accelerate skips batches that have another.

    Examples
    --------
    >>> import nearmiss as nm
    >>> plan = nm.batches.NoConflict(4, texts=[["a", "b", "a", "c", "d", "e", "f", "g"]])
    >>> batch_sampler = nm.adapters.sentence_transformers.TrainerBatchSampler(plan)
    >>> batch_sampler(range(8), batch_size=4, drop_last=False)
    PlanBatchSampler(all ranks of 1: 2 of 2 batches)
    """

    plan: BatchPlan | Callable[..., BatchPlan]
    uneven: Literal["drop", "repeat"] = "drop"

    def __post_init__(self) -> None:
        if not isinstance(self.plan, BatchPlan) and not callable(self.plan):
            raise TypeError(
                f"plan: expected a BatchPlan or a function, got a {type(self.plan).__name__}"
            )
        check_choice(self.uneven, "uneven", ("drop", "repeat"))

    def __call__(
        self,
        dataset: Sized,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
    ) -> PlanBatchSampler:
        """Return the batch sampler for a data set; called by the Trainer."""
        plan = self.plan
        if not isinstance(plan, BatchPlan):
            plan = plan(dataset, batch_size=batch_size, drop_last=drop_last, seed=seed)
            if not isinstance(plan, BatchPlan):
                raise TypeError(
                    f"plan: the function returned no BatchPlan but a {type(plan).__name__}"
                )
        if plan.num_rows != len(dataset):
            raise ValueError(
                f"plan: is over {plan.num_rows} rows, the data set has {len(dataset)}; for more "
                f"data sets than one (evaluation too) give a function that plans each"
            )
        if plan.batch_size != batch_size:
            raise ValueError(
                f"plan: has batches of {plan.batch_size} rows, the Trainer of {batch_size}"
            )
        return PlanBatchSampler(plan, rank="all", uneven=self.uneven)


class NegativeColumns:
    """Adds the texts of mined negatives to a data set, for ``Dataset.set_transform``.

    The Trainer then finds columns ``negative_1``, …, ``negative_n`` behind the others, which any
    loss for triplets or for n-tuples takes. Draws are those of `HardNegativeCollator`: by (seed,
    epoch, query id), from the newest table of a folder.

    Parameters
    ----------
    negatives_or_path : Negatives, TableFolder or path
    corpus : sequence of str
        The texts of corpus rows.
    num_negatives : int
        A query that has fewer, but some, gets its own again.
    seed : int, default 0
    id_column : str, default "idx"
        The column of query ids; the Trainer does not see it.

    Raises
    ------
    KeyError
        When called, for a query id that is not in the table, or a row without negatives.

    Notes
    -----
    With a `TableFolder` the epoch is the folder's, which `RefreshCallback` sets.

    Examples
    --------
    >>> import nearmiss as nm
    >>> corpus = ["a cat", "a dog", "a cow"]
    >>> table = nm.mine_candidates([[0.9, 0.8]], [[2, 1]], num_negatives=2)
    >>> columns = nm.adapters.sentence_transformers.NegativeColumns(table, corpus, 2)
    >>> columns({"anchor": ["the cat"], "idx": [0]})
    {'anchor': ['the cat'], 'negative_1': ['a cow'], 'negative_2': ['a dog']}
    """

    def __init__(
        self,
        negatives_or_path: Negatives | TableFolder | str | os.PathLike[str],
        corpus: Sequence[str],
        num_negatives: int,
        *,
        seed: int = 0,
        id_column: str = "idx",
    ) -> None:
        self.corpus = corpus
        self.id_column = id_column
        self.collate = HardNegativeCollator(
            negatives_or_path,
            num_negatives=num_negatives,
            seed=seed,
            id_key=id_column,
            base_collate=list,
        )

    def __call__(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the columns of some rows without the ids and with their negatives."""
        if self.id_column not in columns:
            raise KeyError(f"id_column: the data set has no column {self.id_column!r}")
        ids = columns[self.id_column]
        _, drawn = self.collate([{self.id_column: id_} for id_ in ids])
        negatives = [
            self._texts(row[row >= 0].tolist(), id_) for row, id_ in zip(drawn, ids, strict=True)
        ]
        kept = {name: values for name, values in columns.items() if name != self.id_column}
        for place in range(self.collate.num_negatives):
            kept[f"negative_{place + 1}"] = [texts[place] for texts in negatives]
        return kept

    def _texts(self, rows: list[int], query_id: int) -> list[str]:
        if not rows:
            raise KeyError(f"query id {query_id} has no negatives in the table")
        return [self.corpus[rows[i % len(rows)]] for i in range(self.collate.num_negatives)]
