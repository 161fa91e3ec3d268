# SPDX-License-Identifier: Apache-2.0
"""`topk` equals the oracle bit for bit, on every shape, element type and metric."""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_topk
from hypothesis import given
from hypothesis import strategies as st
from problems import DTYPES, METRICS, problems, vectors


@given(data=st.data(), problem=problems())
def test_equals_the_oracle(data, problem):
    queries, corpus, metric = problem["queries"], problem["corpus"], problem["metric"]
    k = data.draw(st.integers(1, len(corpus)), label="k")
    found = nm.topk(queries, corpus, k, metric=metric)
    assert_same_topk(found, oracle.topk(queries, corpus, k, metric))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["normal", "duplicates"])
def test_a_larger_corpus(metric, dtype, kind):
    """More rows than one block or one reservoir holds, so that the screen has work to do."""
    rng = np.random.default_rng(5)
    queries = vectors(rng, (37, 70), dtype, kind)
    corpus = vectors(rng, (5003, 70), dtype, kind)
    for k in (1, 10, 333):
        found = nm.topk(queries, corpus, k, metric=metric)
        assert_same_topk(found, oracle.topk(queries, corpus, k, metric))


def test_one_class_of_duplicates_larger_than_any_pool():
    """All scores tie: the lowest rows win, whatever the screen saw first."""
    corpus = np.ones((20_011, 9), np.float32)
    scores, indices = nm.topk(corpus[:5], corpus, 50, metric="ip")
    assert_same_bits(indices, np.tile(np.arange(50), (5, 1)))
    assert (scores == 9).all()


def test_scores_apart_by_less_than_a_float32_tile_can_tell():
    """Long vectors that differ in one last bit: only rescoring in float64 can rank them."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=512).astype(np.float32)
    corpus = np.tile(base, (800, 1))
    place = rng.integers(0, 512, 800)
    rows = np.arange(800)
    corpus[rows, place] = np.nextafter(
        corpus[rows, place], np.where(rows % 2, np.float32(9), np.float32(-9)), dtype=np.float32
    )
    queries = rng.normal(size=(11, 512)).astype(np.float32)
    for metric in METRICS:
        for k in (1, 40):
            found = nm.topk(queries, corpus, k, metric=metric)
            assert_same_topk(found, oracle.topk(queries, corpus, k, metric))


def test_cancellation():
    """Huge terms that cancel leave a small score behind, which the screen must not lose."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(300, 32)).astype(np.float32) * np.float32(1e6)
    small = rng.normal(size=(300, 8)).astype(np.float32)
    corpus = np.concatenate([half, half, small], axis=1)
    one = rng.normal(size=(9, 32)).astype(np.float32) * np.float32(1e6)
    queries = np.concatenate([one, -one, rng.normal(size=(9, 8)).astype(np.float32)], axis=1)
    for metric in METRICS:
        found = nm.topk(queries, corpus, 20, metric=metric)
        assert_same_topk(found, oracle.topk(queries, corpus, 20, metric))


def test_no_query_gives_an_empty_result():
    scores, indices = nm.topk(np.zeros((0, 3), np.float32), np.ones((4, 3), np.float32), 2)
    assert_same_bits(scores, np.zeros((0, 2), np.float32))
    assert_same_bits(indices, np.zeros((0, 2), np.int64))


def test_the_default_metric_is_cosine_or_that_of_the_corpus():
    rng = np.random.default_rng(2)
    queries, corpus = rng.normal(size=(5, 7)), rng.normal(size=(30, 7))
    assert_same_topk(nm.topk(queries, corpus, 4), oracle.topk(queries, corpus, 4, "cosine"))
    packed = nm.Corpus(corpus, metric="l2")
    assert_same_topk(nm.topk(queries, packed, 4), oracle.topk(queries, corpus, 4, "l2"))
    assert_same_topk(
        nm.topk(queries, packed, 4, metric="l2"), oracle.topk(queries, corpus, 4, "l2")
    )
    with pytest.raises(ValueError, match="metric"):
        nm.topk(queries, packed, 4, metric="ip")


def test_all_rows_are_ranked_when_k_is_their_number():
    rng = np.random.default_rng(3)
    corpus = vectors(rng, (97, 5), "int8", "ties")
    found = nm.topk(corpus, corpus, 97, metric="ip")
    assert_same_topk(found, oracle.topk(corpus, corpus, 97, "ip"))
    assert (np.sort(found[1], axis=1) == np.arange(97)).all()


@pytest.mark.parametrize("precision", ["auto", "float32", "int8", "int16"])
def test_precision_never_changes_the_answer(precision):
    rng = np.random.default_rng(4)
    queries, corpus = rng.normal(size=(20, 31)), rng.normal(size=(700, 31))
    found = nm.topk(queries, corpus, 13, precision=precision)
    assert_same_topk(found, oracle.topk(queries, corpus, 13, "cosine"))


@pytest.mark.peer
def test_the_same_rows_as_faiss():
    """Except where its float32 sums round two rows to the other order."""
    faiss = pytest.importorskip("faiss")
    rng = np.random.default_rng(7)
    corpus = rng.normal(size=(4000, 48)).astype(np.float32)
    queries = rng.normal(size=(60, 48)).astype(np.float32)
    index = faiss.IndexFlatIP(48)
    index.add(corpus)
    theirs, their_rows = index.search(queries, 20)
    scores, rows = nm.topk(queries, corpus, 20, metric="ip")
    norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(corpus, axis=1).max()
    rounding = 48 * 2.0**-23 * norms  # of two sums of 48 products
    assert (np.abs(theirs - scores) <= rounding).all()
    differs = rows != their_rows
    assert differs.mean() < 0.01
    exact = np.einsum("nd,nkd->nk", queries.astype(np.float64), corpus[their_rows])
    assert (np.abs(exact - scores) <= rounding)[differs].all()
