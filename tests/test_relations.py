# SPDX-License-Identifier: Apache-2.0
"""Relations of clusters, label trees and graphs: worked numbers, slow loops, laws, bad input."""

import math
from collections import Counter
from itertools import pairwise

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from laws import DRAWS, SEEDS, assert_follows, successive
from nearmiss import relations
from nearmiss.positives import Lists
from nearmiss.relations import centroids, clusters, denominators, graphs, vectors

RNG = np.random.default_rng(0)


def as_lists(csr):
    """Return CSR arrays as lists."""
    indptr, rows = csr
    assert indptr[0] == 0
    assert indptr[-1] == len(rows)
    return [rows[a:b].tolist() for a, b in pairwise(indptr.tolist())]


def small_blocks(monkeypatch, number=3):
    for module in (centroids, clusters, denominators, graphs, vectors):
        monkeypatch.setattr(module, "_BLOCK", number)


# --- weights by several clusterings ---------------------------------------------------------------


def slow_weight(clusterings, other_clusterings, i, j):
    if j < 0:
        return 0
    together = sum(
        own[i] == other[j] for own, other in zip(clusterings, other_clusterings, strict=True)
    )
    return len(clusterings) - together


def test_two_clusterings_as_worked_out():
    # Rows 0 and 1 share both clusters, 0 and 2 one, 0 and 3 none.
    found = relations.co_cluster_weights([[0, 0, 0, 1], [5, 5, 2, 3]], [0, 1], [0, 1, 2, 3])
    assert_same_bits(found, np.array([[0, 0, 1, 2], [0, 0, 1, 2]], dtype=np.float32))


def test_one_clustering_is_a_hard_mask():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=20)
    found = relations.co_cluster_weights([labels], range(20), range(20))
    assert_same_bits(found, (labels[:, None] != labels).astype(np.float32))


@given(st.data())
def test_weights_are_those_of_a_loop(data):
    number, n, m = (data.draw(st.integers(1, most)) for most in (4, 7, 7))
    label = st.sampled_from([0, 1, 2, 2**62])
    table = [data.draw(st.lists(label, min_size=n, max_size=n)) for _ in range(number)]
    other = [data.draw(st.lists(label, min_size=m, max_size=m)) for _ in range(number)]
    rows = data.draw(st.lists(st.integers(0, n - 1), max_size=5))
    width = data.draw(st.integers(0, 4))
    item = st.integers(-1, m - 1)
    shared = data.draw(st.lists(item, min_size=width, max_size=width))
    own = np.array(
        [data.draw(st.lists(item, min_size=width, max_size=width)) for _ in rows], dtype=np.int64
    ).reshape(len(rows), width)
    for others, list_of in ((shared, lambda place: shared), (own, lambda place: own[place])):
        found = relations.co_cluster_weights(table, rows, others, other_clusterings=other)
        slow = [
            [slow_weight(table, other, i, j) for j in list_of(place)]
            for place, i in enumerate(rows)
        ]
        assert_same_bits(found, np.array(slow, dtype=np.float32).reshape(len(rows), width))


def test_weights_do_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    table = rng.integers(3, size=(2, 30))
    others = rng.integers(-1, 30, size=(30, 7))
    whole = relations.co_cluster_weights(table, range(30), others)
    pairs = relations.co_cluster_weights(table, range(30), range(30))
    assert_same_bits(pairs, pairs.T.copy())
    assert not pairs.diagonal().any()
    small_blocks(monkeypatch, 16)
    assert_same_bits(relations.co_cluster_weights(table, range(30), others), whole)
    assert_same_bits(relations.co_cluster_weights(table, range(30), range(30)), pairs)


def test_weights_of_a_mined_table():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 4))
    table = rng.integers(4, size=(3, 40))
    negatives = nm.mine(vectors, vectors, exclude_self=True, num_negatives=5, min_score=0.8)
    assert (negatives.counts < 5).any()  # so that some are padded
    found = relations.co_cluster_weights(table, negatives.query_indices, negatives.indices)
    slow = [
        [slow_weight(table, table, i, j) for j in row] for i, row in enumerate(negatives.indices)
    ]
    assert_same_bits(found, np.array(slow, dtype=np.float32))


@given(st.integers(1, 4), st.integers(0, 8), st.integers(0, 2**32))
def test_joint_clusters_are_pairs_of_weight_zero(number, n, seed):
    table = np.random.default_rng(seed).integers(3, size=(number, n))
    joint = relations.joint_clusters(table)
    assert joint.dtype == np.int64
    assert sorted(set(joint.tolist())) == list(range(len(set(joint.tolist()))))
    weights = relations.co_cluster_weights(table, np.arange(n), np.arange(n))
    assert np.array_equal(joint[:, None] == joint, weights == 0)
    tuples = list(map(tuple, table.T.tolist()))
    assert joint.tolist() == [sorted(set(tuples)).index(labels) for labels in tuples]


def test_joint_clusters_as_groups_keep_weight_zero_out():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 4))
    table = rng.integers(2, size=(3, 60))
    joint = relations.joint_clusters(table)
    mined = nm.mine(vectors, vectors, num_negatives=20, query_groups=joint, corpus_groups=joint)
    assert (mined.counts == 20).all()
    assert (relations.co_cluster_weights(table, range(60), mined.indices) > 0).all()


# --- masks ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), max_size=9))
def test_same_cluster_mask(labels):
    mask = relations.same_cluster_mask(labels)
    assert mask.shape == (len(labels),) * 2
    for i, own in enumerate(labels):
        for j, other in enumerate(labels):
            assert mask[i, j] == (own == other and i != j)


def test_best_of_three_groups():
    scores = [0.1, 0.9, 0.3, 0.8, 0.7, 0.2]
    assert np.flatnonzero(relations.best_per_cluster(scores, [0, 0, 1, 2, 2, 1])).tolist() == [
        1,
        2,
        3,
    ]
    assert np.flatnonzero(relations.best_per_cluster(scores, [4] * 6)).tolist() == [1]
    assert relations.best_per_cluster(scores, range(6)).all()
    assert np.flatnonzero(relations.best_per_cluster([0.5] * 4, [1, 0, 0, 1])).tolist() == [0, 1]


@given(st.integers(0, 4), st.integers(0, 6), st.booleans(), st.integers(0, 2**32))
def test_best_per_cluster_is_that_of_a_loop(n, c, shared, seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice([np.nan, -np.inf, -1.0, 0.0, 0.5, np.inf], size=(n, c))
    labels = rng.integers(-1, 3, size=c if shared else (n, c))
    found = relations.best_per_cluster(scores, labels)
    slow = np.zeros((n, c), dtype=bool)
    for i in range(n):
        own = labels if shared else labels[i]
        for label in {0, 1, 2}:
            items = [j for j in range(c) if own[j] == label and not math.isnan(scores[i, j])]
            if items:
                slow[i, max(items, key=lambda j: (scores[i, j], -j))] = True
    assert np.array_equal(found, slow)
    for i in range(n):
        alone = relations.best_per_cluster(scores[i], labels if shared else labels[i])
        assert np.array_equal(alone, slow[i])


def test_best_per_cluster_goes_on_to_mine_candidates():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 4)).astype(np.float32)
    labels = rng.integers(5, size=30)
    scores, indices = nm.topk(vectors, vectors, 20)
    marked = relations.best_per_cluster(scores, labels[indices])
    mined = nm.mine_candidates(
        np.where(marked, scores, np.nan),
        np.where(marked, indices, -1),
        positives=np.arange(30),
        num_negatives=5,
    )
    for query, row in enumerate(mined.indices):
        kept = labels[row[row >= 0]].tolist()
        assert len(set(kept)) == len(kept)
        assert labels[query] not in kept  # the best of its own cluster is the query itself


# --- centroids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_second_nearest_centroids(metric):
    rng = np.random.default_rng(0)
    rows = rng.integers(-3, 4, size=(50, 3)) + 0.5
    centers = rng.integers(-2, 3, size=(6, 3)) + 0.5  # many ties
    found = relations.second_nearest_centroids(rows, centers, metric=metric)
    expected = oracle.topk(rows.astype(np.float32), centers.astype(np.float32), 2, metric)[1]
    assert found.tolist() == expected[:, 1].tolist()


def slow_temperatures(distances, labels, number, tau):
    phi = []
    for cluster in range(number):
        roots = [math.sqrt(d) for d, c in zip(distances, labels, strict=True) if c == cluster]
        small = len(roots) < 2
        phi.append(None if small else sum(roots) / len(roots) / math.log(len(roots) + 5))
    most = max((value for value in phi if value is not None), default=0.0)
    phi = np.array([most if value is None else value for value in phi])
    phi = np.clip(phi, np.percentile(phi, 10), np.percentile(phi, 90))
    return phi * (tau / phi.mean()) if phi.any() else np.full(number, tau)


@given(st.integers(1, 6), st.integers(0, 12), st.sampled_from([1e-300, 1.0, 1e300]), st.data())
def test_prototype_temperatures(number, n, size, data):
    labels = data.draw(st.lists(st.integers(0, number - 1), min_size=n, max_size=n))
    numbers = st.sampled_from([0.0, 0.25, 1.0, 2.5])
    distances = [size * data.draw(numbers) for _ in range(n)]
    found = relations.prototype_temperatures(distances, labels, number, tau=0.4)
    np.testing.assert_allclose(found, slow_temperatures(distances, labels, number, 0.4), rtol=1e-12)
    assert math.isclose(found.mean(), 0.4)


def test_temperatures_as_worked_out():
    # Roots 1 and 3, sizes alike: φ as 1 : 3 : 3, the third by the rule for small clusters.
    found = relations.prototype_temperatures([1, 1, 9, 9, 4], [0, 0, 1, 1, 2], 3, tau=0.4)
    # Percentiles of 1, 3, 3: the tenth is 1.4.
    np.testing.assert_allclose(found, 0.4 * 3 * np.array([1.4, 3, 3]) / 7.4, rtol=1e-14)


# --- negatives of neighbouring clusters -----------------------------------------------------------

CENTROIDS = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [50, 50]], dtype=float)
LABELS = RNG.integers(4, size=60)  # the last cluster is empty
ITEMS = CENTROIDS[LABELS] + RNG.uniform(0.1, 1, size=(60, 2))


def pool_of(anchor, khop, excluded=(), min_cosine=None):
    nearest = np.argsort(((CENTROIDS - anchor) ** 2).sum(axis=1), kind="stable")[:khop]
    pool = [item for item in range(60) if LABELS[item] in nearest and item not in excluded]
    if min_cosine is None:
        return pool
    scores = oracle.scores(anchor[None].astype(np.float32), ITEMS.astype(np.float32), "cosine")[0]
    return [item for item in pool if scores[item] >= min_cosine]


@pytest.mark.parametrize("khop", [1, 2, 3, 5])
@pytest.mark.parametrize("min_cosine", [None, 0.9])
@pytest.mark.parametrize("replace", [False, True])
def test_negatives_are_of_the_nearest_clusters_and_not_excluded(khop, min_cosine, replace):
    rng = np.random.default_rng(0)
    anchors = rng.uniform(-1, 11, size=(40, 2))
    exclude = [rng.integers(60, size=20).tolist() for _ in range(40)]
    found = relations.neighbor_cluster_negatives(
        anchors,
        LABELS,
        CENTROIDS,
        50,
        khop=khop,
        exclude=exclude,
        replace=replace,
        min_cosine=min_cosine,
        embeddings=None if min_cosine is None else ITEMS,
    )
    repeated = False
    for query, anchor in enumerate(anchors):
        pool = pool_of(anchor, khop, exclude[query], min_cosine)
        drawn = found.indices[query, : found.counts[query]].tolist()
        assert (found.indices[query, found.counts[query] :] == -1).all()
        assert set(drawn) <= set(pool)
        if replace:
            # Some draws are the same: excluded items stay out nonetheless.
            repeated |= len(set(drawn)) < len(drawn)
            assert len(drawn) == (50 if pool else 0)
        else:
            assert sorted(drawn) == pool or (len(set(drawn)) == 50 < len(pool))
    assert repeated == replace


def test_the_law_is_uniform_over_the_pool():
    labels = [0, 1, 0, 2, 1, 0, 0]
    centers = [[0.0], [1.0], [9.0]]
    pool = [0, 1, 2, 4, 6]  # of clusters 0 and 1, without 5
    refused = 0
    for seed in SEEDS:
        found = relations.neighbor_cluster_negatives(
            np.zeros((DRAWS, 1)), labels, centers, 2, khop=2, exclude=[[5, 3]] * DRAWS, seed=seed
        )
        places = np.searchsorted(pool, found.indices)
        assert np.array_equal(np.take(pool, places), found.indices)
        assert_follows(places, successive([1] * 5, 2))
        try:  # the control: an item that is a tenth likelier
            assert_follows(places, successive([1.1, 1, 1, 1, 1], 2))
        except AssertionError:
            refused += 1
    assert refused == len(SEEDS)


def test_an_emptied_pool_is_empty_or_falls_back():
    # Query 0 excludes all of its cluster, query 1 has an empty one, query 2 has a pool.
    anchors = [[0, 0], [50, 50], [10, 10]]
    exclude = [np.flatnonzero(LABELS == 0).tolist(), [3], []]
    short = relations.neighbor_cluster_negatives(
        anchors, LABELS, CENTROIDS, 4, khop=1, exclude=exclude
    )
    assert short.counts.tolist() == [0, 0, 4]
    full = relations.neighbor_cluster_negatives(
        anchors, LABELS, CENTROIDS, 60, khop=1, exclude=exclude, fallback=True
    )
    assert sorted(full.indices[0, : full.counts[0]]) == np.flatnonzero(LABELS != 0).tolist()
    assert sorted(full.indices[1, :59]) == [item for item in range(60) if item != 3]
    assert sorted(full.indices[2, : full.counts[2]]) == np.flatnonzero(LABELS == 3).tolist()
    everything = [list(range(60))] * 3
    none = relations.neighbor_cluster_negatives(
        anchors, LABELS, CENTROIDS, 4, khop=1, exclude=everything, fallback=True, replace=True
    )
    assert none.counts.tolist() == [0, 0, 0]
    assert (none.indices == -1).all()


def test_draws_depend_on_the_query_alone(monkeypatch):
    rng = np.random.default_rng(0)
    anchors = rng.uniform(-1, 11, size=(30, 2))
    more = {"khop": 2, "min_cosine": 0.8, "embeddings": ITEMS, "seed": 5, "epoch": 2}
    whole = relations.neighbor_cluster_negatives(anchors, LABELS, CENTROIDS, 6, **more)
    small_blocks(monkeypatch, 40)
    chosen = np.array([17, 3, 29])
    part = relations.neighbor_cluster_negatives(
        anchors[chosen], LABELS, CENTROIDS, 6, query_ids=chosen, num_threads=2, **more
    )
    assert_same_bits(part.indices, whole.indices[chosen])
    other = relations.neighbor_cluster_negatives(
        anchors, LABELS, CENTROIDS, 6, **{**more, "epoch": 3}
    )
    assert (other.indices != whole.indices).any()


def test_no_queries_and_no_items():
    none = relations.neighbor_cluster_negatives(np.empty((0, 2)), LABELS, CENTROIDS, 3)
    assert none.indices.shape == (0, 3)
    empty = relations.neighbor_cluster_negatives(CENTROIDS, [], CENTROIDS, 3, fallback=True)
    assert empty.counts.tolist() == [0] * 5


# --- meta-nodes -----------------------------------------------------------------------------------


def slow_log_sums(nodes, tau):
    sums = []
    for k, own in enumerate(nodes):
        cosines = [
            0.0 if k == j else own @ other / math.sqrt((own @ own) * (other @ other))
            for j, other in enumerate(nodes)
        ]
        sums.append(math.log(math.fsum(math.exp(tau * cosine) for cosine in cosines)))
    return np.array(sums)


def test_one_row_per_cluster_is_the_sum_over_all_pairs():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, 5)).astype(np.float32)
    labels = rng.permutation(20)
    found = relations.log_meta_node_sums(rows, labels, tau=2.5)
    assert_same_bits(relations.meta_nodes(rows, labels)[labels], rows.astype(np.float64))
    expected = slow_log_sums(rows.astype(np.float64), 2.5)
    np.testing.assert_allclose(found[labels], expected, rtol=1e-13)


@given(st.integers(1, 30), st.integers(1, 5), st.floats(0.1, 30), st.integers(0, 2**32))
def test_meta_nodes_are_those_of_a_loop(n, d, tau, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 9, size=(n, d)).astype(np.float32)  # their sums are exact
    labels = rng.choice([0, 3, 10**12], size=n)
    slow = np.array([rows[labels == c].sum(axis=0) for c in np.unique(labels)], dtype=np.float64)
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, 7)
        found = relations.meta_nodes(rows, labels)
        sums = relations.log_meta_node_sums(rows, labels, tau=tau)
    assert_same_bits(found, slow)
    np.testing.assert_allclose(sums, slow_log_sums(slow, tau), rtol=1e-11)
    order = rng.permutation(n)
    assert_same_bits(relations.meta_nodes(rows[order], labels[order]), slow)


def test_order_of_members_and_large_factors():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 8)).astype(np.float32) * np.float32(1e-30)
    labels = rng.integers(7, size=500)
    order = rng.permutation(500)
    found = relations.log_meta_node_sums(rows, labels, tau=5000.0)
    assert np.isfinite(found).all()
    moved = relations.log_meta_node_sums(rows[order], labels[order], tau=5000.0)
    np.testing.assert_allclose(moved, found, rtol=1e-9)


# --- graphs and trees -----------------------------------------------------------------------------


def slow_reached(steps, starts, hops):
    near, seen = set(starts), set(starts)
    for _ in range(hops):
        near = {after for node in near for after in steps[node]} - seen
        seen |= near
    return sorted(seen - set(starts))


def test_two_steps_on_a_path():
    path = [(0, 1), (1, 2), (2, 3)]
    assert as_lists(relations.within_hops(path, 4)) == [[1, 2], [0, 2, 3], [0, 1, 3], [1, 2]]
    directed = relations.within_hops(path, 4, directed=True)
    assert as_lists(directed) == [[1, 2], [2, 3], [3], []]
    assert as_lists(relations.within_hops(path, 4, 1, sources=[3, 0, 3])) == [[2], [1], [2]]
    assert as_lists(relations.within_hops([], 2)) == [[], []]


@given(st.integers(1, 9), st.integers(1, 4), st.booleans(), st.data())
def test_within_hops_is_a_breadth_first_search(num_nodes, hops, directed, data):
    node = st.integers(0, num_nodes - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=14))  # loops and repeats too
    sources = data.draw(st.lists(node, max_size=6))
    steps = [set() for _ in range(num_nodes)]
    for a, b in edges:
        steps[a].add(b)
        if not directed:
            steps[b].add(a)
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, 2)
        found = relations.within_hops(edges, num_nodes, hops, sources=sources, directed=directed)
    assert as_lists(found) == [slow_reached(steps, [source], hops) for source in sources]


def test_neighbours_in_a_graph_are_no_negatives():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 4))
    near = relations.within_hops([(i, i + 1) for i in range(29)], 30)
    mined = nm.mine(vectors, vectors, exclude=near, exclude_self=True, num_negatives=29)
    for query, row in enumerate(mined.indices):
        reach = set(range(query - 2, query + 3)) & set(range(30))
        assert set(row[row >= 0].tolist()) == set(range(30)) - reach


def test_a_poodle_is_a_dog_is_an_animal():
    rng = np.random.default_rng(0)
    parents = [-1, 0, 1, 1, 0]  # animal > dog > poodle, terrier; animal > cat
    assert as_lists(relations.ancestors(parents, [2, 1, 0, -1])) == [[0, 1], [0], [], []]
    assert as_lists(relations.ancestors(parents, [[2, 1], [3, 4]])) == [[0], [0, 1]]
    vectors = rng.standard_normal((5, 3))
    mined = nm.mine(
        vectors[2:3], vectors, [[2]], exclude=relations.ancestors(parents, [[2]]), num_negatives=3
    )
    assert sorted(mined.indices[0].tolist()) == [-1, 3, 4]


@given(st.integers(1, 9), st.data())
def test_ancestors_are_those_of_a_loop(number, data):
    # A label's parents come before it in some order: no cycles, and several parents.
    order = data.draw(st.permutations(range(number)))
    parents = [[] for _ in range(number)]
    for place, label in enumerate(order):
        if place:
            parents[label] = data.draw(st.lists(st.sampled_from(order[:place]), max_size=3))
    positives = data.draw(st.lists(st.lists(st.integers(0, number - 1), max_size=3), max_size=5))
    found = relations.ancestors(parents, positives)
    assert as_lists(found) == [slow_reached(parents, held, number) for held in positives]


@pytest.mark.parametrize("parents", [[0], [1, 0], [[], [0, 3], [1], [2], [3]]])
def test_a_label_that_is_its_own_ancestor_is_named(parents):
    with pytest.raises(ValueError, match=r"parents: label \d is its own ancestor") as caught:
        relations.ancestors(parents, [[0]])
    label = int(str(caught.value).split()[2])
    steps = [own if isinstance(own, list) else [own] for own in parents]
    above = set(steps[label])
    for _ in parents:
        above |= {after for node in above for after in steps[node]}
    assert label in above


# --- triples --------------------------------------------------------------------------------------

triple_lists = st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=12)


def test_the_side_to_corrupt_as_worked_out():
    # (a, r, x), (a, r, y), (b, r, z): 1.5 tails per head, 1 head per tail.
    triples = [(0, 1, 5), (0, 1, 6), (1, 1, 7)]
    found = relations.head_corruption_probabilities(triples * 2, 3)
    assert found[1] == 0.6
    assert np.isnan(found[[0, 2]]).all()


@given(triple_lists)
def test_sides_of_relations(triples):
    found = relations.head_corruption_probabilities(triples, 4)
    typed = relations.pseudo_typed(triples, 4)
    for relation in range(4):
        own = {(h, t) for h, r, t in triples if r == relation}
        heads, tails = Counter(h for h, _ in own), Counter(t for _, t in own)
        assert as_lists(typed.heads)[relation] == sorted(heads)
        assert as_lists(typed.tails)[relation] == sorted(tails)
        if own:
            tph, hpt = len(own) / len(heads), len(own) / len(tails)
            assert math.isclose(found[relation], tph / (tph + hpt), rel_tol=1e-14)
        else:
            assert math.isnan(found[relation])


@given(triple_lists, triple_lists)
def test_known_completions_are_those_of_a_loop(triples, batch):
    heads = relations.known_completions(triples, batch, "head")
    tails = relations.known_completions(triples, batch, "tail")
    assert as_lists(heads) == [
        sorted({h for h, s, u in triples if (s, u) == (r, t)}) for _, r, t in batch
    ]
    assert as_lists(tails) == [
        sorted({u for g, s, u in triples if (g, s) == (h, r)}) for h, r, _ in batch
    ]


def test_corruptions_of_a_batch_are_never_known():
    rng = np.random.default_rng(0)
    triples = np.unique(rng.integers(0, [60, 3, 60], size=(300, 3)), axis=0)
    batch = triples[:50]
    known = relations.known_completions(triples, batch, "head")
    found = relations.neighbor_cluster_negatives(
        ITEMS[batch[:, 2]], LABELS, CENTROIDS, 5, khop=2, exclude=known, replace=True
    )
    facts = set(map(tuple, triples.tolist()))
    assert found.counts.min() == 5
    for (_, relation, tail), heads in zip(batch.tolist(), found.indices.tolist(), strict=True):
        assert all((head, relation, tail) not in facts for head in heads)


# --- lists ----------------------------------------------------------------------------------------


def test_lists_can_be_taken():
    lists = Lists(np.array([0, 2, 2, 5]), np.array([4, 7, 1, 2, 3]))
    assert as_lists(lists.take(np.array([2, 0, 1, 2]))) == [[1, 2, 3], [4, 7], [], [1, 2, 3]]
    assert lists.owners().tolist() == [0, 0, 2, 2, 2]
    assert as_lists(lists.take(np.array([], dtype=np.int64))) == []


# --- bad input ------------------------------------------------------------------------------------

TABLE = [[0, 0, 1], [0, 1, 1]]
POINTS = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
NAN = [[0.0, 1.0], [math.nan, 0.0], [1.0, 1.0]]
ZERO = [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]


def draw(anchors=POINTS, labels=(0, 1, 2), centroids=POINTS, num_drawn=1, **more):
    return relations.neighbor_cluster_negatives(anchors, labels, centroids, num_drawn, **more)


REFUSED = [
    (lambda: relations.co_cluster_weights([], [0], [0]), "clusterings: empty"),
    (lambda: relations.co_cluster_weights([0, 1], [0], [0]), "clusterings.*into a list"),
    (lambda: relations.co_cluster_weights([[0, 1], [0]], [0], [0]), r"clusterings\[1\].*2"),
    (lambda: relations.co_cluster_weights([[0, -4]], [0], [0]), r"clusterings\[0\]: row 1 is -4"),
    (lambda: relations.co_cluster_weights(TABLE, [0, 3], [0]), "rows: 3 at 1.*from 0 to 2"),
    (lambda: relations.co_cluster_weights(TABLE, [-1], [0]), "rows: -1 at 0"),
    (lambda: relations.co_cluster_weights(TABLE, [0], [0, -2]), "others: -2 at 1"),
    (lambda: relations.co_cluster_weights(TABLE, [0], [[0, 3]]), "others: 3 at 0, 1"),
    (lambda: relations.co_cluster_weights(TABLE, [0], [[0], [1]]), r"others.*\(2, 1\)"),
    (lambda: relations.co_cluster_weights(TABLE, [0], [[0], [1, 2]]), "others: rows differ"),
    (
        lambda: relations.co_cluster_weights(TABLE, [0], [0], other_clusterings=[[0]]),
        "other_clusterings: expected 2",
    ),
    (lambda: relations.joint_clusters([[0, -1]]), r"clusterings\[0\]: row 1"),
    (lambda: relations.same_cluster_mask([0, -1]), "labels: row 1 is -1"),
    (lambda: relations.same_cluster_mask([[0, 1]]), "labels: expected a 1-dimensional"),
    (lambda: relations.best_per_cluster([0.1, 0.2], [0]), "labels: expected shape"),
    (lambda: relations.best_per_cluster([[0.1, 0.2]], [[0, -2]]), "labels: -2 at 0, 1"),
    (lambda: relations.best_per_cluster([[[0.1]]], [0]), "scores: expected shape"),
    (lambda: relations.second_nearest_centroids(POINTS, POINTS[:1]), "centroids: expected at l"),
    (lambda: relations.second_nearest_centroids(NAN, POINTS), "embeddings: row 1"),
    (lambda: relations.second_nearest_centroids(POINTS, NAN), "centroids: row 1"),
    (lambda: relations.second_nearest_centroids(POINTS, ZERO), "centroids: row 1 is zero"),
    (lambda: relations.second_nearest_centroids(ZERO, POINTS), "embeddings: row 1 is zero"),
    (lambda: relations.second_nearest_centroids([[1.0]], POINTS), "embeddings.*2 dim"),
    (lambda: relations.second_nearest_centroids(POINTS, POINTS, metric="l1"), "metric"),
    (lambda: relations.prototype_temperatures([0.5, -1.0], [0, 0], 1, 1), "distances: row 1"),
    (lambda: relations.prototype_temperatures([math.nan], [0], 1, 1), "distances: row 0"),
    (lambda: relations.prototype_temperatures([1.0], [2], 2, 1), "labels: row 0 is 2"),
    (lambda: relations.prototype_temperatures([1.0], [0, 1], 2, 1), "labels: expected 1"),
    (lambda: relations.prototype_temperatures([1.0], [0], 0, 1), "num_clusters"),
    (lambda: relations.prototype_temperatures([1.0], [0], 1, 0), "tau: must be above 0"),
    (lambda: relations.meta_nodes(NAN, [0, 0, 0]), "embeddings: row 1"),
    (lambda: relations.meta_nodes(POINTS, [0, 0]), "labels: expected 3"),
    (lambda: relations.meta_nodes(POINTS, [0, 0, -1]), "labels: row 2"),
    (lambda: relations.log_meta_node_sums(POINTS, [0, 0, 0], tau=0), "tau"),
    (
        lambda: relations.log_meta_node_sums([[1.0, 2.0], [-1.0, -2.0], [1.0, 0.0]], [4, 4, 1]),
        "cluster 4 add up to zero",
    ),
    (lambda: draw(anchors=NAN), "anchors: row 1"),
    (lambda: draw(anchors=[[1.0]]), "anchors: expected rows of 2"),
    (lambda: draw(labels=[0, 3]), "labels: row 1 is 3"),
    (lambda: draw(labels=[0, -1]), "labels: row 1 is -1"),
    (lambda: draw(centroids=NAN), "centroids: row 1"),
    (lambda: draw(centroids=np.empty((0, 2))), "centroids: expected at least 1"),
    (lambda: draw(num_drawn=0), "num_drawn"),
    (lambda: draw(khop=4), "khop: must be at most 3"),
    (lambda: draw(khop=0), "khop: must be at least 1"),
    (lambda: draw(exclude=[[0], [3], []]), "exclude: query 1.*3"),
    (lambda: draw(exclude=[[0]]), "exclude: 1 entries"),
    (lambda: draw(query_ids=[0, 1, 1]), "query_ids"),
    (lambda: draw(min_cosine=0.5), "min_cosine: needs embeddings"),
    (lambda: draw(embeddings=POINTS), "min_cosine: needs embeddings"),
    (lambda: draw(min_cosine=2, embeddings=POINTS), "min_cosine: must be at most 1"),
    (lambda: draw(min_cosine=0, embeddings=POINTS[:2]), "embeddings: expected 3 rows"),
    (lambda: draw(min_cosine=0, embeddings=ZERO), "embeddings: row 1 is zero"),
    (lambda: draw(min_cosine=0, embeddings=POINTS, anchors=ZERO), "anchors: row 1 is zero"),
    (lambda: draw(seed=-1), "seed"),
    (lambda: relations.within_hops([(0, 1), (1, 4)], 4), r"edges: edge 1 is \(1, 4\)"),
    (lambda: relations.within_hops([(0, -1)], 4), r"edges: edge 0 is \(0, -1\)"),
    (lambda: relations.within_hops([(0, 1, 2)], 4), r"edges: expected shape"),
    (lambda: relations.within_hops([(0, 1)], 4, 0), "hops"),
    (lambda: relations.within_hops([(0, 1)], 4, sources=[1, 4]), "sources: 4 at 1"),
    (lambda: relations.ancestors([-1, 0, 5], [[1]]), "parents: query 2 refers to"),
    (lambda: relations.ancestors([-1, 0], [[2]]), "positives: query 0 refers to"),
    (lambda: relations.pseudo_typed([(0, 2, 1)], 2), "triples: triple 0 has relation 2"),
    (lambda: relations.pseudo_typed([(0, 0)], 2), r"triples: expected shape"),
    (
        lambda: relations.head_corruption_probabilities([(0, 0, 0), (0, 0, -1)], 1),
        r"triples: triple 1 is \(0, 0, -1\)",
    ),
    (lambda: relations.known_completions([(0, 0, 1)], [(0, -1, 1)], "head"), "batch: triple 0"),
    (lambda: relations.known_completions([(0, 0, 1)], [(0, 0, 1)], "tails"), "side.*'tail'"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_bad_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: relations.co_cluster_weights("01", [0], [0]), "clusterings"),
        (lambda: relations.co_cluster_weights([[0.5]], [0], [0]), "clusterings"),
        (lambda: relations.co_cluster_weights(TABLE, [0.0], [0]), "rows"),
        (lambda: relations.best_per_cluster([0.5], [0.5]), "labels"),
        (lambda: relations.second_nearest_centroids("ab", POINTS), "embeddings"),
        (lambda: draw(replace=1), "replace"),
        (lambda: draw(fallback="yes"), "fallback"),
        (lambda: relations.within_hops([(0.0, 1.0)], 2), "edges"),
        (lambda: relations.within_hops([(0, 1)], 2, directed=1), "directed"),
        (lambda: relations.ancestors(None, [[0]]), "parents"),
        (lambda: relations.ancestors([-1], None), "positives"),
        (lambda: relations.pseudo_typed([("a", "r", "b")], 1), "triples"),
    ],
)
def test_bad_types_are_refused_by_name(call, name):
    with pytest.raises(TypeError, match=name):
        call()
