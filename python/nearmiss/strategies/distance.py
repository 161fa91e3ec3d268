# SPDX-License-Identifier: Apache-2.0
"""Strategies that draw by distance on the unit sphere, d = √(2 − 2 s) for a cosine s.

They need the metric ``"cosine"``. For unit vectors that is what ``"l2"`` would find too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float64, as_float64_vector
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Pool, WeightedStrategy, log

# The float32 next to -1 is -1 + 2^-24, and (1 + s) / 2 then 2^-25.
_NEAREST_TO_OPPOSITE = 2.0**-25


def _distances(pool: Pool) -> Float64:
    distances: Float64 = np.sqrt(np.maximum(2.0 - 2.0 * pool.values, 0.0))
    return distances


@register
@dataclass(frozen=True)
class DistanceWeighted(WeightedStrategy):
    """Draws so that every distance is about as frequent, by the inverse of its density.

    Pairs of random points on the unit sphere of D dimensions are nearly always √2 apart. Their
    distances have a density q(d) ∝ d^(D-2) (1 - d²/4)^((D-3)/2), by the inverse of which rows are
    drawn: D is the number of dimensions of the corpus. Distances below ``cutoff`` count as
    ``cutoff``. There is no cut above, as in the code; the formula has a pole at d = 2, so exactly
    opposite rows have the weight of the float32 score next to -1.

    The weights are those of rows drawn from a whole batch; here they act in the pool.
    """

    name: ClassVar[str] = "distance-weighted"
    paper: ClassVar[str] = "Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017"
    picks: ClassVar[str] = "p ∝ 1 / q(d), ln q = (D−2) ln d + ((D−3)/2) ln(1 − d²/4)"
    inputs: ClassVar[tuple[str, ...]] = ("vectors",)
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)
    example: ClassVar[str] = "distance-weighted:pool=100"

    pool: int = parameter("nearest rows drawn from", minimum=1)
    cutoff: float = parameter("least distance told apart", 0.5, read_in="code", above=0, maximum=2)

    def log_weights(self, pool: Pool) -> Float64:
        """Return (2 - D) ln d - ((D - 3) / 2) ln(1 - d²/4)."""
        dim = pool.setting.vectors.rows.shape[1]
        distances = np.maximum(_distances(pool), self.cutoff)
        rest = np.maximum(1.0 - distances * distances / 4.0, _NEAREST_TO_OPPOSITE)
        logarithms: Float64 = (2.0 - dim) * log(distances) - (dim - 3.0) / 2.0 * log(rest)
        return logarithms


_BINS = 29
_EDGES = (*(0.1 + 1.3 * i / _BINS for i in range(_BINS)), 1.4)
_UNIFORM_LOW = tuple(
    1.0 if 0.3 <= (low + high) / 2 <= 0.7 else 1e-15 for low, high in pairwise(_EDGES)
)


@register
@dataclass(frozen=True)
class PADS(WeightedStrategy):
    """Draws by a histogram of distances that something outside adapts while a model trains.

    The 29 bins of equal width cover the distances from 0.1 to 1.4; a row in bin i, whose upper
    edge belongs to it, has the weight ``distribution[i]``. Only proportions count. Rows at other
    distances are never drawn. (In the code of PADS the test for them contradicts itself and
    excludes none.)

    Whatever decides how to go on, such as a policy rewarded by validation metrics, calls
    `adjusted`. Without a ``distribution`` it is the code's start, "uniform_low": 1 for bins whose
    middle is from 0.3 to 0.7, 1e-15 for the others, which are then drawn from only where these
    run out. (The code takes the lower edge + 1/15 for the middle: bins one place nearer.)

    Examples
    --------
    >>> import nearmiss as nm
    >>> start = nm.strategies.PADS(pool=200, distribution=[1.0] * 29)
    >>> start.adjusted([1.5] + [1] * 28).distribution[:2]
    (1.5, 1.0)
    """

    name: ClassVar[str] = "pads"
    paper: ClassVar[str] = (
        "Roth et al., PADS: Policy-Adapted Sampling for Visual Similarity Learning, CVPR 2020; "
        "Sampling Through the Lens of Sequential Decision Making (ASR)"
    )
    picks: ClassVar[str] = "p ∝ distribution[bin of d], 29 bins from d = 0.1 to 1.4"
    inputs: ClassVar[tuple[str, ...]] = ("vectors",)
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)
    example: ClassVar[str] = "pads:pool=100"

    pool: int = parameter("nearest rows drawn from", minimum=1)
    distribution: tuple[float, ...] | None = parameter(
        "29 weights; none: on distances from 0.3 to 0.7",
        None,
        read_in="code",
        minimum=0,
        maximum=1e25,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distribution is None:
            return
        if len(self.distribution) != _BINS:
            raise ValueError(
                f"pads.distribution: expected {_BINS} weights, got {len(self.distribution)}"
            )
        if not any(self.distribution):
            raise ValueError("pads.distribution: expected at least one that is positive")

    def adjusted(self, actions: npt.ArrayLike) -> PADS:
        """Return the strategy with each weight multiplied, and kept from 1e-25 to 1e25.

        Parameters
        ----------
        actions : array-like of shape (29,)
            Factors, not negative. PADS chooses among 0.5, 1 and 1.5, every 30 steps of training.

        Raises
        ------
        ValueError, TypeError
            For another number of factors, or one that is negative or not finite.
        """
        factors = as_float64_vector(actions, "actions", _BINS, "bin")
        unusable = ~np.isfinite(factors) | (factors < 0)
        if unusable.any():
            at = int(unusable.argmax())
            raise ValueError(
                f"actions: expected finite numbers of at least 0, got {factors[at]} for bin {at}"
            )
        weights = np.array(_UNIFORM_LOW if self.distribution is None else self.distribution)
        # Weights are at most 1e25, so factors beyond 1e50 change nothing but overflow.
        products = np.clip(weights * np.minimum(factors, 1e50), 1e-25, 1e25)
        return PADS(self.pool, tuple(products.tolist()))

    def log_weights(self, pool: Pool) -> Float64:
        """Return ln of the weight of each row's bin."""
        weights = _UNIFORM_LOW if self.distribution is None else self.distribution
        distances = _distances(pool)
        inside = (distances >= _EDGES[0]) & (distances <= _EDGES[-1])
        bins = np.searchsorted(_EDGES[1:-1], distances, side="left")
        logarithms = log(np.array(weights))
        return np.where(inside, logarithms[bins], -np.inf)
