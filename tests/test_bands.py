# SPDX-License-Identifier: Apache-2.0
"""Bands: each gets its quota of the rows that lie in it, whatever it is measured in."""

import math
from dataclasses import replace

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_law, assert_same_bits, assert_same_table
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.strategies import Band, Bands, parse

RNG = np.random.default_rng(5)
N, M, D = 17, 300, 12
QUERIES, ROWS = RNG.normal(size=(N, D)), RNG.normal(size=(M, D))
ROWS[200:215] = ROWS[3]  # ties
POSITIVES = [[3], *([i, 7 * i][: i % 3] for i in range(1, N))]
EXCLUDE = [RNG.permutation(M)[:25].tolist() for _ in range(N)]
ALPHA = 1e-4


def mine(bands, **more):
    return nm.mine(QUERIES, ROWS, POSITIVES, exclude=EXCLUDE, strategy=bands, **more)


def window(**more):
    """The oracle's rank windows, and of each the rows that may be negatives."""
    admissible = oracle.mine(QUERIES, ROWS, POSITIVES, exclude=EXCLUDE, strategy="random", **more)
    if more.get("range_mode") != "raw":
        return admissible, admissible.windows
    # Places count every row; those that may not be negatives only take up room.
    more["range_mode"] = "filtered"
    every = oracle.mine(QUERIES, ROWS, strategy="random", **more)
    return replace(every, positive_scores=admissible.positive_scores), admissible.windows


def members(band, by, rows, allowed, scores, first_rank, reference):
    """The rows of a window that lie in a band and are allowed, by looking at each."""
    found = []
    for place, row in enumerate(rows):
        score = float(scores[row])
        at = {
            "rank": first_rank + place,
            "score": score,
            "margin": float(reference) - score,
            "quantile": place / len(rows),
        }[by]
        if band.lo <= at < band.hi and row in allowed:
            found.append(int(row))
    return found


def quotas(bands, sizes, spill, by):
    """How many each band gives, given how many rows it has."""
    order = sorted(range(len(bands)), key=lambda b: bands[b].lo)
    if (by == "score") != (spill == "nearer"):
        order.reverse()
    given, missing = [0] * len(bands), 0
    for b in order:
        wanted = bands[b].n + (missing if spill != "none" else 0)
        given[b] = min(wanted, sizes[b])
        missing = wanted - given[b]
    return given


def check(strategy, found, windows_and_allowed, first_rank):
    windows, allowed = windows_and_allowed
    for i in range(N):
        rows, count = found.indices[i], found.counts[i]
        inside = [
            members(
                band,
                strategy.by,
                windows.windows[i],
                set(allowed[i].tolist()),
                windows.every_score[i],
                first_rank,
                windows.positive_scores[i],
            )
            for band in strategy.bands
        ]
        wanted = quotas(strategy.bands, list(map(len, inside)), strategy.spill, strategy.by)
        assert count == sum(wanted)
        assert (rows[count:] == -1).all()
        assert (found.strata[i, count:] == -1).all()
        for b, band in enumerate(strategy.bands):
            taken = rows[:count][found.strata[i, :count] == b].tolist()
            assert len(taken) == len(set(taken)) == wanted[b]
            assert set(taken) <= set(inside[b])
            if band.law == "top":
                assert taken == inside[b][: wanted[b]]
        order = np.lexsort((rows[:count], -windows.every_score[i, rows[:count]]))
        assert (order == np.arange(count)).all()


SCALES = {
    "rank": [Band(30, 90, 4), Band(0, 5, 2), Band(5, 20, 3, "top")],
    "score": [Band(-0.1, 0.05, 3), Band(0.2, 0.4, 2), Band(0.4, math.inf, 2, "top")],
    "margin": [Band(-math.inf, 0.0, 2), Band(0.0, 0.2, 3), Band(0.5, 0.9, 2, "top")],
    "quantile": [Band(0.0, 0.1, 2), Band(0.1, 0.35, 3), Band(0.9, 1.0, 2, "top")],
}


@pytest.mark.parametrize("by", SCALES)
@pytest.mark.parametrize("spill", ["none", "farther", "nearer"])
@pytest.mark.parametrize("range_mode", ["filtered", "raw"])
@pytest.mark.parametrize("range_min", [0, 3])
def test_each_band_gives_its_quota(by, spill, range_mode, range_min, num_threads, simd_target):
    strategy = Bands(SCALES[by], by=by, spill=spill)
    limits = {"range_min": range_min, "range_max": 90, "range_mode": range_mode}
    found = mine(strategy, num_threads=num_threads, **limits)
    check(strategy, found, window(**limits), range_min)
    for target in nm.simd_targets():
        simd_target(target)
        assert_same_table(mine(strategy, **limits), found)


@given(st.data())
def test_random_bands_of_ranks(data):
    ends = sorted(data.draw(st.sets(st.integers(0, 120), min_size=2, max_size=8)))
    pairs = list(zip(ends[:-1:2], ends[1::2], strict=False))
    laws = st.sampled_from(["top", "uniform"])
    bands = [
        Band(lo, hi, data.draw(st.integers(1, hi - lo)), data.draw(laws))
        for lo, hi in data.draw(st.permutations(pairs))
    ]
    strategy = Bands(bands, spill=data.draw(st.sampled_from(["none", "farther", "nearer"])))
    seed = data.draw(st.integers(0, 2**64 - 1))
    found = mine(strategy, seed=seed)
    start, end = min(b.lo for b in bands), max(b.hi for b in bands)
    check(strategy, found, window(range_min=int(start), range_max=int(end)), int(start))
    assert parse(str(strategy)) == strategy


def test_every_row_of_a_band_is_as_likely():
    """Also a control: the same test must refuse draws that favour the nearer half."""
    strategy = Bands([Band(0, 3, 1), Band(3, 9, 2)])
    ranking = {int(row): rank for rank, row in enumerate(window(range_max=9)[1][0])}
    seeds = range(3000)
    ranks = np.array([
        [ranking[int(row)] for row in nm.mine(
            QUERIES[:1], ROWS, POSITIVES[:1], exclude=EXCLUDE[:1], strategy=strategy, seed=seed
        ).indices[0]]
        for seed in seeds
    ])  # fmt: skip
    near = np.bincount(ranks[:, 0], minlength=3)
    assert_law(near, np.full(3, len(seeds) / 3), ALPHA)
    # Unordered pairs of the second band: 15, all alike.
    pair = np.sort(ranks[:, 1:] - 3, axis=1)
    counts = np.bincount(pair[:, 0] * 6 + pair[:, 1], minlength=36)
    pairs = [a * 6 + b for a in range(6) for b in range(a + 1, 6)]
    assert counts.sum() == counts[pairs].sum()
    assert_law(counts[pairs], np.full(15, len(seeds) / 15), ALPHA)
    biased = counts[pairs].copy()
    biased[0] += biased[-1] // 2
    biased[-1] -= biased[-1] // 2
    with pytest.raises(AssertionError):
        assert_law(biased, np.full(15, len(seeds) / 15), ALPHA)


def test_draws_depend_on_seed_epoch_and_query_id_alone():
    strategy = Bands([Band(0, 20, 3), Band(20, 100, 3)])
    whole = mine(strategy, seed=3, epoch=2)
    part = nm.mine(
        QUERIES[4:9], ROWS, POSITIVES[4:9], exclude=EXCLUDE[4:9], strategy=strategy, seed=3,
        epoch=2, query_ids=range(4, 9),
    )  # fmt: skip
    assert_same_bits(part.indices, whole.indices[4:9])
    assert_same_bits(part.strata, whole.strata[4:9])
    assert not np.array_equal(mine(strategy, seed=3, epoch=3).indices, whole.indices)


def test_candidates_have_bands_too():
    strategy = Bands([Band(0, 5, 2), Band(5, 60, 3)])
    scores, rows = nm.topk(QUERIES, ROWS, 200)
    listed = nm.mine_candidates(scores, rows, positives=POSITIVES, strategy=strategy)
    searched = nm.mine(QUERIES, ROWS, POSITIVES, exclude_duplicates=False, strategy=strategy)
    assert_same_bits(listed.indices, searched.indices)
    assert_same_bits(listed.strata, searched.strata)


def test_margins_need_a_positive_and_queries_without_one_get_nothing():
    strategy = Bands([Band(0.0, 2.0, 2)], by="margin")
    found = mine(strategy, range_max=200)
    without = [i for i in range(N) if not POSITIVES[i]]
    assert without
    assert (found.counts[without] == 0).all()
    with pytest.raises(ValueError, match="needs positives"):
        nm.mine(QUERIES, ROWS, strategy=strategy, range_max=200)


def test_short_bands_are_reported():
    found = mine(Bands([Band(0, 5, 2), Band(290, 310, 4)]))
    bands = found.stats["strata"]
    assert [band["requested"] for band in bands] == [2 * N, 4 * N]
    assert bands[0] == {"name": "0..5:2:uniform", "requested": 2 * N, "returned": 2 * N, "short": 0}
    taken = (found.strata == 1).sum(axis=1)
    assert bands[1]["returned"] == taken.sum()
    assert bands[1]["short"] == (taken < 4).sum() > 0
    assert "290..310" in str(found.stats)
    assert nm.mine(QUERIES, ROWS).stats["strata"] == []


def test_the_number_of_negatives_is_the_sum_of_the_quotas():
    strategy = Bands([Band(0, 5, 2), Band(5, 60, 3)])
    assert mine(strategy).indices.shape == (N, 5)
    assert_same_table(mine(strategy, num_negatives=5), mine(strategy))
    with pytest.raises(ValueError, match=r"num_negatives: 4, but .* add up to 5"):
        mine(strategy, num_negatives=4)
    assert nm.mine(QUERIES, ROWS).indices.shape == (N, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bands([]), "bands.bands: expected at least one"),
        (lambda: Bands([Band(0, 5), Band(4, 9)]), "0..5:1:uniform and 4..9:1:uniform overlap"),
        (lambda: Band(5, 5), "lo must be below hi"),
        (lambda: Band(0, 5, 0), "band.n"),
        (lambda: Band(0, 5, 1, "best"), "band.law"),
        (lambda: Band(math.nan, 5), "band.lo"),
        (lambda: Bands([Band(-1, 5)]), "ranks start at 0"),
        (lambda: Bands([Band(0, math.inf)]), "finite"),
        (lambda: Bands([Band(0, 1.5)], by="quantile"), "from 0 to 1"),
        (lambda: Bands([Band(0, 1)], by="distance"), "bands.by"),
        (lambda: Bands([Band(0, 1)], spill="all"), "bands.spill"),
        (lambda: parse("bands:bands=0-5"), "bands"),
        (lambda: parse("bands"), "needs bands"),
        (lambda: mine(Bands([Band(0, 5, 6)])), "has room for 5 rows"),
        (lambda: mine(Bands([Band(0, 5, 4)]), range_min=2), "has room for 3 rows"),
        (lambda: mine(Bands([Band(0, 0.1, 11)], by="quantile"), range_max=100), "room for 10"),
        (lambda: mine(Bands([Band(0, 1)], by="score")), "needs range_max"),
        (lambda: mine(Bands([Band(0, 1, 20)], by="score"), range_max=10), "num_negatives: 20"),
    ],
)
def test_bad_bands_are_refused_before_any_work(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_deep_ranks_are_exact():
    """Beyond 32,768, where the pool is most of the corpus."""
    rows = np.random.default_rng(0).integers(-3, 4, size=(40_000, 4)).astype(np.float32)
    queries = rows[:3] + np.float32(0.5)
    strategy = Bands([Band(33_000, 33_010, 10, "top"), Band(39_000, 39_999, 5)])
    found = nm.mine(queries, rows, strategy=strategy, metric="ip")
    for i in range(3):
        ranking = oracle.ranking(oracle.scores(queries[i : i + 1], rows, "ip")[0])
        assert found.indices[i, :10].tolist() == ranking[33_000:33_010].tolist()
        assert set(found.indices[i, 10:]) <= set(ranking[39_000:39_999])
