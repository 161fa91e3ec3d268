# SPDX-License-Identifier: Apache-2.0
"""Interleaved timing: rounds, paired ratios, and what the machine did meanwhile.

Contestants take turns inside each round, in a new random order each time, so that a drifting
clock or a busy host meets all of them alike; ratios are then taken within rounds.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DEFAULT_ROUNDS = 9
SLOW_ROUNDS = 3
SLOW_SECONDS = 20.0
MAX_STEAL = 0.02  # a round in which the host took more than this is dropped
_SHORTEST_TIMING_S = 0.2
# OpenMP threads of one contestant may still be spinning when the next one starts.
_PAUSE_S = 0.03
_BOOTSTRAP_DRAWS = 4000

Run = Callable[[], Any]


@dataclass(frozen=True)
class Sample:
    """One timed run. ``peak_bytes`` is memory above what was resident when it started."""

    wall_s: float
    cpu_s: float
    peak_bytes: int | None


@dataclass
class Timings:
    """Kept rounds: ``samples[name][r]`` are of the same round for every name."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    steal: list[float] = field(default_factory=list)
    peak_gflops: list[float] = field(default_factory=list)  # one reading after each round
    dropped_rounds: int = 0
    repeats: dict[str, int] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def walls(self, name: str) -> np.ndarray:
        return np.array([sample.wall_s for sample in self.samples[name]])

    def peak_bytes(self, name: str) -> int | None:
        peaks = [sample.peak_bytes for sample in self.samples[name]]
        known = [peak for peak in peaks if peak is not None]
        return max(known) if known else None


@dataclass(frozen=True)
class Ratio:
    """Median of ``peer / ours`` over rounds: above 1 means ours is faster."""

    median: float
    low: float  # 95 % bootstrap interval of the median
    high: float
    smallest: float
    largest: float
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def paired_ratio(timings: Timings, ours: str, peer: str) -> Ratio:
    """Compare two contestants of the same rounds."""
    ratios = timings.walls(peer) / timings.walls(ours)
    draws = np.random.default_rng(0).integers(0, len(ratios), (_BOOTSTRAP_DRAWS, len(ratios)))
    medians = np.median(ratios[draws], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return Ratio(
        median=float(np.median(ratios)),
        low=float(low),
        high=float(high),
        smallest=float(ratios.min()),
        largest=float(ratios.max()),
        rounds=len(ratios),
    )


def interleave(
    runs: Mapping[str, Run],
    rounds: int | None,
    seed: int = 0,
    discard_first: bool = True,
    read_peak: Callable[[], float | None] = lambda: None,
) -> Timings:
    """Time every run once per round.

    Parameters
    ----------
    runs
        Name to a function without arguments. The result of its first run is kept for checking.
    rounds
        Rounds kept. None means 9, or 3 when a single run takes longer than 20 seconds.
    seed
        Of the order of the contestants.
    discard_first
        Run one more round at the start and throw its times away. False: that round is all.
    read_peak
        Measures the machine's peak, to show between rounds how far its clock drifts.
    """
    order = np.random.default_rng(seed)
    timings = Timings(samples={name: [] for name in runs})
    slowest = 0.0
    for name, run in runs.items():
        timings.results[name], sample = _time(run, 1)
        timings.repeats[name] = max(1, math.ceil(_SHORTEST_TIMING_S / sample.wall_s))
        slowest = max(slowest, sample.wall_s)
        if not discard_first:
            timings.repeats[name] = 1
            timings.samples[name].append(sample)
    if not discard_first:
        timings.steal.append(0.0)
        return timings
    if rounds is None:
        rounds = SLOW_ROUNDS if slowest > SLOW_SECONDS else DEFAULT_ROUNDS
    names = list(runs)
    for _ in range(rounds):
        before = _processor_times()
        for index in order.permutation(len(names)):
            name = names[index]
            timings.samples[name].append(_time(runs[name], timings.repeats[name])[1])
        timings.steal.append(_steal(before, _processor_times()))
        reading = read_peak()
        if reading is not None:
            timings.peak_gflops.append(reading)
    _drop_disturbed_rounds(timings)
    return timings


def _time(run: Run, repeats: int) -> tuple[Any, Sample]:
    gc.collect()
    time.sleep(_PAUSE_S)
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        resident = reset_peak_memory()
        cpu = time.process_time()
        start = time.perf_counter()
        for _ in range(repeats):
            result = run()
        wall = time.perf_counter() - start
        cpu = time.process_time() - cpu
        peak = peak_memory()
    finally:
        if gc_was_on:
            gc.enable()
    grown = None if resident is None or peak is None else max(0, peak - resident)
    return result, Sample(wall / repeats, cpu / repeats, grown)


def _drop_disturbed_rounds(timings: Timings) -> None:
    """Drop rounds the host disturbed, unless fewer than three would be left."""
    calm = [r for r, steal in enumerate(timings.steal) if steal <= MAX_STEAL]
    if len(calm) < min(3, len(timings.steal)):
        return
    timings.dropped_rounds = len(timings.steal) - len(calm)
    timings.samples = {
        name: [samples[r] for r in calm] for name, samples in timings.samples.items()
    }


def reset_peak_memory() -> int | None:
    """Start a new measurement of peak memory; return what is resident now, in bytes.

    None where the kernel offers no such reset (anything but Linux).
    """
    if sys.platform != "linux":
        return None
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return _status_bytes("VmRSS")


def peak_memory() -> int | None:
    """Largest resident size since `reset_peak_memory`, in bytes."""
    return _status_bytes("VmHWM") if sys.platform == "linux" else None


def _status_bytes(key: str) -> int | None:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def _processor_times() -> list[int]:
    """Ticks of all processors by what they did; empty where /proc is not."""
    if sys.platform != "linux":
        return []
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    return [int(value) for value in first.split()[1:9]]


def _steal(before: list[int], after: list[int]) -> float:
    """Share of processor time that the host gave to others."""
    total = sum(after) - sum(before)
    return (after[7] - before[7]) / total if before and total > 0 else 0.0


def busy_processors() -> float:
    """Load average of the last minute, to warn about company; 0 where unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
