# SPDX-License-Identifier: Apache-2.0
"""The epoch, where a loader and its workers see the same one."""

from __future__ import annotations

import torch

from nearmiss.arrays import check_integer
from nearmiss.loaders.table_folder import TableFolder


class SharedEpoch:
    """An epoch in shared memory: workers started from here, in whatever way, see it change."""

    def __init__(self) -> None:
        self._value = torch.zeros((), dtype=torch.int64)
        self._value.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch, 0 at first."""
        return int(self._value)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, for the workers too."""
        self._value.fill_(check_integer(epoch, "epoch", 0, 2**63 - 1))


class DrawsPerEpoch:
    """What draws anew in every epoch: by a folder's epoch, or one of its own."""

    def __init__(self, folder: TableFolder | None = None) -> None:
        self._clock: SharedEpoch | TableFolder = SharedEpoch() if folder is None else folder

    @property
    def epoch(self) -> int:
        """The epoch the draws are made for."""
        return self._clock.epoch

    def set_epoch(self, epoch: int) -> None:
        """Draw for this epoch from now on. Call it between epochs, also with workers running."""
        self._clock.set_epoch(epoch)
