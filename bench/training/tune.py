# SPDX-License-Identifier: Apache-2.0
"""How the settings were chosen: ``python -m training.tune docstrings linear`` in ``bench``.

Trains one kind of head with random negatives, one seed, and prints nDCG@10 of the validation
queries after every epoch, for each scale and learning rate. Nothing else is looked at: neither the
test, nor the other collections, nor what any other method makes of the settings.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import cast, get_args

import torch
from cases import find_cases

from training.head import Head
from training.loop import train
from training.methods import METHODS, RANDOM
from training.metrics import evaluate
from training.retrieval import Problem, Source, load_problem
from training.settings import SETTINGS, HeadKind

_SCALES = (10.0, 20.0, 40.0)
_LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
_EPOCHS = {"docstrings": 8, "questions": 40}
_THREADS = 1


def _validation_quality(problem: Problem, head: Head) -> float:
    learned = problem.learned
    queries, corpus = head.encode(learned.queries, learned.corpus)
    found = evaluate(queries, corpus, learned.positives, problem.validation, _THREADS)
    return float(found.ndcg.mean())


def main() -> None:
    source, head = cast(tuple[Source, HeadKind], sys.argv[1:])
    if source not in get_args(Source) or head not in get_args(HeadKind):
        sys.exit(f"usage: python -m training.tune {get_args(Source)} {get_args(HeadKind)}")
    torch.set_num_threads(1)
    (case,) = find_cases("training", [f"train-{source}"])
    problem = load_problem(source, case.size.n)
    (method,) = (method for method in METHODS if method.name == RANDOM)
    for scale, learning_rate in itertools.product(_SCALES, _LEARNING_RATES):
        settings = replace(
            SETTINGS[source],
            head=head,
            scale=scale,
            learning_rate=learning_rate,
            epochs=_EPOCHS[source],
        )
        found: list[float] = []
        train(
            problem, settings, method, 0, _THREADS,
            lambda trained, found=found: found.append(_validation_quality(problem, trained)),
        )  # fmt: skip
        best = max(range(len(found)), key=found.__getitem__)
        curve = " ".join(f"{100 * value:.2f}" for value in found)
        print(
            f"{head} scale {scale:g} lr {learning_rate:g}: "
            f"best {100 * found[best]:.2f} after {best + 1} epochs; {curve}",
            flush=True,
        )


if __name__ == "__main__":
    main()
