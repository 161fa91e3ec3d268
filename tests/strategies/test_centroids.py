# SPDX-License-Identifier: Apache-2.0
"""Members of clusters in a band of centroid ranks: a worked case, the law, what is refused."""

from itertools import combinations, product

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, rejects
from laws import DRAWS, SEEDS, as_set, assert_set_law, count_sets
from nearmiss.strategies import SciNCLCentroids

#: Clusters 0, 1, 2, … on a line, with means at 0, 1, 3, 7 and 15.
CENTERS = np.array([0.0, 1.0, 3.0, 7.0, 15.0])
CLUSTERS = np.repeat(np.arange(5), 2)
ROWS = (CENTERS[CLUSTERS] + np.tile([-0.25, 0.25], 5))[:, None]


def mine(strategy="scincl-centroids:lo=1,hi=3", own=(0,), rows=ROWS, clusters=CLUSTERS, **more):
    queries = np.zeros((len(own), 1))
    keywords = {"metric": "l2", "query_groups": own, "corpus_groups": clusters, **more}
    return nm.mine(queries, rows, strategy=strategy, **keywords)


def test_ranks_are_those_of_the_other_centroids():
    """From 3: 1 and 0 are at 2 and 3, 7 at 4; the band is [1, 3)."""
    found = mine(own=[2] * 50, num_negatives=2)
    assert {frozenset(CLUSTERS[row].tolist()) for row in found.indices} == {frozenset({0, 3})}
    assert set(found.indices.ravel().tolist()) == {0, 1, 6, 7}
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_centroid_is_the_mean_of_its_members():
    """Cluster 1 has the row nearest to cluster 0, but not the nearest mean."""
    rows = np.array([[0.0], [1.0], [9.0], [2.0]])
    for seed in range(5):
        found = mine("scincl-centroids:lo=0,hi=1", (0,), rows, [0, 1, 1, 2], seed=seed)
        assert found.indices.tolist() == [[3]]


def test_centroids_of_directions():
    """Under cosine a long member counts as much as a short one."""
    rows = np.array([[1.0, 0.0], [1.0, 0.2], [100.0, -100.0], [1.0, 0.5], [1.0, 0.5]])
    found = nm.mine(
        rows[:1],
        rows,
        strategy="scincl-centroids:lo=0,hi=1",
        query_groups=[0],
        corpus_groups=[0, 1, 1, 2, 2],
    )
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = [directions[1] + directions[2], directions[3] + directions[4]]
    assert near[0][0] / np.linalg.norm(near[0]) > near[1][0] / np.linalg.norm(near[1])
    assert found.indices[0, 0] in (1, 2)


#: Rows by cluster, of which cluster 0 is the query's.
SIZES = {1: (0,), 2: (1, 2), 3: (3, 4, 5)}


def laws():
    """Two clusters uniformly, a member of each; and wrongly: any two rows of two clusters."""
    exact, biased = {}, {}
    for a, b in combinations(SIZES, 2):
        for pair in product(SIZES[a], SIZES[b]):
            exact[as_set(pair)] = 1 / 3 / len(SIZES[a]) / len(SIZES[b])
            biased[as_set(pair)] = 1 / 11
    return exact, biased


def draw(seed, **more):
    clusters = [cluster for cluster, rows in SIZES.items() for _ in rows] + [0]
    rows = CENTERS[clusters][:, None]
    own = np.zeros(DRAWS, dtype=int)
    found = mine(
        "scincl-centroids:lo=0,hi=3", own, rows, clusters, num_negatives=2, seed=seed, **more
    )
    return count_sets(np.sort(found.indices, axis=1), 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_clusters_and_then_members_are_uniform(seed):
    exact, biased = laws()
    counts = draw(seed)
    assert_set_law(counts, exact)
    assert rejects(assert_set_law, counts, biased)


def test_every_epoch_draws_anew_and_no_two_columns_alike():
    exact, _ = laws()
    assert_set_law(sum(draw(3, epoch=epoch) for epoch in range(3)), exact)
    first, second = (mine(own=[2] * 200, num_negatives=2, epoch=e).indices for e in (0, 1))
    assert (first != second).any()
    members = first % 2  # of two each
    assert 60 < (members[:, 0] == members[:, 1]).sum() < 140


def test_limits_hold_for_members():
    found = mine(own=[2] * 50, num_negatives=2, exclude=[[0, 6, 7]] * 50)
    assert_same_bits(found.indices, np.tile([[1, -1]], (50, 1)))
    assert (found.counts == 1).all()


def test_queries_of_no_known_cluster_get_nothing():
    found = mine(own=[-1, 77, 2], num_negatives=2)
    assert found.counts.tolist() == [0, 0, 2]


def test_rows_of_no_cluster_are_in_no_centroid():
    clusters = np.where(np.arange(10) == 0, -1, CLUSTERS)
    assert 0 not in mine(own=[2] * 50, clusters=clusters, num_negatives=2).indices


def test_the_usual_number_fits_in_the_band():
    assert SciNCLCentroids(3, 5).count(None) == 2
    assert SciNCLCentroids(3, 50).count(None) == 3


def test_a_band_beyond_the_last_cluster_is_empty():
    assert mine("scincl-centroids:lo=4,hi=9").counts.tolist() == [0]
    assert mine("scincl-centroids:lo=3,hi=9", num_negatives=6).counts.tolist() == [1]


def test_progress_only_goes_forward():
    seen = []
    mine(own=[2] * 50, num_negatives=2, progress=seen.append)
    assert seen
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_negatives": 3}, r"num_negatives: 3 do not fit in the band \[1, 3\)"),
        ({"range_min": 1}, "range_min: strategy 'scincl-centroids' ranks clusters"),
        ({"range_max": 9}, "range_max: strategy 'scincl-centroids' ranks clusters"),
        ({"within_groups": True}, "within_groups: .* other clusters"),
        ({"query_groups": None, "corpus_groups": None}, "needs query_groups"),
        ({"strategy": "scincl-centroids:lo=3,hi=3"}, r"lo: must be below hi 3"),
        ({"strategy": "scincl-centroids:hi=3"}, "needs lo"),
    ],
)
def test_what_cannot_be_is_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        mine(**keywords)


def test_a_mean_without_direction_is_refused():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    with pytest.raises(ValueError, match="corpus_groups: .* group number 1 have a mean of zero"):
        nm.mine(
            rows[:1],
            rows,
            strategy="scincl-centroids:lo=0,hi=1",
            query_groups=[0],
            corpus_groups=[0, 1, 1],
        )
