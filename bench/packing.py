# SPDX-License-Identifier: Apache-2.0
"""The problem of the suite ``batches``: pairs of texts, packed so that no batch repeats a text.

Like question-answer data: a tenth of the questions come more than once, and so do answers, a few of
them often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from checks import WrongAnswer

Rows = npt.NDArray[np.int64]

_WORDS = 24  # of a text: what hashing and comparing it costs
_MOST_COPIES = 60  # of one answer; below the number of batches of the full size


@dataclass(frozen=True)
class PackTask:
    """n pairs of texts (UTF-8), to be packed into batches."""

    questions: list[bytes]
    answers: list[bytes]
    batch_size: int
    epoch: int = 1

    def columns(self) -> list[list[str]]:
        """Both columns as strings."""
        return [[text.decode() for text in column] for column in (self.questions, self.answers)]

    def dataset(self) -> Any:
        """Both columns as a `datasets.Dataset` in memory."""
        import datasets  # one contestant can do without

        questions, answers = self.columns()
        return datasets.Dataset.from_dict({"question": questions, "answer": answers})


PackJob: TypeAlias = Callable[[PackTask], Callable[[], list[Rows]]]


def make_task(n: int, batch_size: int) -> PackTask:
    """A seeded problem."""
    rng = np.random.default_rng(17)
    questions = rng.integers(0, max(1, 9 * n // 10), n)
    copies = np.minimum(rng.zipf(2.2, n), min(_MOST_COPIES, n // batch_size))
    answers = rng.permutation(np.repeat(np.arange(n), copies)[:n])
    return PackTask(
        [_text("question", number) for number in questions.tolist()],
        [_text("answer", number) for number in answers.tolist()],
        batch_size,
    )


def _text(kind: str, number: int) -> bytes:
    return " ".join(f"{kind}{number}word{word}" for word in range(_WORDS)).encode()


def check_batches(name: str, task: PackTask, batches: list[Rows]) -> dict[str, float]:
    """Raise `WrongAnswer` if a row comes twice, a batch is too large or repeats a text."""
    rows = np.concatenate([np.empty(0, np.int64), *batches])
    if len(set(rows.tolist())) != len(rows):
        raise WrongAnswer(f"{name}: a row comes twice")
    for batch in batches:
        if len(batch) > task.batch_size:
            raise WrongAnswer(f"{name}: a batch of {len(batch)} rows")
        texts = [text for row in batch.tolist() for text in _texts_of(task, row)]
        if len(set(texts)) != len(texts):
            raise WrongAnswer(f"{name}: a batch holds a text twice")
    return {
        "batches": len(batches),
        "rows_left_out": len(task.questions) - len(rows),
        "batches_not_full": sum(len(batch) < task.batch_size for batch in batches),
    }


def _texts_of(task: PackTask, row: int) -> set[bytes]:
    return {task.questions[row], task.answers[row]}


def check_same_batches(name: str, first: list[Rows], second: list[Rows]) -> None:
    """The same seed and epoch must give the same batches."""
    same = len(first) == len(second)
    if not same or not all(map(np.array_equal, first, second)):
        raise WrongAnswer(f"{name}: batches of one epoch differ")
