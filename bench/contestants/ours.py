# SPDX-License-Identifier: Apache-2.0
"""nearmiss itself. Jobs end in the precision they screen in; without one it is ``"auto"``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import nearmiss as nm
import numpy as np
from clusters import ClusterTask
from collating import CollateTask
from draws import DrawTask
from in_batch import CUTOFF, EPSILON, MARGIN, InBatchTask, mine_batch
from nearmiss import _core
from packing import PackTask, Rows
from probes import fewest_probes, num_lists, tuning_queries

from contestants import Answer, Task

# The vectors are of unit length, so inner product asks what the peers are asked.
METRIC = "ip"
PRECISIONS = ("auto", "float32", "int16", "int8")


def describe() -> dict[str, str]:
    information = {key: str(value) for key, value in nm.build_info().items()}
    return {"targets": ", ".join(nm.simd_targets()), **information}


def set_threads(threads: int) -> None:
    """Nothing to do: every call says how many."""


def read(result: Any) -> Answer:
    if isinstance(result, tuple):
        return Answer(*result)
    return Answer(result.scores, result.indices)


def in_precision(job: str, precision: str) -> str:
    """The name of a job in another precision."""
    for suffix in PRECISIONS:
        job = job.removesuffix(f"-{suffix}")
    return job if precision == "auto" else f"{job}-{precision}"


def packs(job: str) -> bool:
    """Whether packing as `time_packing` does it is part of the job."""
    return job in ("cold", "mine")


def time_packing(task: Task) -> float:
    """Seconds that packing the corpus takes by itself."""
    start = time.perf_counter()
    nm.Corpus(task.vectors.corpus, metric=METRIC, num_threads=task.threads)
    return time.perf_counter() - start


def count_work(run: Callable[[], Any]) -> dict[str, int]:
    """What the core counted during a run: pairs rescored, queries rescanned and fallen back."""
    with _listening() as heard:
        run()
    counts = ("rescored", "rescanned", "fallen_back")
    return {key: sum(work[key] for work in heard) for key in counts}


@contextmanager
def _listening() -> Iterator[list[dict[str, int]]]:
    """Note the core's counts of every call, which the public functions do not return."""
    heard: list[dict[str, int]] = []
    topk, mine = _core.topk, _core.mine

    def listening_topk(*arguments: Any, **options: Any) -> Any:
        result = topk(*arguments, **options)
        heard.append(result[2])
        return result

    def listening_mine(*arguments: Any, **options: Any) -> Any:
        result = mine(*arguments, **options)
        heard.append(result["work"])
        return result

    _core.topk, _core.mine = listening_topk, listening_mine
    try:
        yield heard
    finally:
        _core.topk, _core.mine = topk, mine


def _topk_cold(task: Task, precision: str) -> Callable[[], Any]:
    def run() -> Any:
        return nm.topk(
            task.vectors.queries,
            task.vectors.corpus,
            task.k,
            metric=METRIC,
            precision=precision,
            num_threads=task.threads,
        )

    return run


def _topk_warm(task: Task, precision: str) -> Callable[[], Any]:
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC)

    def run() -> Any:
        return nm.topk(
            task.vectors.queries, corpus, task.k, precision=precision, num_threads=task.threads
        )

    return run


def _mine(task: Task, precision: str) -> Callable[[], Any]:
    def run() -> Any:
        return nm.mine(
            task.vectors.queries,
            task.vectors.corpus,
            task.vectors.positives,
            num_negatives=task.k,
            relative_margin=task.relative_margin,
            metric=METRIC,
            precision=precision,
            num_threads=task.threads,
        )

    return run


def _mine_without_limits(task: Task, precision: str) -> Callable[[], Any]:
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC)

    def run() -> Any:
        return nm.mine(
            task.vectors.queries,
            corpus,
            num_negatives=task.k,
            precision=precision,
            num_threads=task.threads,
        )

    return run


def _corpus_and_probes(task: Task) -> tuple[nm.Corpus, nm.Probes]:
    """A corpus whose lists exist, and the fewest probes that reach the wanted recall."""
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC)
    lists = num_lists(len(corpus))
    queries = tuning_queries(task.vectors.queries)
    start = time.perf_counter()
    nm.topk(queries[:1], corpus, task.k, approximate=nm.Probes(1, lists), num_threads=task.threads)
    print(f"  ours: {lists} lists made in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    exact = nm.topk(queries, corpus, task.k, num_threads=task.threads)[1]
    probes = fewest_probes(
        lambda p: nm.topk(queries, corpus, task.k, approximate=nm.Probes(p, lists))[1],
        exact,
        lists,
    )
    print(f"  ours: {probes} probes", file=sys.stderr)
    return corpus, nm.Probes(probes, lists)


def _topk_probes(task: Task, precision: str) -> Callable[[], Any]:
    corpus, probes = _corpus_and_probes(task)
    return lambda: nm.topk(
        task.vectors.queries,
        corpus,
        task.k,
        precision=precision,
        approximate=probes,
        num_threads=task.threads,
    )


def _mine_probes(task: Task, precision: str) -> Callable[[], Any]:
    """Searches a sample of the queries exactly too."""
    corpus, probes = _corpus_and_probes(task)
    return lambda: nm.mine(
        task.vectors.queries,
        corpus,
        num_negatives=task.k,
        precision=precision,
        approximate=probes,
        num_threads=task.threads,
    )


def bands(last_rank: int) -> list[nm.strategies.Band]:
    """Three bands up to a rank, each ten times as wide as the one before, ten rows in all."""
    ends = [0, last_rank // 100, last_rank // 10, last_rank]
    return [
        nm.strategies.Band(lo, hi, quota)
        for (lo, hi), quota in zip(pairwise(ends), (2, 3, 5), strict=True)
    ]


def _mine_bands(task: Task, precision: str) -> Callable[[], Any]:
    corpus = nm.Corpus(task.vectors.corpus, metric=METRIC)

    def run() -> Any:
        return nm.mine(
            task.vectors.queries,
            corpus,
            strategy=nm.strategies.Bands(bands(task.k)),
            query_ids=task.query_ids,
            precision=precision,
            num_threads=task.threads,
        )

    return run


def _mine_with_limits(task: Task, precision: str) -> Callable[[], Any]:
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
            precision=precision,
            num_threads=task.threads,
        )

    return run


def _bank(task: Task, precision: str) -> Callable[[], Any]:
    """A step of training: the batch's new embeddings in, negatives of other ids out."""
    queries, corpus = task.vectors.queries, task.vectors.corpus
    ids = np.arange(len(queries), dtype=np.int64) if task.query_ids is None else task.query_ids
    bank = nm.loaders.MemoryBank(len(corpus), corpus.shape[1], METRIC, "keyed")
    bank.enqueue(corpus, np.arange(len(corpus)))

    def run() -> Any:
        bank.enqueue(queries, ids)
        return bank.mine(
            queries,
            exclude_ids=ids,
            num_negatives=task.k,
            precision=precision,
            num_threads=task.threads,
        )

    run()  # packs
    return run


_JOBS = {
    "cold": _topk_cold,
    "warm": _topk_warm,
    "mine": _mine,
    "limits-none": _mine_without_limits,
    "limits-on": _mine_with_limits,
    "bands": _mine_bands,
    "bank": _bank,
    "probes": _topk_probes,
    "mine-probes": _mine_probes,
}
JOBS = {
    in_precision(name, precision): partial(job, precision=precision)
    for name, job in _JOBS.items()
    for precision in PRECISIONS
}


def _weighted(task: DrawTask) -> Callable[[], Any]:
    def run() -> Any:
        return nm.sampling.weighted(
            task.log_weights, task.k, query_ids=task.query_ids, num_threads=task.threads
        )

    return run


def _complement(task: DrawTask) -> Callable[[], Any]:
    """The lists come as positives often do, in CSR arrays."""
    assert task.excluded is not None
    n, width = task.excluded.shape
    lists = (np.arange(n + 1, dtype=np.int64) * width, task.excluded.ravel())

    def run() -> Any:
        return nm.sampling.complement(
            task.num_items,
            lists,
            task.k,
            replace=True,
            query_ids=task.query_ids,
            num_threads=task.threads,
        )

    return run


DRAWS = {"weighted": _weighted, "complement": _complement}


def _pack_columns(task: PackTask, columns: Callable[[], list[Any]]) -> Callable[[], list[Rows]]:
    def run() -> list[Rows]:
        plan = nm.batches.NoConflict(task.batch_size, texts=columns())
        return list(plan.batches(task.epoch))

    return run


def _pack(task: PackTask) -> Callable[[], list[Rows]]:
    """From the columns of a data set in memory, as sentence-transformers has it."""
    dataset = task.dataset()
    return _pack_columns(task, lambda: [dataset[name] for name in dataset.column_names])


def _pack_strings(task: PackTask) -> Callable[[], list[Rows]]:
    """From lists of strings."""
    columns = task.columns()
    return _pack_columns(task, lambda: columns)


def _pack_again(task: PackTask) -> Callable[[], list[Rows]]:
    """The plan exists: what every epoch but the first costs."""
    plan = nm.batches.NoConflict(task.batch_size, texts=task.columns())
    return lambda: list(plan.batches(task.epoch))


PACKS = {"pack": _pack, "pack-strings": _pack_strings, "pack-again": _pack_again}


def _mine_batch(task: InBatchTask) -> Callable[[], Any]:
    miners = nm.loaders.miners
    threads = task.threads
    miner = {
        "batch-hard": lambda: miners.BatchHardMiner(num_threads=threads),
        "margin": lambda: miners.TripletMarginMiner(margin=MARGIN, num_threads=threads),
        "distance-weighted": lambda: miners.DistanceWeightedMiner(
            nonzero_loss_cutoff=CUTOFF, num_threads=threads
        ),
        "multi-similarity": lambda: miners.MultiSimilarityMiner(
            epsilon=EPSILON, num_threads=threads
        ),
    }[task.kind]()
    return mine_batch(task, miner)


MINERS = {"mine": _mine_batch}


def _collator(task: CollateTask) -> Any:
    return nm.loaders.HardNegativeCollator(
        task.table, num_negatives=task.num_negatives, embeddings=task.embeddings
    )


def _loader(task: CollateTask) -> Callable[[], Any]:
    collate = _collator(task)

    def run() -> Any:
        for batch in task.loader(collate):
            last = batch
        return last

    return run


def _collate(task: CollateTask) -> Callable[[], Any]:
    """One call of the collate function."""
    samples = [task[row] for row in range(min(task.batch_size, len(task)))]
    return partial(_collator(task), samples)


COLLATES = {"loader": _loader, "collate": _collate}


def _fit(task: ClusterTask, init: Any = None, **options: Any) -> nm.KMeans:
    model = nm.KMeans(
        len(task.centers),
        init=task.centers if init is None else init,
        max_iter=task.iterations,
        tol=0,
        num_threads=task.threads,
        **options,
    )
    return model.fit(task.rows)


def _lloyd(task: ClusterTask) -> Callable[[], Any]:
    return lambda: _fit(task).cluster_centers_


def _two_level(task: ClusterTask) -> Callable[[], Any]:
    return lambda: _fit(task, init="two-level", random_state=0).cluster_centers_


def _balanced(task: ClusterTask) -> Callable[[], Any]:
    return lambda: _fit(task, balanced=True).labels_


def _seeding(task: ClusterTask, law: str) -> Callable[[], Any]:
    def run() -> Any:
        points = _core.Points(task.rows, "float32", "l2", None, task.threads)
        rows = points.seed(len(task.centers), law, num_threads=task.threads)
        return task.rows[rows]

    return run


CLUSTERS = {
    "lloyd": _lloyd,
    "two-level": _two_level,
    "balanced": _balanced,
    "plus-plus": partial(_seeding, law="k-means++"),
    "rejection": partial(_seeding, law="rejection"),
}
