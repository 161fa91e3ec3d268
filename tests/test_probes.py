# SPDX-License-Identifier: Apache-2.0
"""Approximate search: exact in the lists that a query looks at, and honest about the others.

The oracle is the exact one over the rows of these lists. Which they are is worked out here, from
centres and members as the core gives them, by the same score and order as everything else.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table, assert_same_topk
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core
from nearmiss.probes import report_of
from problems import DTYPES, METRICS, core_matrix, limits, problems, vectors

TARGETS = _core.simd_targets()


def lists_of(corpus, num_lists=0, seed=0):
    """Return the centres of a corpus' lists and the list of each row."""
    return corpus._core.lists(num_lists, seed)


def list_ranks(queries, corpus, num_lists=0, seed=0):
    """Return (n, m): the rank of each row's list among those of the query, 0 for the nearest."""
    centers, of_rows = lists_of(corpus, num_lists, seed)
    scores = oracle.scores(oracle.as_float32(queries), centers, corpus.metric)
    ranks = np.empty(scores.shape, np.int64)
    for rank, order in zip(ranks, map(oracle.ranking, scores), strict=True):
        rank[order] = np.arange(len(order))
    return ranks[:, of_rows].reshape(len(queries), len(of_rows))


def widths(p, num_lists):
    """Return how many lists a query looks at, one try after the other, all of them last."""
    tries = [p] if p < num_lists else []
    while tries and 2 * tries[-1] * 4 <= num_lists:
        tries.append(2 * tries[-1])
    return [*tries, num_lists]


def mine_in_lists(ranks, p, **arguments):
    """Mine query by query in ever more lists until its window is full, or all have been tried."""
    queries, corpus = arguments.pop("queries"), arguments.pop("corpus")
    exact = oracle.mine(queries, corpus, **arguments)
    k = arguments["num_negatives"]
    last = arguments.get("range_max") or arguments.get("range_min", 0) + k
    full = {**arguments, "range_min": 0, "range_max": min(last, len(corpus)), "num_negatives": 1}
    windows, used = [], []
    for i in range(len(queries)):
        for width in widths(p, int(ranks.max(initial=0)) + 1):
            outside = np.flatnonzero(ranks[i] >= width).tolist()
            exclude = (
                [[] for _ in queries]
                if arguments.get("exclude") is None
                else [list(rows) for rows in arguments["exclude"]]
            )
            exclude[i] = [*exclude[i], *outside]
            inside = oracle.mine(queries, corpus, **{**full, "exclude": exclude}).windows[i]
            if len(inside) == min(last, len(corpus)):
                break
        used.append(width)
        windows.append(inside[arguments.get("range_min", 0) :])
    table = oracle._tabulate(windows, exact.every_score, exact.positive_scores, k)
    return table, np.array(used, np.int64)


@given(data=st.data())
def test_mining_is_exact_in_the_lists(data):
    problem = data.draw(problems())
    chosen = data.draw(limits(problem))
    chosen.pop("range_mode")  # raw ranks count the rows of the lists: see below
    corpus = nm.Corpus(problem["corpus"], metric=problem["metric"])
    num_lists = data.draw(st.sampled_from((0, 1, 3, 7, 40)), label="lists")
    p = data.draw(st.sampled_from((1, 2, 3, 50)), label="p")
    precision = data.draw(st.sampled_from(("auto", "float32", "int8")), label="precision")
    seed = data.draw(st.integers(0, 3), label="list seed")
    found = nm.mine(
        problem["queries"],
        corpus,
        precision=precision,
        approximate=nm.Probes(p, lists=num_lists or None, seed=seed, sample=3),
        num_threads=2,
        **chosen,
    )
    ranks = list_ranks(problem["queries"], corpus, num_lists, seed)
    wanted, used = mine_in_lists(
        ranks,
        p,
        queries=problem["queries"],
        corpus=problem["corpus"],
        metric=problem["metric"],
        **chosen,
    )
    assert_same_table(found, wanted)
    if len(used):
        report = found.stats["approximate"]
        least = min(p, report["lists"])
        assert report["p"] == least
        assert report["widened_queries"] == (used > least).sum()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("metric", METRICS)
def test_every_target_and_number_of_threads(simd_target, target, metric, num_threads):
    simd_target(target)
    rng = np.random.default_rng(5)
    for dtype, d in (("float32", 61), ("int8", 33), ("float16", 8)):
        rows = vectors(rng, (517, d), dtype, "normal")
        queries = vectors(rng, (23, d), dtype, "normal")
        corpus = _core.Corpus(core_matrix(rows), dtype, metric, num_threads=num_threads)
        centers, of_rows = corpus.lists(19, 2)
        nearest = oracle.topk(oracle.as_float32(queries), centers, 6, metric)[1]
        every = oracle.scores(queries, rows, metric)
        for precision in ("float32", "int8"):
            scores, indices, work = _core.topk(
                core_matrix(queries),
                dtype,
                corpus,
                9,
                precision=precision,
                num_threads=num_threads,
                probes=(6, 0.0, 19, 2, 0),
            )
            assert work["probes"]["widened"] == 0
            for i in range(len(queries)):
                inside = np.isin(of_rows, nearest[i])
                order = oracle.ranking(every[i])
                order = order[inside[order]][:9]
                assert_same_topk((scores[i], indices[i]), (every[i, order], order))


def test_lists_are_the_same_on_every_target_and_number_of_threads(simd_target):
    rows = np.random.default_rng(0).normal(size=(700, 40)).astype(np.float32)
    wanted = None
    for target in TARGETS:
        simd_target(target)
        for threads in (1, 2, 7):
            found = _core.Corpus(rows, "float32", "cosine", num_threads=threads).lists(
                0, 1, threads
            )
            wanted = wanted or found
            assert_same_bits(found[0], wanted[0], "centres")
            assert_same_bits(found[1], wanted[1], "members")
    assert len(wanted[0]) == int(4 * np.sqrt(700))


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_lists_are_exact_search(dtype):
    rng = np.random.default_rng(1)
    rows = vectors(rng, (300, 24), dtype, "ties")
    queries = vectors(rng, (9, 24), dtype, "ties")
    corpus = nm.Corpus(rows, metric="l2")
    exact = nm.mine(queries, corpus, num_negatives=20)
    for p in (20, 21, 10**9):
        found = nm.mine(queries, corpus, num_negatives=20, approximate=nm.Probes(p, lists=20))
        assert_same_table(found, exact)
        assert found.stats["approximate"]["recall"] == 1
    assert_same_topk(
        nm.topk(queries, corpus, 20, approximate=nm.Probes(20, lists=20)),
        (exact.scores, exact.indices),
    )


def clustered(rng, n=40, m=3000, d=32, topics=60):
    """Return queries and rows around the same few directions."""
    middles = rng.normal(size=(topics, d))
    rows = middles[rng.integers(topics, size=m)] + 0.6 * rng.normal(size=(m, d))
    queries = middles[rng.integers(topics, size=n)] + 0.6 * rng.normal(size=(n, d))
    return queries.astype(np.float32), rows.astype(np.float32)


def part_found(approximate, exact):
    return np.mean([np.isin(a, b).mean() for a, b in zip(exact, approximate, strict=True)])


def test_recall_is_that_of_the_sample():
    """A sample of all queries has the recall that counting gives; a part of it that of some."""
    queries, rows = clustered(np.random.default_rng(2))
    corpus = nm.Corpus(rows)
    exact = nm.mine(queries, corpus, num_negatives=50)
    found = nm.mine(queries, corpus, num_negatives=50, approximate=nm.Probes(3, sample=999))
    report = found.stats["approximate"]
    assert report["sampled_queries"] == len(queries)
    recall = part_found(found.indices, exact.indices)
    assert 0.2 < recall < 0.99
    assert report["recall"] == pytest.approx(recall, abs=1e-12)
    parts = [part_found(found.indices[i : i + 1], exact.indices[i : i + 1]) for i in range(40)]
    one = nm.mine(queries, corpus, num_negatives=50, approximate=nm.Probes(3, sample=1, seed=0))
    assert one.stats["approximate"]["sampled_queries"] == 1
    assert np.isclose(one.stats["approximate"]["recall"], parts).any()
    assert_same_table(one, found)
    none = nm.mine(queries, corpus, num_negatives=50, approximate=nm.Probes(3, sample=0))
    assert none.stats["approximate"]["recall"] is None
    assert_same_table(none, found)


def standard_error(found, expected, num_queries):
    """Return that of sum(found) / sum(expected), written out."""
    ratio = found.sum() / expected.sum()
    size = len(found)
    variance = ((found - ratio * expected) ** 2).sum() / (size - 1) * (1 - size / num_queries)
    return math.sqrt(size * variance) / expected.sum()


def test_the_standard_error_is_that_of_the_sample():
    """All queries but one are in the sample; some have fewer rows to find, and find them all."""
    queries, rows = clustered(np.random.default_rng(2))
    corpus = nm.Corpus(rows)
    min_score = np.full(len(queries), -1.0)
    min_score[::3] = nm.topk(queries, corpus, 10)[0][::3, -1]

    def mine(sample):
        probes = None if sample is None else nm.Probes(3, sample=sample)
        return nm.mine(queries, corpus, num_negatives=50, min_score=min_score, approximate=probes)

    exact, found = mine(None), mine(len(queries) - 1)
    parts = zip(exact.indices, found.indices, strict=True)
    hits = np.array([len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in parts])
    assert len(set(exact.counts.tolist())) == 2
    assert len(set(hits.tolist())) > 5
    possible = [
        standard_error(np.delete(hits, i), np.delete(exact.counts, i), len(hits))
        for i in range(len(hits))
    ]
    error = found.stats["approximate"]["recall_error"]
    assert np.isclose(error, possible, rtol=1e-9, atol=0).sum() in range(1, len(hits))
    assert mine(len(queries)).stats["approximate"]["recall_error"] == 0  # nothing left to chance
    assert mine(1).stats["approximate"]["recall_error"] is None


def test_standard_errors_of_given_counts():
    rng = np.random.default_rng(6)
    for size, num_queries in ((2, 2), (2, 9), (40, 1000)):
        expected = rng.integers(1, 100, size)
        found = rng.integers(0, expected + 1)
        sums = {
            "num_probes": 1,
            "num_lists": 2,
            "widened": 0,
            "sampled": size,
            "expected": int(expected.sum()),
            "found": int(found.sum()),
            "expected_squares": int((expected**2).sum()),
            "found_squares": int((found**2).sum()),
            "products": int((found * expected).sum()),
        }
        error = report_of(sums, num_queries)["recall_error"]
        assert error == pytest.approx(standard_error(found, expected, num_queries), rel=1e-9)


def test_the_default_sample_follows_the_number_of_queries():
    _, rows = clustered(np.random.default_rng(7))
    corpus = nm.Corpus(rows)
    for num_queries, sampled in ((5, 5), (511, 16), (544, 17), (2048, 64), (5000, 64)):
        queries = np.random.default_rng(8).normal(size=(num_queries, rows.shape[1]))
        found = nm.mine(queries, corpus, approximate=nm.Probes(2, lists=20))
        assert found.stats["approximate"]["sampled_queries"] == sampled
    chosen = nm.mine(rows[:200], corpus, approximate=nm.Probes.for_recall(0.5, lists=20))
    assert chosen.stats["approximate"]["sampled_queries"] == 32  # the second half of 64


def test_recall_chooses_the_least_p_on_the_first_half_and_measures_on_the_second():
    """All queries are in the sample, and each half must be the complement of the other.

    Lists hold more rows than are asked for, so that none is widened.
    """
    queries, rows = clustered(np.random.default_rng(3))
    corpus = nm.Corpus(rows)
    for recall in (0.5, 0.9, 1.0):
        approximate = nm.Probes.for_recall(recall, lists=20, sample=40)
        found = nm.mine(queries, corpus, num_negatives=50, approximate=approximate)
        report = found.stats["approximate"]
        assert report["sampled_queries"] == 20
        assert report["widened_queries"] == 0
        exact = nm.mine(queries, corpus, num_negatives=50).indices

        def in_lists(p):
            return nm.mine(queries, corpus, num_negatives=50, approximate=nm.Probes(p, lists=20))

        def recall_at(p, exact=exact):
            return part_found(in_lists(p).indices, exact)

        # Both halves have 20 queries of 50 rows: the mean of their recalls is that of all.
        chose = 2 * recall_at(report["p"]) - report["recall"]
        assert chose >= recall - 1e-9
        assert_same_table(found, in_lists(report["p"]))
        if report["p"] > 1:
            # The half that measured is at best perfect at p - 1.
            assert 2 * recall_at(report["p"] - 1) - 1 < recall


def test_one_query_chooses_and_measures():
    queries, rows = clustered(np.random.default_rng(4), n=1)
    found = nm.mine(queries, rows, num_negatives=50, approximate=nm.Probes.for_recall(0.9))
    assert found.stats["approximate"]["recall"] >= 0.9
    assert found.stats["approximate"]["sampled_queries"] == 1


def test_no_queries():
    found = nm.mine(np.zeros((0, 4)), np.eye(4), approximate=nm.Probes(2))
    assert found.indices.shape == (0, 3)
    assert found.stats["approximate"] is None


def test_short_lists_are_widened_until_the_window_is_full():
    """Rows of 64 places, 4 of each: a list holds one place, so 30 rows need 8 lists."""
    rows = np.repeat(np.eye(64, dtype=np.float32) + 0.01, 4, axis=0)
    rows += np.arange(256, dtype=np.float32)[:, None] * np.float32(1e-6)
    queries = rows[::37].copy()
    found = nm.mine(
        queries, nm.Corpus(rows, "l2"), num_negatives=30, approximate=nm.Probes(1, lists=64)
    )
    assert (found.counts == 30).all()
    assert found.stats["approximate"]["widened_queries"] == len(queries)
    everything = nm.mine(
        queries, nm.Corpus(rows, "l2"), num_negatives=256, approximate=nm.Probes(1, lists=64)
    )
    assert_same_table(everything, nm.mine(queries, nm.Corpus(rows, "l2"), num_negatives=256))


def test_shortage_is_that_of_exact_search():
    queries, rows = clustered(np.random.default_rng(6))
    floor = {"min_score": 0.6, "num_negatives": 40}
    exact = nm.mine(queries, rows, **floor)
    found = nm.mine(queries, rows, approximate=nm.Probes(1, lists=100), **floor)
    assert (exact.counts < 40).any()
    assert_same_bits(found.counts, exact.counts, "counts")
    short = exact.counts < 40
    assert_same_bits(found.indices[short], exact.indices[short], "indices")


def test_more_lists_than_rows_and_lists_without_rows():
    rows = np.repeat(np.eye(3, 5, dtype=np.float32), [4, 1, 6], axis=0)  # three different ones
    for metric in METRICS:
        corpus = nm.Corpus(rows, metric)
        centers, of_rows = lists_of(corpus, 99)
        assert len(centers) <= 11
        assert set(of_rows) == set(range(len(centers)))
        found = nm.mine(rows, corpus, num_negatives=2, approximate=nm.Probes(1, lists=99))
        assert_same_table(found, nm.mine(rows, corpus, num_negatives=2))


def test_raw_ranks_count_the_rows_of_the_lists():
    queries, rows = clustered(np.random.default_rng(7))
    corpus = nm.Corpus(rows)
    positives = nm.topk(queries, corpus, 1)[1][:, 0]
    found = nm.mine(
        queries,
        corpus,
        positives,
        num_negatives=4,
        range_min=0,
        range_max=5,
        range_mode="raw",
        approximate=nm.Probes(5, lists=60),
    )
    ranks = list_ranks(queries, corpus, 60)
    every = oracle.scores(queries, rows, "cosine")
    for i, positive in enumerate(positives):
        order = oracle.ranking(every[i])
        window = order[ranks[i][order] < 5][:5]
        assert_same_bits(found.indices[i], window[window != positive][:4], f"query {i}")


def test_margins_refer_to_positives_outside_the_lists():
    queries, rows = clustered(np.random.default_rng(8))
    corpus = nm.Corpus(rows)
    far = list_ranks(queries, corpus).argmax(axis=1)
    exact = nm.mine(queries, corpus, far, relative_margin=0.05)
    found = nm.mine(queries, corpus, far, relative_margin=0.05, approximate=nm.Probes(2))
    assert_same_bits(found.positive_scores, exact.positive_scores, "positive scores")


def test_groups_of_the_corpus_rule_rows_out_in_lists():
    rng = np.random.default_rng(9)
    queries, rows = clustered(rng)
    groups, own = rng.integers(5, size=len(rows)), rng.integers(5, size=len(queries))
    corpus = nm.Corpus(rows, groups=groups)
    plain = nm.Corpus(rows)
    for within in (False, True):
        arguments = {"query_groups": own, "within_groups": within, "num_negatives": 30}
        found = nm.mine(queries, corpus, approximate=nm.Probes(4), **arguments)
        assert ((groups[found.indices] == own[:, None]) == within).all()
        again = nm.mine(queries, plain, corpus_groups=groups, approximate=nm.Probes(4), **arguments)
        assert_same_table(found, again)


@pytest.mark.parametrize("strategy", ["random", "simans:a=0.5", "bands:bands=0..5:1;5..40:4"])
def test_strategies_pick_from_the_pools_of_the_lists(strategy):
    """All lists but one, and a pool that they hold: what is picked is picked from it."""
    queries, rows = clustered(np.random.default_rng(10))
    corpus = nm.Corpus(rows)
    positives = nm.topk(queries, corpus, 1)[1][:, 0]
    arguments = {"strategy": strategy, "num_negatives": 5}
    if strategy == "random":
        arguments["range_max"] = 40
    approximate = nm.Probes(20, lists=40)
    found = nm.mine(queries, corpus, positives, approximate=approximate, **arguments)
    pool = nm.mine(queries, corpus, positives, num_negatives=200, approximate=approximate)
    assert found.stats["approximate"]["recall"] > 0.9
    for row, near in zip(found.indices, pool.indices, strict=True):
        assert np.isin(row, near).all()


def test_batches_and_threads_change_nothing(num_threads):
    queries, rows = clustered(np.random.default_rng(11), n=61)
    corpus = nm.Corpus(rows)
    arguments = {"num_negatives": 20, "approximate": nm.Probes(3, sample=5)}
    whole = nm.mine(queries, corpus, num_threads=num_threads, **arguments)
    parts = [
        nm.mine(part, corpus, num_threads=1, **arguments).indices
        for part in np.array_split(queries, 7)
    ]
    assert_same_bits(np.concatenate(parts), whole.indices, "indices")
    again = nm.mine(queries, corpus, num_threads=1, **arguments)
    assert again.stats["approximate"] == whole.stats["approximate"]


def test_searches_with_other_lists_at_a_time():
    """One corpus keeps one set of lists; searches that want another each get their own."""
    queries, rows = clustered(np.random.default_rng(15))
    corpus = nm.Corpus(rows)
    kinds = [nm.Probes(2, lists=lists, seed=seed) for lists in (20, 50) for seed in (0, 1)]

    def search(kind):
        return nm.mine(queries, corpus, num_negatives=20, approximate=kind, num_threads=1)

    wanted = [search(kind) for kind in kinds]
    with ThreadPoolExecutor(4) as pool:
        for found, table in zip(pool.map(search, kinds * 5), wanted * 5, strict=True):
            assert_same_table(found, table)


def test_an_update_makes_new_lists():
    queries, rows = clustered(np.random.default_rng(12))
    corpus = nm.Corpus(rows)
    before = corpus.nbytes
    arguments = {"num_negatives": 20, "approximate": nm.Probes(3)}
    nm.mine(queries, corpus, **arguments)
    assert corpus.nbytes > before
    changed = np.arange(0, 3000, 7)
    new = rows.copy()
    new[changed] = np.random.default_rng(13).normal(size=(len(changed), rows.shape[1]))
    corpus.update(changed, new[changed])
    updated = nm.mine(queries, corpus, **arguments)
    assert_same_table(updated, nm.mine(queries, nm.Corpus(new), **arguments))


def test_provenance_and_summary_say_that_it_is_approximate(tmp_path):
    queries, rows = clustered(np.random.default_rng(14))
    found = nm.mine(queries, rows, approximate=nm.Probes(3, lists=50))
    assert found.params["approximate"] == {"p": 3, "lists": 50, "seed": 0}
    assert "Approximate: looked at 3 of 50 lists" in str(found.stats)
    report = found.stats["approximate"]
    measured = f"recall {report['recall']:.3f} ± {report['recall_error']:.3f} on 16 queries"
    assert measured in str(found.stats)
    found.save(tmp_path / "table")
    loaded = nm.Negatives.load(tmp_path / "table")
    assert loaded.stats["approximate"] == found.stats["approximate"]
    exact = nm.mine(queries, rows)
    assert "approximate" not in exact.params
    assert "Approximate" not in str(exact.stats)
    by_recall = nm.mine(queries, rows, approximate=nm.Probes.for_recall(0.8, sample=20))
    assert by_recall.params["approximate"] == {"recall": 0.8, "seed": 0, "sample": 20}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "p: expected either p or recall"),
        ({"p": 3, "recall": 0.9}, "p: expected either p or recall"),
        ({"p": 0}, "p: must be at least 1"),
        ({"p": 1, "lists": 0}, "lists: must be at least 1"),
        ({"p": 1, "sample": -1}, "sample: must be at least 0"),
        ({"recall": 0.9, "sample": 0}, "sample: must be at least 1"),
        ({"recall": 0}, "recall"),
        ({"recall": 1.01}, "recall"),
        ({"p": 1, "seed": -1}, "seed"),
    ],
)
def test_bad_probes(arguments, message):
    with pytest.raises(ValueError, match=message):
        nm.Probes(**arguments)


def test_what_does_not_search_refuses_probes():
    rows = np.eye(8, dtype=np.float32)
    with pytest.raises(ValueError, match="approximate: strategy 'uniform' draws from the whole"):
        nm.mine(rows, rows, strategy="uniform", approximate=nm.Probes(2))
    with pytest.raises(TypeError, match=r"approximate: expected nearmiss\.Probes"):
        nm.mine(rows, rows, approximate=8)
    with pytest.raises(TypeError, match=r"approximate: expected nearmiss\.Probes"):
        nm.topk(rows, rows, 2, approximate="8")
