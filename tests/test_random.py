# SPDX-License-Identifier: Apache-2.0
"""Randomness: the generator's known answers, the laws of the draws, and their independence.

Seeds are fixed, so a test of a law either always passes or always fails. Each is accompanied by
a control: counts that follow a slightly wrong law, which the same check must refuse.
"""

from itertools import combinations

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_law, assert_same_bits, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core

M32 = 0xFFFFFFFF
STREAM_POOL, STREAM_UNIFORM, STREAM_COLUMNS = 1, 2, 3


def philox4x32(counter, key):
    """Philox4x32-10 by Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k0, second & M32, (first >> 32) ^ c[3] ^ k1, first & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return tuple(c)


def words(value):
    value &= 2**64 - 1
    return value & M32, value >> 32


def expected_bits(seed, stream, epoch, query_id, counter):
    """The layout `rng_scheme` 1, which samples recorded by users depend on."""
    key = philox4x32((stream, 0, *words(epoch)), words(seed))[:2]
    block = philox4x32((*words(query_id), *words(counter)), key)
    return block[1] << 32 | block[0]


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((M32,) * 4, (M32,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_reference_gives_the_published_answers(counter, key, answer):
    """Of Random123's kat_vectors."""
    assert philox4x32(counter, key) == answer


@pytest.mark.parametrize(
    ("seed", "stream", "epoch"),
    [(0, 1, 0), (1, 2, 3), (2**63 + 17, 3, 2**40 + 5), (2**64 - 1, 1, 2**63 - 1)],
)
def test_the_core_gives_the_reference_bits(seed, stream, epoch):
    ids = np.array([0, 1, 2**31, 2**32, 2**33 + 7, 2**62, 2**63 - 1], np.int64)
    counters = np.array([0, 5, 2**32 - 1, 2**32, 1, 2**63 - 1, 9], np.int64)
    found = _core.random_bits(seed, stream, epoch, ids, counters)
    expected = [
        expected_bits(seed, stream, epoch, int(i), int(c))
        for i, c in zip(ids, counters, strict=True)
    ]
    assert_same_bits(found, np.array(expected, np.uint64))


def test_bits_are_uniform_and_unrelated_across_every_coordinate():
    """Counts of the top byte, and of agreement of neighbouring draws, in each direction."""
    n = 1 << 16
    zeros, run = np.zeros(n, np.int64), np.arange(n, dtype=np.int64)
    draws = {
        "counters": _core.random_bits(7, 1, 0, zeros, run),
        "queries": _core.random_bits(7, 1, 0, run, zeros),
        "seeds": np.concatenate(
            [_core.random_bits(s, 1, 0, run[:256], zeros[:256]) for s in range(256)]
        ),
        "epochs": np.concatenate(
            [_core.random_bits(7, 1, e, run[:256], zeros[:256]) for e in range(256)]
        ),
    }
    for shift in (56, 24, 0):
        for name, bits in draws.items():
            byte = ((bits >> np.uint64(shift)) & np.uint64(255)).astype(np.int64)
            assert_law(np.bincount(byte, minlength=256), [n / 256] * 256)
            pairs = np.bincount((byte[:-1] >> 4) * 16 + (byte[1:] >> 4), minlength=256)
            assert_law(pairs, [(n - 1) / 256] * 256)
            assert len(np.unique(bits)) == n, name
    ramp = run & 255
    ramp[: n // 40] = 0
    assert rejects(assert_law, np.bincount(ramp, minlength=256), [n / 256] * 256)


# --- the law of a draw ----------------------------------------------------------------------------

QUERIES = 20_000
POOL, DRAWN = 5, 2
OUTCOMES = {pair: place for place, pair in enumerate(combinations(range(POOL), DRAWN))}


def draw(strategy, *, seed=0, epoch=0, queries=QUERIES, **limits):
    """Draw 2 of the 5 best rows of 8, scores descending with the row, for equal queries."""
    corpus = np.arange(8, 0, -1, dtype=np.float32)[:, None]
    if strategy == "uniform":
        corpus = corpus[:POOL]
    else:
        limits.setdefault("range_max", POOL)
    return nm.mine(
        np.ones((queries, 1), np.float32),
        corpus,
        num_negatives=DRAWN,
        strategy=strategy,
        metric="ip",
        seed=seed,
        epoch=epoch,
        **limits,
    ).indices


def outcomes(indices):
    return np.array([OUTCOMES[tuple(row)] for row in indices.tolist()])


@pytest.mark.parametrize("seed", [0, 1, 2**40])
@pytest.mark.parametrize("strategy", ["random", "uniform"])
def test_every_set_is_equally_likely(strategy, seed):
    counts = np.bincount(outcomes(draw(strategy, seed=seed)), minlength=len(OUTCOMES))
    assert_law(counts, [QUERIES / len(OUTCOMES)] * len(OUTCOMES))


def test_a_biased_draw_is_refused():
    """The control: drawing with weights 1.1 : 1 on one row of five, or by position."""
    rng = np.random.default_rng(0)
    weights = np.array([1.1, 1, 1, 1, 1])
    keys = rng.exponential(size=(QUERIES, POOL)) / weights
    sets = np.sort(np.argsort(keys, axis=1)[:, :DRAWN], axis=1)
    counts = np.bincount(outcomes(sets), minlength=len(OUTCOMES))
    assert rejects(assert_law, counts, [QUERIES / len(OUTCOMES)] * len(OUTCOMES))
    fair = np.sort(np.argsort(keys * weights, axis=1)[:, :DRAWN], axis=1)
    counts = np.bincount(outcomes(fair), minlength=len(OUTCOMES))
    assert_law(counts, [QUERIES / len(OUTCOMES)] * len(OUTCOMES))


@pytest.mark.parametrize("strategy", ["random", "uniform"])
def test_draws_of_epochs_seeds_and_neighbours_are_independent(strategy):
    """All pairs of outcomes are equally likely: nothing carries over."""
    first = outcomes(draw(strategy))
    others = {
        "epoch": outcomes(draw(strategy, epoch=1)),
        "seed": outcomes(draw(strategy, seed=1)),
        "neighbour": np.roll(first, 1),
    }
    cells = len(OUTCOMES) ** 2
    for other in others.values():
        table = np.bincount(first * len(OUTCOMES) + other, minlength=cells)
        assert_law(table, [QUERIES / cells] * cells)
    same = np.bincount(first * len(OUTCOMES) + first, minlength=cells)
    assert rejects(assert_law, same, [QUERIES / cells] * cells)


@pytest.mark.parametrize("strategy", ["random", "uniform"])
def test_one_of_one_and_all_of_all(strategy):
    corpus = np.arange(4, 0, -1, dtype=np.float32)[:, None]
    window = {"range_max": 4} if strategy == "random" else {}
    found = nm.mine(
        np.ones((6, 1), np.float32),
        corpus,
        num_negatives=4,
        strategy=strategy,
        metric="ip",
        **window,
    )
    assert found.indices.tolist() == [[0, 1, 2, 3]] * 6


def test_uniform_law_with_most_rows_ruled_out():
    """Drawing from the complement: 6 admissible of 400, and all 15 pairs as likely."""
    rng = np.random.default_rng(1)
    corpus = rng.normal(size=(400, 4)).astype(np.float32)
    kept = np.sort(rng.permutation(400)[:6])
    n = 9000
    exclude = np.setdiff1d(np.arange(400), kept)
    found = nm.mine(
        np.ones((n, 4), np.float32),
        corpus,
        num_negatives=2,
        strategy="uniform",
        exclude=np.tile(exclude, (n, 1)),
    )
    place = np.searchsorted(kept, np.sort(found.indices, axis=1))
    assert (kept[place] == np.sort(found.indices, axis=1)).all()
    counts = np.bincount(place[:, 0] * 6 + place[:, 1], minlength=36)
    pairs = [a * 6 + b for a, b in combinations(range(6), 2)]
    assert counts.sum() == counts[pairs].sum()
    assert_law(counts[pairs], [n / 15] * 15)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("groups", ["no groups", "other groups", "own group"])
def test_uniform_law_in_a_range_of_values(groups, seed):
    """6 admissible of 400 by value and, half of those, by group; all 15 pairs as likely."""
    rng = np.random.default_rng(3)
    corpus = rng.normal(size=(400, 4)).astype(np.float32)
    values, labels = rng.permutation(400), rng.integers(0, 2, 400)
    inside = np.argsort(values)[100:112]
    labels[inside] = np.arange(12) % 2
    n = 9000
    limits = {"corpus_values": values, "min_value": 100, "max_value": np.full(n, 112)}
    if groups == "no groups":
        kept = inside[:6]
        limits["max_value"] = 106
    else:
        kept = inside[labels[inside] == 1]
        within = groups == "own group"
        limits |= {"corpus_groups": labels, "query_groups": [int(within)] * n}
        limits["within_groups"] = within
    found = nm.mine(
        np.ones((n, 4), np.float32),
        corpus,
        num_negatives=2,
        strategy="uniform",
        seed=seed,
        **limits,
    )
    kept.sort()
    place = np.searchsorted(kept, np.sort(found.indices, axis=1))
    assert (kept[place] == np.sort(found.indices, axis=1)).all()
    counts = np.bincount(place[:, 0] * 6 + place[:, 1], minlength=36)
    pairs = [a * 6 + b for a, b in combinations(range(6), 2)]
    assert_law(counts[pairs], [n / 15] * 15)
    drifted = counts[pairs] + np.array([60, -60] * 7 + [0])
    assert rejects(assert_law, drifted, [n / 15] * 15)


def test_uniform_law_in_a_large_corpus():
    """Marginal counts of 1,000 rows, where a rejection loop would be used."""
    rng = np.random.default_rng(2)
    corpus = rng.normal(size=(1000, 4)).astype(np.float32)
    queries = rng.normal(size=(20_000, 4)).astype(np.float32)
    found = nm.mine(queries, corpus, num_negatives=3, strategy="uniform", seed=5)
    counts = np.bincount(found.indices.ravel(), minlength=1000)
    assert_law(counts, [60.0] * 1000)


def test_random_law_under_a_ceiling_without_a_window():
    """Without range_max it draws among everything admissible."""
    n = 12_000
    found = nm.mine(
        np.ones((n, 1), np.float32),
        np.arange(8, 0, -1, dtype=np.float32)[:, None],
        num_negatives=2,
        strategy="random",
        max_score=5.0,
        metric="ip",
    ).indices
    assert found.min() >= 3
    assert_law(np.bincount(outcomes(found - 3), minlength=10), [n / 10] * 10)


@pytest.mark.parametrize("strategy", ["random", "uniform"])
def test_same_draws_for_any_split_and_any_threads(strategy, num_threads):
    rng = np.random.default_rng(3)
    queries, corpus = rng.normal(size=(50, 6)), rng.normal(size=(300, 6))
    window = {"range_max": 40} if strategy == "random" else {}
    keywords = {"num_negatives": 5, "strategy": strategy, "seed": 3, "epoch": 2, **window}
    ids = rng.permutation(10_000)[:50]
    whole = nm.mine(queries, corpus, query_ids=ids, num_threads=1, **keywords)
    for size in (1, 7, 50):
        parts = [
            nm.mine(
                queries[start : start + size],
                corpus,
                query_ids=ids[start : start + size],
                num_threads=num_threads,
                **keywords,
            )
            for start in range(0, 50, size)
        ]
        assert_same_bits(np.concatenate([part.indices for part in parts]), whole.indices)
        assert_same_bits(np.concatenate([part.scores for part in parts]), whole.scores)


@pytest.mark.parametrize("strategy", ["random", "uniform"])
def test_seed_and_epoch_and_ids_each_change_the_draw(strategy):
    base = draw(strategy, queries=200)
    assert_same_bits(draw(strategy, queries=200), base)
    for change in ({"seed": 1}, {"epoch": 1}, {"query_ids": np.arange(1, 201)}):
        assert (draw(strategy, queries=200, **change) != base).any(axis=1).mean() > 0.5
    assert_same_bits(draw(strategy, queries=200, query_ids=np.arange(200)), base)
    assert_same_bits(draw(strategy, queries=199, query_ids=np.arange(1, 200)), base[1:])


def test_the_top_strategy_does_not_draw():
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(60, 6))
    assert_same_bits(nm.mine(rows, rows, seed=1).indices, nm.mine(rows, rows, seed=2).indices)


def test_the_layout_is_recorded():
    rows = np.random.default_rng(5).normal(size=(9, 3))
    assert nm.mine(rows, rows, strategy="uniform", seed=4).params["rng_scheme"] == 1


# --- sampling a table -----------------------------------------------------------------------------


def test_sample_columns_law():
    n = 12_000
    found = _core.sample_columns(np.full(n, POOL), 7, np.arange(n), DRAWN, 3, 0)
    assert found.shape == (n, DRAWN)
    counts = np.bincount(outcomes(found), minlength=len(OUTCOMES))
    assert_law(counts, [n / len(OUTCOMES)] * len(OUTCOMES))


def test_sample_columns_of_short_rows():
    found = _core.sample_columns(np.array([0, 1, 2, 3]), 3, np.arange(4), 2, 0, 0)
    assert found[:3].tolist() == [[-1, -1], [0, -1], [0, 1]]
    assert 0 <= found[3, 0] < found[3, 1] < 3


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2**40)), max_size=6),
    st.integers(1, 14),
    st.integers(0, 2**64 - 1),
)
def test_sample_columns_by_hand(rows, drawn, seed):
    """A Fisher-Yates shuffle by the bits of the stream, with nothing kept from row to row."""
    counts, ids = np.array(rows, np.int64).reshape(-1, 2).T
    found = _core.sample_columns(counts.copy(), 12, ids.copy(), drawn, seed, 7)
    for count, query_id, columns in zip(counts.tolist(), ids.tolist(), found.tolist(), strict=True):
        order = list(range(count))
        taken = min(drawn, count)
        counters = np.arange(taken)
        bits = _core.random_bits(seed, 3, 7, np.full(taken, query_id), counters).tolist()
        for place in range(taken):
            # Rejection (of one in 2**60) is left out.
            other = place + (bits[place] * (count - place) >> 64)
            order[place], order[other] = order[other], order[place]
        assert columns == sorted(order[:taken]) + [-1] * (drawn - taken)
