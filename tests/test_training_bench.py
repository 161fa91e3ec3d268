# SPDX-License-Identifier: Apache-2.0
"""The experiment that tells whether negatives teach: its metrics, loss, intervals, runs."""

import importlib
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nearmiss as nm
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

BENCH = Path(__file__).parents[1] / "bench"
PARTS = (
    "experiment", "head", "methods", "metrics", "negatives", "resampling", "retrieval", "settings",
    "table",
)  # fmt: skip


@pytest.fixture(scope="module")
def training():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield SimpleNamespace(
            **{part: importlib.import_module(f"training.{part}") for part in PARTS}
        )


@pytest.fixture(scope="module")
def problem(training):
    return training.retrieval.load_problem("docstrings", 300, synthetic=True)


@pytest.fixture
def torch_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def obvious_quality(ranked, relevant):
    gains = [1.0 if row in relevant else 0.0 for row in ranked[:10]]
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))
    ndcg = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains)) / ideal
    ranks = [rank for rank, gain in enumerate(gains, start=1) if gain]
    return ndcg, 1 / ranks[0] if ranks else 0.0


@given(st.lists(st.lists(st.booleans(), min_size=10, max_size=10), max_size=5), st.integers(0, 20))
def test_metrics_equal_their_definition(training, hits, others):
    table = np.array(hits, dtype=bool).reshape(len(hits), 10)
    num_relevant = table.sum(axis=1) + others
    table, num_relevant = table[num_relevant > 0], num_relevant[num_relevant > 0]
    found = training.metrics.judge(table, num_relevant)
    for line, number, ndcg, mrr in zip(table, num_relevant, found.ndcg, found.mrr, strict=True):
        relevant = {rank for rank in range(10) if line[rank]} | set(range(10, 10 + others))
        assert len(relevant) == number
        assert (ndcg, mrr) == pytest.approx(obvious_quality(range(10), relevant))


def test_evaluation_equals_brute_force(training):
    rng = np.random.default_rng(0)
    queries, corpus = (rng.standard_normal((n, 8), dtype=np.float32) for n in (30, 60))
    pairs = {(query, row) for query, row in rng.integers(0, [30, 60], (90, 2)).tolist()}
    positives = nm.Positives.from_pairs(sorted(pairs))
    rows = np.unique(positives.query_rows)[::2]
    found = training.metrics.evaluate(queries, corpus, positives, rows, threads=1)
    lengths = [np.linalg.norm(side, axis=1) for side in (queries, corpus)]
    scores = queries @ corpus.T / np.outer(*lengths)
    for row, ndcg, mrr in zip(rows, found.ndcg, found.mrr, strict=True):
        relevant = {c for q, c in pairs if q == row}
        expected = obvious_quality(np.argsort(-scores[row]).tolist(), relevant)
        assert (ndcg, mrr) == pytest.approx(expected)


def test_the_loss_leaves_out_what_is_positive_or_missing(training):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 6, generator=generator)
    positives = torch.tensor([5, 9, 5])  # queries 0 and 2 have the same
    documents = torch.tensor([5, 9, 5, 9, -1, 7])
    kept = [[0, 1, 3, 5], [1, 0, 2, 5], [2, 1, 3, 5]]  # the own positive first
    expected = []
    for line, columns in zip(scores.tolist(), kept, strict=True):
        total = sum(math.exp(line[column]) for column in columns)
        expected.append(-math.log(math.exp(line[columns[0]]) / total))
    found = training.head.contrastive_loss(scores, documents, positives)
    assert float(found) == pytest.approx(sum(expected) / 3)


@pytest.mark.parametrize("kind", ["linear", "linear-query", "low-rank", "diagonal"])
def test_heads_begin_as_the_identity_and_learn(training, kind):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((20, 8), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    torch.manual_seed(0)
    head = training.head.Head(8, kind)
    queries, documents = head.encode(rows, rows)
    np.testing.assert_allclose(queries, rows, atol=1e-6)
    np.testing.assert_allclose(documents, rows, atol=1e-6)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(2):  # the first step of a low rank moves one of its two matrices
        head(torch.from_numpy(rows)).square()[:, 0].sum().backward()
        optimizer.step()
    queries, documents = head.encode(rows, rows)
    assert not np.allclose(queries, rows, atol=1e-3)
    assert np.array_equal(documents, rows) == (kind == "linear-query")


def test_resampled_means_are_means_over_what_was_drawn(training):
    values = np.random.default_rng(2).random((3, 5))
    resamples = training.resampling.Resamples(3, 5, count=40)
    means = resamples.means(values)
    for seeds, queries, mean in zip(resamples.seeds, resamples.queries, means, strict=True):
        assert (seeds.sum(), queries.sum()) == (3, 5)
        drawn = values[np.repeat(np.arange(3), seeds)][:, np.repeat(np.arange(5), queries)]
        assert mean == pytest.approx(drawn.mean())


def test_differences_are_paired(training):
    resamples = training.resampling.Resamples(4, 50)
    values = np.random.default_rng(3).random((4, 50))
    shifted = resamples.means(values + 0.01) - resamples.means(values)
    assert training.resampling.interval(shifted) == pytest.approx((0.01, 0.01))
    low, high = training.resampling.interval(resamples.means(values))
    assert low < values.mean() < high


def test_splits_share_no_query(problem):
    parts = problem.train, problem.validation, problem.test
    assert len(parts[0]) == 300
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(problem.learned.queries)))


def test_methods_take_as_many_steps_and_mine_no_positives(training, problem):
    queries, corpus = problem.learned.queries[problem.train], problem.learned.corpus
    positives = problem.positive_rows(problem.train)
    lengths = set()
    for method in training.methods.METHODS:
        plan = training.negatives.plan_batches(method, queries, problem, 32, seed=0, threads=1)
        lengths.add(len(plan))
        if method.mines and not method.peer:
            table = training.negatives.mine(
                method, queries, corpus, positives, seed=0, epoch=0, threads=1
            )
            assert (table.indices != positives[:, None]).all()
    assert lengths == {300 // 32}


@pytest.mark.usefixtures("torch_as_before")
def test_runs_repeat_resume_and_learn(training, problem, tmp_path):
    chosen = {"random", "PercPos, refreshed", "PercPos + NGAME", "SimANS"}
    methods = tuple(one for one in training.methods.METHODS if one.name in chosen)
    settings = replace(training.settings.SMOKE_SETTINGS, epochs=2)
    planned = training.experiment.Experiment(problem, settings, 2, 1, methods)
    fresh = training.experiment.run_all(planned, None, lambda _: None)
    kept = training.experiment.run_all(planned, tmp_path, lambda _: None)
    assert fresh == kept
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2 * len(chosen)
    files[0].unlink()  # as if it had been cut off there
    assert training.experiment.run_all(planned, tmp_path, lambda _: None) == kept
    frozen, *trained = (found["test"]["ndcg"]["mean"] for found in kept["methods"].values())
    assert min(trained) > frozen + 0.02
    assert len(set(trained)) == len(chosen)
    lines = training.table.to_lines(kept)
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 3 + len(chosen)  # a head, a rule, frozen embeddings
