# SPDX-License-Identifier: Apache-2.0
"""Random draws by weight: logarithms, laws, and every draw against its definition.

A law is tested on ordered outcomes, all of which are enumerated (`laws.py`).
"""

import math
import pickle
import re
from decimal import Decimal, localcontext
from itertools import product

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_law, assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import SEEDS, assert_follows, successive
from nearmiss import _core

TARGETS = _core.simd_targets()
STREAM_POOL, STREAM_COMPLEMENT, STREAM_ALIAS = 1, 4, 5
WORD2VEC = [0.826822, 0.147032, 0.026146]


# --- logarithm and exponential --------------------------------------------------------------------


def numbers_of_every_kind():
    rng = np.random.default_rng(0)
    with np.errstate(over="ignore"):
        return np.concatenate(
            [
                rng.random(600),
                1 + rng.normal(size=400) * 10.0 ** rng.uniform(-16, -1, 400),
                np.exp(rng.uniform(-708, 708, 400)),
                rng.random(100) * 2.0**-1022,
                [2.0**-1074, 2.0**-1022, 1 - 2.0**-53, 1 + 2.0**-52, np.finfo(float).max],
                [math.sqrt(0.5), math.sqrt(2), np.nextafter(math.sqrt(0.5), 0), 2.0**-53],
            ]
        )


def units_off(found, exact):
    """How many units in the last place of the exact value (a Decimal) a float64 is off."""
    unit = Decimal(float(np.spacing(abs(float(exact)))))
    return float(abs(Decimal(found) - exact) / unit)


@pytest.mark.parametrize("target", TARGETS)
def test_logarithms_are_within_their_bound(simd_target, target):
    simd_target(target)
    x = np.abs(numbers_of_every_kind())
    with localcontext() as context:
        context.prec = 60
        exact = [Decimal(value).ln() for value in x.tolist()]
        found = _core.log(x).tolist()
        assert max(map(units_off, found, exact)) < 1
        # The control: the next number above is too far away for some.
        assert max(map(units_off, np.nextafter(found, np.inf).tolist(), exact)) > 1


@pytest.mark.parametrize("target", TARGETS)
def test_exponentials_are_within_their_bound(simd_target, target):
    simd_target(target)
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-708, 709.7, 900), rng.uniform(-1, 1, 900)])
    tiny = rng.uniform(-745, -708.5, 300)
    with localcontext() as context:
        context.prec = 60
        for numbers, bound in ((x, 1.1), (tiny, 1.6)):
            exact = [Decimal(value).exp() for value in numbers.tolist()]
            assert max(map(units_off, _core.exp(numbers).tolist(), exact)) < bound


@pytest.mark.parametrize("target", TARGETS)
def test_special_values(simd_target, target):
    simd_target(target)
    inf, nan = np.inf, np.nan
    x = np.array([0.0, -0.0, 1.0, -1.0, -(2.0**-1074), inf, -inf, nan])
    assert_same_bits(_core.log(x), np.array([-inf, -inf, 0.0, nan, nan, inf, nan, nan]))
    x = np.array([0.0, -0.0, inf, -inf, nan, 710.0, 1e308, -746.0, -1e308, -745.0])
    expected = np.array([1.0, 1.0, inf, 0.0, nan, inf, inf, 0.0, 0.0, 2.0**-1074])
    assert_same_bits(_core.exp(x), expected)


def test_every_target_has_the_same_bits(simd_target):
    rng = np.random.default_rng(2)
    x = np.concatenate([numbers_of_every_kind(), rng.uniform(-800, 800, 1001)])
    found = []
    for target in TARGETS:
        simd_target(target)
        found.append((_core.log(x), _core.exp(x)))
    for logs, exps in found[1:]:
        assert_same_bits(logs, found[0][0])
        assert_same_bits(exps, found[0][1])


# --- by weight, without replacement ---------------------------------------------------------------


def draw_rows(weights, drawn, seed, rows=20_000, **keywords):
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(weights, float))
    return nm.sampling.weighted(np.tile(logs, (rows, 1)), drawn, seed=seed, **keywords)


POOLS = [((5, 3, 2), 2), ((1, 1, 1, 1), 2), ((8, 4, 2, 1, 0.5, 0.25), 3), ((1, 0, 2), 2)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("weights", "drawn"), POOLS)
def test_ordered_outcomes_of_weighted_draws(weights, drawn, seed):
    assert_follows(draw_rows(weights, drawn, seed).indices, successive(weights, drawn))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_biased_sampler_is_refused(seed):
    """One weight of three 12 % too high; and the loop of SimANS, which sorts what it has drawn."""
    chances = successive((5, 3, 2), 2)
    assert rejects(assert_follows, draw_rows((5.6, 3, 2), 2, seed).indices, chances)
    assert rejects(assert_follows, np.sort(draw_rows((5, 3, 2), 2, seed).indices), chances)


def test_inclusion_probabilities_of_successive_draws():
    """0.5, 0.3, 0.2 and two draws: the worked example that tells the design from others."""
    chances = successive((0.5, 0.3, 0.2), 2)
    inclusion = [sum(c for o, c in chances.items() if i in o) for i in range(3)]
    assert np.allclose(inclusion, [0.839286, 0.675, 0.485714], atol=5e-7)
    found = draw_rows((0.5, 0.3, 0.2), 2, 7, rows=200_000).indices
    assert np.allclose(np.bincount(found.ravel()) / 200_000, inclusion, atol=5e-3)


def reference_keys(log_weights, ids, query_ids, seed, epoch):
    """Log-weights plus noise as the documentation defines it."""
    n, p = log_weights.shape
    counters = np.where(ids < 0, 0, ids).ravel()
    bits = _core.random_bits(seed, STREAM_POOL, epoch, np.repeat(query_ids, p), counters)
    u = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    gumbel = -_core.log(-_core.log(u)).reshape(n, p)
    return np.where(ids < 0, -np.inf, log_weights + gumbel)


def reference_weighted(log_weights, drawn, ids, query_ids, seed, epoch):
    keys = reference_keys(log_weights, ids, query_ids, seed, epoch)
    order = np.lexsort((ids, -keys), axis=1)
    columns = np.full((len(keys), drawn), -1)
    found = min(drawn, keys.shape[1])
    columns[:, :found] = order[:, :found]
    counts = np.minimum((keys > -np.inf).sum(axis=1), drawn)
    columns[np.arange(drawn) >= counts[:, None]] = -1
    return columns, counts


@st.composite
def weighted_problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from((0, 1, 2, 5)))
    p = draw(st.sampled_from((0, 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 200, 257, 300)))
    kind = draw(st.sampled_from(("normal", "equal", "huge", "tiny", "extreme", "gone")))
    weights = rng.normal(size=(n, p))
    if kind == "equal":
        weights[:] = -3.5
    elif kind in ("huge", "tiny"):
        weights *= 1e300 if kind == "huge" else 1e-300
    elif kind == "extreme":
        weights = rng.choice([np.finfo(float).max, -np.finfo(float).max, 0.0], (n, p))
    elif kind == "gone":
        weights[rng.random((n, p)) < 0.9] = -np.inf
    ids = None
    if draw(st.booleans()):
        largest = draw(st.sampled_from((400, 2**33, 2**63 - 1)))
        ids = np.stack(
            [rng.choice(400, p, replace=False) * (largest // 400) for _ in range(n)]
        ).astype(np.int64) if n and p else np.zeros((n, p), np.int64)  # fmt: skip
        none = rng.random((n, p)) < 0.2
        ids[none], weights[none] = -1, np.nan
    drawn = draw(st.sampled_from((1, 2, 15, 24, 25, 48, 49, 100, p + 2)))
    return weights, drawn, ids, rng.permutation(10**6)[:n], int(rng.integers(2**63))


@given(weighted_problems())
def test_weighted_equals_its_definition(problem):
    weights, drawn, ids, query_ids, seed = problem
    found = nm.sampling.weighted(
        weights, drawn, ids=ids, query_ids=query_ids, seed=seed, epoch=3, return_log_probs=True
    )
    columns = np.arange(weights.shape[1]) + np.zeros((len(weights), 1), np.int64)
    expected = reference_weighted(
        weights, drawn, columns if ids is None else ids, query_ids, seed, 3
    )
    assert_same_bits(found.indices, expected[0])
    assert_same_bits(found.counts, expected[1])
    assert found.log_probs.shape == found.indices.shape
    assert (np.isnan(found.log_probs) == (found.indices < 0)).all()
    assert np.nanmax(found.log_probs, initial=-1) <= 1e-12


def test_long_rows_are_drawn_from_in_pieces():
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(3, 20_011))
    columns = np.tile(np.arange(20_011), (3, 1))
    for drawn in (1, 30, 700, 20_011):
        found = nm.sampling.weighted(weights, drawn, seed=1)
        expected = reference_weighted(weights, drawn, columns, np.arange(3), 1, 0)
        assert_same_bits(found.indices, expected[0])


def test_equal_sums_go_to_the_lower_id():
    """Where weights are so large that noise is lost in them."""
    found = nm.sampling.weighted(np.full((1, 4), 1e300), 3, ids=[[9, 2, -1, 5]])
    assert found.indices.tolist() == [[1, 3, 0]]


def test_noise_belongs_to_the_candidate():
    """More candidates, or others in between, leave the order of the rest as it was."""
    rng = np.random.default_rng(4)
    weights, ids = rng.normal(size=(30, 40)), np.tile(np.arange(40), (30, 1))
    whole = nm.sampling.weighted(weights, 40).indices
    some = nm.sampling.weighted(weights[:, ::3], 14, ids=ids[:, ::3]).indices * 3
    for row, kept in zip(whole, some, strict=True):
        assert [c for c in row if c % 3 == 0] == kept.tolist()


def test_fewer_draws_are_the_first_of_more():
    weights = np.random.default_rng(5).normal(size=(20, 300))
    most = nm.sampling.weighted(weights, 60, return_log_probs=True)
    for drawn in (1, 20, 30):
        found = nm.sampling.weighted(weights, drawn, return_log_probs=True)
        assert_same_bits(found.indices, most.indices[:, :drawn])
        assert np.allclose(found.log_probs, most.log_probs[:, :drawn], rtol=0, atol=1e-13)


def test_log_probabilities():
    weights = (5, 3, 2, 0)
    chances = successive(weights, 2)
    found = draw_rows(weights, 2, 0, rows=50, return_log_probs=True)
    for row, logs in zip(found.indices.tolist(), found.log_probs, strict=True):
        assert math.isclose(math.exp(logs.sum()), chances[tuple(row)], rel_tol=1e-14)
    assert draw_rows(weights, 2, 0, rows=1).log_probs is None


@pytest.mark.parametrize("shift", [0.0, 700.0, -1e5, 1e8])
def test_log_probabilities_of_weights_far_apart(shift):
    """Against exact arithmetic; nothing is lost where the heaviest goes first."""
    logs = np.array([[0.0, -40.0, -800.0, -801.0, -5000.0, -np.inf]]) + shift
    found = nm.sampling.weighted(logs, 6, return_log_probs=True)
    assert found.counts.tolist() == [5]
    with localcontext() as context:
        context.prec = 60
        left = {c: (Decimal(logs[0, c]) - Decimal(logs[0, 0])).exp() for c in range(5)}
        for column, log in zip(found.indices[0, :5], found.log_probs[0, :5], strict=True):
            exact = float((left[column] / sum(left.values())).ln())
            assert math.isclose(log, exact, rel_tol=1e-15, abs_tol=1e-15)
            del left[column]


def test_rows_with_too_little_to_draw():
    inf = np.inf
    logs = np.array([[-inf, -inf, -inf], [0.0, -inf, -inf], [0.0, 1.0, -inf], [0.0, 0.0, 0.0]])
    found = nm.sampling.weighted(logs, 2, return_log_probs=True)
    assert found.counts.tolist() == [0, 1, 2, 2]
    assert found.indices[:2].tolist() == [[-1, -1], [0, -1]]
    assert found.log_probs[1, 0] == 0
    assert np.isnan(found.log_probs[0]).all()
    empty = nm.sampling.weighted(np.zeros((0, 3)), 2, return_log_probs=True)
    assert empty.indices.shape == empty.log_probs.shape == (0, 2)
    assert nm.sampling.weighted(np.zeros((2, 0)), 1).counts.tolist() == [0, 0]


# --- with replacement -----------------------------------------------------------------------------


def reference_below(bits, bound):
    """Lemire's bounded integers from an iterator of 64 bits."""
    while True:
        product = next(bits) * bound
        if product % 2**64 >= 2**64 % bound:
            return product >> 64


def bits_of(stream, query_id, seed, epoch):
    counter = 0
    while True:
        ids = np.full(64, query_id)
        yield from map(
            int, _core.random_bits(seed, stream, epoch, ids, np.arange(counter, counter + 64))
        )
        counter += 64


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weights", [(5, 3, 2), (1, 1e-3, 0, 7), (1,), (1, 1, 1, 1, 1, 1)])
def test_ordered_outcomes_of_alias_tables(weights, seed):
    table = nm.sampling.AliasTable(weights)
    found = table.draw(2, seed=seed, query_ids=np.arange(20_000))
    chances = successive(weights, 2, replace=True)
    frequent = {o: c for o, c in chances.items() if c * 20_000 > 5}
    rare = np.array([tuple(row) not in frequent for row in found.tolist()])
    assert rare.sum() <= 10 + 3 * 20_000 * (1 - sum(frequent.values()))
    total = sum(frequent.values())
    if len(frequent) > 1:
        assert_follows(found[~rare], {o: c / total for o, c in frequent.items()})


@pytest.mark.parametrize("seed", SEEDS)
def test_an_alias_table_of_other_weights_is_refused(seed):
    found = nm.sampling.AliasTable((5.6, 3, 2)).draw(2, seed=seed, query_ids=np.arange(20_000))
    assert rejects(assert_follows, found, successive((5, 3, 2), 2, replace=True))


def test_popularity_of_word2vec():
    table = nm.sampling.AliasTable.from_counts([100, 10, 1])
    assert np.allclose(table.probabilities, WORD2VEC, atol=5e-7)
    found = table.draw(1_000_000, seed=3)
    assert_law(np.bincount(found[0]), table.probabilities * 1_000_000)
    control = nm.sampling.AliasTable.from_counts([100, 10, 1], power=0.76).draw(1_000_000, seed=3)
    assert rejects(assert_law, np.bincount(control[0]), table.probabilities * 1_000_000)


def test_powers_of_counts():
    make = nm.sampling.AliasTable.from_counts
    assert make([3, 0, 1], power=1).probabilities.tolist() == [0.75, 0.0, 0.25]
    assert make([3, 0, 1], power=0).probabilities.tolist() == [1 / 3] * 3
    assert make([3, 0, 1], power=0.75).probabilities[1] == 0
    assert np.allclose(make([4, 1], power=-0.5).probabilities, [1 / 3, 2 / 3], atol=1e-15)
    assert np.allclose(make([1e300, 1e-300], power=2).probabilities, [1, 0])


def test_probabilities_are_exact_for_integers():
    counts = np.random.default_rng(6).integers(0, 10**6, 1000)
    assert_same_bits(
        nm.sampling.AliasTable(counts).probabilities, counts / np.float64(counts.sum())
    )
    assert_same_bits(
        nm.sampling.AliasTable(counts * 2.0**-1000).probabilities, counts / np.float64(counts.sum())
    )


def test_alias_tables_are_reproducible():
    weights = np.random.default_rng(7).random(97)
    table = nm.sampling.AliasTable(weights)
    ids = np.random.default_rng(8).permutation(10**6)[:40]
    whole = table.draw(9, 5, 2, ids, num_threads=1)
    assert whole.shape == (40, 9)
    assert_same_bits(table.draw(9, 5, 2, ids, num_threads=2), whole)
    assert_same_bits(table.draw(4, 5, 2, ids), whole[:, :4])
    assert_same_bits(table.draw(9, 5, 2, ids[13:20]), whole[13:20])
    again = pickle.loads(pickle.dumps(table))
    assert_same_bits(again.draw(9, 5, 2, ids), whole)
    assert len(again) == 97
    assert repr(again) == "AliasTable(97 items)"
    for other in (table.draw(9, 6, 2, ids), table.draw(9, 5, 3, ids)):
        assert (other != whole).mean() > 0.9
    assert_same_bits(table.draw(3), table.draw(3, query_ids=[0]))


# --- from the complement --------------------------------------------------------------------------


def reference_complement(num_items, lists, drawn, replace, weights, query_ids, seed, epoch):
    """One draw at a time, by counting through what is left. `weights` are integers."""
    masses = [1] * num_items if weights is None else weights
    rows = []
    for excluded, query_id in zip(lists, query_ids, strict=True):
        bits = bits_of(STREAM_COMPLEMENT, query_id, seed, epoch)
        left = [i for i in range(num_items) if i not in set(excluded)]
        row = []
        while len(row) < drawn and sum(masses[i] for i in left) > 0:
            unit = reference_below(bits, sum(masses[i] for i in left))
            for item in left:
                if unit < masses[item]:
                    break
                unit -= masses[item]
            row.append(item)
            if not replace:
                left.remove(item)
        rows.append(row + [-1] * (drawn - len(row)))
    return np.array(rows, np.int64).reshape(-1, drawn)


def exact_masses(counts):
    """Integers that add up to 2^61 to 2^62, as the core makes them of integers."""
    scale = 62 - int(sum(counts)).bit_length()
    return [int(c) << scale for c in counts]


@st.composite
def complements(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, n = draw(st.sampled_from((1, 2, 3, 7, 40))), draw(st.sampled_from((0, 1, 4)))
    share = draw(st.sampled_from((0.0, 0.3, 0.9, 1.0)))
    lists = [np.flatnonzero(rng.random(m) < share).tolist() for _ in range(n)]
    drawn = draw(st.sampled_from((1, 3, 70)))
    return m, lists, drawn, rng.permutation(10**6)[:n], int(rng.integers(2**63)), rng


@given(complements(), st.booleans())
def test_weighted_complement_equals_its_definition(problem, replace):
    m, lists, drawn, query_ids, seed, rng = problem
    counts = rng.integers(0, 5, m)
    counts[rng.integers(m)] = 3
    found = nm.sampling.complement(
        m,
        lists,
        drawn,
        weights=counts,
        replace=replace,
        query_ids=query_ids,
        seed=seed,
        epoch=2,
    )
    expected = reference_complement(
        m, lists, drawn, replace, exact_masses(counts), query_ids.tolist(), seed, 2
    )
    assert_same_bits(found.indices, expected)
    assert_same_bits(found.counts, (expected >= 0).sum(axis=1))


@given(complements())
def test_uniform_complement_equals_its_definition(problem):
    m, lists, drawn, query_ids, seed, _ = problem
    found = nm.sampling.complement(
        m, lists, drawn, replace=True, query_ids=query_ids, seed=seed, epoch=2
    )
    expected = reference_complement(m, lists, drawn, True, None, query_ids.tolist(), seed, 2)
    assert_same_bits(found.indices, expected)
    assert_same_bits(found.counts, (expected >= 0).sum(axis=1))


@given(complements())
def test_uniform_complement_without_replacement(problem):
    m, lists, drawn, query_ids, seed, _ = problem
    found = nm.sampling.complement(m, lists, drawn, query_ids=query_ids, seed=seed)
    for excluded, row, count in zip(lists, found.indices, found.counts, strict=True):
        left = set(range(m)) - set(excluded)
        assert count == min(drawn, len(left))
        assert (row[count:] == -1).all()
        assert len(set(row[:count])) == count
        assert set(row[:count]) <= left


COMPLEMENTS = [
    (None, False, (1, 1, 1, 1)),
    (None, True, (1, 1, 1, 1)),
    ((9, 4, 0, 2, 50, 1, 3), False, (4, 2, 1, 3)),
    ((9, 4, 0, 2, 50, 1, 3), True, (4, 2, 1, 3)),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("weights", "replace", "left"), COMPLEMENTS)
def test_ordered_outcomes_of_the_complement(weights, replace, left, seed):
    """Of seven items three are excluded: 0, 2 and 4, the first of which is the most popular."""
    rows = np.tile([4, 0, 2], (20_000, 1))
    found = nm.sampling.complement(7, rows, 2, weights=weights, replace=replace, seed=seed).indices
    places = np.array([-1, 0, -1, 1, -1, 2, 3])[found]
    assert_follows(places, successive(left, 2, replace))
    wrong = np.where(places == 0, np.roll(places, 1, axis=0), places)
    assert rejects(assert_follows, wrong, successive(left, 2, replace))


def test_popularity_of_what_is_left():
    counts = [1000, 100, 10, 1]
    found = nm.sampling.complement(
        4, np.zeros(200_000, np.int64), 1, weights=counts, power=0.75, replace=True, seed=1
    ).indices
    assert_law(np.bincount(found.ravel(), minlength=4)[1:], np.array(WORD2VEC) * 200_000)


def test_nothing_is_left():
    for weights, replace in product((None, [1, 2, 3]), (False, True)):
        found = nm.sampling.complement(3, [[0, 1, 2], [0, 2]], 2, weights=weights, replace=replace)
        assert found.counts.tolist() == [0, 2 if replace else 1]
        assert found.indices[0].tolist() == [-1, -1]
    massless = nm.sampling.complement(3, [[0]], 2, weights=[1, 0, 0])
    assert massless.counts.tolist() == [0]


def test_forms_of_exclusions():
    lists = [[0, 5], [], [3]]
    expected = nm.sampling.complement(9, lists, 4, seed=2)
    for form in (
        np.array([[5, 0, -1], [-1, -1, -1], [3, 3, -1]]),
        (np.array([0, 2, 2, 3]), np.array([5, 0, 3])),
        nm.Positives.from_pairs([(2, 3), (0, 0), (0, 5)], num_queries=3),
    ):
        assert_same_bits(nm.sampling.complement(9, form, 4, seed=2).indices, expected.indices)
    pairs = nm.Positives.from_pairs([(2, 3), (0, 0), (0, 5)])
    given_ids = nm.sampling.complement(9, pairs, 4, seed=2, query_ids=np.arange(3))
    assert_same_bits(given_ids.indices, expected.indices)
    scipy = pytest.importorskip("scipy.sparse")
    matrix = scipy.csr_matrix((np.ones(3), ([0, 0, 2], [0, 5, 3])), shape=(3, 9))
    assert_same_bits(nm.sampling.complement(9, matrix, 4, seed=2).indices, expected.indices)
    none = nm.sampling.complement(9, None, 4, query_ids=[4, 7])
    assert none.indices.shape == (2, 4)


def test_complements_of_huge_collections():
    huge = 2**62
    found = nm.sampling.complement(huge, [[0, 1, huge - 1]] * 50, 3, seed=1).indices
    assert found.min() > 1
    assert found.max() < huge - 1
    assert len(np.unique(found)) == found.size


# --- threads, targets, batches --------------------------------------------------------------------


def every_sampler():
    rng = np.random.default_rng(9)
    weights, ids = (
        rng.normal(size=(61, 130)),
        rng.permuted(np.tile(np.arange(300), (61, 1)), axis=1),
    )
    lists = np.sort(rng.integers(0, 500, (61, 12)), axis=1)
    counts = rng.integers(0, 50, 500)
    table = nm.sampling.AliasTable(counts)

    def weighted(rows, **keywords):
        return nm.sampling.weighted(
            weights[rows], 20, ids=ids[rows, :130], return_log_probs=True, **keywords
        )

    def complement(**kind):
        return lambda rows, **keywords: nm.sampling.complement(
            500, lists[rows], 70, **kind, **keywords
        )

    return {
        "weighted": weighted,
        "uniform": complement(replace=True),
        "distinct": complement(),
        "popular": complement(replace=True, weights=counts, power=0.75),
        "popular and distinct": complement(weights=counts),
        "alias": lambda rows, **keywords: (table.draw(30, **keywords),),
    }


@pytest.mark.parametrize("name", every_sampler())
def test_draws_depend_on_nothing_else(simd_target, name):
    sampler = every_sampler()[name]
    ids = np.random.default_rng(10).permutation(10**6)[:61]
    every = np.arange(61)
    expected = sampler(every, query_ids=ids, seed=4, epoch=1, num_threads=1)

    def assert_same(found, rows):
        for a, b in zip(found, expected, strict=True):
            if b is not None:
                assert_same_bits(a, b[rows])

    for target in TARGETS:
        simd_target(target)
        for threads in (1, 2, 7):
            assert_same(sampler(every, query_ids=ids, seed=4, epoch=1, num_threads=threads), every)
        for size in (1, 7):
            for rows in np.array_split(every, len(every) // size):
                assert_same(sampler(rows, query_ids=ids[rows], seed=4, epoch=1), rows)
    for change in ({"seed": 5}, {"epoch": 2}, {"query_ids": ids + 1}):
        other = sampler(every, **{"query_ids": ids, "seed": 4, "epoch": 1, **change})
        assert (other[0] != expected[0]).any(axis=1).mean() > 0.9


# --- bad input ------------------------------------------------------------------------------------

NAN, INF = np.nan, np.inf
WEIGHTED = nm.sampling.weighted
COMPLEMENT = nm.sampling.complement
ALIAS = nm.sampling.AliasTable
BAD = [
    (WEIGHTED, ([[0.0, 1.0], [0.0, NAN]], 1), {}, "log_weights: row 1, column 1 has nan"),
    (WEIGHTED, ([[INF, NAN], [0.0, NAN]], 1), {}, "log_weights: row 0, column 0 has inf"),
    (WEIGHTED, ([0.0, 1.0], 1), {}, "log_weights: expected shape (rows, columns), got (2,)"),
    (WEIGHTED, ([[0.0]], 0), {}, "n: must be at least 1, got 0"),
    (WEIGHTED, ([[0.0]], 1), {"seed": -1}, "seed: must be at least 0, got -1"),
    (WEIGHTED, ([[0.0, 0]], 1), {"ids": [[3, -2]]}, "ids: row 0, column 1 has -2"),
    (WEIGHTED, ([[0.0, 0, 0]], 1), {"ids": [[3, 1, 3]]}, "ids: row 0 holds 3 twice"),
    (WEIGHTED, ([[0.0, 0]], 1), {"ids": [[3]]}, "ids: expected shape (1, 2)"),
    (WEIGHTED, ([[0.0], [0.0]], 1), {"query_ids": [4, 4]}, "queries 0 and 1 have the same id 4"),
    (WEIGHTED, ([[0.0]], 1), {"num_threads": 0}, "num_threads: must be at least 1, got 0"),
    (ALIAS, ([],), {}, "weights: expected at least one that is positive"),
    (ALIAS, ([0.0, 0.0],), {}, "weights: expected at least one that is positive"),
    (ALIAS, ([1.0, -1.0],), {}, "weights: item 1 has -1"),
    (ALIAS, ([1.0, NAN],), {}, "weights: item 1 has nan"),
    (ALIAS, ([1.0, INF],), {}, "weights: item 1 has inf"),
    (ALIAS, ([[1.0]],), {}, "weights: expected a 1-dimensional array"),
    (ALIAS.from_counts, ([1, -2],), {}, "counts: item 1 has -2"),
    (ALIAS.from_counts, ([1, 0], -1), {}, "counts: item 1 has 0, which has no negative power"),
    (ALIAS.from_counts, ([1, 0], NAN), {}, "power: must be finite"),
    (ALIAS.from_counts, ([0, 0],), {}, "weights: expected at least one that is positive"),
    (ALIAS([1.0]).draw, (0,), {}, "num_drawn: must be at least 1, got 0"),
    (ALIAS([1.0]).draw, (1,), {"query_ids": [-1]}, "query_ids: query 0 has -1"),
    (COMPLEMENT, (0, [[]], 1), {}, "num_items: must be at least 1, got 0"),
    (COMPLEMENT, (3, [[]], 0), {}, "num_drawn: must be at least 1, got 0"),
    (COMPLEMENT, (3, [[0], [3]], 1), {}, "excluded: query 1 refers to corpus row 3"),
    (COMPLEMENT, (3, [[0], [-2]], 1), {}, "excluded: query 1 holds -2"),
    (COMPLEMENT, (3, [[0]], 1), {"query_ids": [1, 2]}, "excluded: 1 entries given"),
    (COMPLEMENT, (3, None, 1), {}, "query_ids: needed"),
    (COMPLEMENT, (3, [[0]], 1), {"weights": [1, 2]}, "weights: expected 3, one per item, got 2"),
    (COMPLEMENT, (3, [[0]], 1), {"weights": [1, -2, 0]}, "weights: item 1 has -2"),
    (COMPLEMENT, (3, [[0]], 1), {"weights": [0, 0, 0]}, "weights: expected at least one"),
    (COMPLEMENT, (3, [[0]], 1), {"power": 0.75}, "power: 0.75 needs weights"),
    (
        COMPLEMENT,
        (2, [[0]], 1),
        {"weights": [0, 1], "power": -1},
        "weights: item 0 has 0, which has no negative power",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "keywords", "message"), BAD)
def test_what_cannot_be_used_is_named(function, arguments, keywords, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(*arguments, **keywords)


@pytest.mark.parametrize(
    ("function", "arguments", "keywords"),
    [
        (WEIGHTED, ([["a"]], 1), {}),
        (WEIGHTED, ([[0.0]], 1.5), {}),
        (WEIGHTED, ([[0.0]], True), {}),
        (WEIGHTED, ([[0.0]], 1), {"ids": [[0.5]]}),
        (WEIGHTED, ([[0.0]], 1), {"return_log_probs": 1}),
        (COMPLEMENT, (3, "abc", 1), {}),
        (COMPLEMENT, (3, 7, 1), {}),
        (COMPLEMENT, (3, [["a"]], 1), {}),
        (COMPLEMENT, (3, [[0]], 1), {"replace": 0}),
        (ALIAS, (["a"],), {}),
    ],
)
def test_wrong_types_are_refused(function, arguments, keywords):
    with pytest.raises(TypeError):
        function(*arguments, **keywords)


def test_the_lowest_bad_row_is_named_whatever_the_threads(num_threads):
    weights = np.zeros((5000, 40))
    weights[[4999, 3001, 1234], 7] = NAN
    with pytest.raises(ValueError, match="row 1234, column 7"):
        nm.sampling.weighted(weights, 2, num_threads=num_threads)
