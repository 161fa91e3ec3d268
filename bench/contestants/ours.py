# SPDX-License-Identifier: Apache-2.0
"""nearmiss itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nearmiss as nm

from contestants import Answer, Task

# The vectors are of unit length, so inner product asks what the peers are asked.
METRIC = "ip"


def describe() -> dict[str, str]:
    information = {key: str(value) for key, value in nm.build_info().items()}
    return {"targets": ", ".join(nm.simd_targets()), **information}


def set_threads(threads: int) -> None:
    """Nothing to do: every call says how many."""


def read(result: Any) -> Answer:
    if isinstance(result, tuple):
        return Answer(*result)
    return Answer(result.scores, result.indices)


def _topk_cold(task: Task) -> Callable[[], Any]:
    def run() -> Any:
        return nm.topk(
            task.vectors.queries,
            task.vectors.corpus,
            task.k,
            metric=METRIC,
            num_threads=task.threads,
        )

    return run


def _topk_warm(task: Task) -> Callable[[], Any]:
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC)

    def run() -> Any:
        return nm.topk(task.vectors.queries, corpus, task.k, num_threads=task.threads)

    return run


def _mine(task: Task) -> Callable[[], Any]:
    def run() -> Any:
        return nm.mine(
            task.vectors.queries,
            task.vectors.corpus,
            task.vectors.positives,
            num_negatives=task.k,
            relative_margin=task.relative_margin,
            metric=METRIC,
            num_threads=task.threads,
        )

    return run


def _mine_without_limits(task: Task) -> Callable[[], Any]:
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC)

    def run() -> Any:
        return nm.mine(task.vectors.queries, corpus, num_negatives=task.k, num_threads=task.threads)

    return run


def _mine_with_limits(task: Task) -> Callable[[], Any]:
    limits = task.limits
    if limits is None:
        raise ValueError("this job needs a task with limits")
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC, groups=limits.corpus_groups)

    def run() -> Any:
        return nm.mine(
            task.vectors.queries,
            corpus,
            num_negatives=task.k,
            query_groups=limits.query_groups,
            exclude=limits.exclude,
            max_score=limits.max_score,
            num_threads=task.threads,
        )

    return run


JOBS = {
    "cold": _topk_cold,
    "warm": _topk_warm,
    "mine": _mine,
    "limits-none": _mine_without_limits,
    "limits-all": _mine_with_limits,
}
