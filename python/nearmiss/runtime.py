# SPDX-License-Identifier: Apache-2.0
"""Version, SIMD targets, and how many threads a call may use."""

from __future__ import annotations

import sys

from nearmiss import _core
from nearmiss.arrays import check_integer

# Written by the build from pyproject.toml, the one place that states it.
__version__: str = _core.build_info()["version"]

# The layout of random draws. Another layout gets another number.
RNG_SCHEME = int(_core.build_info()["rng_scheme"])

_MOST_THREADS = 1024


def simd_targets() -> list[str]:
    """Return the names of the SIMD targets this machine can run, best first.

    The environment variable ``NEARMISS_SIMD`` forces one of them. Results never depend on it.
    """
    return _core.simd_targets()


def build_info() -> dict[str, str]:
    """Return how the core was built (version, compiler, targets, …), as text by name."""
    return _core.build_info()


def resolve_num_threads(num_threads: int | None) -> int:
    """Return the number of threads a call may use.

    In order: the argument; one thread inside a DataLoader worker of torch (its siblings use the
    other cores, and inherit the environment of the main process); ``NEARMISS_NUM_THREADS``; what
    the machine allows.

    Raises
    ------
    ValueError
        If the argument is not between 1 and 1024, or ``NEARMISS_NUM_THREADS`` is no positive
        integer.
    """
    if num_threads is not None:
        return check_integer(num_threads, "num_threads", 1, _MOST_THREADS)
    if _in_dataloader_worker():
        return 1
    return min(_core.default_num_threads(), _MOST_THREADS)


def _in_dataloader_worker() -> bool:
    # A process that has not imported torch's loader cannot be one of its workers.
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None
