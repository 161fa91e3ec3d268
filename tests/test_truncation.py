# SPDX-License-Identifier: Apache-2.0
"""Support truncation: worked numbers, the definitions in fractions, and what is never cut."""

import math
from fractions import Fraction

import numpy as np
import pytest
from compare import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.truncation import epsilon, eta, min_p, top_p

P = [0.5, 0.25, 0.15, 0.06, 0.04]
RULES = {"min_p": min_p, "top_p": top_p, "epsilon": epsilon, "eta": eta}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def kept(rule, weights, limit, **more):
    """Return the columns of one row that are kept."""
    found = rule([weights], limit, probabilities=True, **more)[0]
    return np.flatnonzero(found > -np.inf).tolist()


# --- worked numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "limit", "number"),
    [
        (min_p, 0.1, 4),
        (min_p, 0.2, 3),
        (min_p, 0.12, 4),  # .06 is just .12 * .5: equality is kept
        (min_p, 1.0, 1),
        (min_p, 0.0, 5),
        (top_p, 0.5, 1),  # reached exactly
        (top_p, 0.51, 2),
        (top_p, 0.75, 2),
        (top_p, 0.9, 3),
        (top_p, 0.97, 5),
        (top_p, 0.0, 1),
        (top_p, 1.0, 5),
        (epsilon, 0.05, 4),
        (epsilon, 0.06, 4),
        (epsilon, 0.0601, 3),
        (epsilon, 0.9, 1),  # nothing is as likely: the likeliest stays
        (eta, 0.05, 4),
        # sqrt(.3) exp(-1.275275) = .153004
        (eta, 0.3, 2),
        (eta, 0.28, 3),
    ],
)
def test_worked_numbers(rule, limit, number):
    assert kept(rule, P, limit) == list(range(number))
    shuffled = np.array(P)[[3, 1, 4, 0, 2]]
    assert sorted(shuffled[kept(rule, shuffled, limit)]) == sorted(P[:number])
    from_logs = rule(np.log([P]), limit)
    if limit not in (0.12, 0.06, 0.5, 0.75):  # equality does not survive np.log
        assert (from_logs > -np.inf).sum() == number


def test_the_entropy_and_threshold_of_eta_as_worked_out():
    entropy = -sum(p * math.log(p) for p in P)
    assert round(entropy, 6) == 1.275275
    assert round(math.sqrt(0.05) * math.exp(-entropy), 6) == 0.062465
    # The smallest limit that cuts .15 is where sqrt(limit) * exp(-H) = .15.
    turn = (0.15 * math.exp(entropy)) ** 2
    assert len(kept(eta, P, turn * (1 - 1e-12))) == 3
    assert len(kept(eta, P, turn * (1 + 1e-12))) == 2


@pytest.mark.parametrize("items", [1, 2, 3, 7, 100])
def test_eta_keeps_all_of_a_uniform_row(items):
    for limit in (0.01, 0.5, 1.0):
        assert len(kept(eta, [1 / items] * items, limit)) == items
        assert (eta(np.full((1, items), -3.7), limit) > -np.inf).all()


def test_ties():
    weights = [1, 4, 4, 2, 4, 1]
    assert kept(min_p, weights, 1.0) == [1, 2, 4]
    assert kept(min_p, weights, 0.5) == [1, 2, 3, 4]
    assert kept(epsilon, weights, 0.25) == [1, 2, 4]
    # A nucleus takes ties from the left until it has enough: 8 of 16, then more.
    assert kept(top_p, weights, 0.5) == [1, 2]
    assert kept(top_p, weights, 0.51) == [1, 2, 4]
    assert kept(top_p, weights, 0.9) == [0, 1, 2, 3, 4]


def test_min_p_is_a_margin_to_the_best_log_weight():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 30)) * 4
    for limit in (0.05, 0.3, 0.9):
        found = min_p(scores, limit)
        within = scores >= scores.max(axis=1, keepdims=True) + math.log(limit)
        assert_same_bits(found, np.where(within, scores, -np.inf))


# --- what is never cut ----------------------------------------------------------------------------


@every_rule
def test_the_likeliest_items_stay(rule):
    limit = 0.0 if rule is top_p else 1.0
    weights = [1, 5, 0, 3, 5.5, 3]
    # exp(-entropy) is at most the greatest probability, and here less than the second.
    assert kept(rule, weights, limit) == ([1, 4] if rule is eta else [4])
    assert kept(rule, weights, limit, min_keep=2) == [1, 4]
    assert kept(rule, weights, limit, min_keep=3) == [1, 3, 4]  # of two equal ones the left
    assert kept(rule, weights, limit, min_keep=99) == [0, 1, 3, 4, 5]


@every_rule
def test_rows_without_items_stay_empty(rule):
    logs = [[-np.inf] * 3, [-np.inf, 2.0, -np.inf]]
    assert rule(logs, 0.5).tolist() == logs
    weights = rule([[0.0] * 3, [0, 1.0, 0]], 0.5, probabilities=True)
    assert weights.tolist() == [[-np.inf] * 3, [-np.inf, 0.0, -np.inf]]
    assert rule(np.zeros((0, 4)), 0.5).shape == (0, 4)
    assert rule(np.zeros((3, 0)), 0.5).shape == (3, 0)


@every_rule
def test_items_that_do_not_exist_change_nothing(rule):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(20, 9)) * 2
    padded = np.full((20, 14), -np.inf)
    padded[:, [1, 2, 3, 5, 6, 8, 9, 10, 13]] = rows
    for limit in (0.02, 0.3, 0.8):
        found = rule(padded, limit)
        assert_same_bits(found[:, [1, 2, 3, 5, 6, 8, 9, 10, 13]], rule(rows, limit))
        assert (found[:, [0, 4, 7, 11, 12]] == -np.inf).all()


@every_rule
def test_what_is_kept_keeps_its_log_weight(rule):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(20, 9)).astype(np.float32) * 3
    found = rule(rows, 0.1)
    assert found.dtype == np.float64
    stays = found > -np.inf
    assert_same_bits(found[stays], rows.astype(np.float64)[stays])
    weights = np.exp(rows.astype(np.float64))
    logs = rule(weights, 0.1, probabilities=True)
    np.testing.assert_allclose(logs[stays], np.log(weights)[stays], rtol=1e-15, atol=1e-15)


# --- against the definitions ----------------------------------------------------------------------


def by_definition(rule, weights, limit, min_keep):
    """Return the columns a rule keeps, in fractions (eta: its threshold is a float)."""
    items = sorted((j for j, w in enumerate(weights) if w), key=lambda j: (-weights[j], j))
    total = sum(map(Fraction, weights))
    p = {j: Fraction(weights[j]) / total for j in items}
    limit = Fraction(limit)
    if rule is min_p:
        stays = {j for j in items if p[j] >= limit * p[items[0]]}
    elif rule is top_p:
        stays = {j for i, j in enumerate(items) if sum(p[k] for k in items[:i]) < limit}
    else:
        if rule is eta:
            entropy = -sum(float(q) * math.log(q) for q in p.values())
            limit = min(limit, Fraction(math.sqrt(limit) * math.exp(-entropy)))
            if any(abs(float(q) - float(limit)) < 1e-12 for q in p.values()):
                return None  # too close to call in float64
        stays = {j for j in items if p[j] >= limit}
    return sorted(stays | set(items[:min_keep]))


@every_rule
@given(
    weights=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    eighths=st.integers(0, 64),
    min_keep=st.integers(1, 3),
    scale=st.integers(-1000, 1000),
)
def test_rules_equal_their_definitions(rule, weights, eighths, min_keep, scale):
    """Small integers and a limit of few bits, so that float64 is exact and equality is met."""
    limit = eighths / 64
    expected = by_definition(rule, weights, limit, min_keep) if any(weights) else []
    if expected is None:
        return
    scaled = [math.ldexp(w, scale) for w in weights]
    assert kept(rule, scaled, limit, min_keep=min_keep) == expected


@every_rule
@given(data=st.data())
def test_logarithms_and_probabilities_agree(rule, data):
    shape = st.integers(1, 20)
    rows = np.random.default_rng(data.draw(st.integers(0, 2**32))).normal(
        size=(data.draw(shape), data.draw(shape))
    )
    rows *= data.draw(st.sampled_from([0.1, 2.0, 20.0]))
    limit = data.draw(st.floats(0.001, 0.999))
    from_logs = rule(rows, limit) > -np.inf
    from_weights = rule(np.exp(rows - rows.max()), limit, probabilities=True) > -np.inf
    assert (from_logs == from_weights).all()


@every_rule
def test_rows_of_extreme_weights(rule):
    for shift in (0.0, -1e300, 1e300):
        rows = np.array([[0.0, -1e5, -750, -1e308, -np.inf]])
        rows[0, :3] += shift
        rows[0, 3] = -1e308
        assert (rule(rows, 0.5) > -np.inf).any()
    weights = np.array([[1e308, 1e308, 1e-300, 5e-324]])
    assert kept(rule, weights[0], 0.4) == ([0] if rule is top_p else [0, 1])
    assert kept(rule, weights[0], 1.0 if rule is top_p else 0.0) == [0, 1, 2, 3]
    assert kept(rule, [5e-324, 1e-323, 0], 0.6) == [1]


@every_rule
def test_results_do_not_depend_on_batches_or_threads(rule, num_threads):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(90, 25)) * 3
    whole = rule(rows, 0.1, num_threads=1)
    parts = [rule(rows[i : i + 7], 0.1, num_threads=num_threads) for i in range(0, 90, 7)]
    assert_same_bits(np.concatenate(parts), whole)
    assert_same_bits(rule(rows, 0.1, num_threads=num_threads), whole)


# --- bad input ------------------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize(
    ("value", "probabilities"),
    [(np.nan, False), (np.inf, False), (np.nan, True), (np.inf, True), (-0.1, True)],
)
def test_bad_values_are_named_with_row_and_column(rule, value, probabilities):
    rows = np.full((5, 4), 0.25)
    rows[3, 2] = value
    with pytest.raises(ValueError, match=r"weights: row 3, column 2 is (nan|inf|-0\.1)"):
        rule(rows, 0.1, probabilities=probabilities)


@every_rule
def test_bad_parameters_are_named(rule):
    rows = np.zeros((2, 3))
    name = "epsilon" if rule is eta else rule.__name__
    for limit in (-0.01, 1.01):
        with pytest.raises(ValueError, match=f"^{name}: must be from 0 to 1"):
            rule(rows, limit)
    with pytest.raises(ValueError, match=f"^{name}: must be finite"):
        rule(rows, np.nan)
    with pytest.raises(TypeError, match=f"^{name}: expected a number"):
        rule(rows, "0.1")
    with pytest.raises(ValueError, match="min_keep: must be at least 1"):
        rule(rows, 0.1, min_keep=0)
    with pytest.raises(TypeError, match="probabilities: expected True or False"):
        rule(rows, 0.1, probabilities=1)
    with pytest.raises(ValueError, match="log_weights: expected shape"):
        rule(rows[0], 0.1)
    with pytest.raises(TypeError, match="log_weights: expected real numbers"):
        rule(rows.astype(complex), 0.1)
