# SPDX-License-Identifier: Apache-2.0
"""The problems of the suite ``kmeans``: Lloyd iterations from given centres, and seeding.

Everybody starts from the same rows and stops after the same number of iterations.
"""

from __future__ import annotations

from dataclasses import dataclass

import data
import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClusterTask:
    """Cluster ``rows`` (n, d) around ``centers`` (k, d), themselves rows, or seed k of them."""

    rows: Rows
    centers: Rows
    iterations: int
    threads: int
    origin: str


def make_task(
    n: int, k: int, iterations: int, d: int, threads: int, base_rows: int | None
) -> ClusterTask:
    """Real vectors, stretched, and k different rows of them."""
    vectors = data.load_search("docstrings", d, 64 if base_rows else 4096, n, base_rows)
    chosen = np.random.default_rng(12).permutation(n)[:k]
    return ClusterTask(vectors.corpus, vectors.corpus[chosen], iterations, threads, vectors.origin)
