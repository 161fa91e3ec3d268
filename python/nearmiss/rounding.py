# SPDX-License-Identifier: Apache-2.0
"""Between float64 and float32, exactly, whatever the calling thread does to its arithmetic.

A thread may run with another rounding mode or with numbers below 2^-126 flushed to zero (some
libraries switch that on), and numpy's conversions then follow. Conversions that such a thread
gets wrong are done on the bits instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_SMALLEST_NORMAL = 0x00800000  # of float32, as bits
_INFINITY = 0x7F800000
_BLOCK = 1 << 18

# Ties to even in both directions, just above a tie, a number that only denormals can hold.
_PROBES = np.array([1 + 2**-24, -(1 + 3 * 2**-24), -(1 + 2**-23 + 2**-40), 3 * 2.0**-149])
_ANSWERS = np.array([0x3F800000, 0xBF800002, 0xBF800001, 0x00000003], dtype=np.uint32)


def to_float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round float64 to the nearest float32, ties to even; beyond the range lies infinity."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        probed = _PROBES.astype(np.float32).view(np.uint32)
        if np.array_equal(probed, _ANSWERS):
            return values.astype(np.float32, order="C")
    flat = np.ascontiguousarray(values).reshape(-1)
    rounded = np.empty(flat.shape, dtype=np.uint32)
    for start in range(0, len(flat), _BLOCK):
        block = slice(start, start + _BLOCK)
        rounded[block] = _round_bits(flat[block].view(np.uint64))
    return rounded.view(np.float32).reshape(values.shape)


def to_float64(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Widen float32 to float64."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    wide = np.ascontiguousarray(values).astype(np.float64)
    magnitudes = bits & np.uint32(0x7FFFFFFF)
    tiny = (magnitudes < _SMALLEST_NORMAL) & (magnitudes > 0)
    signs = np.where(bits[tiny] >> np.uint32(31), -1.0, 1.0)
    wide[tiny] = signs * (magnitudes[tiny] * 2.0**-149)  # normal numbers in float64
    return wide


def without_negative_zeros(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return float32 values with -0 replaced by 0 and nothing else changed."""
    bits = np.array(values, dtype=np.float32, order="C").view(np.uint32)
    bits[bits == 0x80000000] = 0
    return bits.view(np.float32)


def _round_bits(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    magnitudes = bits & _u64(0x7FFFFFFFFFFFFFFF)
    exponents = magnitudes >> _u64(52)
    # Normal results: drop 29 bits of the mantissa (a carry runs into the exponent), move the bias.
    odd = (magnitudes >> _u64(29)) & _u64(1)
    kept = (magnitudes + _u64(0x0FFFFFFF) + odd) >> _u64(29)
    results = np.minimum(np.maximum(kept, _u64(896 << 23)) - _u64(896 << 23), _u64(_INFINITY))
    tiny = exponents < 897
    results[tiny] = _round_tiny(magnitudes[tiny], exponents[tiny])
    results[magnitudes > _u64(0x7FF0000000000000)] = 0x7FC00000  # nan stays nan
    signs = (bits >> _u64(63)) << _u64(31)
    rounded: npt.NDArray[np.uint32] = (results | signs).astype(np.uint32)
    return rounded


def _round_tiny(
    magnitudes: npt.NDArray[np.uint64], exponents: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """Round to multiples of 2^-149, the spacing of denormals."""
    mantissas = (magnitudes & _u64((1 << 52) - 1)) | _u64(1 << 52)
    shifts = np.minimum(_u64(926) - exponents, _u64(63))  # beyond 54 everything rounds to zero
    kept = mantissas >> shifts
    rests, halves = mantissas - (kept << shifts), _u64(1) << (shifts - _u64(1))
    up = (rests > halves) | ((rests == halves) & ((kept & _u64(1)) == 1))
    rounded: npt.NDArray[np.uint64] = kept + up.astype(np.uint64)
    return rounded


def _u64(value: int) -> Any:
    return np.uint64(value)
