# SPDX-License-Identifier: Apache-2.0
"""What this machine can do and what runs on it: the record every result is read against."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from data import cache_folder
from threadpoolctl import threadpool_info

_SOURCE = Path(__file__).parent / "micro" / "peak.cpp"

# Settings that change how fast a peer runs, recorded when they are set.
_RECORDED_VARIABLES = (
    "FAISS_SIMD_LEVEL",
    "MKL_NUM_THREADS",
    "NEARMISS_NUM_THREADS",
    "NEARMISS_SIMD",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)


@dataclass(frozen=True)
class Peak:
    """Measured float32 multiply-add peak, in GFLOP/s (two operations each)."""

    isa: str
    one_thread: float
    threads: int
    all_threads: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "isa": self.isa,
            "gflops_1": self.one_thread,
            "threads": self.threads,
            "gflops_n": self.all_threads,
        }


@dataclass(frozen=True)
class Calibrator:
    """The calibration program, or why there is none."""

    program: Path | None
    missing: str = ""

    def measure(self, threads: int, milliseconds: int = 300) -> Peak | None:
        """Run the program; None when it does not exist."""
        if self.program is None:
            return None
        answer = subprocess.run(
            [str(self.program), str(threads), str(milliseconds)],
            check=True,
            capture_output=True,
            text=True,
        )
        values = json.loads(answer.stdout)
        return Peak(values["isa"], values["gflops_1"], values["threads"], values["gflops_n"])


def build_calibrator() -> Calibrator:
    """Compile ``micro/peak.cpp`` into the cache folder, once per version of the source."""
    compiler = os.environ.get("CXX") or next(
        (name for name in ("g++", "clang++", "c++") if shutil.which(name)), None
    )
    if compiler is None:
        return Calibrator(None, "no C++ compiler found (set CXX)")
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    program = cache_folder() / f"nearmiss_peak-{digest}"
    if program.exists():
        return Calibrator(program)
    partial = program.with_name(f"{program.name}.{os.getpid()}")
    command = [compiler, "-O3", "-std=c++20", "-pthread", str(_SOURCE), "-o", str(partial)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        return Calibrator(None, f"{compiler} failed: {reason.strip().splitlines()[-1]}")
    os.replace(partial, program)
    return Calibrator(program)


def describe_machine(calibrator: Calibrator, threads: int) -> dict[str, Any]:
    """Everything about the machine that a result depends on; nothing that names it."""
    peak = calibrator.measure(threads)
    return {
        "kind": "machine",
        "processor": _processor_name(),
        "processors_usable": _usable_processors(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": threads,
        "peak": peak.as_dict() if peak else None,
        "peak_missing": calibrator.missing,
        "environment": {
            name: os.environ[name] for name in _RECORDED_VARIABLES if name in os.environ
        },
    }


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_thread_pools() -> list[dict[str, Any]]:
    """The BLAS and OpenMP libraries loaded by now, with the threads each may use."""
    kept = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [
        {"file": Path(pool["filepath"]).name, **{key: pool[key] for key in kept if key in pool}}
        for pool in threadpool_info()
    ]
