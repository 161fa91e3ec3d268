# SPDX-License-Identifier: Apache-2.0
"""What holds for the batches of every plan."""

import numpy as np

SEEDS = range(10)
LEVEL = 1e-3 / len(SEEDS)  # Bonferroni: all seeds of a law together pass by chance but for 1e-3


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
    if plan.coverage != "repeats":
        assert len(set(rows)) == len(rows)
        assert len(rows) + len(batches.unplaced) == plan.num_rows
