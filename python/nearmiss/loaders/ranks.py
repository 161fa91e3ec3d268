# SPDX-License-Identifier: Apache-2.0
"""The processes of a distributed training run, of which the first one decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist


class Ranks:
    """What this process and the others do together; alone, it is the first one.

    Looks at `torch.distributed` whenever it is used, as that may be initialised later.

    Parameters
    ----------
    group : ProcessGroup, optional
        Default: all ranks.
    """

    def __init__(self, group: Any = None) -> None:
        self._group = group

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which mines and writes."""
        return not self._are_several() or dist.get_rank() == 0

    def agree(self, value: Any) -> Any:
        """Return what rank 0 has, on every rank. All of them must call it."""
        if not self._are_several():
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    @contextmanager
    def stand_still(self) -> Iterator[None]:
        """Keep all ranks inside the block until the last has come in, and again until all leave."""
        self._wait()
        yield
        self._wait()

    def _wait(self) -> None:
        if self._are_several():
            dist.barrier(group=self._group)

    @staticmethod
    def _are_several() -> bool:
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
