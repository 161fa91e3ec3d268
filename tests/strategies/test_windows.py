# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by a window of ranks: worked numbers, laws, and the bugs of their codes."""

import itertools
import math
from fractions import Fraction

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_law, assert_same_bits, rejects
from laws import ALPHA, DRAWS, SEEDS, as_set, assert_set_law, count_sets
from nearmiss.strategies import (
    ADORE,
    ANCE,
    SPN4CIR,
    STAR,
    CoderPP,
    KaLMV2,
    Sample4Geo,
    SciNCL,
    SciNCLRange,
    TripClick,
)

NO_POSITIVE = [[]]


def scores_of(count):
    """Scores of rows 0, 1, …, best first."""
    return np.linspace(0.9, 0.1, count, dtype=np.float32)


def mine_lists(strategy, count, num_negatives=None, *, copies=1, positives=(), **keywords):
    """Mine lists of ``count`` candidates, row j at rank j, the same for each of the queries."""
    return nm.mine_candidates(
        np.tile(keywords.pop("scores", scores_of(count)), (copies, 1)),
        np.tile(np.arange(count), (copies, 1)),
        positives=[list(positives)] * copies,
        strategy=strategy,
        num_negatives=num_negatives,
        **keywords,
    )


def rows_of(found, query=0):
    return found.indices[query, : found.counts[query]].tolist()


# --- uniform in a window --------------------------------------------------------------------------

#: Strategy, candidates, positives, rows that may be drawn: some window of six rows or fewer.
WINDOWS = [
    (ANCE(pool=6), 9, (1,), (0, 2, 3, 4, 5)),
    (STAR(depth=7, pool=4), 9, (0, 2), (1, 3, 4, 5)),
    (STAR(depth=6, pool=5), 9, (0, 1, 8), (2, 3, 4, 5)),
    (SciNCL(2, 6), 9, (3,), (2, 4, 5, 6)),
    (SPN4CIR(1, 5), 9, (), (1, 2, 3, 4)),
    (KaLMV2(2, 7, 4), 9, (3,), (2, 4, 5, 6)),
]
by_window = pytest.mark.parametrize(
    ("strategy", "count", "positives", "allowed"), WINDOWS, ids=lambda value: str(value)[:14]
)


def uniform_law(allowed, drawn):
    outcomes = [as_set(columns) for columns in itertools.combinations(allowed, drawn)]
    return {outcome: Fraction(1, len(outcomes)) for outcome in outcomes}


def biased_sets(allowed, count, seed):
    """Counts of two rows drawn where the first weighs too much."""
    weights = np.log(np.where(np.arange(len(allowed)) == 0, 1.2, 1.0))
    drawn = nm.sampling.weighted(np.tile(weights, (DRAWS, 1)), 2, seed=seed).indices
    return count_sets(np.array(allowed)[np.sort(drawn, axis=1)], count)


@by_window
@pytest.mark.parametrize("seed", SEEDS)
def test_sets_drawn_are_all_as_likely(strategy, count, positives, allowed, seed):
    found = mine_lists(strategy, count, 2, copies=DRAWS, positives=positives, seed=seed)
    counts = count_sets(found.indices, count)
    law = uniform_law(allowed, 2)
    assert_set_law(counts, law)
    # The controls: one row weighs 20 % more than the others; a row outside the window, once.
    assert rejects(assert_set_law, biased_sets(allowed, count, seed), law)
    counts[as_set((0, count - 1))] += 1
    assert rejects(assert_set_law, counts, law)


@by_window
def test_the_whole_window_can_be_drawn_and_no_more(strategy, count, positives, allowed):
    ask = {"positives": positives, "seed": 3}
    assert rows_of(mine_lists(strategy, count, len(allowed), **ask)) == list(allowed)
    for epoch in range(3):
        one = mine_lists(strategy, count, 1, epoch=epoch, **ask)
        assert set(rows_of(one)) < set(allowed)


def test_defaults_are_those_read_in_code():
    texts = {
        "ance:pool=200": (ANCE(), 20),
        "star:depth=210,pool=200": (STAR(), 1),
        "scincl:lo=3998,hi=4000": (SciNCL(), 2),
        "spn4cir:i2i_rank=10000,i2i_rank_max=20000": (SPN4CIR(), 3),
        "kalm-v2:lo=50,hi=100,filter_rank=50": (KaLMV2(), 7),
        "coder-pp:pool=30": (CoderPP(), 30),
        "tripclick:pool=9": (TripClick(9), 20),
        "adore:pool=200,metric_cut=none": (ADORE(), 200),
        "sample4geo:near=32,far=32,reach=128": (Sample4Geo(), 64),
    }
    for text, (strategy, count) in texts.items():
        assert str(strategy) == text
        assert strategy.count(None) == count


def test_ance_and_star_search_a_corpus_as_deep_as_they_say():
    """Raw ranks in the exact order of a corpus, and all positives out, not only the first."""
    rng = np.random.default_rng(0)
    queries, rows = rng.normal(size=(9, 5)), rng.normal(size=(400, 5))
    _, order = nm.topk(queries, rows, 400)
    positives = [[*order[i, [3, 50]].tolist(), *order[i, 204:209].tolist()] for i in range(9)]
    ance = nm.mine(queries, rows, positives, strategy="ance", num_negatives=198)
    star = nm.mine(queries, rows, positives, strategy="star", num_negatives=200)
    for i in range(9):
        left = [row for row in order[i].tolist() if row not in positives[i]]
        assert rows_of(ance, i) == left[:198]
        assert rows_of(star, i) == left[:200]  # of 203 within the first 210
    short = nm.mine(queries, rows, order[:, :15], strategy="star", num_negatives=200)
    assert (short.counts == 195).all()  # the code stops with an error


def test_a_band_as_wide_as_the_number_is_deterministic():
    for strategy in ("scincl:lo=4,hi=6", "spn4cir:i2i_rank=4,i2i_rank_max=6"):
        for seed in range(3):
            assert rows_of(mine_lists(strategy, 20, 2, seed=seed)) == [4, 5]


def test_bands_of_positives_and_negatives_do_not_meet():
    """Hard ones of SciNCL from [20, 25) here, and easy ones beyond the band, as its text says."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 6))
    ask = {"exclude_self": True}
    hard = nm.mine(rows, rows, strategy="scincl:lo=20,hi=25", num_negatives=5, **ask)
    easy = nm.mine(rows, rows, strategy="uniform", range_min=25, num_negatives=34, **ask)
    for i in range(60):
        assert sorted([*rows_of(hard, i), *rows_of(easy, i)]) == sorted(
            nm.mine(rows, rows, range_min=20, num_negatives=39, **ask).indices[i].tolist()
        )


# --- KaLM-V2 --------------------------------------------------------------------------------------


def test_inconsistent_queries_get_nothing():
    """Equal scores pass, strictly lower ones do not; the row at the raw rank decides."""
    scores = scores_of(8)
    for positive, expected in (
        (scores[3], 4),
        (np.nextafter(scores[3], np.float32(0)), 0),
        (0.95, 4),
        (np.nan, 4),
    ):
        found = nm.mine_candidates(
            [scores],
            [range(8)],
            positive_scores=[positive],
            strategy="kalm-v2:lo=2,hi=6,filter_rank=3",
            num_negatives=4,
        )
        assert found.counts.tolist() == [expected]


def test_the_best_positive_decides():
    ask = {"strategy": "kalm-v2:lo=2,hi=6,filter_rank=2", "count": 8, "num_negatives": 4}
    assert rows_of(mine_lists(positives=(7, 0), **ask)) == [2, 3, 4, 5]
    assert rows_of(mine_lists(positives=(7,), **ask)) == []
    # The positive may itself stand at that rank, and in the band; it never comes out.
    assert rows_of(mine_lists(positives=(2,), **ask)) == [3, 4, 5]


def test_lists_that_end_before_the_filter_pass_it():
    ask = {"strategy": "kalm-v2:lo=2,hi=6,filter_rank=5", "num_negatives": 4}
    for count, expected in ((6, []), (5, [2, 3, 4]), (4, [2, 3]), (2, [])):
        assert rows_of(mine_lists(count=count, positive_scores=[0.0], **ask)) == expected


def test_short_bands_are_not_filled_up():
    """The code fills them with random texts, and does not look whether they are positives."""
    rng = np.random.default_rng(3)
    queries, rows = rng.normal(size=(20, 4)), rng.normal(size=(60, 4))
    _, order = nm.topk(queries, rows, 60)
    found = nm.mine(queries, rows, order[:, :1], strategy="kalm-v2")
    assert found.indices.shape == (20, 7)
    for i in range(20):
        assert set(rows_of(found, i)) <= set(order[i, 50:].tolist())
    shorter = nm.mine(queries, rows[:54], strategy="kalm-v2", positive_scores=np.ones(20))
    assert (shorter.counts == 4).all()


# --- CODER++ --------------------------------------------------------------------------------------


def test_neighbours_of_the_same_concept_are_no_negatives():
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(90, 5))
    concepts = rng.integers(6, size=90)
    found = nm.mine(rows, rows, strategy="coder-pp", query_groups=concepts, corpus_groups=concepts)
    _, order = nm.topk(rows, rows, 30)
    assert found.indices.shape == (90, 30)
    for i in range(90):
        assert order[i, 0] == i  # the anchor takes a place
        assert rows_of(found, i) == [row for row in order[i] if concepts[row] != concepts[i]]


# --- TripClick ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_number_left_is_hypergeometric(seed):
    """3 positives among 8 candidates, 4 draws; the control drops before it draws."""
    ways = [math.comb(5, kept) * math.comb(3, 4 - kept) for kept in range(1, 5)]
    expected = np.array(ways) / math.comb(8, 4) * DRAWS
    found = mine_lists(TripClick(8), 10, 4, copies=DRAWS, positives=(0, 3, 5), seed=seed)
    counts = np.bincount(found.counts, minlength=5)
    assert counts[0] == 0  # four draws cannot all be positives
    assert_law(counts[1:], expected, ALPHA)
    before = mine_lists("random", 8, 4, copies=DRAWS, positives=(0, 3, 5), seed=seed)
    assert rejects(assert_law, np.bincount(before.counts, minlength=5)[1:], expected, ALPHA)


@pytest.mark.parametrize("seed", SEEDS)
def test_sets_that_are_left(seed):
    law = {}
    for columns in itertools.combinations(range(5), 2):
        left = as_set(column for column in columns if column != 1)
        law[left] = law.get(left, 0) + Fraction(1, 10)
    found = mine_lists(TripClick(5), 6, 2, copies=DRAWS, positives=(1,), seed=seed)
    assert_set_law(count_sets(found.indices, 6), law)
    full = mine_lists(ANCE(5), 6, 2, copies=DRAWS, positives=(1,), seed=seed)
    assert rejects(assert_set_law, count_sets(full.indices, 6), law)


def test_the_expected_number_left():
    """20 draws, 10 positives among 100 candidates: 20 (1 - 10 / 100) = 18."""
    found = mine_lists(TripClick(100), 100, copies=4000, positives=range(0, 100, 10))
    assert found.indices.shape == (4000, 20)
    deviation = math.sqrt(20 * 0.9 * 0.1 * 80 / 99 / 4000)
    assert abs(found.counts.mean() - 18) < 4 * deviation


# --- ADORE ----------------------------------------------------------------------------------------


def weights_of(count, positives, num_negatives=None, **keywords):
    strategy = ADORE(pool=keywords.pop("pool", count), metric_cut=keywords.pop("cut", None))
    found = mine_lists(strategy, count, num_negatives, positives=positives, **keywords)
    return rows_of(found), found.weights[0, : found.counts[0]]


def test_worked_weights():
    rows, weights = weights_of(4, (2,))
    assert rows == [0, 1, 3]
    np.testing.assert_allclose(weights, [0.66667, 0.16667, 0.08333], atol=5e-6)


def test_positives_that_are_not_listed_follow_the_list():
    """At K + 1 and on; but not where another positive is listed."""
    rows, weights = weights_of(6, (4, 5), pool=3)
    assert rows == [0, 1, 2]
    assert_same_bits(weights, sum(abs(1 / i - 1 / np.arange(1, 4)) for i in (4, 5)))
    rows, weights = weights_of(6, (1, 5), pool=3)
    assert rows == [0, 2]
    assert_same_bits(weights, abs(1 / 2 - 1 / np.array([1, 3])))


def test_reciprocal_ranks_beyond_the_cut_are_0():
    assert_same_bits(weights_of(5, (1,), cut=3)[1], np.array([0.5, 0.5 - 1 / 3, 0.5, 0.5]))
    assert_same_bits(weights_of(5, (4,), cut=3)[1], np.array([1, 1 / 2, 1 / 3, 0]))


def test_weights_by_brute_force():
    rng = np.random.default_rng(5)
    queries, rows = rng.normal(size=(40, 3)), rng.normal(size=(50, 3))
    positives = [rng.permutation(50)[: rng.integers(0, 5)].tolist() for _ in range(40)]
    _, order = nm.topk(queries, rows, 12)
    found = nm.mine(queries, rows, positives, strategy="adore:pool=12,metric_cut=7")
    assert found.indices.shape == (40, 12)
    for i, known in enumerate(positives):
        listed = order[i].tolist()
        if not set(listed) & set(known):
            listed += sorted(known)
        reciprocal = [1 / rank if rank <= 7 else 0.0 for rank in range(1, len(listed) + 1)]
        at = [rank for rank, row in enumerate(listed) if row in known]
        expected = [
            math.fsum(abs(reciprocal[p] - reciprocal[j]) for p in at) if at else math.nan
            for j, row in enumerate(listed)
            if row not in known
        ]
        assert rows_of(found, i) == [row for row in listed if row not in known]
        np.testing.assert_allclose(found.weights[i, : found.counts[i]], expected, rtol=1e-15)
        assert np.isnan(found.weights[i, found.counts[i] :]).all()


def test_a_query_without_positives_has_no_weights():
    rows, weights = weights_of(4, ())
    assert rows == [0, 1, 2, 3]
    assert np.isnan(weights).all()


# --- Sample4Geo -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_near_ones_are_sure_and_far_ones_uniform(seed):
    strategy = Sample4Geo(near=1, far=2, reach=6)
    found = mine_lists(strategy, 8, copies=DRAWS, positives=(2,), seed=seed)
    assert (found.indices[:, 0] == 0).all()
    assert (found.strata == [0, 1, 1]).all()
    far = (1, 3, 4, 5, 6)
    assert_set_law(count_sets(found.indices[:, 1:], 8), uniform_law(far, 2))
    assert rejects(assert_set_law, biased_sets(far, 8, seed), uniform_law(far, 2))


def test_the_first_row_can_be_a_neighbour():
    """In the code row 0 is taken for none."""
    assert rows_of(mine_lists(Sample4Geo(2, 1, 4), 8))[:2] == [0, 1]
    assert 0 in rows_of(mine_lists(Sample4Geo(1, 3, 4), 4, scores=scores_of(4)[::-1].copy()))


def test_rows_of_the_own_label_make_room_for_others():
    found = mine_lists(
        Sample4Geo(2, 2, 4), 7, query_groups=[1], corpus_groups=[1, 0, 1, 0, 0, 1, 0]
    )
    assert rows_of(found) == [1, 3, 4, 6]


def test_places_are_ranked_by_great_circles():
    """Degrees taken for radians put (0, 6.3°) before (0, 1°), as 6.3 is nearly 2 pi."""

    def points(places):
        lat, lon = np.radians(np.array(places, float)).T
        return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    places = [(0, 6.3), (0, 1), (0, 3), (0, 90), (0, -179)]
    ask = {"strategy": "sample4geo:near=1,far=1,reach=2", "metric": "ip"}
    assert nm.mine(points([(0, 0)]), points(places), **ask).indices.tolist() == [[1, 2]]
    across = nm.mine(points([(0, 179.5)]), points(places), **ask)  # the date line
    assert across.indices[0, 0] == 4


# --- SciNCL's range -------------------------------------------------------------------------------


def test_the_last_rows_above_a_similarity():
    """Rows 0..5 reach 0.5; of the last two, equality counts."""
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.49, 0.2], np.float32)

    def last(num_negatives, pool=8, spare=0, **keywords):
        strategy = SciNCLRange(0.5, pool=pool, spare=spare)
        return rows_of(mine_lists(strategy, 8, num_negatives, scores=scores, **keywords))

    assert last(2) == [4, 5]
    assert last(6) == [0, 1, 2, 3, 4, 5]
    assert last(7) == []  # the code draws from anywhere then
    assert last(2, spare=4) == [4, 5]
    assert last(2, spare=5) == []
    assert last(2, pool=6) == [4, 5]
    assert last(2, pool=5) == []  # whether they are the last cannot be told
    assert last(2, positives=(5,)) == [3, 4]
    assert last(2, positives=(5,), pool=5) == [3, 4]
    assert last(2, positives=(5,), range_mode="raw") == [3, 4]
    assert last(2, range_max=4) == [2, 3]
    assert last(2, range_min=5) == []
    assert last(2, max_score=0.6) == [4, 5]


def test_the_last_rows_by_brute_force():
    rng = np.random.default_rng(6)
    queries, rows = rng.normal(size=(30, 4)), rng.normal(size=(120, 4))
    scores, order = nm.topk(queries, rows, 120)
    found = nm.mine(
        queries, rows, strategy="scincl-range:min_score=0.4,pool=31,spare=20", num_negatives=5
    )
    number = (scores.astype(float) >= 0.4).sum(axis=1)
    assert (number > 31).any()
    assert (number < 25).any()
    for i in range(30):
        told = 25 <= number[i] <= 31
        assert rows_of(found, i) == (order[i, number[i] - 5 : number[i]].tolist() if told else [])


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ance:pool=0", "pool"),
        ("star:depth=5,pool=6", "star.pool.*depth 5"),
        ("kalm-v2:lo=50,hi=50", "filter_rank"),
        ("kalm-v2:filter_rank=100", r"filter_rank.*\[50, 100\)"),
        ("coder-pp:pool=0", "pool"),
        ("tripclick", "needs pool"),
        ("adore:metric_cut=0", "metric_cut"),
        ("sample4geo:reach=63", "reach.*64"),
        ("scincl-range", "needs min_score, pool"),
    ],
)
def test_bad_parameters(text, problem):
    with pytest.raises(ValueError, match=problem):
        nm.strategies.parse(text)


@pytest.mark.parametrize(
    ("text", "keywords", "problem"),
    [
        ("ance:pool=5", {"num_negatives": 6}, "do not fit"),
        ("star:depth=9,pool=4", {"num_negatives": 5}, "star.*keeps 4"),
        ("scincl:lo=6,hi=5", {}, r"\[6, 5\)"),
        ("scincl:lo=3,hi=5", {"num_negatives": 3}, "do not fit"),
        ("kalm-v2", {}, "needs positives"),
        ("kalm-v2", {"positives": [0], "range_min": 51}, "leaves out filter_rank 50"),
        ("kalm-v2:filter_rank=80", {"positives": [0], "range_max": 80}, "leaves out filter_rank"),
        ("kalm-v2", {"positives": [0], "margin_reference": "mean"}, "margin_reference"),
        ("coder-pp", {}, "needs query_groups"),
        ("adore", {"positive_scores": [0.5]}, "needs positives"),
        ("adore", {"positives": [0], "range_min": 1}, "range_min"),
        ("sample4geo", {"num_negatives": 5}, "num_negatives.*64"),
        ("sample4geo", {"range_max": 60}, "band 32..128"),
        ("scincl-range:min_score=0,pool=12", {"num_negatives": 3}, "do not fit"),
        ("scincl-range:min_score=0,pool=20", {"max_score": -1}, "min_score"),
    ],
)
def test_what_cannot_work_is_refused_before_the_search(text, keywords, problem):
    with pytest.raises(ValueError, match=problem):
        nm.mine(np.ones((1, 3)), np.eye(3), strategy=text, **keywords)
