# SPDX-License-Identifier: Apache-2.0
"""For training with sentence-transformers. Needs torch; does not import sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any, Literal

from nearmiss.arrays import check_choice
from nearmiss.batches import BatchPlan
from nearmiss.loaders.samplers import PlanBatchSampler


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
