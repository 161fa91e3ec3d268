# SPDX-License-Identifier: Apache-2.0
"""What must work in any wheel, on any machine, with numpy alone. Takes a few seconds.

Run it with pytest, or where there is no pytest: ``python tests/test_smoke.py``.
"""

import sys
import tempfile
from pathlib import Path

import nearmiss as nm
import numpy as np


def random_unit(seed, rows, dim):
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def raises(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error as raised:
        return str(raised)
    raise AssertionError(f"{error.__name__} was not raised")


def test_version_and_build_info():
    assert nm.__version__.count(".") >= 1
    assert nm.build_info()
    assert "scalar" in nm.simd_targets()


def test_topk_of_a_line():
    corpus = np.arange(10, dtype=np.float32)[:, None]
    scores, indices = nm.topk(np.array([[4.0]], np.float32), corpus, 4, metric="l2")
    assert indices.tolist() == [[4, 3, 5, 2]]
    assert scores.tolist() == [[0.0, -1.0, -1.0, -4.0]]


def test_topk_equals_brute_force():
    queries, corpus = random_unit(0, 70, 33), random_unit(1, 1003, 33)
    for metric in ("ip", "cosine", "l2"):
        q, x = queries.astype(np.float64), corpus.astype(np.float64)
        exact = q @ x.T
        if metric == "cosine":
            exact /= np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
        if metric == "l2":
            exact = -((q[:, None] - x[None]) ** 2).sum(axis=2)
        best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
        scores, indices = nm.topk(queries, corpus, 10, metric=metric)
        assert scores.dtype == np.float32
        assert indices.dtype == np.int64
        # The tenth and eleventh best of these vectors are never closer than float32 can tell.
        assert np.array_equal(indices, best), metric
        assert np.allclose(scores, np.take_along_axis(exact, best, 1), rtol=1e-6, atol=1e-7)


def test_every_simd_target_and_thread_count_agree():
    from nearmiss import _core

    queries, corpus = random_unit(2, 50, 61), random_unit(3, 700, 61)
    before = _core.simd_target()
    first = None
    try:
        for target in nm.simd_targets():
            _core.set_simd_target(target)
            for threads in (1, 2, 5):
                scores, indices = nm.topk(queries, corpus, 17, num_threads=threads)
                bits = (scores.tobytes(), indices.tobytes())
                first = first or bits
                assert bits == first, (target, threads)
    finally:
        _core.set_simd_target(before)


def test_mine_with_limits():
    queries, corpus = random_unit(4, 40, 24), random_unit(5, 400, 24)
    exact = queries.astype(np.float64) @ corpus.astype(np.float64).T
    order = np.argsort(-exact, axis=1, kind="stable")
    positives, excluded = order[:, 0], order[:, 1:3]
    negatives = nm.mine(
        queries,
        corpus,
        positives,
        num_negatives=4,
        exclude=excluded,
        relative_margin=0.05,
        metric="ip",
    )
    for i in range(40):
        ceiling = exact[i, positives[i]] * 0.95
        wanted = [row for row in order[i, 3:] if exact[i, row] <= ceiling][:4]
        assert negatives.indices[i].tolist() == wanted, i
    assert negatives.counts.tolist() == [4] * 40


def test_shortage_is_padded():
    corpus = np.eye(3, dtype=np.float32)
    negatives = nm.mine(corpus, corpus, np.arange(3), num_negatives=5)
    assert negatives.counts.tolist() == [2, 2, 2]
    assert negatives.indices.tolist() == [
        [1, 2, -1, -1, -1],
        [0, 2, -1, -1, -1],
        [0, 1, -1, -1, -1],
    ]
    assert np.isnan(negatives.scores[:, 2:]).all()
    assert (negatives.scores[:, :2] == 0).all()


def test_random_draws_are_reproducible():
    queries, corpus = random_unit(6, 30, 16), random_unit(7, 300, 16)
    settings = {"num_negatives": 3, "strategy": "random", "range_max": 50, "seed": 1}
    whole = nm.mine(queries, corpus, **settings).indices
    assert np.array_equal(whole, nm.mine(queries, corpus, num_threads=1, **settings).indices)
    half = nm.mine(queries[15:], corpus, query_ids=np.arange(15, 30), **settings).indices
    assert np.array_equal(whole[15:], half)
    assert not np.array_equal(whole, nm.mine(queries, corpus, **{**settings, "seed": 2}).indices)


def test_save_and_load():
    queries, corpus = random_unit(8, 20, 16), random_unit(9, 100, 16)
    negatives = nm.mine(queries, corpus, num_negatives=3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "negatives.nm"
        negatives.save(path)
        loaded = nm.Negatives.load(path)
        assert np.array_equal(loaded.indices, negatives.indices)
        assert loaded.scores.tobytes() == negatives.scores.tobytes()
        del loaded  # Windows cannot delete a file that is still mapped


def test_bad_input_is_named():
    good = random_unit(10, 5, 8)
    bad = good.copy()
    bad[3, 2] = np.nan
    assert "3" in raises(ValueError, nm.topk, good, bad, 2)
    assert "k" in raises(ValueError, nm.topk, good, good, 6)
    assert "top" in raises(ValueError, nm.mine, good, good, strategy="topp")
    raises(TypeError, nm.topk, good.astype(np.complex64), good, 2)


def test_only_numpy_is_imported():
    import subprocess

    code = (
        "import sys, nearmiss; nearmiss.mine;"
        "print([m for m in ('torch', 'scipy', 'sklearn', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr


if __name__ == "__main__":
    tests = [value for name, value in list(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
        print("passed", test.__name__)
    print(f"{len(tests)} passed")
