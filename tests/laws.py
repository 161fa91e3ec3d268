# SPDX-License-Identifier: Apache-2.0
"""Laws of random draws: every outcome of a small pool with its probability, and the tests of them.

Outcomes of up to six items are enumerated, so counts of them are a multinomial, whose chi-square is
exact up to the size of the counts. A law is tested on ten fixed seeds, each at a tenth of the level
(Bonferroni); and each such test must refuse draws of a law that is slightly wrong.

Laws are dicts from outcomes to probabilities. An ordered outcome is a tuple of columns in the order
of the draws; a set is a number whose bit j says that column j is in it.
"""

import math
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, permutations, product

import numpy as np
from compare import assert_law
from nearmiss.strategies.pool import Pool, Setting

SEEDS = range(10)
ALPHA = 1e-3 / len(SEEDS)
DRAWS = 20_000


# --- ordered outcomes -----------------------------------------------------------------------------


def successive(weights, drawn, replace=False):
    """Every ordered outcome of drawing by weight among those left, and its probability."""
    chances = {}
    pools = (
        product(range(len(weights)), repeat=drawn)
        if replace
        else permutations(range(len(weights)), drawn)
    )
    for outcome in pools:
        left, chance = sum(weights), 1.0
        for item in outcome:
            chance *= weights[item] / left
            left -= 0 if replace else weights[item]
        if chance > 0:
            chances[outcome] = chance
    return chances


def assert_follows(rows, chances):
    """Demand that ordered outcomes follow their probabilities."""
    places = {outcome: place for place, outcome in enumerate(chances)}
    found = [places.get(tuple(row), -1) for row in rows.tolist()]
    assert min(found) >= 0, "an outcome that has no probability"
    counts = np.bincount(found, minlength=len(places))
    assert_law(counts, np.array(list(chances.values())) * len(rows), ALPHA)


def sets_of(chances):
    """Return the law of the sets of ordered outcomes."""
    law = {}
    for outcome, chance in chances.items():
        law[as_set(outcome)] = law.get(as_set(outcome), 0) + chance
    return law


# --- sets -----------------------------------------------------------------------------------------


def count_sets(indices, num_items):
    """Return how often each set was drawn; a set is a number whose bit j says that j is in it."""
    drawn = np.where(indices >= 0, 1 << np.maximum(indices, 0), 0)
    assert (np.diff(indices, axis=1)[indices[:, 1:] >= 0] > 0).all(), "columns are not ascending"
    return np.bincount(drawn.sum(axis=1), minlength=1 << num_items)


def assert_set_law(counts, law):
    """Demand that counts of sets follow ``law``, probabilities by set; the others never occur."""
    assert math.isclose(sum(law.values()), 1, abs_tol=1e-12)
    sets = sorted(key for key, chance in law.items() if chance > 0)
    assert counts.sum() == counts[sets].sum(), "a set was drawn that has no chance"
    if len(sets) > 1:
        assert_law(counts[sets], [float(law[key]) * counts.sum() for key in sets], ALPHA)


def as_set(columns):
    return sum(1 << column for column in columns)


def marginals(law, num_items):
    return [sum(p for key, p in law.items() if key >> j & 1) for j in range(num_items)]


def conditional_poisson_law(weights, n):
    masses = {
        as_set(columns): math.prod([Fraction(weights[j]) for j in columns], start=Fraction(1))
        for columns in combinations(range(len(weights)), n)
    }
    total = sum(masses.values())
    return {key: mass / total for key, mass in masses.items()}


def fight(a, b):
    """Return the outcomes of a fight as (chance, a's probability after, b's)."""
    total = a + b
    if total < 1:
        return [(a / total, total, Fraction(0)), (b / total, Fraction(0), total)]
    return [
        ((1 - b) / (2 - total), Fraction(1), total - 1),
        ((1 - a) / (2 - total), total - 1, Fraction(1)),
    ]


def pivotal_law(inclusion, pairs_of):
    """Return the law of a pivotal design.

    ``pairs_of(undecided)`` gives who may fight next: (chance, i, j) for each pair.
    """

    @lru_cache(None)
    def law(state):
        undecided = tuple(j for j, p in enumerate(state) if 0 < p < 1)
        if not undecided:
            return {as_set(j for j, p in enumerate(state) if p == 1): Fraction(1)}
        sets = {}
        if len(undecided) == 1:
            (last,) = undecided
            branches = [(state[last], {last: Fraction(1)}), (1 - state[last], {last: Fraction(0)})]
        else:
            branches = [
                (pair_chance * chance, {i: p, j: q})
                for pair_chance, i, j in pairs_of(undecided)
                for chance, p, q in fight(state[i], state[j])
            ]
        for chance, change in branches:
            after = tuple(change.get(j, p) for j, p in enumerate(state))
            for key, p in law(after).items():
                sets[key] = sets.get(key, 0) + chance * p
        return sets

    return law(tuple(Fraction(p) for p in inclusion))


def in_order(inclusion, order=None):
    """Return the law of the pivotal method in an order of the items."""
    place = {j: i for i, j in enumerate(order or range(len(inclusion)))}

    def first_two(undecided):
        i, j = sorted(undecided, key=place.get)[:2]
        return [(Fraction(1), i, j)]

    return pivotal_law(inclusion, first_two)


def in_random_order(inclusion):
    sets = {}
    orders = list(permutations(range(len(inclusion))))
    for order in orders:
        for key, p in in_order(inclusion, order).items():
            sets[key] = sets.get(key, 0) + p / len(orders)
    return sets


def by_neighbours(inclusion, points):
    """Return the law of LPM2 for points on a line."""

    def with_nearest(undecided):
        pairs = []
        for i in undecided:
            others = [j for j in undecided if j != i]
            j = min(others, key=lambda j: (abs(points[i] - points[j]), j))
            pairs.append((Fraction(1, len(undecided)), i, j))
        return pairs

    return pivotal_law(inclusion, with_nearest)


# --- draws of strategies --------------------------------------------------------------------------


def pool_of(scores, positive_score=math.nan, *, copies=1, seed=0, epoch=0, **setting):
    """Return a pool by hand: the same scores, best first, for each of ``copies`` queries.

    Column j holds corpus row j; nan is no row. The queries' ids are their numbers.
    """
    row = np.asarray(scores, np.float32)
    table = np.tile(row, (copies, 1))
    rows = np.tile(np.where(np.isnan(row), -1, np.arange(len(row))), (copies, 1))
    queries = np.arange(copies, dtype=np.int64)
    positive_scores = np.full(copies, positive_score, dtype=np.float32)
    setting = Setting(num_queries=copies, seed=seed, epoch=epoch, num_threads=1, **setting)
    return Pool(queries, queries, table, rows, rows >= 0, positive_scores, 0, setting)


def draws_of(strategy, scores, positive_score, drawn, seed, *, copies=DRAWS):
    """Return the columns a strategy picks from many copies of a pool, as it draws them."""
    return strategy.choose(pool_of(scores, positive_score, copies=copies, seed=seed), drawn).columns
