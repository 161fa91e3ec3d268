# SPDX-License-Identifier: Apache-2.0
"""Who is mixed with whom, in what shares: functions of (seed, epoch, query id, mixture)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import Float64, Int64, check_integer, check_seed
from nearmiss.request import check_query_ids

ShareLaw: TypeAlias = Literal["uniform", "beta"]

#: Mixtures per query: three draws for each stay below 2^32.
MOST_MIXED = 2**30


class Stream(IntEnum):
    """Tags of random.hpp."""

    PAIR_PARENTS = 160
    PAIR_SHARES = 161
    QUERY_PARENTS = 162
    QUERY_SHARES = 163
    SAME_LABEL_PARENTS = 164
    SAME_LABEL_SHARES = 165
    DIFFERENT_LABEL_PARENTS = 166
    DIFFERENT_LABEL_SHARES = 167


@dataclass(frozen=True, eq=False)
class Draws:
    """The draws of ``num_mixed`` mixtures for each query."""

    ids: Int64  # (n, num_mixed): the query's
    numbers: Int64  # (n, num_mixed): 0, 1, 2, …
    seed: int
    epoch: int

    @classmethod
    def of(
        cls,
        num_queries: int,
        num_mixed: int,
        seed: int,
        epoch: int,
        query_ids: npt.ArrayLike | None,
    ) -> Draws:
        """Check the arguments of a function that mixes for each query."""
        num_mixed = check_integer(num_mixed, "num_mixed", 1, MOST_MIXED)
        ids = np.repeat(check_query_ids(query_ids, num_queries)[:, np.newaxis], num_mixed, axis=1)
        numbers = np.broadcast_to(np.arange(num_mixed, dtype=np.int64), ids.shape)
        return cls(ids, numbers, check_seed(seed, "seed"), check_seed(epoch, "epoch"))

    def below(self, bounds: Int64, stream: Stream) -> Int64:
        """Return uniform integers in [0, bound), one bound per query, (n, 1)."""
        spread = np.broadcast_to(bounds, self.ids.shape)
        drawn = below(
            spread.ravel(), stream, self.seed, self.epoch, self.ids.ravel(), self.numbers.ravel()
        )
        return drawn.reshape(self.ids.shape)

    def shares(self, law: ShareLaw, stream: Stream) -> Float64:
        """Return the first parent's shares."""
        if law == "uniform":
            return self._units(stream, self.numbers)
        three = [self._units(stream, 3 * self.numbers + i) for i in range(3)]
        # Beta(2, 2) is the law of the median of three uniform numbers.
        medians: Float64 = np.sort(three, axis=0)[1]
        return medians

    def _units(self, stream: Stream, numbers: Int64) -> Float64:
        drawn = units(stream, self.seed, self.epoch, self.ids.ravel(), numbers.ravel())
        return np.reshape(drawn, self.ids.shape)


def units(stream: Stream, seed: int, epoch: int, ids: Int64, numbers: Int64) -> Float64:
    """Return numbers uniform on the multiples of 2^-53 in [0, 1)."""
    bits = _core.random_bits(seed, int(stream), epoch, ids, np.ascontiguousarray(numbers))
    units: Float64 = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return units


def below(
    bounds: Int64, stream: Stream, seed: int, epoch: int, ids: Int64, numbers: Int64
) -> Int64:
    """Return uniform integers in [0, bound), exactly: low bits, drawn again where too large.

    The counter of attempt a is the number plus a · 2^32.
    """
    masks = (bounds - 1).astype(np.uint64)
    for shift in (1, 2, 4, 8, 16, 32):
        masks |= masks >> np.uint64(shift)
    drawn = np.zeros(len(bounds), dtype=np.int64)
    left = np.arange(len(bounds))
    attempt = 0
    while len(left):
        counters = numbers[left] + (attempt << 32)
        bits = _core.random_bits(seed, int(stream), epoch, ids[left], counters)
        values = (bits & masks[left]).astype(np.int64)
        fits = values < bounds[left]
        drawn[left[fits]] = values[fits]
        left = left[~fits]
        attempt += 1
    return drawn
