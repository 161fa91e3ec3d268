# SPDX-License-Identifier: Apache-2.0
"""superkmeans: k-means that prunes dimensions, in float32 and on 8-bit codes.

Its interface takes no initial centres: it draws its own rows, so the clusterings compared start
from different ones, as many and by the same law. All rows take part in as many iterations as ours
(no sample of them, no early stop, no hierarchy, which are its defaults). Like faiss it assigns once
less than ours and scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import superkmeans
from clusters import ClusterTask


def describe() -> dict[str, str]:
    return {"version": superkmeans.__version__}


def set_threads(threads: int) -> None:
    """Nothing to do: every model says how many."""


def _lloyd(task: ClusterTask, quantizer: str) -> Callable[[], Any]:
    k, d = task.centers.shape
    model = partial(
        superkmeans.SuperKMeans,
        k,
        d,
        hierarchical=False,
        quantizer=quantizer,
        iters=task.iterations,
        sampling_fraction=1.0,
        max_points_per_cluster=len(task.rows),
        n_threads=task.threads,
        early_termination=False,
        tol=0.0,
        full_precision_final_centroids=quantizer != "f32",  # or its objective is 0.03 % higher
    )
    return lambda: model().train(task.rows)


CLUSTERS = {"f32": partial(_lloyd, quantizer="f32"), "sq8": partial(_lloyd, quantizer="sq8")}
