# SPDX-License-Identifier: Apache-2.0
"""Functions that mine, importable by a background process: those that work, fail, or are killed.

A snapshot is a dict of ``vectors``, and of what else the function needs.
"""

import os
import signal
import time
from pathlib import Path

import nearmiss as nm
import numpy as np

NUM_QUERIES = 24


def vectors_of(seed):
    return np.random.default_rng(seed).standard_normal((NUM_QUERIES, 6), dtype=np.float32)


def plain(snapshot, refresh):
    """A table that tells the generation and step it is of, and which process made it."""
    vectors = snapshot["vectors"]
    table = nm.mine(
        vectors, vectors, num_negatives=4, exclude_self=True, epoch=refresh.generation, seed=3
    )
    table.params["made"] = {
        "generation": refresh.generation,
        "step": refresh.step,
        "epoch": refresh.epoch,
        "process": os.getpid(),
        "threads": os.environ.get("NEARMISS_NUM_THREADS"),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
    }
    return table


def after_a_signal(snapshot, refresh):
    """As `plain`, once the file ``gate`` exists."""
    Path(snapshot["gate"]).with_suffix(".reached").touch()
    while not Path(snapshot["gate"]).exists():
        time.sleep(0.002)
    return plain(snapshot, refresh)


def raises(snapshot, refresh):
    raise ArithmeticError(f"no table {refresh.generation}")


def raises_unless_told(snapshot, refresh):
    return plain(snapshot, refresh) if snapshot["works"] else raises(snapshot, refresh)


def returns_nothing(snapshot, refresh):
    return None


def lacks_queries(snapshot, refresh):
    table = plain(snapshot, refresh)
    return table if refresh.generation == 1 else table._take(np.arange(2, NUM_QUERIES))


def is_narrower(snapshot, refresh):
    table = plain(snapshot, refresh)
    return table if refresh.generation == 1 else table.sample(2)


def killed_in_mid_write(snapshot, refresh):
    """Its table is written to half, where and as `Negatives.save` writes it; then kill -9."""
    if snapshot["kill"]:
        os.fsync = _kill_with_half
    return plain(snapshot, refresh)


def _kill_with_half(file):
    os.ftruncate(file, os.fstat(file).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


class Unimportable:
    """Pickles here, but not there."""

    def __call__(self, snapshot, refresh):
        return plain(snapshot, refresh)

    def __reduce__(self):
        return _only_in, (os.getpid(),)


def _only_in(process):
    if os.getpid() != process:
        raise RuntimeError("made in another process")
    return Unimportable()
