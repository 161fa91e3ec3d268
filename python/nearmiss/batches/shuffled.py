# SPDX-License-Identifier: Apache-2.0
"""Plain random batches."""

from __future__ import annotations

from dataclasses import dataclass, field

from nearmiss.arrays import check_flag, check_integer, check_seed
from nearmiss.batches.base import Batches, BatchPlan, Coverage, cut, num_batches_of, shuffled


@dataclass(frozen=True)
class Shuffled(BatchPlan):
    """All rows in random order, cut into batches: what every other plan is compared with.

    Parameters
    ----------
    num_rows : int
        At least 0.
    batch_size : int
        At least 1.
    drop_last : bool, default False
        Leave out the last batch where it is not full; its rows are then `Batches.unplaced`.
    seed : int, default 0

    Examples
    --------
    >>> import nearmiss as nm
    >>> len(nm.batches.Shuffled(10, 4)), len(nm.batches.Shuffled(10, 4, drop_last=True))
    (3, 2)
    """

    num_rows: int
    batch_size: int
    drop_last: bool = False
    seed: int = 0

    coverage: Coverage = field(default="all", init=False, repr=False)

    def __post_init__(self) -> None:
        check_integer(self.num_rows, "num_rows", 0)
        check_integer(self.batch_size, "batch_size", 1)
        check_flag(self.drop_last, "drop_last")
        check_seed(self.seed, "seed")

    def __len__(self) -> int:
        return num_batches_of(self.num_rows, self.batch_size, self.drop_last)

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        return cut(shuffled(self.num_rows, self.seed, epoch), self.batch_size, self.drop_last)
