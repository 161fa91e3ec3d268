# SPDX-License-Identifier: Apache-2.0
"""Row thresholds: worked numbers, numpy's and fractions' answers, padding, extreme scores."""

import math
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from compare import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.thresholds import mean_plus_sd, quantile, whisker

IOUS = [0.1, 0.2, 0.3, 0.6, 0.8]
SIMILARITIES = [0, 0.1, 0.12, 0.14, 0.15, 0.16, 0.18, 0.2, 0.22, 0.9]
FUNCTIONS = {
    "mean_plus_sd": mean_plus_sd,
    "quantile": lambda scores, **more: quantile(scores, 0.3, **more),
    "quantile_inverted": lambda scores, **more: quantile(scores, 0.3, method="inverted", **more),
    "whisker": whisker,
    "whisker_lower": lambda scores, **more: whisker(
        scores, 2.0, side="lower", method="linear", **more
    ),
}
every_function = pytest.mark.parametrize("threshold", FUNCTIONS.values(), ids=FUNCTIONS.keys())
finite = st.floats(-1e6, 1e6)


# --- mean and standard deviation ------------------------------------------------------------------


def test_mean_plus_sd_worked_numbers():
    """Of ATSS: with the sample's deviation, .691548, only .8 is a positive."""
    found = mean_plus_sd([IOUS])
    assert round(found[0], 6) == 0.691548
    assert [s for s in IOUS if s >= found[0]] == [0.8]
    assert round(mean_plus_sd([IOUS], ddof=0)[0], 6) == 0.660768
    assert round(mean_plus_sd([IOUS], 0.0)[0], 15) == 0.4
    assert math.isclose(mean_plus_sd([IOUS], -2.0)[0], 0.4 - 2 * 0.291548, abs_tol=2e-6)


@pytest.mark.parametrize("value", [0.1, 1 / 3, -0.7, 1e-300, 5e-324, 1.7e308, 0.0])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 49])
def test_equal_scores_are_their_own_threshold(value, count):
    """A plain sum over a count is off by a bit: 3 times 0.1 has the mean 0.10000000000000002."""
    for c in (1.0, -3.0, 1e6):
        assert mean_plus_sd(np.full((1, count), value), c).tolist() == [value]


def test_rows_too_short_for_a_deviation():
    assert mean_plus_sd([[0.7]]).tolist() == [0.7]
    assert mean_plus_sd([[0.5, 0.75]], ddof=2).tolist() == [0.625]
    assert mean_plus_sd([[0.5, 0.75]], ddof=1)[0] > 0.625


@given(st.lists(finite, min_size=2, max_size=40), st.floats(-3, 3))
def test_mean_plus_sd_equals_fractions(scores, c):
    exact = [Fraction(s) for s in scores]
    mean = sum(exact) / len(exact)
    variance = sum((s - mean) ** 2 for s in exact) / (len(exact) - 1)
    size = max(abs(s) for s in scores)
    expected = float(mean) + c * math.sqrt(variance)
    assert abs(mean_plus_sd([scores], c)[0] - expected) <= 1e-14 * len(scores) * size


@pytest.mark.parametrize("exponent", [-1060, -600, 600, 1020])
def test_extreme_scores_neither_overflow_nor_vanish(exponent):
    scores = np.array([[1.0, 2, 4, -3, 5]])
    scaled = np.ldexp(scores, exponent)
    for threshold in (mean_plus_sd, whisker, lambda rows: quantile(rows, 0.3)):
        np.testing.assert_allclose(
            threshold(scaled),
            np.ldexp(threshold(scores), exponent),
            rtol=1e-3 if exponent < -1000 else 1e-15,
        )
    assert mean_plus_sd(np.array([[1.5e308, -1.5e308]]), 0.0).tolist() == [0.0]
    assert quantile([[-1.5e308, 1.5e308]], 0.5).tolist() == [0.0]
    assert whisker([[-1.5e308] * 3 + [1.5e308] * 3], 0.0).tolist() == [1.5e308]
    assert whisker([[-1.5e308] * 3 + [1.5e308] * 3], 1.0).tolist() == [np.inf]


# --- quantiles ------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(finite, st.sampled_from([0.0, -0.0, 1.0])), min_size=1, max_size=40),
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
)
def test_quantile_equals_numpy(scores, q):
    size = max(1.0, np.abs(scores).max())
    found = quantile([scores], q)[0]
    np.testing.assert_allclose(found, np.quantile(scores, q), rtol=0, atol=1e-15 * 4 * size)
    assert min(scores) <= found <= max(scores)
    taken = quantile([scores], q, method="inverted")[0]
    assert taken == sorted(scores)[min(int(q * len(scores)), len(scores) - 1)]


@given(st.lists(finite, min_size=1, max_size=20))
def test_quantiles_grow_with_q(scores):
    for method in ("linear", "inverted"):
        found = [quantile([scores], q, method=method)[0] for q in np.linspace(0, 1, 33)]
        assert found == sorted(found)
        assert found[-1] == max(scores)
        assert found[0] == min(scores)


def test_quantiles_of_ties_are_the_ties():
    for method in ("linear", "inverted"):
        for q in (0.0, 0.1, 1 / 3, 0.9, 1.0):
            assert quantile([[0.1] * 7], q, method=method).tolist() == [0.1]


def test_an_order_statistic_is_taken_as_it_is():
    """Also beside a score that makes it vanish."""
    assert quantile([[1e-300, 3e-310, 1e300]], 0.0).tolist() == [3e-310]
    assert quantile([[1e-300, 3e-310, 1e300]], 0.5).tolist() == [1e-300]
    assert whisker([[1e-310] * 9 + [1e300]]).tolist() == [1e-310]


# --- whiskers -------------------------------------------------------------------------------------


def test_whisker_worked_numbers():
    """Of UNPG: without interpolation q1 = .12 and q3 = .20; w = 1 drops 0 and .9."""
    assert quantile([SIMILARITIES], 0.25, method="inverted").tolist() == [0.12]
    assert quantile([SIMILARITIES], 0.75, method="inverted").tolist() == [0.2]
    low = whisker([SIMILARITIES], 1.0, side="lower")[0]
    high = whisker([SIMILARITIES], 1.0)[0]
    assert math.isclose(low, 0.04)
    assert math.isclose(high, 0.28)
    assert [s for s in SIMILARITIES if low <= s <= high] == SIMILARITIES[1:-1]
    # With w = 1.5 the lower fence is 0 in the books; in float64 it is a little less, and 0 stays.
    low = whisker([SIMILARITIES], side="lower")[0]
    assert -1e-16 < low < 0
    # With numpy's quartiles another one is an outlier.
    low = whisker([SIMILARITIES], 1.5, side="lower", method="linear")[0]
    q1, q3 = np.quantile(SIMILARITIES, [0.25, 0.75])
    assert math.isclose(low, q1 - 1.5 * (q3 - q1))
    assert low > 0


def test_float32_scores_are_widened_first():
    single = np.array([SIMILARITIES], np.float32)
    for threshold in FUNCTIONS.values():
        assert_same_bits(threshold(single), threshold(single.astype(np.float64)))


# --- padding, order, batches ----------------------------------------------------------------------


@every_function
def test_nan_is_no_score(threshold):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, 12))
    padded = np.full((30, 20), np.nan)
    columns = np.sort(rng.permutation(20)[:12])
    padded[:, columns] = scores
    assert_same_bits(threshold(padded), threshold(scores))
    padded[4] = np.nan
    assert np.isnan(threshold(padded)).nonzero()[0].tolist() == [4]
    assert np.isnan(threshold(np.zeros((3, 0)))).all()
    assert threshold(np.zeros((0, 5))).shape == (0,)


@pytest.mark.parametrize("name", ["quantile", "quantile_inverted", "whisker", "whisker_lower"])
def test_the_order_of_scores_does_not_matter(name):
    threshold = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, 11)).round(1)  # with ties, and zeros of both signs
    base = threshold(scores)
    for _ in range(5):
        assert_same_bits(threshold(rng.permuted(scores, axis=1)), base)


@every_function
def test_results_do_not_depend_on_batches_or_threads(threshold, num_threads):
    scores = np.random.default_rng(2).normal(size=(90, 25))
    whole = threshold(scores, num_threads=1)
    assert whole.shape == (90,)
    assert whole.dtype == np.float64
    parts = [threshold(scores[i : i + 7], num_threads=num_threads) for i in range(0, 90, 7)]
    assert_same_bits(np.concatenate(parts), whole)
    assert_same_bits(threshold(scores, num_threads=num_threads), whole)


def test_thresholds_are_the_bits_of_their_formulas():
    """Scalar float64 steps in the stated order; nothing else may decide."""
    scores = np.random.default_rng(3).normal(size=(50, 9))
    for row, found in zip(scores, mean_plus_sd(scores, 1.25), strict=True):
        # Any power of two may scale a row; none changes a bit. From Python 3.12 on the built-in sum
        # of floats compensates for rounding, which is not what the formula says.
        mean = row[0] + reduce(add, (float(s - row[0]) for s in row), 0.0) / 9
        squares = reduce(add, (float((s - mean) * (s - mean)) for s in row), 0.0)
        assert found == mean + 1.25 * math.sqrt(squares / 8)


# --- bad input ------------------------------------------------------------------------------------


@every_function
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_scores_are_named(threshold, value):
    scores = np.zeros((5, 4))
    scores[3, 2] = value
    with pytest.raises(ValueError, match=r"scores: row 3, column 2 is -?inf"):
        threshold(scores)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: quantile(s, 1.5), ValueError, "q: must be from 0 to 1"),
        (lambda s: quantile(s, np.nan), ValueError, "q: must be finite"),
        (lambda s: quantile(s, 0.5, method="nearest"), ValueError, "method: expected one of"),
        (lambda s: whisker(s, -1.0), ValueError, "w: must be at least 0"),
        (lambda s: whisker(s, side="up"), ValueError, "side: expected one of"),
        (lambda s: mean_plus_sd(s, np.inf), ValueError, "c: must be finite"),
        (lambda s: mean_plus_sd(s, "1"), TypeError, "c: expected a number"),
        (lambda s: mean_plus_sd(s, ddof=-1), ValueError, "ddof: must be at least 0"),
        (lambda s: mean_plus_sd(s, ddof=0.5), TypeError, "ddof: expected an integer"),
        (lambda s: mean_plus_sd(s[0]), ValueError, "scores: expected shape"),
        (lambda s: mean_plus_sd(s > 0), TypeError, "scores: expected real numbers"),
    ],
)
def test_bad_parameters_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.zeros((2, 3)))
