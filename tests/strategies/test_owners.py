# SPDX-License-Identifier: Apache-2.0
"""Strategies that judge a row by the queries whose positive it is: SaHa."""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from laws import pool_of
from nearmiss.positives import to_lists
from nearmiss.strategies import SaHa


def vectors(similarities):
    """Unit vectors in the plane whose first coordinates are these."""
    first = np.asarray(similarities, float)
    return np.stack([first, np.sqrt(1 - first * first)], axis=1)


# Query 0 is the anchor; rows 1, 2, 3 score .9, .8, .7 with it and belong to queries 1, 2, 3.
QUERIES = vectors([1, 0.95, 0.2, 0.5])
CORPUS = vectors([0.99, 0.9, 0.8, 0.7])


def test_worked_example():
    """The owner of similarity .95 is vetoed; .2 and .5 stay."""
    found = nm.mine(QUERIES, CORPUS, [0, 1, 2, 3], num_negatives=2, strategy="saha")
    assert found.indices[0].tolist() == [2, 3]


def test_the_least_similar_owner_is_picked_first():
    """In the order of the picks: a table is sorted by score afterwards."""
    mined = []

    class Watched(SaHa):
        def chooser(self, setting):
            choose = super().chooser(setting)

            def watch(pool, num_negatives):
                picks = choose(pool, num_negatives)
                mined.append(np.take_along_axis(pool.rows, picks.columns, axis=1))
                return picks

            return watch

    corpus = vectors([0.99, 0.9, 0.7, 0.8])  # the owner of similarity .5 has the nearer row
    nm.mine(QUERIES, corpus, [0, 1, 2, 3], num_negatives=2, strategy=Watched())
    assert mined[0][0].tolist() == [2, 3]


def test_rows_without_an_owner_are_passed_over():
    corpus = np.concatenate([CORPUS, vectors([0.98, 0.97, 0.96])])
    found = nm.mine(QUERIES, corpus, [0, 1, 2, 3], num_negatives=2, strategy="saha")
    assert found.indices[0].tolist() == [2, 3]
    alone = nm.mine(QUERIES[:1], corpus, [0], num_negatives=2, strategy="saha")
    assert alone.counts.tolist() == [0]


def test_of_several_owners_the_most_similar_counts():
    queries = np.concatenate([QUERIES, vectors([0.9])])
    positives = [[0], [1], [2], [3], [2]]  # row 2 has the owners .2 and .9
    found = nm.mine(queries, CORPUS, positives, num_negatives=1, strategy="saha")
    assert found.indices[0].tolist() == [3]


def test_only_the_first_owned_rows_are_compared():
    """K · pool_mult of them: with pool_mult = 1 the veto has nothing to choose from."""
    ask = {"positives": [0, 1, 2, 3], "num_negatives": 1}
    for mult, row in ((1, 1), (2, 2)):
        found = nm.mine(QUERIES, CORPUS, strategy=SaHa(pool_mult=mult), **ask)
        assert found.indices[0].tolist() == [row]
    assert SaHa().plan(nm.Limits(), 7).range_max == 70


def test_the_query_s_own_positives_are_no_candidates():
    found = nm.mine(QUERIES, CORPUS, [[0, 2], [1], [2], [3]], num_negatives=1, strategy="saha")
    assert found.indices[0].tolist() == [3]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_against_a_slow_definition(metric):
    rng = np.random.default_rng(1)
    queries, corpus = rng.normal(size=(60, 5)), rng.normal(size=(90, 5))
    queries[10:20] = queries[30]  # owners that tie
    positives = [rng.choice(70, i % 3, replace=False).tolist() for i in range(60)]
    found = nm.mine(
        queries, corpus, positives, num_negatives=3, strategy="saha:pool_mult=4", metric=metric
    )
    to_row = oracle.scores(queries, corpus, metric)
    to_query = oracle.scores(queries, queries, metric)
    for i, own in enumerate(positives):
        near = [row for row in np.lexsort((np.arange(90), -to_row[i])) if row not in own][:24]
        owners = {row: [q for q in range(60) if row in positives[q]] for row in near}
        owned = [row for row in near if owners[row]][:12]
        kept = sorted(owned, key=lambda row: max(to_query[i, q] for q in owners[row]))[:3]
        kept.sort(key=near.index)
        assert found.indices[i].tolist() == kept + [-1] * (3 - len(kept))
    assert found.counts.max() == 3


def test_blocks_without_rows_or_owners():
    setting = {"positives": to_lists([[], []], "positives", 2, 5)}
    picks = SaHa().choose(pool_of([3.0, 2.0], copies=2, **setting), 2)
    assert picks.columns.tolist() == [[-1, -1], [-1, -1]]
    assert SaHa().choose(pool_of([], copies=2, **setting), 2).columns.tolist() == [[-1, -1]] * 2


def test_what_it_needs_is_asked_for_before_any_work():
    with pytest.raises(ValueError, match="strategy 'saha': needs positives, the rows"):
        nm.mine(QUERIES, CORPUS, positive_scores=np.ones(4), strategy="saha")
    with pytest.raises(ValueError, match="the embeddings"):
        nm.mine_candidates([[0.5]], [[0]], positives=[1], num_negatives=1, strategy="saha")
    with pytest.raises(ValueError, match=r"saha.pool_mult: must be at least 1"):
        SaHa(pool_mult=0)
