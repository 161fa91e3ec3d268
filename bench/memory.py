# SPDX-License-Identifier: Apache-2.0
"""Peak memory of `mine` beyond its input and the packed corpus, in a process of its own.

    python memory.py N M K D THREADS BASE_ROWS     (BASE_ROWS 0: all)

Prints one line of JSON. Started by run.py; a fresh process, so that no freed memory of earlier
work can hide what the call needs.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import data
import nearmiss as nm
from cases import Size
from fresh_process import run_script
from measure import peak_memory, reset_peak_memory

# The promise is n * k * c bytes and a constant. A result takes 12 bytes, a pool's key 8; pools
# hold up to twice k before they are cut, and results are sorted in a copy.
BYTES_PER_RESULT = 64
CONSTANT_BYTES = 64 << 20


def probe(size: Size, threads: int, base_rows: int | None) -> dict[str, Any]:
    """Measure one call of `mine` on a corpus that is already packed."""
    vectors = data.load_search("docstrings", size.d, size.n, size.m, base_rows)
    corpus = nm.Corpus(vectors.corpus, metric="ip")
    # A first small call starts the threads and loads what is loaded lazily.
    nm.mine(vectors.queries[:8], corpus, num_negatives=size.k, num_threads=threads)
    gc.collect()
    resident = reset_peak_memory()
    negatives = nm.mine(vectors.queries, corpus, num_negatives=size.k, num_threads=threads)
    peak = peak_memory()
    allowed = size.n * size.k * BYTES_PER_RESULT + CONSTANT_BYTES
    extra = None if resident is None or peak is None else max(0, peak - resident)
    return {
        "origin": vectors.origin,
        "queries": len(negatives.indices),
        "extra_bytes": extra,
        "allowed_bytes": allowed,
        "input_bytes": vectors.queries.nbytes + vectors.corpus.nbytes,
        "corpus_bytes": corpus.nbytes,
        "met": None if extra is None else extra <= allowed,
    }


def probe_in_fresh_process(size: Size, threads: int, base_rows: int | None) -> dict[str, Any]:
    """Run `probe` in a new interpreter and return what it printed."""
    return run_script(__file__, size.n, size.m, size.k, size.d, threads, base_rows or 0)


def main() -> None:
    n, m, k, d, threads, base_rows = map(int, sys.argv[1:7])
    print(json.dumps(probe(Size(n, m, k, d), threads, base_rows or None)))


if __name__ == "__main__":
    main()
