# SPDX-License-Identifier: Apache-2.0
"""Hard-negative mining: exact, fast, reproducible.

A *hard negative* is a near miss: an item close to a query that is not one of its positives.
"""

from importlib import import_module
from types import ModuleType

from nearmiss import batches, formats, mixing, refresh, relations, sampling, strategies, weights
from nearmiss.candidates import Candidates
from nearmiss.clustering import KMeans
from nearmiss.corpus import Corpus
from nearmiss.limits import Limits
from nearmiss.mining import mine, mine_candidates, topk
from nearmiss.negatives import Negatives
from nearmiss.positives import Positives
from nearmiss.probes import Probes
from nearmiss.runtime import __version__, build_info, simd_targets

__all__ = [
    "Candidates",
    "Corpus",
    "KMeans",
    "Limits",
    "Negatives",
    "Positives",
    "Probes",
    "__version__",
    "batches",
    "build_info",
    "formats",
    "mine",
    "mine_candidates",
    "mixing",
    "refresh",
    "relations",
    "sampling",
    "simd_targets",
    "strategies",
    "topk",
    "weights",
]

_LAZY = ("adapters", "loaders")


def __getattr__(name: str) -> ModuleType:
    # The training loop's side imports torch; only those who use it pay for it.
    if name in _LAZY:
        return import_module(f"nearmiss.{name}")
    raise AttributeError(f"module 'nearmiss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LAZY])
