# SPDX-License-Identifier: Apache-2.0
"""For the Trainers of transformers and sentence-transformers. Needs transformers."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from nearmiss.loaders.refresh import TableSwitch

# Epochs are told as the sum of many fractions.
_ROUNDING = 1e-6


class RefreshCallback(TrainerCallback):  # type: ignore[misc]
    """Tells a `Refresher` (or a `Replay`) of the steps and epochs of a Trainer.

    For ``callbacks=`` of a transformers or sentence-transformers Trainer, on every rank. Epochs
    reach the collators that follow the refresher's folder too. A mining process that still runs
    when training ends is ended.

    Parameters
    ----------
    refresher : Refresher or Replay
        Its folder should hold a first table already: `Refresher.refresh` makes one.

    Notes
    -----
    Steps are the Trainer's ``global_step``: optimiser steps, not batches. A Trainer fetches one
    batch ahead, so without workers a table swapped after step n is that of batch n + 2.
    """

    def __init__(self, refresher: TableSwitch) -> None:
        self.refresher = refresher

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the epoch."""
        self.refresher.begin_epoch(int((state.epoch or 0) + _ROUNDING), state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step."""
        self.refresher.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End what runs in the background."""
        self.refresher.close()
