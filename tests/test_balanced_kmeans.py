# SPDX-License-Identifier: Apache-2.0
"""k-means with limited sizes: sizes always, assignments against the optimum, prices of balance."""

import nearmiss as nm
import numpy as np
import oracle_kmeans
import oracle_sizes
import pytest
from compare import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core
from problems import DTYPES, KINDS, vectors

TARGETS = _core.simd_targets()
METRICS = ("euclidean", "cosine")
ROWS = np.arange(12, dtype=np.float32).reshape(6, 2) + 1


def blobs(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(k, d))
    return (centers[rng.integers(0, k, n)] + 0.3 * rng.normal(size=(n, d))).astype(np.float32)


def sizes_of(model):
    return np.bincount(model.labels_, minlength=model.n_clusters)


def inertia_of(model, rows):
    """The inertia of the labels, by definition."""
    scores = oracle_kmeans.oracle.scores(
        rows, model.cluster_centers_, oracle_kmeans.NAMES[model.metric]
    )
    own = scores[np.arange(len(rows)), model.labels_]
    return oracle_kmeans.add_up(oracle_kmeans.losses(own, model.metric))


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.sampled_from((1, 2, 5, 7, 17, 40, 97)), label="n")
    d = draw(st.sampled_from((1, 2, 7, 9, 33)), label="d")
    k = draw(st.sampled_from([k for k in (1, 2, 3, 7, 16) if k <= n]), label="k")
    dtype = draw(st.sampled_from(DTYPES), label="dtype")
    rows = vectors(rng, (n, d), dtype, draw(st.sampled_from(KINDS), label="kind"))
    among_rows = draw(st.booleans(), label="init among rows")
    init = rows[rng.integers(0, n, k)] if among_rows else vectors(rng, (k, d), dtype, "normal")
    smallest = -(-n // k)
    return {
        "rows": rows,
        "init": init,
        "metric": draw(st.sampled_from(METRICS), label="metric"),
        "most": draw(st.sampled_from((None, smallest, smallest + 1, smallest + 5)), label="most"),
        "threads": draw(st.sampled_from((1, 2, 7)), label="threads"),
    }


@given(problems())
def test_assignments_are_optimal_where_rows_have_all_centres(problem):
    rows, init, metric, most = (problem[name] for name in ("rows", "init", "metric", "most"))
    k = len(init)
    model = nm.KMeans(
        k,
        init=init,
        metric=metric,
        max_iter=4,
        tol=0,
        balanced=most is None,
        max_cluster_size=most,
        num_threads=problem["threads"],
    ).fit(rows)
    limits = oracle_sizes.limits(len(rows), k, most)
    assert sizes_of(model).min() >= limits[0]
    assert sizes_of(model).max() <= limits[1]
    first = oracle_kmeans.oracle.as_float32(init)
    if metric == "cosine":
        first = np.stack([oracle_kmeans.direction(center.astype(np.float64)) for center in first])
    for centers, found in (
        (model.cluster_centers_, model.inertia_),
        (first, model.inertia_history_[0]),
    ):
        scale = np.abs(oracle_kmeans.oracle.scores(rows, centers, oracle_kmeans.NAMES[metric]))
        optimum = oracle_sizes.least_loss(rows, centers, metric, *limits)[0]
        assert found == pytest.approx(optimum, rel=1e-9, abs=1e-9 * float(scale.max()))
    assert_same_bits(model.inertia_, inertia_of(model, rows))


@pytest.mark.parametrize("limit", [{"balanced": True}, {"max_cluster_size": 26}])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("target", TARGETS)
def test_same_bits_on_every_machine(simd_target, target, metric, limit):
    rows = blobs(1000, 24, 9)
    models = []
    for name, threads in ((TARGETS[0], 1), (target, 1), (target, 2), (target, 7)):
        simd_target(name)
        model = nm.KMeans(40, metric=metric, init="random", num_threads=threads, **limit)
        models.append(model.fit(rows))
    assert sizes_of(models[0]).max() <= 26
    for model in models[1:]:
        assert_same_bits(model.labels_, models[0].labels_)
        assert_same_bits(model.cluster_centers_, models[0].cluster_centers_)
        assert_same_bits(model.inertia_history_, models[0].inertia_history_)
        assert_same_bits(model.balance_cost_, models[0].balance_cost_)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("most", [None, 30])
def test_sixteen_candidates_are_near_the_optimum(metric, most):
    rows = blobs(1500, 16, 25)
    model = nm.KMeans(
        60, metric=metric, balanced=most is None, max_cluster_size=most, max_iter=20
    ).fit(rows)
    limits = oracle_sizes.limits(1500, 60, most)
    optimum, _ = oracle_sizes.least_loss(rows, model.cluster_centers_, metric, *limits)
    assert optimum * (1 - 1e-6) <= model.inertia_ <= optimum * 1.01
    assert limits[0] <= sizes_of(model).min() <= sizes_of(model).max() <= limits[1]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("most", [None, 40])
def test_iterations_on_the_way_are_near_the_optimum(metric, most):
    """They are not optimal, but sizes are exact and the inertia is little above the least."""
    rows = np.random.default_rng(0).normal(size=(1500, 16)).astype(np.float32)
    limits = oracle_sizes.limits(1500, 60, most)
    first = nm.KMeans(
        60, init=rows[:60], metric=metric, balanced=most is None, max_cluster_size=most, tol=0
    )
    centers = rows[:60]
    for iterations in (1, 2, 3):
        model = first.set_params(max_iter=iterations).fit(rows)
        optimum, _ = oracle_sizes.least_loss(rows, centers, metric, *limits)
        found = model.inertia_history_[-1]
        assert optimum * (1 - 1e-6) <= found <= optimum * (1 + 2**-8)
        assert limits[0] <= sizes_of(model).min() <= sizes_of(model).max() <= limits[1]
        centers = model.cluster_centers_


def test_the_alternation_is_as_good_as_with_optimal_assignments():
    rows = blobs(1200, 16, 25)
    init = rows[:30]
    model = nm.KMeans(30, init=init, balanced=True, max_iter=15, tol=0).fit(rows)
    centers = init
    for _ in range(15):
        _, labels = oracle_sizes.least_loss(rows, centers, "euclidean", 40, 40)
        centers = np.stack([rows[labels == c].astype(float).mean(0) for c in range(30)])
        centers = centers.astype(np.float32)
    optimum, _ = oracle_sizes.least_loss(rows, centers, "euclidean", 40, 40)
    assert model.inertia_ <= 1.02 * optimum


@pytest.mark.parametrize("limit", [{"balanced": True}, {"max_cluster_size": 60}])
@pytest.mark.parametrize("metric", METRICS)
def test_no_iteration_raises_the_inertia(metric, limit):
    rows = blobs(2000, 12, 20)
    model = nm.KMeans(40, init="random", metric=metric, tol=0, **limit).fit(rows)
    assert model.n_iter_ > 5
    assert (np.diff(model.inertia_history_) <= 1e-9 * model.inertia_history_[0]).all()
    assert model.inertia_ == model.inertia_history_[-1], "the last iteration changed nothing"


def test_the_price_of_balance():
    rows = blobs(900, 8, 6)
    model = nm.KMeans(12, balanced=True).fit(rows)
    free = -model.score(rows)
    assert model.balance_cost_ == model.inertia_ / free
    assert model.balance_cost_ > 1
    assert (model.predict(rows) != model.labels_).any(), "predict knows no limits"
    model.set_params(balanced=False).fit(rows)
    assert not hasattr(model, "balance_cost_")
    loose = nm.KMeans(12, max_cluster_size=900).fit(rows)
    assert loose.balance_cost_ == 1.0
    assert_same_bits(loose.labels_, loose.predict(rows))


def test_clusters_that_nobody_is_near_to():
    """Centres far from all rows are among nobody's sixteen nearest and must be offered."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(300, 5)).astype(np.float32)
    init = np.concatenate([rows[:40], 1000 + rng.normal(size=(20, 5))]).astype(np.float32)
    model = nm.KMeans(60, init=init, balanced=True, max_iter=1, tol=0).fit(rows)
    assert (sizes_of(model) == 5).all()
    optimum, _ = oracle_sizes.least_loss(rows, init, "euclidean", 5, 5)
    assert model.inertia_history_[0] <= optimum * 1.001


@pytest.mark.parametrize("spread", [0.0, 0.01])
@pytest.mark.parametrize(
    ("n", "k", "alike", "limit"),
    [
        (60, 20, 54, {"max_cluster_size": 3}),
        (1000, 300, 900, {"max_cluster_size": 4}),
        (999, 500, 900, {"balanced": True}),
        (3000, 100, 1500, {"balanced": True}),
    ],
)
def test_sizes_hold_where_more_rows_are_alike_than_their_candidates_take(
    n, k, alike, limit, spread
):
    x = np.random.default_rng(n).standard_normal((n, 6)).astype(np.float32)
    x[:alike] = x[0] + np.float32(spread) * x[:alike]
    most = limit.get("max_cluster_size", -(-n // k))
    least = 1 if "max_cluster_size" in limit else n // k
    for max_iter in (1, 4):
        model = nm.KMeans(k, max_iter=max_iter, random_state=3, **limit).fit(x)
        sizes = np.bincount(model.labels_, minlength=k)
        assert sizes.min() >= least
        assert sizes.max() <= most
        distances = ((x.astype(np.float64) - model.cluster_centers_[model.labels_]) ** 2).sum()
        np.testing.assert_allclose(model.inertia_, distances, rtol=1e-5)


def test_degenerate_data():
    model = nm.KMeans(4, balanced=True).fit(np.ones((10, 3)))
    assert sorted(sizes_of(model)) == [2, 2, 3, 3]
    assert model.inertia_ == 0
    assert model.balance_cost_ == 1.0
    model = nm.KMeans(20, balanced=True, init="random").fit(np.ones((50, 3)))
    assert set(sizes_of(model)) == {2, 3}
    rows = blobs(30, 2, 3)
    model = nm.KMeans(30, balanced=True, init=rows).fit(rows)
    assert model.inertia_ == 0
    assert nm.KMeans(1, balanced=True).fit(rows).inertia_ > 0


@pytest.mark.parametrize(
    ("parameters", "weights", "error", "message"),
    [
        ({"balanced": 1}, None, TypeError, "balanced: expected"),
        ({"max_cluster_size": 0}, None, ValueError, "max_cluster_size: must be at least 1"),
        ({"max_cluster_size": 1.5}, None, TypeError, "max_cluster_size: expected an integer"),
        ({"max_cluster_size": 2}, None, ValueError, "2 clusters of at most 2 rows hold 4.*has 6"),
        ({"max_cluster_size": 3, "balanced": True}, None, ValueError, "limits sizes already"),
        ({"balanced": True}, [1] * 6, ValueError, "sample_weight: with balanced or max_cluster"),
        ({"max_cluster_size": 4}, [1] * 6, ValueError, "sample_weight: with balanced or max_clus"),
        ({"balanced": True, "n_clusters": 7}, None, ValueError, "n_clusters: expected at most 6"),
    ],
)
def test_bad_input(parameters, weights, error, message):
    model = nm.KMeans(**{"n_clusters": 2, **parameters})
    with pytest.raises(error, match=message):
        model.fit(ROWS, sample_weight=weights)
    assert not hasattr(model, "cluster_centers_")


@pytest.mark.parametrize("limit", [{"balanced": True}, {"max_cluster_size": 4}])
def test_batches_have_no_sizes(limit):
    with pytest.raises(ValueError, match=r"sizes are of all rows together; use fit"):
        nm.KMeans(2, **limit).partial_fit(ROWS)
