# SPDX-License-Identifier: Apache-2.0
"""Strategies that keep what lies within thresholds of each pool: ATSS, UNPG, CAR."""

import math
import statistics
from fractions import Fraction

import nearmiss as nm
import numpy as np
import pytest
from compare import rejects
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import DRAWS, SEEDS, assert_follows, draws_of, pool_of, successive
from nearmiss.strategies import ATSS, CAR, UNPG

scored_rows = st.lists(
    st.tuples(st.sampled_from((-1.0, 0.0, 0.25, 0.3, 0.5, 0.75, 1.0, 9.0)), st.booleans()),
    max_size=12,
)


def kept(strategy, scores):
    """The scores of what is kept, as they were given."""
    mask = strategy.keep(pool_of(scores))[0]
    return [score for score, stays in zip(scores, mask, strict=True) if stays]


def windows(rows):
    """A pool of (score, admissible), as "raw" windows hold them, and the admissible scores."""
    rows = sorted(rows, key=lambda row: -row[0])
    pool = pool_of([score for score, _ in rows])
    pool.admissible[0] = [allowed for _, allowed in rows]
    return pool, [float(np.float32(score)) for score, allowed in rows if allowed]


def kept_of_admissible(strategy, pool):
    mask = strategy.keep(pool)[0]
    return pool.values[0][mask & pool.admissible[0]].tolist()


# --- ATSS -----------------------------------------------------------------------------------------


def test_worked_numbers_of_atss():
    scores = [0.8, 0.6, 0.3, 0.2, 0.1]  # mean 0.4, sd 0.291548
    assert kept(ATSS(9), scores) == scores[1:]
    assert ATSS(9).choose(pool_of(scores), 3).columns.tolist() == [[1, 2, 3]]


def test_the_deviation_is_the_sample_s():
    """Mean 0.4 and threshold 0.69155, where the population's deviation gives 0.660768."""
    scores = [0.68, 0.6, 0.6, 0.1, 0.1]
    mean, sample, population = 0.416, statistics.stdev(scores), statistics.pstdev(scores)
    assert mean + population < 0.68 < mean + sample
    assert kept(ATSS(9), scores) == scores


def test_equal_scores_are_all_taken_for_positives():
    assert kept(ATSS(9), [0.5] * 4) == []
    assert kept(ATSS(9), [0.5]) == []
    assert ATSS(9).choose(pool_of([0.5] * 4), 2).columns.tolist() == [[-1, -1]]


@given(scored_rows)
def test_atss_equals_its_definition(rows):
    pool, allowed = windows(rows)
    exact = [Fraction(s) for s in allowed]
    mean = sum(exact) / max(len(exact), 1)
    variance = sum((s - mean) ** 2 for s in exact) / max(len(exact) - 1, 1)
    above = [s for s in exact if s >= mean]
    # Rounding decides what is exactly at the threshold, unless all scores are equal.
    assume(variance == 0 or all(abs((s - mean) ** 2 - variance) > 1e-9 for s in above))
    dropped = {s for s in above if (s - mean) ** 2 >= variance}
    assert kept_of_admissible(ATSS(99), pool) == [s for s in allowed if Fraction(s) not in dropped]


# --- UNPG -----------------------------------------------------------------------------------------


BOX = [0.9, 0.22, 0.2, 0.18, 0.16, 0.15, 0.14, 0.12, 0.1, 0.0]  # q1 = 0.12, q3 = 0.2


def test_worked_numbers_of_unpg():
    assert kept(UNPG(20, w=1.0), BOX) == BOX[1:-1]
    assert kept(UNPG(20, w=1.6), BOX) == BOX[1:]
    assert kept(UNPG(20, w=0), BOX) == BOX[2:8]
    assert kept(UNPG(20, w=9), BOX) == BOX
    assert UNPG(20).w == 1.5
    assert UNPG(20, w=1.0).choose(pool_of(BOX), 3).columns.tolist() == [[1, 2, 3]]


def test_equal_scores_are_no_outliers():
    assert kept(UNPG(20), [0.5] * 4) == [0.5] * 4


@given(scored_rows, st.sampled_from((0.0, 0.5, 1.0, 1.5)))
def test_unpg_equals_its_definition(rows, w):
    pool, allowed = windows(rows)
    ascending = sorted(allowed)
    expected = []
    if ascending:
        q1, q3 = (ascending[int(q * len(ascending))] for q in (0.25, 0.75))
        lower, upper = q1 - w * (q3 - q1), q3 + w * (q3 - q1)
        expected = [s for s in allowed if lower <= s <= upper]
    assert kept_of_admissible(UNPG(99, w=w), pool) == expected


# --- CAR ------------------------------------------------------------------------------------------


BAND = [0.38, 0.33, 0.29, 0.12]  # 0.45 is above the upper end


def mined(strategy, scores, **more):
    rows = [list(range(len(scores)))]
    found = nm.mine_candidates([scores], rows, num_negatives=4, strategy=strategy, **more)
    return found.indices[0, : found.counts[0]].tolist()


def test_worked_numbers_of_car():
    scores = [0.45, *BAND]
    assert mined(CAR(9, wanted=2), scores) == [1, 2]
    assert mined(CAR(9, wanted=3), scores) == [1, 2, 3]
    # By 0.2 the band reaches 0.12, and never 0.45.
    assert mined(CAR(9, wanted=4), scores) == [1, 2, 3, 4]
    assert mined(CAR(9, wanted=4, widenings=3), scores) == [1, 2, 3]
    assert mined(CAR(9, wanted=99), scores) == [1, 2, 3, 4]
    assert mined(CAR(9), [0.45, 0.5, 0.9, -0.3]) == []


def test_the_upper_end_is_a_limit_of_the_search():
    """So that the pool begins below it, however many are nearer."""
    scores = [0.9] * 20 + [0.35, 0.31]
    assert mined(CAR(4, wanted=1), scores) == [20, 21]
    assert mined(CAR(4, wanted=1), scores, max_score=0.33) == [21]


def test_ends_are_the_decimals_that_are_meant():
    """0.3 - 2 · 0.05 is 0.19999999999999998, and a score of 0.19999998807907104 is below 0.2."""
    below = float(np.nextafter(np.float32(0.2), np.float32(0)))
    assert kept(CAR(9, widenings=2), [0.35, 0.2, below]) == [0.35, 0.2]
    assert kept(CAR(9, lo=0.5, hi=0.5, widenings=0), [0.75, 0.5, 0.25]) == [0.75, 0.5]


@given(scored_rows, st.integers(1, 4), st.integers(0, 4), st.sampled_from((0.0, 0.25)))
def test_car_equals_its_definition(rows, wanted, widenings, step):
    pool, allowed = windows(rows)
    lower = 0.5
    for _ in range(widenings):
        if sum(s >= lower for s in allowed) >= wanted:
            break
        lower -= step
    strategy = CAR(99, lo=0.5, hi=9, step=step, widenings=widenings, wanted=wanted)
    assert kept_of_admissible(strategy, pool) == [s for s in allowed if s >= lower]


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_car(seed):
    found = draws_of(CAR(9, wanted=3), BAND, math.nan, 2, seed)
    assert_follows(found, successive((1, 1, 1, 0), 2))


def test_draws_that_favour_a_row_are_refused():
    chances = successive((1, 1, 1, 0), 2)
    for seed in SEEDS:
        logs = np.tile(np.log([1.0, 1.0, 1.12, 1e-300]), (DRAWS, 1))
        biased = nm.sampling.weighted(logs, 2, seed=seed).indices
        assert rejects(assert_follows, biased, chances)
        assert rejects(assert_follows, draws_of(CAR(9, wanted=2), BAND, math.nan, 2, seed), chances)


def test_bad_bands_are_refused():
    with pytest.raises(ValueError, match=r"car: lo must be at most hi, got 0.5 and 0.4"):
        CAR(9, lo=0.5)
    with pytest.raises(ValueError, match=r"car.widenings: must be at most 1000"):
        CAR(9, widenings=1001)
    with pytest.raises(ValueError, match=r"unpg.w: must be at least 0"):
        UNPG(9, w=-1)
    assert str(CAR(9)) == "car:pool=9,lo=0.3,hi=0.4,step=0.05,widenings=10,wanted=10"
