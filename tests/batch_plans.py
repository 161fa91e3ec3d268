# SPDX-License-Identifier: Apache-2.0
"""Every plan, and what holds for the batches of all of them."""

import nearmiss as nm
import numpy as np

SEEDS = range(10)
LEVEL = 1e-3 / len(SEEDS)  # Bonferroni: all seeds of a law together pass by chance but for 1e-3

RNG = np.random.default_rng(0)
N = 240
LABELS = RNG.integers(0, 12, N)
VECTORS = RNG.normal(size=(N, 6)).astype(np.float32)
NEAR = nm.topk(VECTORS, VECTORS, 31)[1]
B = nm.batches

#: How to make each plan, with a seed.
PLANS = {
    "Shuffled": lambda seed: B.Shuffled(N, 32, seed=seed),
    "Shuffled-drop": lambda seed: B.Shuffled(N, 32, drop_last=True, seed=seed),
    "NoConflict": lambda seed: B.NoConflict(32, groups=LABELS, seed=seed),
    "NoConflict-near": lambda seed: B.NoConflict(
        8, documents=LABELS, positives=LABELS[:, None] // 2, neighbors=NEAR, seed=seed
    ),
    "TasBalanced": lambda seed: B.TasBalanced(LABELS, 16, clusters_per_batch=2, seed=seed),
    "TasBalanced-all": lambda seed: B.TasBalanced(LABELS, 16, coverage="all", seed=seed),
    "NGAME": lambda seed: B.NGAME(B.balanced_two_means(VECTORS, 32), 32, seed=seed),
    "Sample4Geo": lambda seed: B.Sample4Geo(NEAR, 32, near=8, far=8, seed=seed),
    "RTD": lambda seed: B.RTD(B.Shuffled(N, 32, seed=seed)),
    "SaHa": lambda seed: B.SaHa(VECTORS, NEAR, np.arange(N), top_k=2, seed=seed),
    "CFCD": lambda seed: B.CFCD(LABELS, np.roll(LABELS, 1), tuples_per_batch=2, seed=seed),
}


def assert_batches(plan, batches):
    """Demand the length and the coverage that the plan declares."""
    assert len(batches) == len(plan) == len(list(batches))
    assert batches.indices.dtype == batches.indptr.dtype == batches.unplaced.dtype == np.int64
    assert batches.indptr[0] == 0
    assert batches.indptr[-1] == len(batches.indices)
    rows = batches.indices.tolist()
    assert all(0 <= row < plan.num_rows for row in rows)
    assert (np.diff(batches.unplaced) > 0).all()
    assert not set(rows) & set(batches.unplaced.tolist())
    assert (batches.sizes() <= plan.batch_size).all()
    assert isinstance(plan.drop_last, bool)
    if plan.coverage != "repeats":
        assert len(set(rows)) == len(rows)
        assert len(rows) + len(batches.unplaced) == plan.num_rows
