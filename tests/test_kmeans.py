# SPDX-License-Identifier: Apache-2.0
"""k-means: every iteration against its definition, seeding against its laws, and the contract."""

import functools
import itertools
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import nearmiss as nm
import numpy as np
import oracle
import oracle_kmeans
import pytest
from compare import assert_law, assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core, clustering
from problems import DTYPES, KINDS, dtype_of, vectors

TARGETS = _core.simd_targets()
METRICS = ("euclidean", "cosine")
INITS = ("k-means++", "greedy-k-means++", "random", "rejection", "afk-mc2", "two-level")
SEEDS = range(10)
ALPHA = 1e-3 / len(SEEDS)


def fit(model, rows, **more):
    """Fit where empty clusters are no surprise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return model.fit(rows, **more)


def assert_found(model, expected):
    assert_same_bits(model.labels_, expected.labels, "labels_")
    assert_same_bits(model.cluster_centers_, expected.centers, "cluster_centers_")
    assert_same_bits(model.inertia_history_, np.array(expected.history), "inertia_history_")
    assert_same_bits(model.inertia_, expected.inertia, "inertia_")
    assert model.n_iter_ == len(expected.history)


def blobs(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(k, d))
    return (centers[rng.integers(0, k, n)] + 0.3 * rng.normal(size=(n, d))).astype(np.float32)


# --- Lloyd ----------------------------------------------------------------------------------------


@st.composite
def clusterings(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.sampled_from((1, 2, 5, 7, 17, 40, 97)), label="n")
    d = draw(st.sampled_from((1, 2, 7, 8, 9, 16, 33, 40)), label="d")
    k = draw(st.sampled_from([k for k in (1, 2, 3, 7, 17, 33) if k <= n]), label="k")
    dtype = draw(st.sampled_from(DTYPES), label="dtype")
    rows = vectors(rng, (n, d), dtype, draw(st.sampled_from(KINDS), label="kind"))
    among_rows = draw(st.booleans(), label="init among rows")
    init = rows[rng.integers(0, n, k)] if among_rows else vectors(rng, (k, d), dtype, "normal")
    weights = None
    if draw(st.booleans(), label="weighted"):
        weights = rng.choice([0.0, 0.5, 1.0, 1 / 3, 7.0], n)
        weights[rng.integers(n)] = 1.0
    return {
        "rows": rows,
        "init": init,
        "metric": draw(st.sampled_from(METRICS), label="metric"),
        "weights": weights,
        "max_iter": draw(st.sampled_from((1, 2, 3, 20)), label="max_iter"),
        "tol": draw(st.sampled_from((0.0, 0.0, 1e-2, 0.5)), label="tol"),
        "threads": draw(st.sampled_from((1, 2, 7)), label="threads"),
    }


@pytest.mark.parametrize("target", TARGETS)
@given(clusterings())
def test_every_iteration_is_that_of_the_oracle(simd_target, target, problem):
    simd_target(target)
    rows, init, metric = problem["rows"], problem["init"], problem["metric"]
    model = nm.KMeans(
        len(init),
        init=init,
        metric=metric,
        max_iter=problem["max_iter"],
        tol=problem["tol"],
        num_threads=problem["threads"],
    )
    fit(model, rows, sample_weight=problem["weights"])
    expected = oracle_kmeans.lloyd(
        rows, init, metric, problem["weights"], problem["max_iter"], problem["tol"]
    )
    assert_found(model, expected)
    assert_same_bits(model.predict(rows), model.labels_)


@pytest.mark.parametrize("kind", ["normal", "ties", "duplicates"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("target", TARGETS)
def test_enough_centres_for_codes(simd_target, target, metric, kind, num_threads):
    """From 192 centres of 32 dimensions on rows are screened in int8."""
    simd_target(target)
    rng = np.random.default_rng(3)
    rows = vectors(rng, (450, 35), "float32", kind)
    init = rows[rng.permutation(450)[:197]]
    model = nm.KMeans(197, init=init, metric=metric, tol=0, max_iter=3, num_threads=num_threads)
    assert_found(fit(model, rows), oracle_kmeans.lloyd(rows, init, metric, max_iter=3))


def near_a_plane(shape, rank, seed=0):
    """Rows whose leading coordinates say nearly all, and tell most centres apart."""
    rng = np.random.default_rng(seed)
    rows = 3 * rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    return (rows + 0.3 * rng.normal(size=shape)).astype(np.float32)


@functools.cache
def sketched_problem(metric, kind):
    """Rows, centres to start from, and four iterations by the oracle, which takes its time."""
    rng = np.random.default_rng(8)
    if kind == "plane":
        rows = near_a_plane((450, 260), 30)
    else:
        rows = vectors(rng, (450, 260), "float32", kind)
    init = rows[rng.permutation(450)[:197]]
    return rows, init, oracle_kmeans.lloyd(rows, init, metric, max_iter=4)


@pytest.mark.parametrize("kind", ["plane", "ties", "duplicates", "huge", "tiny"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("target", TARGETS)
def test_sketches_narrow_the_search(simd_target, target, metric, kind, num_threads):
    """From the second iteration on rows of 256 dimensions or more are compared by sketches."""
    simd_target(target)
    rows, init, expected = sketched_problem(metric, kind)
    model = nm.KMeans(197, init=init, metric=metric, tol=0, max_iter=4, num_threads=num_threads)
    assert_found(fit(model, rows), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sketches_of_every_element_type(dtype):
    rng = np.random.default_rng(9)
    rows = vectors(rng, (400, 257), dtype, "duplicates")
    weights = rng.choice([0.0, 0.5, 1.0], len(rows))
    model = nm.KMeans(200, init=rows[:200], tol=0, max_iter=4)
    fit(model, rows, sample_weight=weights)
    assert_found(model, oracle_kmeans.lloyd(rows, rows[:200], "euclidean", weights, max_iter=4))


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_sketches_that_tell_centres_apart_and_that_do_not(noise):
    """The first few thousand rows tell whether sketches pay, which changes the time alone."""
    rng = np.random.default_rng(10)
    rows = near_a_plane((6000, 256), 20) + noise * rng.normal(size=(6000, 256))
    rows = rows.astype(np.float32)
    for iterations in (1, 2, 3):
        model = nm.KMeans(200, init=rows[:200], tol=0, max_iter=iterations).fit(rows)
        nearest = nm.topk(rows, nm.Corpus(model.cluster_centers_, metric="l2"), 1)[1][:, 0]
        assert_same_bits(model.labels_, nearest.astype(np.int32))


@pytest.mark.parametrize("kind", ["normal", "ties", "duplicates"])
@pytest.mark.parametrize("k", [1, 16, 17, 33, 64, 65, 111, 191])
@pytest.mark.parametrize("target", TARGETS)
def test_few_centres(simd_target, target, k, kind, num_threads):
    """Rows of float32 meet all of less than 192 centres where they lie, here in every other row."""
    simd_target(target)
    rng = np.random.default_rng(k)
    rows = vectors(rng, (700, 35), "float32", kind)[::2]
    init = rows[rng.permutation(350)[:k]]
    model = nm.KMeans(k, init=init, tol=0, max_iter=3, num_threads=num_threads)
    assert_found(fit(model, rows), oracle_kmeans.lloyd(rows, init, "euclidean", max_iter=3))


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e17])
def test_few_centres_on_any_scale(scale):
    rng = np.random.default_rng(5)
    rows = (rng.normal(size=(200, 20)) * scale).astype(np.float32)
    model = nm.KMeans(40, init=rows[:40], tol=0, max_iter=3)
    assert_found(fit(model, rows), oracle_kmeans.lloyd(rows, rows[:40], "euclidean", max_iter=3))


@pytest.mark.parametrize("metric", METRICS)
def test_centres_that_no_longer_move(metric):
    """Rows whose centre is no farther than before are compared with centres that moved alone."""
    rows = blobs(1000, 33, 3)
    init = rows[np.random.default_rng(7).permutation(1000)[:200]]
    expected = oracle_kmeans.lloyd(rows, init, metric, max_iter=30)
    assert 5 < len(expected.history) < 30
    assert_found(fit(nm.KMeans(200, init=init, metric=metric, tol=0), rows), expected)


@pytest.mark.parametrize("count", [2000, 9000])
def test_clusters_within_the_cache_and_beyond(count, num_threads):
    """A MiB of rows per cluster is read once per iteration, more of them block by block."""
    rng = np.random.default_rng(12)
    rows = (rng.normal(size=(count, 100)) + 0.2).astype(np.float32)
    weights = rng.choice([0.5, 1.0, 1 / 3], count)
    init = rows[[0, 1, 1]]  # the last one is empty at first
    model = nm.KMeans(3, init=init, metric="cosine", tol=0, max_iter=4, num_threads=num_threads)
    fit(model, rows, sample_weight=weights)
    assert_found(model, oracle_kmeans.lloyd(rows, init, "cosine", weights, max_iter=4))


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_codes_cannot_tell_apart(metric):
    """The first rows are tried in codes, the rest then screened in float32."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(9000, 64)).astype(np.float32)
    centers = rows[:400] * np.float32(1e-3)
    model = nm.KMeans(400, init=centers, metric=metric, max_iter=1, tol=0).fit(rows)
    corpus = nm.Corpus(model.cluster_centers_, metric=oracle_kmeans.NAMES[metric])
    assert_same_bits(model.labels_, nm.topk(rows, corpus, 1)[1][:, 0].astype(np.int32))


def test_blocks_of_rows_do_not_show(num_threads):
    """Rows are walked over in blocks of 65,536."""
    rows = np.random.default_rng(5).normal(size=(140_000, 3)).astype(np.float32)
    weights = np.random.default_rng(6).random(len(rows))
    points = _core.Points(rows, "float32", "l2", weights, num_threads)
    labels, scores = points.assign(rows[:9].copy(), num_threads)
    assert_same_bits(
        labels, nm.topk(rows, nm.Corpus(rows[:9], metric="l2"), 1)[1][:, 0].astype(np.int32)
    )
    sums, total = points.sum_clusters(labels, 9, num_threads)
    for cluster in range(9):
        members = np.flatnonzero(labels == cluster)
        parts = weights[members, None] * rows[members].astype(np.float64)
        assert_same_bits(sums[cluster], np.add.accumulate(parts, axis=0)[-1])
        assert_same_bits(total[cluster], np.add.accumulate(weights[members])[-1])
    losses = np.add.accumulate(weights * -scores.astype(np.float64))
    assert points.total_loss(scores) == losses[-1]


@pytest.mark.parametrize("metric", METRICS)
def test_inertia_falls(metric):
    rows = blobs(3000, 12, 20)
    model = nm.KMeans(40, init="random", metric=metric, tol=0).fit(rows)
    assert model.n_iter_ > 5
    assert (np.diff(model.inertia_history_) <= 1e-9 * model.inertia_history_[0]).all()
    assert model.inertia_ == model.inertia_history_[-1], "the last iteration changed nothing"


def test_tol_is_relative_to_the_variance():
    rows = blobs(2000, 8, 10)
    for scale in (1e-6, 1.0, 1e6):
        model = nm.KMeans(30, init="random", tol=0.1).fit(rows * np.float32(scale))
        assert 1 < model.n_iter_ < nm.KMeans(30, init="random", tol=0).fit(rows).n_iter_


def test_several_starts_keep_the_best():
    rows = blobs(400, 2, 12)
    runs = [nm.KMeans(12, init="random", n_init=n, random_state=4).fit(rows) for n in (1, 8)]
    assert runs[1].inertia_ < runs[0].inertia_
    again = nm.KMeans(12, init="random", n_init=8, random_state=4).fit(rows)
    assert_same_bits(again.cluster_centers_, runs[1].cluster_centers_)


# --- empty clusters and other degenerate data -----------------------------------------------------


def test_an_empty_cluster_gets_the_farthest_row():
    rows = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [30.0]], np.float32)
    model = nm.KMeans(3, init=[[1.0], [10.0], [500.0]], max_iter=1, tol=0).fit(rows)
    # 30 leaves the cluster of 10; the others are means of what stays.
    assert model.cluster_centers_.ravel().tolist() == [1.0, 10.5, 30.0]
    assert model.labels_.tolist() == [0, 0, 0, 1, 1, 2]


def test_ties_for_the_farthest_row_and_copies_of_it():
    rows = np.array([[0.0], [5.0], [5.0], [-5.0]], np.float32)
    model = nm.KMeans(3, init=[[0.0], [90.0], [95.0]], max_iter=1, tol=0).fit(rows)
    # Row 1 first, not its copy next but row 3; then 0 and 5 are left.
    assert model.cluster_centers_.ravel().tolist() == [2.5, 5.0, -5.0]


def test_a_row_alone_in_its_cluster_stays():
    rows = np.array([[0.0], [100.0], [101.0]], np.float32)
    model = nm.KMeans(3, init=[[40.0], [100.5], [900.0]], max_iter=1, tol=0).fit(rows)
    assert model.cluster_centers_.ravel().tolist() == [0.0, 101.0, 100.0]


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("metric", METRICS)
def test_fewer_distinct_rows_than_clusters(init, metric):
    rows = np.repeat(np.array([[1.0, 2.0], [3.0, -1.0]], np.float32), 30, axis=0)
    with pytest.warns(UserWarning, match="3 of 5 clusters are empty"):
        model = nm.KMeans(5, init=init, metric=metric).fit(rows)
    assert model.inertia_ < 1e-6
    assert len(np.unique(model.labels_)) == 2
    assert np.isfinite(model.cluster_centers_).all()
    assert model.n_iter_ < 5


@pytest.mark.parametrize("init", INITS)
def test_constant_data_and_one_point(init):
    with pytest.warns(UserWarning, match="2 of 3 clusters are empty"):
        model = nm.KMeans(3, init=init).fit(np.ones((50, 4)))
    assert model.inertia_ == 0
    assert (model.labels_ == 0).all()
    model = nm.KMeans(1, init=init).fit([[2.0, 3.0]])
    assert model.cluster_centers_.tolist() == [[2.0, 3.0]]
    assert model.inertia_ == 0
    assert model.n_iter_ <= 2


def test_a_run_that_ends_early_can_leave_a_cluster_empty():
    rows = np.array([[1.0], [2.0], [6.0], [7.0]], np.float32)
    init = [[0.0], [0.5], [2.5]]
    with pytest.warns(UserWarning, match="1 of 3 clusters are empty.*max_iter or tol"):
        model = nm.KMeans(3, init=init, max_iter=1).fit(rows)
    assert np.bincount(model.labels_, minlength=3).min() == 0
    assert sorted(np.bincount(nm.KMeans(3, init=init, max_iter=2).fit(rows).labels_)) == [1, 1, 2]


def test_rows_whose_distances_vanish_count_as_one():
    rows = np.arange(4, dtype=np.float32)[:, None] * np.float32(1e-30)
    with pytest.warns(UserWarning, match="1 of 2 clusters are empty.*float32"):
        assert nm.KMeans(2).fit(rows).inertia_ == 0


def test_unit_vectors_that_cancel_leave_the_centre():
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    model = nm.KMeans(1, init=[[0.0, 2.0]], metric="cosine").fit(rows)
    assert model.cluster_centers_.tolist() == [[0.0, 1.0]]
    assert model.inertia_ == 2.0


def test_rows_without_weight_are_labelled_and_count_for_nothing():
    rows = np.array([[0.0], [1.0], [50.0]], np.float32)
    model = nm.KMeans(1, init="k-means++").fit(rows, sample_weight=[1, 1, 0])
    assert model.cluster_centers_.tolist() == [[0.5]]
    assert model.inertia_ == 0.5
    assert model.labels_.tolist() == [0, 0, 0]


# --- bad input ------------------------------------------------------------------------------------

ROWS = np.arange(12, dtype=np.float32).reshape(6, 2) + 1


def with_(rows, row, value):
    rows = rows.copy()
    rows[row] = value
    return rows


@pytest.mark.parametrize(
    ("parameters", "rows", "weights", "error", "message"),
    [
        ({"n_clusters": 0}, ROWS, None, ValueError, "n_clusters: must be at least 1, got 0"),
        ({"n_clusters": 2.5}, ROWS, None, TypeError, "n_clusters: expected an integer"),
        ({"n_clusters": 7}, ROWS, None, ValueError, "n_clusters: expected at most 6.*got 7"),
        ({"init": "kmeans++"}, ROWS, None, ValueError, "init: .*did you mean 'k-means\\+\\+'"),
        ({"init": ROWS[:3]}, ROWS, None, ValueError, r"init: expected shape \(2, 2\).*\(3, 2\)"),
        ({"init": [[1, 2], [np.nan, 1]]}, ROWS, None, ValueError, "init: row 1 has a NaN"),
        ({"init": ROWS[:2], "n_init": 2}, ROWS, None, ValueError, "n_init: must be at most 1"),
        ({"init": ROWS[:2], "init_trials": 2}, ROWS, None, ValueError, "init_trials: given"),
        ({"init_trials": 3}, ROWS, None, ValueError, r"init_trials: init='k-means\+\+' has none"),
        ({"init": "afk-mc2", "init_trials": 0}, ROWS, None, ValueError, "init_trials: must be"),
        ({"n_init": 0}, ROWS, None, ValueError, "n_init: must be at least 1"),
        ({"max_iter": 0}, ROWS, None, ValueError, "max_iter: must be at least 1"),
        ({"tol": -1e-3}, ROWS, None, ValueError, "tol: must not be negative"),
        ({"tol": np.nan}, ROWS, None, ValueError, "tol: must be finite"),
        ({"metric": "l2"}, ROWS, None, ValueError, "metric: expected one of 'euclidean', 'cosine'"),
        ({"random_state": -1}, ROWS, None, ValueError, "random_state: must be at least 0"),
        ({"random_state": None}, ROWS, None, TypeError, "random_state: expected an integer"),
        ({"num_threads": 0}, ROWS, None, ValueError, "num_threads"),
        ({"progress": 3}, ROWS, None, TypeError, "progress"),
        ({}, with_(ROWS, 4, np.inf), None, ValueError, "X: row 4 has a NaN or infinite element"),
        ({}, with_(ROWS, 3, 1e25), None, ValueError, "X: row 3 is so large"),
        ({"metric": "cosine"}, with_(ROWS, 2, 0), None, ValueError, "X: row 2 is zero"),
        ({}, ROWS[:0], None, ValueError, "X: empty"),
        ({}, ROWS[0], None, ValueError, "Reshape your data"),
        ({}, ROWS[:, :0], None, ValueError, "0 feature"),
        ({}, ROWS * 1j, None, ValueError, "Complex data not supported"),
        ({}, np.full((3, 1), "a", object), None, ValueError, "X: could not convert string"),
        ({}, np.full((3, 1), {}, object), None, TypeError, "X: float.. argument must be"),
        ({}, ROWS, [1, 1, 1, 1, 1], ValueError, "sample_weight: expected 6"),
        ({}, ROWS, [1, 1, -1, 1, 1, 1], ValueError, "sample_weight: .*row 2 has -1.0"),
        ({}, ROWS, [1, 1, 1, np.nan, 1, 1], ValueError, "sample_weight: .*row 3 has nan"),
        ({}, ROWS, [0] * 6, ValueError, "sample_weight: all weights are zero"),
        ({}, ROWS, [1e308] * 6, ValueError, "sample_weight: weights add up to inf"),
        ({}, ROWS, [1e280] + [0] * 5, ValueError, "sample_weight: weights add up to 1e.280"),
        ({}, ROWS, [0, 0, 3, 0, 0, 0], ValueError, "at least n_clusters = 2 rows of positive"),
    ],
)
def test_bad_input(parameters, rows, weights, error, message):
    model = nm.KMeans(**{"n_clusters": 2, **parameters})
    with pytest.raises(error, match=message):
        model.fit(rows, sample_weight=weights)
    assert not hasattr(model, "cluster_centers_")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_bad_rows_are_named_by_every_method(metric, method):
    ask = getattr(nm.KMeans(2, metric=metric).fit(ROWS), method)
    with pytest.raises(ValueError, match="X: row 3 has a NaN or infinite element"):
        ask(with_(ROWS, 3, np.nan))
    bad, message = (0, "is zero") if metric == "cosine" else (1e25, "is so large")
    with pytest.raises(ValueError, match=f"X: row 4 {message}"):
        ask(with_(ROWS, 4, bad))


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = nm.KMeans(2).fit(ROWS)
    before = model.cluster_centers_.copy()
    with pytest.raises(ValueError, match="row 4"):
        model.fit(with_(ROWS, 4, np.nan))
    assert_same_bits(model.cluster_centers_, before)


@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_asked_before_it_is_fitted_or_for_other_columns(method):
    with pytest.raises(ValueError, match="not fitted"):
        getattr(nm.KMeans(2), method)(ROWS)
    with pytest.raises(ValueError, match="X has 1 features, but KMeans is expecting 2"):
        getattr(nm.KMeans(2).fit(ROWS), method)(ROWS[:, :1])


# --- seeding --------------------------------------------------------------------------------------

LINE = np.array([[0.0], [1.0], [3.0], [10.0]], np.float32)


def law_of_d2(rows, k, weights=None, metric="euclidean"):
    """Every ordered outcome of the D^2 law, and its probability."""
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights)
    chances = {}
    for outcome in itertools.permutations(range(len(rows)), k):
        chance = weights[outcome[0]] / weights.sum()
        for place in range(1, k):
            scores = oracle.scores(rows, rows[list(outcome[:place])], oracle_kmeans.NAMES[metric])
            masses = weights * oracle_kmeans.losses(scores.max(axis=1), metric)
            chance *= masses[outcome[place]] / masses.sum()
        if chance > 0:
            chances[outcome] = chance
    return chances


def draws(rows, k, law, trials, seed, count, weights=None, metric="l2"):
    points = _core.Points(rows, "float32", metric, weights)
    return [tuple(points.seed(k, law, trials, seed, run, 1).tolist()) for run in range(count)]


def assert_drawn(outcomes, chances):
    assert set(outcomes) <= set(chances), set(outcomes) - set(chances)
    expected = {outcome: len(outcomes) * chance for outcome, chance in chances.items()}
    observed = {outcome: outcomes.count(outcome) for outcome in chances}
    # Chi-square is no good for counts as small as those of the rare outcomes: they count as one.
    rare = [outcome for outcome in expected if expected[outcome] < 5]
    common = [outcome for outcome in expected if expected[outcome] >= 5]

    def together(counts):
        return [counts[outcome] for outcome in common] + [sum(counts[o] for o in rare)][: len(rare)]

    assert_law(together(observed), together(expected), ALPHA)


def assert_law_of(chances, rows, k, law, trials=0, count=2500, **more):
    assert sum(chances.values()) == pytest.approx(1)
    for seed in SEEDS:
        assert_drawn(draws(rows, k, law, trials, seed, count, **more), chances)
    # The control: the same test rejects a law with a little too much of the likeliest outcome.
    biased = dict(chances)
    likeliest = max(biased, key=biased.get)
    biased = {key: 0.85 * chance for key, chance in biased.items()}
    biased[likeliest] += 0.15
    assert rejects(assert_drawn, draws(rows, k, law, trials, 0, count, **more), biased)


def test_the_worked_example():
    """Points 0, 1, 3, 10 and a first centre at 0: 0, 1, 9 and 100 in 110."""
    chances = law_of_d2(LINE, 2)
    assert [round(440 * chances.get((0, i), 0), 9) for i in range(4)] == [0, 1, 9, 100]


@pytest.mark.parametrize("law", ["k-means++", "rejection"])
def test_law_of_d2(law):
    assert_law_of(law_of_d2(LINE, 2), LINE, 2, law)


@pytest.mark.parametrize("law", ["k-means++", "rejection"])
def test_law_of_d2_for_three_weighted_rows(law):
    weights = np.array([2.0, 0.0, 1.0, 0.5, 3.0])
    rows = np.array([[0.0], [1.0], [3.0], [10.0], [2.5]], np.float32)
    chances = law_of_d2(rows, 3, weights)
    assert_law_of(chances, rows, 3, law, weights=weights)


@pytest.mark.parametrize("law", ["k-means++", "rejection"])
def test_law_of_d2_by_cosine(law):
    rows = np.array([[1, 0], [5, 1], [0, 2], [-1, 0.5], [-1, -1]], np.float32)
    assert_law_of(law_of_d2(rows, 2, metric="cosine"), rows, 2, law, metric="cosine")


def test_law_of_greedy_draws():
    """Two draws by D^2; the one that leaves less, the first of equals."""
    chances = {}
    for (first, second), chance in law_of_d2(LINE, 2).items():
        for (other, third), again in law_of_d2(LINE, 2).items():
            if other != first:
                continue
            left = [
                -oracle.scores(LINE, LINE[[first, candidate]], "l2").max(axis=1).sum()
                for candidate in (second, third)
            ]
            best = (first, third if left[1] < left[0] else second)
            chances[best] = chances.get(best, 0) + chance * again * 4
    assert_law_of(chances, LINE, 2, "greedy-k-means++", 2)


def test_law_of_rejection_with_one_try():
    """Half of all tries are rejected whatever the first row is, and then any row is taken."""
    line = LINE.ravel().astype(np.float64)
    middle = line.mean()
    chances = {}
    for first in range(4):
        bounds = (line - middle) ** 2 + (line[first] - middle) ** 2
        squares = (line - line[first]) ** 2
        proposed = bounds / bounds.sum()
        kept = proposed * squares / (2 * bounds)
        for second in range(4):
            chances[first, second] = (kept[second] + (1 - kept.sum()) / 4) / 4
    assert_law_of(chances, LINE, 2, "rejection", 1)


@pytest.mark.parametrize("length", [1, 2])
def test_law_of_a_chain(length):
    chances = {}
    for first in range(4):
        squares = ((LINE - LINE[first]) ** 2).ravel().astype(np.float64)
        proposed = 0.5 * squares / squares.sum() + 0.5 / 4
        law = proposed.copy()
        if length == 2:
            law = np.zeros(4)
            for at, step in itertools.product(range(4), repeat=2):
                ratio = squares[step] * proposed[at]
                moves = 1.0 if squares[at] == 0 else min(1, ratio / (squares[at] * proposed[step]))
                law[step] += proposed[at] * proposed[step] * moves
                law[at] += proposed[at] * proposed[step] * (1 - moves)
        if law[first] > 0:  # a chain that ends on a seed draws by D^2 instead
            law = law + law[first] * squares / squares.sum()
            law[first] = 0
        for second in range(4):
            if law[second] > 0:
                chances[first, second] = law[second] / 4
    assert_law_of(chances, LINE, 2, "afk-mc2", length)


def test_a_long_chain_comes_near_the_law():
    for seed in SEEDS:
        assert_drawn(draws(LINE, 2, "afk-mc2", 60, seed, 1500), law_of_d2(LINE, 2))


def test_law_of_random_rows():
    weights = np.array([3.0, 1.0, 0.0, 2.0])
    chances = {}
    for outcome in itertools.permutations([0, 1, 3], 2):
        first, second = weights[list(outcome)]
        chances[outcome] = first / 6 * second / (6 - first)
    assert_law_of(chances, LINE, 2, "random", weights=weights)
    equal = dict.fromkeys(itertools.permutations(range(4), 2), 1 / 12)
    assert_law_of(equal, LINE, 2, "random")


@pytest.mark.parametrize("law", INITS[:5])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_draws_are_functions_of_the_seed_alone(simd_target, law, metric):
    rows = blobs(9000, 17, 30)
    trials = {"greedy-k-means++": 3, "afk-mc2": 20}.get(law, 0)
    found = []
    for target, threads in itertools.product(TARGETS, (1, 2, 7)):
        simd_target(target)
        points = _core.Points(rows, "float32", metric, None, threads)
        found.append(points.seed(25, law, trials, 7, 1, threads))
    for other in found[1:]:
        assert_same_bits(other, found[0])
    assert len(set(found[0].tolist())) == 25
    assert found[0].tolist() != points.seed(25, law, trials, 7, 2).tolist()
    assert found[0].tolist() != points.seed(25, law, trials, 8, 1).tolist()


def test_k_means_plus_plus_draw_by_draw():
    """The definition on the bits of streams 65 and 66."""
    rows = blobs(300, 5, 8)
    found = _core.Points(rows, "float32", "l2").seed(20, "k-means++", 0, 11, 3)

    def unit(stream, number):
        bits = _core.random_bits(11, stream, 3, np.array([number]), np.array([0]))
        return float(bits[0] >> np.uint64(11)) * 2.0**-53

    chosen = [int(unit(65, 0) * 300)]
    while len(chosen) < 20:
        masses = -oracle.scores(rows, rows[chosen], "l2").max(axis=1).astype(np.float64)
        up_to = np.add.accumulate(masses)
        chosen.append(int(np.searchsorted(up_to, unit(66, len(chosen)) * up_to[-1], "right")))
    assert found.tolist() == chosen


@pytest.mark.parametrize("law", ["rejection", "afk-mc2"])
def test_tight_clumps_do_not_loop(law):
    """As many clumps as seeds: all but the right rows are rejected at the end."""
    rng = np.random.default_rng(8)
    rows = np.repeat(1e3 * rng.normal(size=(12, 3)), 400, axis=0).astype(np.float32)
    rows += rng.normal(size=rows.shape).astype(np.float32) * np.float32(1e-3)
    start = time.perf_counter()
    found = _core.Points(rows, "float32", "l2").seed(12, law, 0 if law == "rejection" else 300)
    assert time.perf_counter() - start < 5
    assert len(set((found // 400).tolist())) == 12


# --- the estimator --------------------------------------------------------------------------------

#: What of scikit-learn's checks does not apply, and why.
NOT_APPLICABLE = {
    "check_sample_weight_equivalence_on_dense_data": "draws are functions of row numbers, so that "
    "a row given twice draws otherwise than one of weight 2 (scikit-learn's own KMeans fails too)",
}
OPTIONAL = {"check_sample_weights_pandas_series", "check_array_api_input"}


def test_scikit_learns_checks_of_an_estimator():
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            nm.KMeans(3), expected_failed_checks=NOT_APPLICABLE, on_skip=None, on_fail=None
        )
    by_status = {}
    for result in results:
        by_status.setdefault(result["status"], []).append(result)
    assert [(r["check_name"], r["exception"]) for r in by_status.get("failed", [])] == []
    assert {r["check_name"] for r in by_status["xfail"]} == set(NOT_APPLICABLE)
    assert {r["check_name"] for r in by_status.get("skipped", [])} <= OPTIONAL
    assert len(by_status["passed"]) > 30


def test_parameters_clone_and_pipelines():
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = nm.KMeans(4, metric="cosine", random_state=3)
    assert repr(model) == "KMeans(metric='cosine', n_clusters=4, random_state=3)"
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(tol=0.5, n_clusters=2) is model
    assert (model.tol, model.n_clusters) == (0.5, 2)
    with pytest.raises(ValueError, match="invalid parameter 'clusters'"):
        model.set_params(clusters=3)
    piped = make_pipeline(StandardScaler(), nm.KMeans(3)).fit(blobs(90, 4, 3))
    assert piped.predict(blobs(90, 4, 3)).shape == (90,)


def test_scikit_learn_is_not_needed():
    code = """
        import sys, numpy as np, nearmiss as nm
        X = np.random.default_rng(0).normal(size=(50, 3))
        model = nm.KMeans(3).fit(X)
        model.predict(X), model.transform(X), model.score(X), model.get_params(), repr(model)
        try:
            nm.KMeans(3).predict(X)
        except AttributeError:
            print(*sorted(name for name in sys.modules if name.startswith("sklearn")))
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert answer.stdout == "\n", answer.stdout + answer.stderr


@pytest.mark.parametrize("metric", METRICS)
def test_the_fitted_model_answers_as_the_oracle(metric):
    rows, others = blobs(120, 9, 6), blobs(70, 9, 6, seed=1)
    weights = np.random.default_rng(2).random(70)
    model = nm.KMeans(7, metric=metric).fit(rows)
    centers = model.cluster_centers_
    scores = oracle.scores(others, centers, oracle_kmeans.NAMES[metric])
    labels, best = oracle_kmeans.assign(others, centers, metric)
    assert_same_bits(model.predict(others), labels)
    losses = oracle_kmeans.losses(best, metric)
    assert model.score(others) == -oracle_kmeans.add_up(losses)
    weighted = -oracle_kmeans.add_up(weights * losses)
    assert model.score(others, sample_weight=weights) == weighted
    distances = 1 - scores if metric == "cosine" else np.sqrt(0 - scores)
    assert_same_bits(model.transform(others), distances)
    assert_same_bits(nm.KMeans(7, metric=metric).fit_predict(rows), model.labels_)
    assert_same_bits(nm.KMeans(7, metric=metric).fit_transform(rows), model.transform(rows))
    assert model.get_feature_names_out().tolist() == [f"kmeans{i}" for i in range(7)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_element_type_is_its_float32(dtype):
    rows = vectors(np.random.default_rng(1), (80, 6), dtype, "normal")
    wide = rows.astype(dtype_of("float32"))
    for metric in METRICS:
        found = nm.KMeans(5, metric=metric).fit(rows)
        expected = nm.KMeans(5, metric=metric).fit(wide)
        assert_same_bits(found.cluster_centers_, expected.cluster_centers_)
        assert found.inertia_ == expected.inertia_


def test_tensors_lists_integers_and_strides():
    import torch

    rows = np.random.default_rng(2).integers(0, 9, (60, 4))
    expected = nm.KMeans(4).fit(rows.astype(np.float32))
    wide = np.zeros((120, 9), np.float32)
    wide[::2, 1:5] = rows
    given = [rows, rows.tolist(), torch.tensor(rows, dtype=torch.bfloat16), wide[::2, 1:5]]
    for same in [*given, np.asfortranarray(rows.astype(np.float32))]:
        assert_same_bits(nm.KMeans(4).fit(same).cluster_centers_, expected.cluster_centers_)


def test_centres_of_any_integers():
    expected = nm.KMeans(2, init=ROWS[[0, 5]]).fit(ROWS)
    for dtype in (np.int64, np.uint16, np.int8):
        model = nm.KMeans(2, init=ROWS[[0, 5]].astype(dtype)).fit(ROWS)
        assert_same_bits(model.cluster_centers_, expected.cluster_centers_)


def test_another_number_of_clusters_in_a_later_batch():
    model = nm.KMeans(2).partial_fit(ROWS)
    before = model.cluster_centers_.copy()
    with pytest.raises(ValueError, match="n_clusters: is 3, but earlier batches made 2"):
        model.set_params(n_clusters=3).partial_fit(ROWS)
    assert_same_bits(model.cluster_centers_, before)


def test_batches_after_a_fit_begin_anew():
    model = nm.KMeans(2, random_state=4).fit(ROWS[::-1] * 9).partial_fit(ROWS)
    fresh = nm.KMeans(2, random_state=4).partial_fit(ROWS)
    assert_same_bits(model.cluster_centers_, fresh.cluster_centers_)
    assert_same_bits(model.counts_, fresh.counts_)


@pytest.mark.parametrize("metric", METRICS)
def test_partial_fit_is_a_running_mean(metric):
    rng = np.random.default_rng(3)
    batches = [blobs(50, 6, 4, seed) for seed in range(4)]
    weights = [rng.choice([0.0, 1.0, 0.25], 50) for _ in batches]
    model = nm.KMeans(4, metric=metric, init=batches[0][:4])
    centers = oracle.as_float32(batches[0][:4])
    counts = np.zeros(4)
    for batch, weight in zip(batches, weights, strict=True):
        model.partial_fit(batch, sample_weight=weight)
        labels, _ = oracle_kmeans.assign(batch, centers, metric)
        centers = centers.copy()
        for c in range(4):
            total, added = oracle_kmeans.sum_cluster(
                batch, weight, np.flatnonzero(labels == c), metric
            )
            if added == 0:
                continue
            mean = (centers[c].astype(np.float64) * counts[c] + total) / (counts[c] + added)
            counts[c] += added
            centers[c] = oracle_kmeans.direction(mean) if metric == "cosine" else mean
        assert_same_bits(model.cluster_centers_, centers)
        assert_same_bits(model.counts_, counts)
        labels, scores = oracle_kmeans.assign(batch, centers, metric)
        assert_same_bits(model.labels_, labels)
        assert model.inertia_ == oracle_kmeans.add_up(weight * oracle_kmeans.losses(scores, metric))
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match="X has 2 features"):
        model.partial_fit(ROWS)
    model.fit(batches[0])
    assert not hasattr(model, "counts_")


# --- memory, progress, interrupts -----------------------------------------------------------------

MAPPED = """
    import resource, sys, numpy as np, nearmiss as nm
    rows = np.load(sys.argv[1], mmap_mode="r")
    nm.KMeans(4, max_iter=1).fit(rows[:100])
    used = next(int(line.split()[1]) for line in open("/proc/self/status") if "VmData" in line)
    limit = (used << 10) + rows.nbytes // 3
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    model = nm.KMeans(20, init="INIT", max_iter=2, num_threads=1).fit(rows)
    try:
        rows[:].copy() + 0
    except MemoryError:
        print(model.inertia_)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit on private memory")
@pytest.mark.parametrize("init", ["random", "rejection"])
def test_mapped_rows_are_never_copied(tmp_path, init):
    rows = np.random.default_rng(0).normal(size=(250_000, 96)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(MAPPED).replace("INIT", init),
            str(tmp_path / "rows.npy"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    with warnings.catch_warnings():
        expected = nm.KMeans(20, init=init, max_iter=2).fit(rows)
    assert float(answer.stdout) == expected.inertia_


@pytest.mark.parametrize("init", INITS)
def test_progress_rises_to_one(init):
    seen = []
    rows = blobs(20_000, 16, 9)
    nm.KMeans(30, init=init, n_init=2, max_iter=4, progress=seen.append).fit(rows)
    assert len(seen) > 4
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] == 1


def test_an_exception_of_progress_stops_the_work(num_threads):
    raised = []

    def progress(fraction):
        raised.append(fraction)
        raise RuntimeError("enough")

    model = nm.KMeans(50, progress=progress, num_threads=num_threads)
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(blobs(50_000, 32, 9))
    assert len(raised) == 1
    assert not hasattr(model, "labels_")


INTERRUPTED = """
    import numpy as np, nearmiss as nm
    rows = np.random.default_rng(0).normal(size=(300_000, 128)).astype(np.float32)
    model = nm.KMeans(3000, init="INIT", init_trials=TRIALS)
    print("ready", flush=True)
    try:
        model.fit(rows)
    except KeyboardInterrupt:
        print("interrupted", hasattr(model, "labels_"), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("init", "trials"),
    [("random", None), ("k-means++", None), ("rejection", None), ("afk-mc2", 10_000)],
)
def test_ctrl_c_stops_within_a_second(init, trials):
    code = INTERRUPTED.replace("INIT", init).replace("TRIALS", str(trials))
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.7)
        sent = time.perf_counter()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted False\n"
        assert time.perf_counter() - sent < 1
    finally:
        child.kill()
        child.communicate()


# --- two levels -----------------------------------------------------------------------------------


def test_shares_are_in_proportion():
    shares = clustering._shares(np.array([10, 0, 3, 87]), 20)
    assert shares == [2, 0, 1, 17]
    assert clustering._shares(np.array([1, 1, 98]), 100) == [1, 1, 98]
    assert clustering._shares(np.array([5, 5]), 3) == [2, 1]
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = rng.integers(0, 40, 12)
        total = int(rng.integers((sizes > 0).sum(), sizes.sum() + 1))
        found = clustering._shares(sizes, total)
        assert sum(found) == total
        assert (np.array(found) <= sizes).all()
        assert ((np.array(found) > 0) == (sizes > 0)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_two_levels_lead_near_the_same_inertia(metric, num_threads):
    rows = blobs(4000, 8, 60)
    settings = {"metric": metric, "max_iter": 5, "random_state": 2, "num_threads": num_threads}
    two = nm.KMeans(100, init="two-level", **settings).fit(rows)
    one = nm.KMeans(100, init="rejection", **settings).fit(rows)
    assert two.inertia_ < 1.15 * one.inertia_
    assert_same_bits(two.labels_, two.predict(rows))
    alone = nm.KMeans(100, init="two-level", **{**settings, "num_threads": 1}).fit(rows)
    assert_same_bits(two.cluster_centers_, alone.cluster_centers_)


def test_two_levels_with_weights():
    rows = blobs(300, 4, 9)
    weights = np.zeros(300)
    weights[::7] = 2.0
    model = nm.KMeans(43, init="two-level").fit(rows, sample_weight=weights)
    assert model.inertia_ == pytest.approx(0, abs=1e-9)
    with pytest.raises(
        ValueError, match="at least n_clusters = 44 rows of positive weight, got 43"
    ):
        nm.KMeans(44, init="two-level").fit(rows, sample_weight=weights)
    with pytest.raises(ValueError, match="init='two-level' has none"):
        nm.KMeans(4, init="two-level", init_trials=3).fit(rows)
