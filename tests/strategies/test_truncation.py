# SPDX-License-Identifier: Apache-2.0
"""Strategies that truncate the softmax of a pool: min-p, top-p, epsilon, eta."""

import math

import numpy as np
import pytest
from compare import assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import SEEDS, assert_follows, draws_of, pool_of, successive
from nearmiss import truncation
from nearmiss.strategies import Epsilon, Eta, MinP, Softmax, TopP, parse

P = (0.5, 0.25, 0.15, 0.06, 0.04)
T = 0.5
SCORES = T * np.log(np.array(P))  # so that softmax(s / T) is P
ENTROPY = 1.275275
WORKED = [
    (MinP(9, T, 0.1), 4),
    (MinP(9, T, 0.2), 3),
    (MinP(9, T, 1), 1),
    (MinP(9, T, 0), 5),
    (TopP(9, T, 0.7), 2),
    (TopP(9, T, 0.9), 3),
    (TopP(9, T, 1), 5),
    (Epsilon(9, T, 0.05), 4),
    (Epsilon(9, T, 0.1), 3),
    (Epsilon(9, T, 0.9), 1),
    (Eta(9, T, 0.05), 4),  # min(0.05, √0.05 exp(-H) = 0.0625)
    (Eta(9, T, 0.8), 2),  # √0.8 exp(-H) = 0.24986, just below a quarter
    (Eta(9, T, 0.9), 1),  # √0.9 exp(-H) = 0.26502, just above
]
MAKERS = {
    "min_p": lambda limit, temperature: MinP(9, temperature, limit),
    "top_p": lambda limit, temperature: TopP(9, temperature, limit),
    "epsilon": lambda limit, temperature: Epsilon(9, temperature, limit),
    "eta": lambda limit, temperature: Eta(9, temperature, limit),
}
every_rule = pytest.mark.parametrize("rule", MAKERS)


def kept(strategy, scores=SCORES):
    return int((strategy.log_weights(pool_of(scores))[0] > -np.inf).sum())


def test_the_worked_entropy():
    assert math.isclose(-sum(p * math.log(p) for p in P), ENTROPY, abs_tol=5e-7)
    assert math.isclose(math.sqrt(0.05) * math.exp(-ENTROPY), 0.0624655, abs_tol=5e-7)


@pytest.mark.parametrize(("strategy", "number"), WORKED, ids=str)
def test_worked_numbers(strategy, number):
    assert kept(strategy) == number


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "strategy", [MinP(9, T, 0.2), TopP(9, T, 0.8), Epsilon(9, T, 0.1), Eta(9, T, 0.15)], ids=str
)
def test_law(strategy, seed):
    """The three likeliest, in proportion to their probabilities."""
    found = draws_of(strategy, SCORES, np.nan, 2, seed)
    assert_follows(found, successive(P[:3], 2))


def test_biased_draws_are_refused():
    chances = successive(P[:3], 2)
    for seed in SEEDS:
        untruncated = draws_of(Softmax(9, beta=1 / T), SCORES, np.nan, 2, seed)
        assert rejects(assert_follows, untruncated, chances)
        flatter = draws_of(TopP(9, 1.2 * T, 0.7), SCORES, np.nan, 2, seed)
        assert rejects(assert_follows, flatter, chances)


@every_rule
@pytest.mark.parametrize("limit", [0.0, 0.03, 0.3, 1.0])
def test_all_equal_scores(rule, limit):
    number = kept(MAKERS[rule](limit, T), [0.25] * 8)
    if rule in ("min_p", "eta"):
        assert number == 8  # the rule adapts
    elif rule == "top_p":
        assert number == max(1, math.ceil(8 * limit))
    else:
        assert number == (8 if limit <= 1 / 8 else 1)


@given(
    st.sampled_from(sorted(MAKERS)),
    st.lists(st.tuples(st.floats(-5, 5, width=32), st.booleans()), max_size=9),
    st.sampled_from((0.0, 0.04, 0.5, 0.97, 1.0)),
    st.sampled_from((1e-200, 0.1, 1.0, 1e10)),
)
def test_what_may_not_be_a_negative_has_no_part_in_it(rule, rows, limit, temperature):
    """The rule sees the admissible rows, and them only."""
    rows = sorted(rows, key=lambda row: -row[0])
    scores = np.array([score for score, _ in rows], np.float32)
    pool = pool_of(scores)
    pool.admissible[0] = [allowed for _, allowed in rows]
    found = MAKERS[rule](limit, temperature).log_weights(pool)[0]
    allowed = pool.admissible[0]
    alone = scores[allowed].astype(np.float64)[None] / temperature
    assert_same_bits(found[allowed], getattr(truncation, rule)(alone, limit)[0])
    assert (found[~allowed] == -np.inf).all()


@every_rule
def test_short_of_rows_is_short(rule):
    """Nothing that was cut comes back as padding."""
    strategy = MAKERS[rule](0.0 if rule == "top_p" else 1.0, T)
    assert strategy.choose(pool_of(SCORES), 3).columns.tolist() == [[0, -1, -1]]


@every_rule
def test_bad_parameters_are_refused(rule):
    name = MAKERS[rule](0, 1).name
    for temperature in (0, -1):
        with pytest.raises(ValueError, match=f"{name}.temperature: must be at least 1e-200"):
            MAKERS[rule](0.5, temperature)
    for limit in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=name):
            MAKERS[rule](limit, 1)
    with pytest.raises(ValueError, match="needs pool, temperature"):
        parse(name)
