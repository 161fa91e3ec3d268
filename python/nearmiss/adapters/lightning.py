# SPDX-License-Identifier: Apache-2.0
"""For the Trainer of Lightning. Needs the package lightning."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import Callback

from nearmiss.loaders.refresh import TableSwitch


class RefreshCallback(Callback):  # type: ignore[misc]
    """Tells a `Refresher` (or a `Replay`) of the steps and epochs of a Trainer.

    For ``callbacks=`` of ``lightning.pytorch.Trainer``, on every rank. Epochs reach the collators
    that follow the refresher's folder too. A mining process that still runs when training ends is
    ended.

    Parameters
    ----------
    refresher : Refresher or Replay
        Its folder should hold a first table already: `Refresher.refresh` makes one.

    Notes
    -----
    Steps are the Trainer's ``global_step``: steps of all optimisers together, not batches.
    """

    def __init__(self, refresher: TableSwitch) -> None:
        self.refresher = refresher

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the epoch."""
        self.refresher.begin_epoch(trainer.current_epoch, trainer.global_step)

    def on_train_batch_end(self, trainer: Any, *batch: Any, **keywords: Any) -> None:
        """Count the step, if this batch ended one."""
        self.refresher.step(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End what runs in the background."""
        self.refresher.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End what runs in the background."""
        self.refresher.close()
