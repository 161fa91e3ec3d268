# SPDX-License-Identifier: Apache-2.0
"""Every SIMD target that can run here, on any number of threads, gives the bits of the oracle.

Through the compiled core alone, so that nothing but the target and the threads can differ.
"""

import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_topk
from nearmiss import _core
from problems import ELEMENT_TYPES, KINDS, METRICS, core_matrix, row_lists, vectors

TARGETS = _core.simd_targets()
PRECISIONS = ["auto", "float32", "int8", "int16"]
#: Rows, dimensions and k that are no multiple of any tile, panel or lane.
SHAPES = [(1, 1, 1, 1), (7, 131, 61, 5), (13, 97, 129, 97), (3, 1025, 8, 40), (33, 6, 16, 6)]


def csr(lists):
    """Return lists of rows as the core takes them."""
    lists = [np.array(sorted(set(rows)), np.int64) for rows in lists]
    indptr = np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)
    return indptr, np.concatenate([np.zeros(0, np.int64), *lists])


def make(n, m, d, dtype, kind):
    rng = np.random.default_rng([n, m, d])
    return vectors(rng, (n, d), dtype, kind), vectors(rng, (m, d), dtype, kind)


def test_scalar_is_always_there_and_targets_are_distinct():
    assert "scalar" in TARGETS
    assert len(set(TARGETS)) == len(TARGETS)
    assert _core.simd_target() in TARGETS


def test_a_target_can_be_forced_and_an_unknown_one_is_refused(simd_target):
    for target in TARGETS:
        simd_target(target)
        assert _core.simd_target() == target
    with pytest.raises(ValueError, match="avx1024"):
        simd_target("avx1024")
    assert _core.simd_target() == TARGETS[-1]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ELEMENT_TYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_topk(simd_target, target, dtype, metric, num_threads):
    simd_target(target)
    for n, m, d, k in SHAPES:
        for kind in ("normal", "ties"):
            queries, corpus = make(n, m, d, dtype, kind)
            packed = _core.Corpus(core_matrix(corpus), dtype, metric, num_threads=num_threads)
            wanted = oracle.topk(queries, corpus, k, metric)
            for precision in PRECISIONS:
                found = _core.topk(
                    core_matrix(queries),
                    dtype,
                    packed,
                    k,
                    precision=precision,
                    num_threads=num_threads,
                )
                assert_same_topk(found[:2], wanted)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_mine_with_all_limits(simd_target, target, kind, metric, num_threads):
    simd_target(target)
    rng = np.random.default_rng(3)
    for n, m, d in [(7, 131, 61), (19, 97, 33), (5, 517, 8)]:
        queries, corpus = make(n, m, d, "float32", kind)
        groups = rng.integers(-1, 6, m)
        limits = {
            "exclude_duplicates": True,
            "query_groups": rng.integers(-1, 6, n),
            "absolute_margin": 0.0,
            "relative_margin": 0.01,
            "margin_reference": "max",
            "range_min": 1,
            "range_max": 30,
            "num_negatives": 9,
        }
        positives, excluded = row_lists(rng, n, m, 3), row_lists(rng, n, m, 20)
        packed = _core.Corpus(corpus, "float32", metric, groups, num_threads=num_threads)
        expected = oracle.mine(
            queries,
            corpus,
            positives,
            exclude=excluded,
            corpus_groups=groups,
            metric=metric,
            **limits,
        )
        for precision in PRECISIONS:
            found = _core.mine(
                queries,
                "float32",
                packed,
                law="top",
                positives=csr(positives),
                exclude=csr(excluded),
                precision=precision,
                num_threads=num_threads,
                **limits,
            )
            for name in ("indices", "scores", "counts", "positive_scores"):
                assert_same_bits(
                    found[name], getattr(expected, name), f"{name}, {precision}, {n} x {m} x {d}"
                )


@pytest.mark.parametrize("law", ["random", "uniform"])
def test_draws_do_not_depend_on_target_or_threads(simd_target, law):
    queries, corpus = make(19, 517, 33, "float32", "normal")
    results = []
    for target in TARGETS:
        simd_target(target)
        packed = _core.Corpus(corpus, "float32", "cosine")
        for threads in (1, 2, 7):
            results.append(
                _core.mine(
                    queries,
                    "float32",
                    packed,
                    law=law,
                    num_negatives=5,
                    range_max=40 if law == "random" else None,
                    seed=9,
                    num_threads=threads,
                )
            )
    for result in results[1:]:
        assert_same_bits(result["indices"], results[0]["indices"])
        assert_same_bits(result["scores"], results[0]["scores"])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("metric", METRICS)
def test_pair_scores(simd_target, target, metric, num_threads):
    simd_target(target)
    for dtype in ELEMENT_TYPES:
        queries, corpus = make(9, 41, 83, dtype, "normal")
        rng = np.random.default_rng(0)
        left, right = rng.integers(0, 9, 500), rng.integers(0, 41, 500)
        found = _core.pair_scores(
            core_matrix(queries),
            dtype,
            _core.Corpus(core_matrix(corpus), dtype, metric),
            left,
            right,
            num_threads=num_threads,
        )
        assert_same_bits(found, oracle.scores(queries, corpus, metric)[left, right])


@pytest.mark.parametrize("target", TARGETS)
def test_row_strides(simd_target, target):
    """Rows may lie any distance apart."""
    simd_target(target)
    wide_queries, wide_corpus = make(7, 131, 61, "float32", "normal")
    queries, corpus = wide_queries[::2, 3:40], wide_corpus[::-3, 5:42]
    found = _core.topk(queries, "float32", _core.Corpus(corpus, "float32", "ip"), 9)
    assert_same_topk(found[:2], oracle.topk(queries.copy(), corpus.copy(), 9, "ip"))


@pytest.mark.parametrize("target", TARGETS)
def test_different_element_types_of_queries_and_corpus(simd_target, target):
    simd_target(target)
    for left in ELEMENT_TYPES:
        for right in ELEMENT_TYPES:
            queries, _ = make(7, 131, 33, left, "normal")
            _, corpus = make(7, 131, 33, right, "normal")
            packed = _core.Corpus(core_matrix(corpus), right, "l2")
            found = _core.topk(core_matrix(queries), left, packed, 9)
            assert_same_topk(found[:2], oracle.topk(queries, corpus, 9, "l2"))
