# SPDX-License-Identifier: Apache-2.0
"""What all methods share, chosen by `tune` on validation queries with random negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

HeadKind: TypeAlias = Literal["linear", "linear-query", "low-rank", "diagonal"]


@dataclass(frozen=True)
class Settings:
    """``scale`` is what cosines are multiplied by in the loss: 1 / temperature."""

    head: HeadKind
    scale: float
    learning_rate: float
    epochs: int
    batch_size: int


SETTINGS = {
    "docstrings": Settings("linear", 20.0, 3e-4, 4, 128),
    "questions": Settings("linear", 10.0, 1e-3, 36, 32),
}
# Of the synthetic stand-in, which shows that everything runs.
SMOKE_SETTINGS = Settings("linear", 20.0, 3e-3, 2, 32)
