# SPDX-License-Identifier: Apache-2.0
"""All runs of a case. Finished ones are kept in the cache folder: a run that is cut off goes on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nearmiss as nm
import numpy as np
import torch
from contestants import Unavailable, load_adapter
from data import cache_folder

from training.head import Head
from training.loop import measure, train
from training.methods import IN_BATCH, METHODS, PEER, PEER_DEFAULTS, RANDOM
from training.metrics import Quality
from training.negatives import Method
from training.resampling import Resamples, interval
from training.retrieval import Problem
from training.settings import Settings

Run = dict[str, Quality]  # by what was measured: validation, test, and the other collections
METRICS = ("ndcg", "mrr")
FROZEN = "none: frozen embeddings"
REFERENCES = (IN_BATCH, RANDOM, PEER_DEFAULTS, PEER)
_PARTS_OF_A_RUN = ("head", "loop", "metrics", "negatives", "retrieval")  # files of this folder


@dataclass(frozen=True)
class Experiment:
    """Every method with every seed, on one problem."""

    problem: Problem
    settings: Settings
    num_seeds: int
    threads: int
    methods: tuple[Method, ...]


def plan_experiment(
    problem: Problem, settings: Settings, num_seeds: int, threads: int, say: Callable[[str], None]
) -> Experiment:
    """An experiment with the methods that can run here; the others are named and left out."""
    methods = METHODS
    try:
        load_adapter("sentence_transformers")
    except Unavailable as reason:
        say(f"  left out: {reason}")
        methods = tuple(method for method in METHODS if not method.peer)
    return Experiment(problem, settings, num_seeds, threads, methods)


def run_all(
    experiment: Experiment, folder: Path | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """The record of an experiment; ``folder`` keeps finished runs, None keeps none."""
    torch.set_num_threads(1)  # sums in one order
    torch.use_deterministic_algorithms(True)
    dim = experiment.problem.learned.queries.shape[1]
    untrained = Head(dim, experiment.settings.head)
    frozen = measure(untrained, experiment.problem, experiment.threads)
    runs: dict[str, list[Run]] = {FROZEN: [frozen] * experiment.num_seeds}
    mined: dict[str, Any] = {}
    for seed in range(experiment.num_seeds):
        for method in experiment.methods:
            run, described = _run_or_read(experiment, method, seed, folder)
            runs.setdefault(method.name, []).append(run)
            mined.setdefault(method.name, described)
            say(f"  seed {seed}, {method.name}: test nDCG@10 {run['test'].ndcg.mean():.4f}")
    return {
        "settings": asdict(experiment.settings),
        "num_seeds": experiment.num_seeds,
        "num_queries": {name: len(quality.ndcg) for name, quality in frozen.items()},
        "methods": summarise(runs),
        "mined": mined,
        "versions": {"nearmiss": nm.__version__, "torch": torch.__version__},
    }


def summarise(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Means over seeds and queries, and differences to the references with 95 % intervals."""
    found: dict[str, Any] = {name: {} for name in runs}
    for measured in next(iter(runs.values()))[0]:
        for metric in METRICS:
            values = {
                name: np.stack([getattr(run[measured], metric) for run in of_method])
                for name, of_method in runs.items()
            }
            resamples = Resamples(*next(iter(values.values())).shape)
            means = {name: resamples.means(of_method) for name, of_method in values.items()}
            for name in runs:
                against = {
                    other: {
                        "difference": _rounded(values[name].mean() - values[other].mean()),
                        "interval": [_rounded(end) for end in interval(means[name] - means[other])],
                    }
                    for other in REFERENCES
                    if other in runs and other != name
                }
                mean = _rounded(values[name].mean())
                found[name].setdefault(measured, {})[metric] = {"mean": mean, "against": against}
    return found


def _rounded(value: float) -> float:
    """As many digits as a record needs."""
    return round(float(value), 6)


def folder_of(experiment: Experiment) -> Path:
    """Where finished runs are kept: another folder for other code, data or settings."""
    digest = hashlib.sha256(nm.__version__.encode())
    for part in _PARTS_OF_A_RUN:
        digest.update((Path(__file__).parent / f"{part}.py").read_bytes())
    for retrieval in (experiment.problem.learned, *experiment.problem.transfer):
        digest.update(np.ascontiguousarray(retrieval.queries).data)
        digest.update(np.ascontiguousarray(retrieval.corpus).data)
    digest.update(experiment.problem.train.data)
    digest.update(json.dumps(asdict(experiment.settings)).encode())
    name = f"training-{experiment.problem.learned.name}-{digest.hexdigest()[:12]}"
    folder = cache_folder() / name
    folder.mkdir(exist_ok=True)
    return folder


def _run_or_read(
    experiment: Experiment, method: Method, seed: int, folder: Path | None
) -> tuple[Run, dict[str, float] | None]:
    key = hashlib.sha256(repr(method).encode()).hexdigest()[:12]
    path = None if folder is None else folder / f"{key}-{seed}.npz"
    if path is not None and path.exists():
        return _read(path)
    head, described = train(
        experiment.problem, experiment.settings, method, seed, experiment.threads
    )
    run = measure(head, experiment.problem, experiment.threads)
    shares = None if described is None else asdict(described)
    if path is not None:
        _write(path, run, shares)
    return run, shares


def _write(path: Path, run: Run, shares: dict[str, float] | None) -> None:
    """A file that appears whole or not at all."""
    arrays = {
        f"{name}/{metric}": getattr(quality, metric)
        for name, quality in run.items()
        for metric in METRICS
    }
    with tempfile.TemporaryDirectory(dir=path.parent) as workplace:
        partial = Path(workplace) / path.name
        np.savez(partial, mined=np.array(json.dumps(shares)), **arrays)
        partial.rename(path)


def _read(path: Path) -> tuple[Run, dict[str, float] | None]:
    with np.load(path) as arrays:
        names = dict.fromkeys(key.partition("/")[0] for key in arrays.files if "/" in key)
        run = {name: Quality(*(arrays[f"{name}/{metric}"] for metric in METRICS)) for name in names}
        return run, json.loads(str(arrays["mined"]))
