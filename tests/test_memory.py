# SPDX-License-Identifier: Apache-2.0
"""Extra memory of a search is O(queries x negatives) plus a block, never queries x rows."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

MIB = 1 << 20

PEAK = """
    import json, sys, numpy as np, nearmiss as nm

    def status(key):
        for line in open("/proc/self/status"):
            if line.startswith(key):
                return int(line.split()[1]) * 1024

    n, m, d, k = 8000, 60_000, 24, 20
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(m, d)).astype(np.float32)
    queries = rng.normal(size=(n, d)).astype(np.float32)
    positives = rng.integers(0, m, n)
    groups = rng.integers(0, 50, m)
    query_groups = groups[positives].copy()
    corpus = nm.Corpus(rows, groups=groups)
    nm.mine(queries[:9], corpus, positives[:9], query_groups=query_groups[:9], num_threads=2)
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    before = status("VmRSS")
    assert status("VmHWM") - before < 8 << 20, "the peak was not reset"
    CALL
    print(json.dumps({"peak": status("VmHWM") - before, "output": n * k * 12, "matrix": n * m * 4}))
"""

CALLS = {
    "mine": "found = nm.mine(queries, corpus, positives, num_negatives=k, relative_margin=0.05, "
    "query_groups=query_groups, num_threads=2)",
    "raw window": "found = nm.mine(queries, corpus, positives, num_negatives=k, range_max=200, "
    "range_mode='raw', num_threads=2)",
    "uniform": "found = nm.mine(queries, corpus, positives, num_negatives=k, strategy='uniform', "
    "num_threads=2)",
    "below a ceiling": "found = nm.mine(queries, corpus, positives, num_negatives=k, "
    "strategy='random', max_score=0.2, num_threads=2)",
    # For all queries at once, the lists that they look at would be a table of 60 MiB, held thrice.
    "lists": "found = nm.mine(queries, corpus, positives, num_negatives=k, num_threads=2, "
    "approximate=nm.Probes(2000, lists=8000, sample=4000))",
    "topk": "found = nm.topk(queries, corpus, k, num_threads=2)",
}


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's peak counter"
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_peak_of_a_search(call):
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK).replace("CALL", call)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    seen = json.loads(answer.stdout)
    # Indices, scores and a pool of keys for each, with room for the largest of windows.
    allowed = 8 * seen["output"] + 64 * MIB
    assert allowed < seen["matrix"] / 10, "the test could not tell a score matrix"
    assert seen["peak"] <= allowed, f"{seen['peak'] / MIB:.0f} MiB, {allowed / MIB:.0f} allowed"
