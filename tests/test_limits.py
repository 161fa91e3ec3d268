# SPDX-License-Identifier: Apache-2.0
"""What each limit means, on points of a line where it can be followed by eye.

The corpus is 0, 1, 2, … and with the inner product the query 1 scores row r with exactly r; so a
row's score is its number, and ranks run downwards. `test_mine.py` holds the combinations.
"""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table

ONE = np.ones((1, 1), np.float32)
LINE = np.arange(10, dtype=np.float32)[:, None]


def mine(positives=None, corpus=LINE, queries=ONE, **limits):
    """Return the rows found for the only query, without padding; equal to the oracle's."""
    limits = {"num_negatives": 4, "metric": "ip", **limits}
    found = nm.mine(queries, corpus, positives, **limits)
    assert_same_table(found, oracle.mine(queries, corpus, positives, **limits))
    return found.indices[0][: found.counts[0]].tolist()


# --- score limits ---------------------------------------------------------------------------------


def test_max_and_min_score_are_closed():
    assert mine(max_score=6) == [6, 5, 4, 3]
    assert mine(max_score=np.nextafter(6, 0)) == [5, 4, 3, 2]
    assert mine(min_score=8) == [9, 8]
    assert mine(min_score=np.nextafter(8, 9)) == [9]
    assert mine(max_score=5, min_score=5) == [5]


def test_thresholds_are_compared_in_float64():
    """A limit between two neighbouring float32 numbers must not be rounded to one of them."""
    low = np.float32(0.1)
    corpus = np.array([[low], [np.nextafter(low, np.float32(1))]], np.float32)
    between = float(low) + 1e-12
    assert mine(corpus=corpus, max_score=between) == [0]
    assert mine(corpus=corpus, min_score=between) == [1]
    assert mine(corpus=corpus, max_score=0.1) == []  # float32(0.1) is above 0.1
    assert mine(corpus=corpus, max_score=float(low)) == [0]


def test_score_limits_per_query():
    queries = np.ones((3, 1), np.float32)
    found = nm.mine(
        queries,
        LINE,
        num_negatives=2,
        metric="ip",
        max_score=[9, 5, 0.5],
        min_score=np.array([9, -np.inf, 0.0]),
    )
    assert found.indices.tolist() == [[9, -1], [5, 4], [0, -1]]


def test_negative_scores():
    negative = -LINE
    assert mine(corpus=negative, max_score=-3) == [3, 4, 5, 6]
    assert mine(corpus=negative, min_score=-2) == [0, 1, 2]


# --- margins --------------------------------------------------------------------------------------


def test_absolute_margin_keeps_equality():
    assert mine([[8]], absolute_margin=2) == [6, 5, 4, 3]
    assert mine([[8]], absolute_margin=2.0000001) == [5, 4, 3, 2]
    assert mine([[8]], absolute_margin=0) == [7, 6, 5, 4]


def test_a_margin_of_zero_keeps_ties_with_the_positive():
    corpus = np.array([[5, 0], [5, 1], [6, 0], [5, 2]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert mine([[0]], corpus, query, absolute_margin=0) == [1, 3]
    assert mine([[0]], corpus, query, relative_margin=0) == [1, 3]


def test_relative_margin_keeps_equality():
    assert mine([[8]], relative_margin=0.25) == [6, 5, 4, 3]
    assert mine([[8]], relative_margin=0.2500001) == [5, 4, 3, 2]


def test_relative_margin_is_sign_safe():
    """With s+ = -4 and m = 0.5 the threshold is -6: further away, never nearer."""
    assert mine([[4]], -LINE, relative_margin=0.5) == [6, 7, 8, 9]
    assert mine([[4]], -LINE, relative_margin=0) == [5, 6, 7, 8]
    # A positive score of zero: everything not closer than the positive.
    assert mine([[5]], LINE - 5, relative_margin=0.9) == [4, 3, 2, 1]


def test_relative_margin_under_l2_with_a_positive_at_distance_zero():
    """Keeps everything not closer than the positive, which is everything else."""
    found = nm.mine(LINE[3:4], LINE, [3], num_negatives=3, relative_margin=0.5, metric="l2")
    assert found.indices.tolist() == [[2, 4, 1]]


def test_margin_arithmetic_is_float64_of_the_float32_score():
    """s+ − m·|s+| with one rounding less would keep or lose the row on the edge."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(300):
        positive = np.float32(rng.uniform(0.1, 1))
        margin = float(rng.uniform(0.01, 0.3))
        threshold = float(positive) - margin * abs(float(positive))
        edge = np.float32(threshold)
        corpus = np.array(
            [positive, np.nextafter(edge, np.float32(0)), edge, np.nextafter(edge, np.float32(2))],
            np.float32,
        )[:, None]
        rows = mine([[0]], corpus, relative_margin=margin)
        assert rows == ([2, 1] if float(edge) <= threshold else [1])
        kept += len(rows) == 2
    assert 50 < kept < 250


def test_both_margins_apply():
    assert mine([[8]], absolute_margin=1, relative_margin=0.5) == [4, 3, 2, 1]
    assert mine([[8]], absolute_margin=6, relative_margin=0.5) == [2, 1, 0]


@pytest.mark.parametrize(
    ("reference", "score", "expected"),
    [("min", 4, [3, 2, 1, 0]), ("max", 9, [8, 7, 5, 3]), ("mean", 19 / 3, [5, 3, 2, 1])],
)
def test_several_positives(reference, score, expected):
    positives = [[9, 4, 6]]
    assert mine(positives, absolute_margin=0, margin_reference=reference) == expected
    found = nm.mine(ONE, LINE, positives, metric="ip", margin_reference=reference)
    assert_same_bits(found.positive_scores, np.array([score], np.float32))


def test_the_mean_is_over_the_positives_given_not_over_their_duplicates():
    corpus = np.array([[2], [9], [9], [9], [5], [4], [2]], np.float32)
    assert mine([[0, 1]], corpus, absolute_margin=0, margin_reference="mean") == [4, 5]
    found = nm.mine(ONE, corpus, [[0, 1, 1, 0]], metric="ip", margin_reference="mean")
    assert found.positive_scores.tolist() == [5.5]


def test_given_positive_scores_replace_the_computed_ones():
    assert mine([[9]], absolute_margin=0, positive_scores=np.array([3.5], np.float32)) == [
        3,
        2,
        1,
        0,
    ]
    assert mine(None, absolute_margin=0, positive_scores=np.array([3.0], np.float32)) == [
        3,
        2,
        1,
        0,
    ]
    # nan: this query has none, and the margin does not apply.
    given = np.array([np.nan], np.float32)
    assert mine([[9]], absolute_margin=0, positive_scores=given) == [8, 7, 6, 5]


def test_a_query_without_a_positive_has_no_margin():
    queries = np.ones((2, 1), np.float32)
    found = nm.mine(queries, LINE, [[5], []], num_negatives=2, absolute_margin=1, metric="ip")
    assert found.indices.tolist() == [[4, 3], [9, 8]]
    assert_same_bits(found.positive_scores, np.array([5, np.nan], np.float32))


# --- exclusions -----------------------------------------------------------------------------------


def test_positives_are_never_negatives():
    assert mine([[9, 7, 6]]) == [8, 5, 4, 3]
    assert mine([list(range(10))]) == []
    assert mine([[9, 9, 9, 7]]) == [8, 6, 5, 4]


def test_excluded_rows():
    assert mine([[9]], exclude=[[8, 0, 7, 8]]) == [6, 5, 4, 3]
    assert mine(exclude=[list(range(1, 10))]) == [0]


def test_excluded_lists_of_hundreds():
    rng = np.random.default_rng(1)
    corpus = rng.normal(size=(3000, 12)).astype(np.float32)
    queries = rng.normal(size=(17, 12)).astype(np.float32)
    order = np.argsort(-oracle.scores(queries, corpus, "ip"), axis=1, kind="stable")
    # The hardest rows of all, so that the search must go past hundreds; and unequal lengths.
    exclude = [order[i, : 50 * i + 1].tolist() for i in range(17)]
    limits = {"num_negatives": 7, "exclude": exclude, "metric": "ip"}
    found = nm.mine(queries, corpus, **limits)
    assert_same_table(found, oracle.mine(queries, corpus, **limits))
    for i in range(17):
        assert found.indices[i, 0] == order[i, 50 * i + 1]


def test_nearly_everything_excluded():
    rng = np.random.default_rng(2)
    corpus = rng.normal(size=(2000, 6)).astype(np.float32)
    queries = rng.normal(size=(5, 6)).astype(np.float32)
    left = rng.integers(0, 2000, (5, 3))
    exclude = [sorted(set(range(2000)) - set(row.tolist())) for row in left]
    found = nm.mine(queries, corpus, exclude=exclude, num_negatives=5)
    for row, kept in zip(found.indices, left, strict=True):
        assert sorted(row[row >= 0].tolist()) == sorted(set(kept.tolist()))


def test_self_is_excluded_by_id():
    found = nm.mine(LINE[1:4], LINE, num_negatives=2, exclude_self=True, metric="l2")
    # Row numbers are the ids: query 0 (the point 1) is taken for row 0.
    assert found.indices.tolist() == [[1, 2], [2, 3], [3, 4]]
    found = nm.mine(
        LINE[1:4], LINE, num_negatives=2, exclude_self=True, query_ids=[1, 2, 3], metric="l2"
    )
    assert found.indices.tolist() == [[0, 2], [1, 3], [2, 4]]


def test_an_id_beyond_the_corpus_cannot_be_self():
    with pytest.raises(ValueError, match=r"(query_ids|exclude_self).*query 1 .*10"):
        nm.mine(LINE[:2], LINE, exclude_self=True, query_ids=[0, 10], metric="l2")
    with pytest.raises(ValueError, match=r"(query_ids|exclude_self).*query 10"):
        nm.mine(np.ones((11, 1), np.float32), LINE, exclude_self=True, metric="l2")


# --- duplicates -----------------------------------------------------------------------------------


def test_duplicates_of_a_positive_are_positives():
    corpus = np.array([[9, 1], [9, 1], [9, 2], [8, 1], [9, 1]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert mine([[1]], corpus, query) == [2, 3]
    assert mine([[1]], corpus, query, exclude_duplicates=False) == [0, 2, 4, 3]
    assert mine([[1, 2]], corpus, query) == [3]
    assert mine(None, corpus, query) == [0, 1, 2, 4]


def test_duplicates_of_excluded_rows_and_of_self_are_kept():
    corpus = np.array([[9, 1], [9, 1], [8, 1]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert mine(None, corpus, query, exclude=[[0]]) == [1, 2]
    assert mine(None, corpus, query, exclude_self=True) == [1, 2]


def test_a_duplicate_has_the_same_bits_not_the_same_value():
    corpus = np.array([[1, 0.0], [1, -0.0], [1, 0.0]], np.float32)
    assert mine([[0]], corpus, np.array([[1, 0]], np.float32)) == [1]


def test_duplicates_in_float64_are_those_after_rounding():
    corpus = np.array([[1.0], [1.0 + 1e-12], [1.0 + 1e-3]])
    assert mine([[0]], corpus) == [2]


@pytest.mark.parametrize("dtype", ["float16", "int8", "uint8"])
def test_duplicates_in_other_element_types(dtype):
    corpus = np.array([[3, 1], [2, 2], [3, 1], [3, 0]], dtype)
    assert mine([[0]], corpus, np.array([[1, 0]], dtype)) == [3, 1]


def test_huge_duplicate_classes():
    """Thousands of copies of a positive stand before the first admissible row."""
    rng = np.random.default_rng(3)
    corpus = rng.normal(size=(9000, 8)).astype(np.float32)
    corpus[1000:7000] = corpus[0]
    corpus[7000:8500] = corpus[1]
    shuffle = rng.permutation(9000)
    corpus = corpus[shuffle]
    where = np.argsort(shuffle)
    queries = np.stack([corpus[where[0]], corpus[where[1]], corpus[where[2]]])
    positives = [[int(where[0])], [int(where[1]), int(where[1500])], [int(where[2])]]
    for exclude_duplicates in (True, False):
        limits = {
            "num_negatives": 5,
            "range_min": 2,
            "exclude_duplicates": exclude_duplicates,
            "relative_margin": 0.05,
            "metric": "cosine",
        }
        found = nm.mine(queries, corpus, positives, **limits)
        assert_same_table(found, oracle.mine(queries, corpus, positives, **limits))
        assert (found.counts == 5).all()


# --- groups ---------------------------------------------------------------------------------------


def test_the_own_group_is_excluded():
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    assert mine(query_groups=np.array([2]), corpus_groups=groups) == [5, 4, 3, 2]
    assert mine(query_groups=np.array([2]), corpus_groups=groups, within_groups=True) == [
        9,
        8,
        7,
        6,
    ]
    assert mine(query_groups=np.array([1]), corpus_groups=groups, within_groups=True) == [5, 4, 3]


def test_minus_one_is_no_group():
    groups = np.array([-1] * 5 + [3] * 5)
    assert mine(query_groups=np.array([-1]), corpus_groups=groups) == [9, 8, 7, 6]
    assert mine(query_groups=np.array([-1]), corpus_groups=groups, within_groups=True) == []
    assert mine(query_groups=np.array([3]), corpus_groups=groups) == [4, 3, 2, 1]


def test_a_group_the_corpus_does_not_have():
    groups = np.array([1, 2] * 5)
    assert mine(query_groups=np.array([7]), corpus_groups=groups) == [9, 8, 7, 6]
    assert mine(query_groups=np.array([7]), corpus_groups=groups, within_groups=True) == []


def test_groups_may_be_strings():
    groups = ["b", "a"] * 5
    found = nm.mine(
        ONE, LINE, query_groups=["a"], corpus_groups=groups, num_negatives=2, metric="ip"
    )
    assert found.indices.tolist() == [[8, 6]]
    within = nm.mine(
        ONE,
        LINE,
        query_groups=np.array(["a"]),
        corpus_groups=np.array(groups),
        within_groups=True,
        num_negatives=2,
        metric="ip",
    )
    assert within.indices.tolist() == [[9, 7]]


def test_large_and_sparse_group_labels():
    groups = np.array([2**62, 5] * 5)
    assert mine(query_groups=np.array([2**62]), corpus_groups=groups) == [9, 7, 5, 3]


def test_within_groups_with_positives_in_and_out_of_the_group():
    groups = np.array([0, 1] * 5)
    assert mine([[9, 8]], query_groups=np.array([1]), corpus_groups=groups, within_groups=True) == [
        7,
        5,
        3,
        1,
    ]


# --- values ---------------------------------------------------------------------------------------


def test_a_range_of_values_is_half_open():
    values = np.arange(10)
    assert mine(corpus_values=values, min_value=3) == [9, 8, 7, 6]
    assert mine(corpus_values=values, max_value=3) == [2, 1, 0]
    assert mine(corpus_values=values, min_value=3, max_value=6) == [5, 4, 3]
    assert mine(corpus_values=values, min_value=3, max_value=4) == [3]
    assert mine(corpus_values=values, max_value=0) == []
    assert mine(corpus_values=values, min_value=9.5) == []


def test_infinite_ends_and_ends_nobody_reaches_are_no_limits():
    values = np.linspace(-1, 1, 10)
    assert mine(corpus_values=values, min_value=-np.inf, max_value=5) == [9, 8, 7, 6]
    ends = {"min_value": np.array([-np.inf]), "max_value": np.array([np.inf])}
    assert mine(corpus_values=values, **ends) == [9, 8, 7, 6]


def test_values_compare_as_numbers():
    values = np.array([0.0, -0.0] * 5)
    assert mine(corpus_values=values, min_value=-0.0) == [9, 8, 7, 6]
    assert mine(corpus_values=values, min_value=0.0) == [9, 8, 7, 6]
    assert mine(corpus_values=values, max_value=0.0) == []
    tiny = np.array([0, 5e-324] * 5)
    assert mine(corpus_values=tiny, min_value=5e-324) == [9, 7, 5, 3]


def test_integers_are_told_apart_up_to_2_to_the_53():
    values = np.arange(10) + (2**53 - 9)
    assert mine(corpus_values=values, max_value=2**53) == [8, 7, 6, 5]
    assert mine(corpus_values=values, min_value=2**53) == [9]
    assert mine(corpus_values=-values, min_value=-(2**53), max_value=1 - 2**53) == [9]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", "float16", "float32"])
def test_values_of_any_number_type(dtype):
    values = np.arange(10).astype(dtype)
    assert mine(corpus_values=values, min_value=2, max_value=5) == [4, 3, 2]
    ends = {"min_value": np.array([2], dtype), "max_value": np.array([5], dtype)}
    assert mine(corpus_values=values, **ends) == [4, 3, 2]


def test_values_that_a_score_limit_and_a_window_act_on():
    values = np.array([1, 0] * 5)
    even = {"corpus_values": values, "min_value": 1}
    assert mine(**even, max_score=7) == [6, 4, 2, 0]
    assert mine([[6]], **even, range_min=1) == [4, 2, 0]
    assert mine(**even, range_mode="raw", range_max=4) == [8, 6]
    groups = np.array([0] * 5 + [1] * 5)
    assert mine(**even, query_groups=np.array([1]), corpus_groups=groups) == [4, 2, 0]
    within = {"query_groups": np.array([1]), "corpus_groups": groups, "within_groups": True}
    assert mine(**even, **within) == [8, 6]


@pytest.mark.parametrize("strategy", ["top", "uniform"])
@pytest.mark.parametrize("sorted_by_date", [False, True])
def test_only_what_was_there_before_the_query(strategy, sorted_by_date, num_threads):
    """A search at the time of the query (ECtHR-PCR): the top k of the rows dated before it."""
    rng = np.random.default_rng(4)
    queries, corpus = rng.normal(size=(40, 12)), rng.normal(size=(3000, 12))
    dates = rng.integers(1_500_000_000, 1_600_000_000, 3000)
    if sorted_by_date:
        dates.sort()
    of_query = rng.integers(1_500_000_000, 1_600_000_000, 40)
    of_query[:3] = np.sort(dates)[[0, 1, 4]]  # none, one and four rows are older
    found = nm.mine(
        queries,
        corpus,
        corpus_values=dates,
        max_value=of_query,
        num_negatives=5,
        strategy=strategy,
        num_threads=num_threads,
    )
    every = oracle.scores(queries, corpus, "cosine")
    assert found.counts[:4].tolist() == [0, 1, 4, 5]
    for i in range(40):
        eligible = np.flatnonzero(dates < of_query[i])
        if strategy == "top" or len(eligible) <= 5:
            nearest = eligible[oracle.ranking(every[i, eligible])][:5]
            assert found.indices[i, : found.counts[i]].tolist() == nearest.tolist()
        assert found.counts[i] == min(5, len(eligible))
        assert np.isin(found.indices[i, : found.counts[i]], eligible).all()
    outside = (dates >= of_query[:, None]).sum()
    assert found.stats["skipped"]["value"] == outside


# --- rank windows ---------------------------------------------------------------------------------


def test_range_min_counts_what_passes_all_limits():
    assert mine(range_min=3) == [6, 5, 4, 3]
    assert mine([[9, 8]], range_min=3) == [4, 3, 2, 1]
    assert mine([[9]], range_min=2, max_score=7, exclude=[[6]]) == [4, 3, 2, 1]


def test_range_max_is_half_open():
    assert mine(range_min=1, range_max=5) == [8, 7, 6, 5]
    assert mine(num_negatives=2, range_min=1, range_max=3) == [8, 7]


def test_raw_ranks_count_every_row():
    assert mine([[8]], range_mode="raw", range_max=4) == [9, 7, 6]
    assert mine([[8]], range_mode="filtered", range_max=4) == [9, 7, 6, 5]
    assert mine([[9, 8]], range_mode="raw", range_min=1, range_max=5) == [7, 6, 5]
    assert mine([[9, 8, 7, 6]], range_mode="raw", range_max=4) == []


def test_raw_ranks_default_to_the_number_asked_for():
    assert mine([[8]], range_mode="raw", num_negatives=4) == [9, 7, 6]


def test_raw_ranks_with_limits_inside_the_window():
    assert mine(range_mode="raw", range_min=2, range_max=8, max_score=5) == [5, 4, 3, 2]
    assert mine(range_mode="raw", range_min=2, range_max=8, exclude=[[7, 6]]) == [5, 4, 3, 2]
    groups = np.array([0, 1] * 5)
    rows = mine(
        range_mode="raw",
        range_max=6,
        query_groups=np.array([1]),
        corpus_groups=groups,
        within_groups=True,
    )
    assert rows == [9, 7, 5]


def test_windows_beyond_the_corpus_are_cut():
    assert mine(range_max=1000) == [9, 8, 7, 6]
    assert mine(range_min=8, range_max=1000) == [1, 0]
    assert mine(range_min=10, range_max=1000) == []
    assert mine(range_min=2**40, range_max=2**41) == []


def test_ties_across_the_edge_of_a_window_go_to_the_lower_row():
    corpus = np.ones((9, 1), np.float32)
    assert mine(corpus=corpus, range_min=2, num_negatives=3) == [2, 3, 4]
    assert mine([[3]], corpus, exclude_duplicates=False, range_min=2, num_negatives=3) == [2, 4, 5]


# --- shortage -------------------------------------------------------------------------------------


def shortage(on_shortage):
    queries = np.ones((4, 1), np.float32)
    return nm.mine(
        queries,
        LINE,
        num_negatives=3,
        max_score=[9, 1, -1, 2],
        metric="ip",
        on_shortage=on_shortage,
    )


def test_shortage_is_padded_and_counted():
    found = shortage("pad")
    assert found.indices.tolist() == [[9, 8, 7], [1, 0, -1], [-1, -1, -1], [2, 1, 0]]
    assert found.counts.tolist() == [3, 2, 0, 3]
    assert_same_bits(np.isnan(found.scores), found.indices < 0)


def test_short_rows_can_be_dropped():
    found = shortage("drop")
    assert found.query_indices.tolist() == [0, 3]
    assert found.indices.tolist() == [[9, 8, 7], [2, 1, 0]]
    assert found.counts.tolist() == [3, 3]
    assert found.positive_scores.shape == (2,)


def test_shortage_can_be_an_error():
    with pytest.raises(ValueError, match=r"\b1\b"):
        shortage("error")


def test_no_shortage_is_no_error():
    for how in ("pad", "drop", "error"):
        found = nm.mine(ONE, LINE, num_negatives=10, metric="ip", on_shortage=how)
        assert found.counts.tolist() == [10]


# --- the Limits object ----------------------------------------------------------------------------


def test_limits_as_an_object_mean_the_same():
    queries = np.ones((3, 1), np.float32)
    limits = nm.Limits(max_score=6, exclude=[[6], [], [5]], range_min=1)
    by_object = nm.mine(queries, LINE, limits=limits, metric="ip")
    by_keyword = nm.mine(
        queries, LINE, max_score=6, exclude=[[6], [], [5]], range_min=1, metric="ip"
    )
    assert_same_table(by_object, by_keyword)
    assert by_object.indices.tolist() == [[4, 3, 2], [5, 4, 3], [4, 3, 2]]


def test_of_two_ranges_the_narrower_holds():
    ages = np.arange(10)
    adults = nm.Limits(corpus_values=ages, min_value=[2, 4], max_value=9)
    both = adults.merge(nm.Limits(min_value=3, max_value=[6, 20], corpus_values=ages.tolist()))
    assert both == nm.Limits(corpus_values=ages, min_value=[3, 4], max_value=[6, 9])
    assert adults.merge(nm.Limits(max_score=1)).max_value == 9
    found = nm.mine(np.ones((2, 1), np.float32), LINE, limits=adults, max_value=5, metric="ip")
    assert found.indices.tolist() == [[4, 3, 2], [4, -1, -1]]
    with pytest.raises(ValueError, match="corpus_values: given twice with different values"):
        adults.merge(nm.Limits(corpus_values=ages + 1))
    with pytest.raises(ValueError, match="min_value: must be below max_value.* query 1"):
        adults.merge(nm.Limits(max_value=[3, 4]))


def test_limits_hold_their_values_unchanged():
    values = np.arange(10.0)
    limits = nm.Limits(corpus_values=values, max_value=4)
    assert values.flags.writeable
    assert not limits.corpus_values.flags.writeable
    assert limits.describe() == {
        "corpus_values": nm.Limits(corpus_values=values).describe()["corpus_values"],
        "max_value": 4.0,
    }
    assert limits.describe() != nm.Limits(corpus_values=values[::-1], max_value=4).describe()
    assert repr(limits) == "Limits(corpus_values=…, max_value=4.0)"


def test_limits_are_frozen():
    limits = nm.Limits(max_score=6)
    with pytest.raises((AttributeError, TypeError)):
        limits.max_score = 7


def test_limits_compare_by_value_and_are_not_hashable():
    assert nm.Limits(max_score=[0.5, 1]) == nm.Limits(max_score=np.array([0.5, 1.0]))
    assert nm.Limits(max_score=0.5) != nm.Limits()
    with pytest.raises(TypeError, match="unhashable"):
        hash(nm.Limits())


def test_exclusions_of_three_limits_add_up():
    """A union of unions, each part in a form of its own."""
    parts = [nm.Limits(exclude=one) for one in ([[1], [2]], np.array([3, -1]), [[], [4, 0]])]
    rows = np.eye(6, dtype=np.float32)
    for limits in (
        parts[0].merge(parts[1]).merge(parts[2]),
        parts[0].merge(parts[1].merge(parts[2])),
    ):
        found = nm.mine(rows[:2], rows, num_negatives=6, limits=limits)
        assert [sorted(line[line >= 0].tolist()) for line in found.indices] == [
            [0, 2, 4, 5],
            [1, 3, 5],
        ]
