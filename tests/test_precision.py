# SPDX-License-Identifier: Apache-2.0
"""What rows are screened in changes the time, never the answer: bit for bit the oracle's.

Hypothesis looks for vectors that codes serve badly; larger problems make the search guess its
thresholds, guess wrongly, and turn from int8 codes to float32.
"""

from functools import cache

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table, assert_same_topk
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core
from problems import DTYPES, KINDS, METRICS, limits, row_lists, vectors

PRECISIONS = ("auto", "float32", "int8", "int16")
TARGETS = _core.simd_targets()
#: Around 16 rows, 6 queries, 4 codes and the 32 dimensions from which "auto" takes int8 codes.
ROWS = (1, 5, 15, 16, 17, 33, 131)
QUERIES = (0, 1, 5, 6, 7, 13)
DIMENSIONS = (1, 2, 3, 4, 5, 31, 32, 33, 65, 100)
ATTACKS = (
    "outlier columns",
    "one hot",
    "subnormal",
    "near duplicates",
    "last bits",
    "mixed elements",
    "all equal",
    "one huge row",
    "offset",
)


def attack(rng, rows, kind):
    """Return float32 rows that are hard for codes, made from normal ones."""
    n, d = rows.shape
    if n == 0:
        return rows
    if kind == "outlier columns":
        rows[:, :: max(1, d // 3)] += 50
    elif kind == "one hot":
        rows = np.eye(d, dtype=np.float32)[rng.integers(0, d, n)]
        rows[::2] *= -1
    elif kind == "subnormal":
        rows = rows * np.float32(1e-41)
        rows[:, 0] += np.float32(1e-40)
    elif kind == "near duplicates":
        rows = rows[:1] + rows * np.float32(2.0**-16)
    elif kind == "last bits":
        rows = rows[:1] * (1 + rng.integers(-2, 3, (n, d)).astype(np.float32) * np.float32(2**-20))
    elif kind == "mixed elements":
        rows = np.ldexp(rows, rng.integers(-30, 31, (n, d))).astype(np.float32)
    elif kind == "all equal":
        rows = np.repeat(rows[:1], n, axis=0)
    elif kind == "one huge row":
        rows[n // 2] *= np.float32(1e6)
    elif kind == "offset":
        rows += 30
    return np.ascontiguousarray(rows)


@st.composite
def hard_problems(draw):
    """Draw a problem as `problems.problems` does, from more kinds of vectors."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n, m, d = (draw(st.sampled_from(sizes)) for sizes in (QUERIES, ROWS, DIMENSIONS))
    kind = draw(st.sampled_from((*KINDS, *ATTACKS)), label="kind")
    metric = draw(st.sampled_from(METRICS), label="metric")
    dtype = draw(st.sampled_from(DTYPES), label="dtype") if kind in KINDS else "float32"
    if kind in KINDS:
        queries, corpus = (vectors(rng, (size, d), dtype, kind) for size in (n, m))
    else:
        normal = rng.normal(size=(n + m, d)).astype(np.float32)
        both = attack(rng, normal, kind)
        queries, corpus = both[:n].copy(), both[n:].copy()
    if n and draw(st.booleans(), label="queries from the corpus"):
        queries = corpus[rng.integers(0, m, n)]
    return {"queries": queries, "corpus": corpus, "metric": metric, "rng": rng}


@given(data=st.data(), problem=hard_problems(), threads=st.sampled_from((1, 3)))
def test_topk_is_the_same_in_every_precision(simd_target, data, problem, threads):
    queries, corpus, metric = problem["queries"], problem["corpus"], problem["metric"]
    simd_target(data.draw(st.sampled_from(TARGETS), label="target"))
    k = data.draw(st.integers(1, len(corpus)), label="k")
    wanted = oracle.topk(queries, corpus, k, metric)
    packed = nm.Corpus(corpus, metric=metric)
    for precision in PRECISIONS:
        found = nm.topk(queries, packed, k, precision=precision, num_threads=threads)
        assert_same_topk(found, wanted)


@given(data=st.data(), problem=hard_problems(), threads=st.sampled_from((1, 3)))
def test_mine_is_the_same_in_every_precision(simd_target, data, problem, threads):
    simd_target(data.draw(st.sampled_from(TARGETS), label="target"))
    keywords = {"metric": problem["metric"], **data.draw(limits(problem))}
    wanted = oracle.mine(problem["queries"], problem["corpus"], **keywords)
    stats = []
    for precision in PRECISIONS:
        found = nm.mine(
            problem["queries"],
            problem["corpus"],
            precision=precision,
            num_threads=threads,
            **keywords,
        )
        assert_same_table(found, wanted)
        stats.append(str(found.stats))
    assert len(set(stats)) == 1


def auto_takes_codes():
    """Tell whether "auto" begins with int8 codes: not where they are no faster."""
    return _core.simd_target() != "scalar"


def core_topk(queries, packed, k, precision="auto", threads=1):
    """Search through the core, which also says what it did."""
    scores, indices, work = _core.topk(
        queries, "float32", packed, k, precision=precision, num_threads=threads
    )
    return (scores, indices), work


def check_in_every_precision(queries, corpus, metric, k):
    """Compare with the oracle; return the work of each precision on one thread."""
    wanted = oracle.topk(queries, corpus, k, metric)
    packed = _core.Corpus(corpus, "float32", metric)
    works = {}
    for precision in PRECISIONS:
        for threads in (3, 1):
            found, works[precision] = core_topk(queries, packed, k, precision, threads)
            assert_same_topk(found, wanted)
    assert all(works[named]["fallen_back"] == 0 for named in PRECISIONS if named != "auto")
    return works


def clumps(rng, m, d, size):
    """Return rows in clumps of `size` neighbours, one clump after the other."""
    centres = rng.normal(size=(-(-m // size), d))
    rows = np.repeat(centres, size, axis=0)[:m] + 0.2 * rng.normal(size=(m, d))
    return rows.astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_wrong_guesses_are_found_out(metric):
    """Where all neighbours of a query lie in a few panels, a sample of panels misleads."""
    rng = np.random.default_rng(1)
    corpus = clumps(rng, 6007, 40, 50)
    queries = corpus[rng.integers(0, 6007, 61)] + np.float32(0.1)
    works = check_in_every_precision(queries, corpus, metric, 40)
    assert all(work["rescanned"] > 0 for work in works.values())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("order", ["best last", "best first"])
def test_rows_in_the_order_of_their_scores(metric, order):
    """Either every row is better than all before it, or none is."""
    rng = np.random.default_rng(2)
    corpus = rng.normal(size=(5003, 36)).astype(np.float32)
    query = rng.normal(size=(1, 36)).astype(np.float32)
    ranked = np.argsort(oracle.scores(query, corpus, metric)[0], kind="stable")
    corpus = corpus[ranked if order == "best last" else ranked[::-1]]
    queries = query + np.float32(0.05) * rng.normal(size=(19, 36)).astype(np.float32)
    for k in (1, 30):
        check_in_every_precision(queries, corpus, metric, k)


@pytest.mark.parametrize("metric", METRICS)
def test_all_rows_equal(metric):
    corpus = np.tile(np.linspace(-1, 2, 33, dtype=np.float32), (5003, 1))
    queries = np.random.default_rng(3).normal(size=(13, 33)).astype(np.float32)
    check_in_every_precision(queries, corpus, metric, 21)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_one_row_so_large_that_codes_of_the_others_are_nothing(metric):
    rng = np.random.default_rng(4)
    corpus = rng.normal(size=(5003, 48)).astype(np.float32)
    corpus[2001] *= np.float32(1e6)
    queries = rng.normal(size=(29, 48)).astype(np.float32)
    works = check_in_every_precision(queries, corpus, metric, 10)
    assert (works["auto"]["fallen_back"] > 0) == auto_takes_codes()


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_rows_that_differ_below_what_codes_can_tell(metric):
    """The rows spread where queries have nothing; what queries see is their 20th bit."""
    rng = np.random.default_rng(5)
    corpus = rng.normal(size=(5003, 64)).astype(np.float32)
    corpus[:, 32:] *= np.float32(2.0**-20)
    queries = rng.normal(size=(29, 64)).astype(np.float32)
    queries[:, :32] = 0
    works = check_in_every_precision(queries, corpus, metric, 10)
    assert (works["auto"]["fallen_back"] > 0) == auto_takes_codes()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [19, 300])  # too few queries to pack int16 codes for; enough
def test_rows_without_directions_of_their_own(metric, n):
    """Many lie within the error of int8 codes; int16 codes tell them apart."""
    rng = np.random.default_rng(10)
    corpus = rng.normal(size=(8003, 128)).astype(np.float32)
    queries = rng.normal(size=(n, 128)).astype(np.float32)
    works = check_in_every_precision(queries, corpus, metric, 300)
    assert works["float32"]["rescored"] <= works["int16"]["rescored"] < 1.2 * 300 * n
    assert works["int8"]["rescored"] > 1.5 * 300 * n
    if _core.simd_target().startswith("avx"):
        assert (works["auto"]["fallen_back"] > n // 2) == (n == 300)


@pytest.mark.parametrize("metric", METRICS)
def test_odd_rows_unlike_the_even_ones(metric):
    """Of so many rows, codes are fitted to a half: the other one must not depend on it."""
    rng = np.random.default_rng(6)
    queries = rng.normal(size=(13, 40)).astype(np.float32)
    for factor in (1e-9, 1e3, 1e9):
        corpus = (5 + rng.normal(size=(2051, 40))).astype(np.float32)
        corpus[1::2] = -corpus[1::2] * np.float32(factor)
        check_in_every_precision(queries, corpus, metric, 25)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("target", TARGETS)
def test_rows_that_owe_their_scores_to_their_last_elements(simd_target, target, metric):
    # Packed last, parallel to the query's: all that the bound on what is left allows for.
    simd_target(target)
    rng = np.random.default_rng(11)
    m, d, n = 9000, 48, 14
    corpus = rng.normal(size=(m, d)).astype(np.float32)
    corpus[:, d // 2 :] *= 0.02
    queries = corpus[:n].copy()
    late = rng.choice(np.arange(n, m), 400, replace=False)
    corpus[late, : d // 2] *= 0.02
    corpus[late, d // 2 :] = 50 * queries[rng.integers(0, n, 400), d // 2 :]
    queries[:, : d // 2] *= 0.02
    check_in_every_precision(queries, corpus, metric, k=30)


@pytest.mark.parametrize("target", TARGETS)
def test_limits_where_the_search_guesses_and_falls_back(simd_target, target):
    simd_target(target)
    rng = np.random.default_rng(7)
    coarse = rng.normal(size=(4001, 64)).astype(np.float32)
    coarse[:, 32:] *= np.float32(2.0**-20)
    blind = rng.normal(size=(23, 64)).astype(np.float32)
    blind[:, :32] = 0
    clumped = clumps(rng, 4001, 40, 100)
    near = clumped[rng.integers(0, 4001, 23)] + np.float32(0.1)
    seen = {"fallen_back": 0, "rescanned": 0}
    for queries, corpus in ((blind, coarse), (near, clumped)):
        every = oracle.scores(queries, corpus, "ip")
        groups = rng.integers(-1, 3, 4001)
        keywords = {
            "query_groups": rng.integers(-1, 3, 23),
            "corpus_values": rng.integers(0, 100, 4001).astype(np.float64),
            "max_value": rng.integers(50, 100, 23).astype(np.float64),
            "max_score": np.quantile(every, 0.995, axis=1),
            "min_score": np.quantile(every, 0.5, axis=1),
            "relative_margin": 0.01,
            "range_min": 3,
            "range_max": 50,
            "num_negatives": 40,
        }
        positives, excluded = row_lists(rng, 23, 4001, 4), row_lists(rng, 23, 4001, 300)
        for mode in ("filtered", "raw"):
            wanted = oracle.mine(
                queries,
                corpus,
                positives,
                exclude=excluded,
                corpus_groups=groups,
                metric="ip",
                range_mode=mode,
                **keywords,
            )
            packed = _core.Corpus(corpus, "float32", "ip", groups)
            skipped = []
            for precision in PRECISIONS:
                found = _core.mine(
                    queries,
                    "float32",
                    packed,
                    law="top",
                    positives=csr(positives),
                    exclude=csr(excluded),
                    raw_ranks=mode == "raw",
                    precision=precision,
                    num_threads=1,
                    **keywords,
                )
                for name in ("indices", "scores", "counts", "positive_scores"):
                    assert_same_bits(found[name], getattr(wanted, name), f"{name}, {precision}")
                skipped.append(found["skipped"])
                for name in seen:
                    seen[name] += found["work"][name]
            for other in skipped[1:]:
                assert_same_bits(other, skipped[0], "skipped")
    assert seen["rescanned"] > 0
    assert (seen["fallen_back"] > 0) == auto_takes_codes()


@cache
def ceilings_in_a_crowd(own_group):
    """Half of the queries have half of all rows at their ceiling, unless of their own group."""
    rng = np.random.default_rng(12)
    n, m, d = 60, 7001, 512
    corpus = np.repeat(clumps(rng, 3501, d, 20), 2, axis=0)[:m]
    crowded, crowd = np.arange(n) % 2 == 0, np.arange(m) % 2 == 0
    queries = corpus[1 : 2 * n : 2] + np.float32(0.1)
    queries[crowded, 1:] = 0
    corpus[crowd] = rng.normal(size=(crowd.sum(), d))
    slopes = 0.6 + 0.001 * rng.normal(size=crowd.sum())
    corpus[crowd, 0] = slopes * np.linalg.norm(corpus[crowd, 1:], axis=1)
    every = oracle.scores(queries, corpus, "cosine")
    limits = {"max_score": np.where(crowded, np.median(every[:, crowd], axis=1), 1.0)}
    if own_group:
        limits["query_groups"] = np.zeros(n, dtype=np.int64)
    corpus_groups = np.where(crowd, 0, 1) if own_group else None
    wanted = oracle.mine(
        queries, corpus, corpus_groups=corpus_groups, metric="cosine", num_negatives=5, **limits
    )
    return queries, _core.Corpus(corpus, "float32", "cosine", corpus_groups), limits, wanted


@pytest.mark.parametrize("own_group", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_ceilings_in_crowds_are_found_beforehand(simd_target, target, own_group):
    simd_target(target)
    queries, packed, limits, wanted = ceilings_in_a_crowd(own_group)
    for threads in (3, 1):
        found = _core.mine(
            queries, "float32", packed, law="top", num_negatives=5, num_threads=threads, **limits
        )
        for name in ("indices", "scores", "counts"):
            assert_same_bits(found[name], getattr(wanted, name), name)
    if auto_takes_codes():
        assert found["work"]["fallen_back"] == (0 if own_group else len(queries) / 2)
        # A single crowded query would have the thousands of rows of the crowd scored exactly.
        assert found["work"]["rescored"] < 130 * len(queries)


@pytest.mark.parametrize("metric", METRICS)
def test_updates_between_searches(metric):
    """Small rows become huge ones and small again; every form follows."""
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(2051, 36)).astype(np.float32)
    queries = rng.normal(size=(7, 36)).astype(np.float32)
    held = rows.copy()
    packed = _core.Corpus(held, "float32", metric)
    for factor in (1, 30, 1e4, 1e12, 1e-12, 1):
        places = rng.permutation(2051)[:40]
        fresh = (rng.normal(size=(40, 36)) * factor).astype(np.float32)
        packed.update(places, fresh, "float32")
        rows[places] = fresh
        wanted = oracle.topk(queries, rows, 12, metric)
        for precision in PRECISIONS:
            assert_same_topk(core_topk(queries, packed, 12, precision)[0], wanted)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_centre_far_smaller_than_the_largest_row(precision):
    """Even rows, to which codes are fitted, are next to nothing; their direction still counts."""
    rng = np.random.default_rng(9)
    for exponent in (-40, -90, -110, -140):
        corpus = rng.normal(size=(2051, 32)).astype(np.float32)
        corpus[::2] = np.ldexp(corpus[0], exponent)
        queries = rng.normal(size=(5, 32)).astype(np.float32)
        queries[0] = np.ldexp(corpus[0], -exponent)
        found = nm.topk(queries, corpus, 1500, metric="ip", precision=precision)
        assert_same_topk(found, oracle.topk(queries, corpus, 1500, "ip"))


def csr(lists):
    """Return lists of rows as the core takes them."""
    lists = [np.array(sorted(set(rows)), np.int64) for rows in lists]
    indptr = np.concatenate([[0], np.cumsum([len(rows) for rows in lists])]).astype(np.int64)
    return indptr, np.concatenate([np.zeros(0, np.int64), *lists])
