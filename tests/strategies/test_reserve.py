# SPDX-License-Identifier: Apache-2.0
"""Strategies that replace negatives which stopped being hard: Conan, versions 1 and 2."""

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table
from nearmiss.strategies import ConanV1, ConanV2, parse

V1 = ConanV1(start=10, windows=2, ratio=1.15, max_score=0.8)
V2 = ConanV2(windows=3, min_initial=0.4, ratio=1.2, max_score=0.7)
NAN = np.nan


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 8)), rng.normal(size=(120, 8))


def mined(vectors, strategy=V1, num_negatives=8, **more):
    return nm.mine(*vectors, num_negatives=num_negatives, strategy=strategy, **more)


def ranking(vectors, **more):
    return nm.mine(*vectors, num_negatives=120, **more).indices


@pytest.mark.parametrize(
    ("initial", "current", "v1", "v2"),
    [
        (0.75, 0.62, True, True),
        (0.75, 0.63, True, False),  # 1.15 · 0.63 = 0.7245; 1.2 · 0.63 = 0.756
        (0.95, 0.79, True, False),
        (0.95, 0.69, True, True),
        (0.8, 0.69, True, False),  # 1.15 · 0.69 = 0.7935
        (0.8, 0.70, False, False),  # 0.805
        (0.95, 0.81, False, False),
        (0.3, 0.3, False, True),  # never hard
    ],
)
def test_worked_decisions(initial, current, v1, v2):
    scores = np.array([[initial]]), np.array([[current]])
    assert V1.is_stale(*scores).tolist() == [[v1]]
    assert V2.is_stale(*scores).tolist() == [[v2]]


def test_bounds_are_open_and_v1_looks_at_the_size_of_a_score():
    half = ConanV1(start=0, windows=1, ratio=2, max_score=0.25)
    initial = np.array([0.5, 0.5, 0.75, 0.5, 0.5])
    current = np.array([0.25, 0.125, 0.25, -0.125, -0.5])
    assert half.is_stale(initial, current).tolist() == [False, True, False, True, False]
    other = ConanV2(windows=1, min_initial=0.5, ratio=2, max_score=0.25)
    assert other.is_stale(initial, current).tolist() == [False, True, False, True, True]


def test_replacements_come_from_the_windows_of_the_paper(vectors):
    """n = 8: the first from the ranks 10 to 17, the second from 18 to 25."""
    by_rank = ranking(vectors)
    table = mined(vectors)
    assert_same_bits(table.indices, by_rank[:, :8])
    assert_same_bits(table.reserve_indices, by_rank[:, 10:26])
    first = table.renew(np.zeros((6, 8)))
    assert_same_bits(first.negatives.indices, by_rank[:, 10:18])
    assert_same_bits(first.replaced, np.full(6, 8))
    second = first.negatives.renew(np.full((6, 8), -0.5))
    assert_same_bits(second.negatives.indices, by_rank[:, 18:26])
    third = second.negatives.renew(np.full((6, 8), -0.79))
    assert_same_table(third.negatives, second.negatives)
    assert third.replaced.tolist() == [0] * 6
    assert third.exhausted.tolist() == [8] * 6


def test_each_negative_has_windows_of_its_own(vectors):
    """The third negative twice and the first once; the others keep their place and score."""
    by_rank = ranking(vectors)
    table = mined(vectors)
    current = np.full((6, 8), NAN)
    current[:, 2] = -0.5
    once = table.renew(current).negatives
    assert_same_bits(once.indices, by_rank[:, [0, 1, 3, 4, 5, 6, 7, 12]])
    assert once.places[0].tolist() == [-8, -7, -5, -4, -3, -2, -1, 2]
    current = np.full((6, 8), NAN)
    current[:, [0, 7]] = -0.5
    twice = once.renew(current)
    assert_same_bits(twice.negatives.indices, by_rank[:, [1, 3, 4, 5, 6, 7, 10, 20]])
    assert twice.replaced.tolist() == [2] * 6
    every = oracle.scores(*vectors, "cosine")
    mined_with = np.take_along_axis(every, twice.negatives.indices, axis=1)
    assert_same_bits(twice.negatives.scores, mined_with)
    assert twice.negatives.params["renewals"] == 2


def test_the_reserve_starts_behind_the_first_negatives(vectors):
    by_rank = ranking(vectors)
    assert_same_bits(mined(vectors, V1, 16).reserve_indices, by_rank[:, 16:48])
    assert_same_bits(mined(vectors, V1, 8, range_min=10).reserve_indices, by_rank[:, 18:34])
    assert_same_bits(mined(vectors, V1, 8, range_max=13).reserve_indices[:, :3], by_rank[:, 10:13])
    assert_same_bits(mined(vectors, V2, 7).reserve_indices, by_rank[:, 7:28])
    with pytest.raises(ValueError, match=r"the reserve starts at rank 10, beyond .* \[0, 10\)"):
        mined(vectors, V1, 8, range_max=10)


def test_the_reserve_obeys_the_limits(vectors):
    positives = np.argsort(-(vectors[0] @ vectors[1].T), axis=1)[:, :40].tolist()
    ask = {"positives": positives, "relative_margin": 0.1, "exclude": [[1, 2, 3]] * 6}
    table = mined(vectors, **ask)
    allowed = nm.mine(*vectors, num_negatives=120, **ask)
    assert_same_bits(table.reserve_indices[:, :3], allowed.indices[:, 10:13])
    for i in range(6):
        reserve = table.reserve_indices[i][table.reserve_indices[i] >= 0]
        assert not set(reserve.tolist()) & {1, 2, 3, *positives[i]}


def test_a_short_reserve_is_reported(vectors):
    """Twelve rows: two of them in the reserve, so two of eight can be replaced, once."""
    table = mined((vectors[0], vectors[1][:12]))
    assert (table.reserve_indices >= 0).sum(axis=1).tolist() == [2] * 6
    renewed = table.renew(np.full((6, 8), -0.79))
    stale = V1.is_stale(table.scores.astype(float), np.full((6, 8), -0.79)).sum(axis=1)
    assert_same_bits(renewed.replaced, np.full(6, 2))
    assert_same_bits(renewed.exhausted, stale - 2)
    assert renewed.negatives.counts.tolist() == [8] * 6
    none = mined((vectors[0], vectors[1][:5]))
    assert none.counts.tolist() == [5] * 6
    again = none.renew(np.full((6, 8), -0.79))
    assert_same_table(again.negatives, none)
    assert again.replaced.tolist() == [0] * 6
    assert (again.exhausted == 5).all()


def test_under_raw_ranks_the_reserve_holds_admissible_rows_only(vectors):
    by_rank = ranking(vectors)
    exclude = by_rank[:, [3, 12, 20]].tolist()
    table = mined(vectors, exclude=exclude, range_mode="raw")
    assert_same_bits(table.indices, np.insert(np.delete(by_rank[:, :8], 3, 1), 7, -1, axis=1))
    kept = np.delete(by_rank[:, 10:26], [2, 10], axis=1)
    assert_same_bits(table.reserve_indices[:, :14], kept)
    renewed = table.renew(np.full((6, 8), -0.5)).negatives
    assert renewed.counts.tolist() == [7] * 6
    assert (renewed.indices[:, 7] == -1).all()


def test_what_is_not_known_or_not_asked_for_stays(vectors):
    table = mined(vectors)
    unknown = table.renew(np.full((6, 8), NAN))
    assert_same_table(unknown.negatives, table)
    assert not unknown.exhausted.any()
    some = table.renew(np.full((2, 8), -0.5), rows=[4, 1])
    assert some.replaced.tolist() == [8, 8]
    whole = table.renew(np.full((6, 8), -0.5)).negatives
    assert_same_bits(some.negatives.indices[[1, 4]], whole.indices[[1, 4]])
    assert_same_bits(some.negatives.indices[[0, 2, 3, 5]], table.indices[[0, 2, 3, 5]])


def test_v2_replaces_what_was_never_hard_whatever_its_score_now(vectors):
    table = mined(vectors, V2, 7)
    renewed = table.renew(table.scores)
    assert_same_bits(renewed.replaced, (table.scores < 0.4).sum(axis=1))
    strict = ConanV2(windows=3, min_initial=-1, ratio=1.2, max_score=0.7)
    assert not mined(vectors, strict, 7).renew(table.scores).replaced.any()


def test_the_table_given_is_not_changed(vectors):
    table = mined(vectors)
    before = table.indices.copy(), table.scores.copy(), table.places.copy()
    table.renew(np.full((6, 8), -0.5))
    for array, copy in zip((table.indices, table.scores, table.places), before, strict=True):
        assert_same_bits(array, copy)
    assert "renewals" not in table.params


def test_cursors_survive_saving(vectors, tmp_path):
    current = np.full((6, 8), NAN)
    current[:, ::3] = -0.5
    renewed = mined(vectors).renew(current).negatives
    renewed.save(tmp_path / "table")
    loaded = nm.Negatives.load(tmp_path / "table")
    for name in ("indices", "scores", "places", "reserve_indices", "reserve_scores"):
        assert_same_bits(getattr(loaded, name), getattr(renewed, name))
    assert_same_table(loaded.renew(current).negatives, renewed.renew(current).negatives)
    assert loaded.renew(current).negatives.params["renewals"] == 2


def test_rows_that_were_dropped_or_drawn_keep_their_reserve(vectors):
    corpus = vectors[1][:30]
    exclude = [list(range(25)), *[[]] * 5]
    kept = mined((vectors[0], corpus), exclude=exclude, on_shortage="drop")
    assert kept.query_indices.tolist() == [1, 2, 3, 4, 5]
    whole = mined((vectors[0], corpus), exclude=exclude)
    assert_same_bits(kept.reserve_indices, whole.reserve_indices[1:])
    drawn = whole.sample(3, seed=1)
    renewed = drawn.renew(np.full((6, 3), -0.5)).negatives
    by_rank = ranking((vectors[0], corpus), exclude=exclude)
    for i in range(1, 6):
        at = [by_rank[i].tolist().index(row) + 10 for row in drawn.indices[i]]
        assert_same_bits(renewed.indices[i], by_rank[i, at])


def test_ids_of_replacements_are_known(vectors):
    corpus = nm.Corpus(vectors[1], ids=[f"d{row}" for row in range(120)])
    renewed = mined((vectors[0], corpus)).renew(np.full((6, 8), -0.5)).negatives
    assert renewed.ids[0, 0] == f"d{renewed.indices[0, 0]}"


def test_candidates_and_corpus_agree(vectors):
    mine = mined(vectors)
    chosen = nm.mine_candidates(*nm.topk(*vectors, 60), num_negatives=8, strategy=V1)
    assert_same_table(chosen, mine)
    assert_same_bits(chosen.reserve_indices, mine.reserve_indices)
    assert_same_bits(chosen.reserve_scores, mine.reserve_scores)


def test_what_cannot_be_used_is_refused(vectors):
    table = mined(vectors)
    with pytest.raises(ValueError, match="strategy 'top' keeps no reserve"):
        nm.mine(*vectors).renew(np.zeros((6, 3)))
    with pytest.raises(ValueError, match=r"current_scores: expected shape \(6, 8\), got \(6, 7\)"):
        table.renew(np.zeros((6, 7)))
    scores = np.zeros((6, 8))
    scores[4, 2] = np.inf
    with pytest.raises(ValueError, match=r"current_scores: row 4, column 2 has inf"):
        table.renew(scores)
    with pytest.raises(ValueError, match="rows: must be all different"):
        table.renew(np.zeros((2, 8)), rows=[1, 1])
    with pytest.raises(ValueError, match="rows: must be from 0 to 5"):
        table.renew(np.zeros((1, 8)), rows=[6])
    with pytest.raises(ValueError, match="metric: strategy 'conan-v1'"):
        mined(vectors, metric="ip")
    with pytest.raises(ValueError, match="conan-v1.ratio: must be at least 1"):
        parse("conan-v1:start=10,windows=2,ratio=0.9,max_score=0.8")
    with pytest.raises(ValueError, match="conan-v2.windows: must be at least 1"):
        parse("conan-v2:windows=0,min_initial=0.4,ratio=1.2,max_score=0.7")
    with pytest.raises(TypeError):
        ConanV1()
