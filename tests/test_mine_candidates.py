# SPDX-License-Identifier: Apache-2.0
"""`mine_candidates`: the limits and strategies of `mine` over lists that others retrieved."""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_drawn_from, assert_same_bits, assert_same_table
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import limits, problems

EXAMPLES = settings.default.max_examples
SCORES = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]], np.float32)
ROWS = np.array([[4, 0, 7, 2, 9, 5]])


def mine(positives=None, scores=SCORES, rows=ROWS, **more):
    found = nm.mine_candidates(scores, rows, positives=positives, **{"num_negatives": 3, **more})
    return found.indices[0][: found.counts[0]].tolist()


@settings(max_examples=3 * EXAMPLES)
@given(data=st.data(), problem=problems())
def test_all_rows_as_candidates_give_what_mine_gives(data, problem):
    """A list of every corpus row, in any order and with gaps, is the corpus."""
    keywords = data.draw(limits(problem))
    keywords["exclude_duplicates"] = False  # there are no vectors to compare
    strategy = data.draw(st.sampled_from(["top", "random"]))
    if strategy == "random":
        keywords.setdefault("range_max", keywords["range_min"] + keywords["num_negatives"] + 3)
    queries, corpus, rng = problem["queries"], problem["corpus"], problem["rng"]
    expected = oracle.mine(queries, corpus, metric=problem["metric"], strategy=strategy, **keywords)
    n, m = expected.every_score.shape
    rows = np.full((n, m + 3), -1)
    scores = np.full((n, m + 3), 7, np.float32)
    for i in range(n):
        places = rng.permutation(m + 3)[:m]
        rows[i, places] = np.arange(m)
        scores[i, places] = expected.every_score[i]
    del keywords["exclude_duplicates"]
    found = nm.mine_candidates(scores, rows, strategy=strategy, **keywords)
    if strategy == "top":
        assert_same_table(found, expected)
    else:
        assert_drawn_from(found, expected)
        searched = nm.mine(
            queries,
            corpus,
            metric=problem["metric"],
            strategy=strategy,
            exclude_duplicates=False,
            **keywords,
        )
        assert_same_table(found, searched)


def test_order_of_the_list_does_not_matter():
    order = [3, 0, 5, 1, 2, 4]
    assert mine([4], SCORES[:, order], ROWS[:, order]) == [0, 7, 2]


def test_missing_candidates_may_have_any_score():
    rows = np.array([[4, -1, 7, -1, 9, 5]])
    scores = SCORES.copy()
    scores[0, [1, 3]] = [np.nan, np.inf]
    assert mine([4], scores, rows) == [7, 9, 5]
    assert mine(None, scores, np.full((1, 6), -1)) == []


def test_of_a_row_listed_twice_the_better_score_counts():
    rows = np.array([[4, 0, 7, 0, 0, 5]])
    assert mine(None, SCORES, rows, num_negatives=6) == [4, 0, 7, 5]
    found = nm.mine_candidates(SCORES, rows, num_negatives=6)
    assert_same_bits(found.scores[0, 1], SCORES[0, 1])


def test_ties_go_to_the_lower_row():
    assert mine(None, np.ones((1, 6), np.float32), ROWS, num_negatives=6) == [0, 2, 4, 5, 7, 9]


def test_the_margin_refers_to_the_positive_among_the_candidates():
    assert mine([0], absolute_margin=0.25) == [9, 5]
    found = nm.mine_candidates(SCORES, ROWS, positives=[[0, 9]], margin_reference="max")
    assert_same_bits(found.positive_scores, SCORES[0, 1:2])


def test_the_mean_of_several_positives_has_the_bits_of_mine():
    """The sum runs by ascending row in both, whatever order the list is in."""
    rng = np.random.default_rng(0)
    query, positives = np.ones((1, 1), np.float32), [list(range(9))]
    for _ in range(20):
        # Two huge scores cancel, and what is left depends on the order they were added in.
        corpus = rng.permutation([*rng.normal(size=7), 1e14, -1e14])[:, None]
        scores, rows = nm.topk(query, corpus, 9, metric="ip")
        mean = {"positives": positives, "margin_reference": "mean"}
        found = nm.mine_candidates(scores, rows, **mean)
        searched = nm.mine(query, corpus, metric="ip", **mean)
        assert_same_bits(found.positive_scores, searched.positive_scores)


def test_a_margin_needs_a_positive_score():
    with pytest.raises(ValueError, match=r"positive_scores.*query 0"):
        mine([3], absolute_margin=0.1)
    assert mine([3], absolute_margin=0.1, positive_scores=[0.75]) == [2, 9, 5]
    assert mine([3]) == [4, 0, 7]


def test_distances():
    """Negated first, so that limits speak of negative distances."""
    distances = np.array([[1, 2, 3, 4, 5, 6]], np.float32)
    assert mine([4], distances, higher_is_closer=False) == [0, 7, 2]
    assert mine([4], distances, higher_is_closer=False, absolute_margin=2) == [7, 2, 9]
    assert mine([4], distances, higher_is_closer=False, max_score=-3.5) == [2, 9, 5]
    given = {"positive_scores": [1.5], "absolute_margin": 2}
    assert mine(None, distances, higher_is_closer=False, **given) == [2, 9, 5]
    found = nm.mine_candidates(distances, ROWS, higher_is_closer=False)
    assert_same_bits(found.scores, np.array([[-1, -2, -3]], np.float32))


def test_results_of_topk_can_be_mined():
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(30, 12)), rng.normal(size=(500, 12))
    positives = rng.integers(0, 500, 30)
    scores, indices = nm.topk(queries, corpus, 60)
    reference = oracle.mine(queries, corpus, positives[:, None].tolist())
    found = nm.mine_candidates(
        scores,
        indices,
        positives=positives,
        positive_scores=reference.positive_scores,
        relative_margin=0.05,
        num_negatives=5,
    )
    searched = nm.mine(queries, corpus, positives, relative_margin=0.05, num_negatives=5)
    full = found.counts == 5
    assert full.any()
    assert_same_bits(found.indices[full], searched.indices[full])


def test_only_candidates_within_the_range_of_values():
    dates = np.array([3, 3, 5, 3, 1, 9, 3, 4, 3, 4])  # of the candidates 4 0 7 2 9 5: 1 3 4 5 4 9
    assert mine(corpus_values=dates, max_value=4) == [4, 0]
    assert mine(corpus_values=dates, min_value=4, max_value=5) == [7, 9]
    assert mine([4], corpus_values=dates, max_value=[5], range_min=1) == [7, 9]
    assert mine(corpus_values=dates, max_value=1) == []
    found = nm.mine_candidates(SCORES, ROWS, corpus_values=dates, min_value=4)
    assert found.indices.tolist() == [[7, 2, 9]]
    assert found.stats["skipped"]["value"] == 2
    assert found.params["m"] == 10
    assert found.params["limits"]["min_value"] == 4


def test_inputs_are_not_modified():
    scores, rows = SCORES.copy(), ROWS.copy()
    scores.flags.writeable = rows.flags.writeable = False
    nm.mine_candidates(scores, rows, positives=[4], higher_is_closer=False)
    assert_same_bits(scores, SCORES)
    assert_same_bits(rows, ROWS)
