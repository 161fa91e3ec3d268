# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by the sources of candidates: R2anker."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, assert_same_table, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import SEEDS, assert_follows, successive
from nearmiss import Candidates
from nearmiss.strategies import R2anker, parse

COPIES = 20_000
#: Rows 0 to 2 of the first source, 2 and 3 of the second.
FIRST, SECOND = ([0.9, 0.8, 0.7], [0, 1, 2]), ([9.0, 8.0], [2, 3])
WEIGHTS = (0.6, 0.4)
MIXTURE = (0.2, 0.2, 0.4, 0.2)  # 0.6 / 3, and 0.4 / 2


def merged(copies=1, lists=(FIRST, SECOND), how="rrf"):
    sources = [
        Candidates.from_arrays([scores] * copies, [rows] * copies, name=f"source{i}")
        for i, (scores, rows) in enumerate(lists)
    ]
    return Candidates.merge(sources, how=how)


def first_draws(weights, candidates, seed=0, **more):
    return nm.mine_candidates(
        candidates, strategy=R2anker(weights), num_negatives=1, seed=seed, **more
    )


def test_worked_probabilities():
    found = first_draws(WEIGHTS, merged(200))
    expected = np.log(MIXTURE)[found.indices[:, 0]]
    np.testing.assert_allclose(found.log_probs[:, 0], expected, rtol=1e-12)
    assert set(found.indices[:, 0]) == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", SEEDS)
def test_law(seed):
    found = first_draws(WEIGHTS, merged(COPIES), seed)
    assert_follows(found.indices, successive(MIXTURE, 1))


def test_biased_draws_are_refused():
    """Uniform over the union; and the second source 12 % too often."""
    chances = successive(MIXTURE, 1)
    for seed in SEEDS:
        union = nm.mine_candidates(merged(COPIES), strategy="random", num_negatives=1, seed=seed)
        assert rejects(assert_follows, union.indices, chances)
        off = first_draws((0.6, 0.45), merged(COPIES), seed)
        assert rejects(assert_follows, off.indices, chances)


@pytest.mark.parametrize("seed", SEEDS)
def test_law_after_exclusions(seed):
    """Each source is uniform over what may be a negative: 0.6 / 2 and 0.4 here."""
    found = first_draws(WEIGHTS, merged(COPIES), seed, positives=[[2]] * COPIES)
    assert_follows(found.indices, {(0,): 0.3, (1,): 0.3, (3,): 0.4})


def test_a_source_with_nothing_left_leaves_its_weight_to_the_others():
    found = first_draws(WEIGHTS, merged(300), positives=[[2, 3]] * 300)
    np.testing.assert_allclose(found.log_probs[:, 0], np.log(0.5))
    assert set(found.indices[:, 0]) == {0, 1}


def test_a_source_of_weight_0_is_not_drawn_from():
    found = nm.mine_candidates(merged(50), strategy=R2anker((0, 1)), num_negatives=3)
    assert found.counts.tolist() == [2] * 50
    assert set(found.indices.ravel()) == {2, 3, -1}
    assert (found.sources[found.indices == 3] == 2).all()


@given(
    st.lists(
        st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=6), min_size=1, max_size=4
    ),
    st.lists(st.sampled_from((0.0, 0.5, 3.0)), min_size=4, max_size=4),
    st.sets(st.integers(0, 9), max_size=4),
)
def test_first_draws_equal_the_definition(lists, weights, excluded):
    weights = [*weights[: len(lists) - 1], 1.0]
    given_lists = [(np.arange(len(rows))[::-1] / 8, rows) for rows in lists]
    candidates = merged(1, given_lists)
    chances = dict.fromkeys(range(10), 0.0)
    for rows, weight in zip(lists, weights, strict=True):
        left = [row for row in rows if row not in excluded]
        for row in left:
            chances[row] += weight / len(left)
    found = first_draws(weights, candidates, exclude=[sorted(excluded)])
    if not any(chances.values()):
        assert found.counts.tolist() == [0]
        return
    expected = chances[int(found.indices[0, 0])] / sum(chances.values())
    np.testing.assert_allclose(np.exp(found.log_probs[0, 0]), expected, rtol=1e-12)


def test_nothing_depends_on_threads_or_batches(num_threads):
    rng = np.random.default_rng(0)
    scores = rng.random((30, 12))
    tables = [np.argsort(rng.random((30, 50)), axis=1)[:, :12] for _ in range(3)]

    def mined(part, **more):
        lists = [
            Candidates.from_arrays(scores[part], table[part], name=f"source{i}")
            for i, table in enumerate(tables)
        ]
        return nm.mine_candidates(
            Candidates.merge(lists, how="rrf"),
            strategy="r2anker:weights=1.0;2.0;0.5",
            num_negatives=5,
            query_ids=np.arange(30)[part],
            seed=4,
            **more,
        )

    whole = mined(slice(None), num_threads=1)
    assert_same_table(mined(slice(None), num_threads=num_threads), whole)
    for part in (slice(0, 1), slice(7, 30)):
        assert_same_bits(mined(part, num_threads=num_threads).indices, whole.indices[part])


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match=r"r2anker.weights: must be at least 0"):
        R2anker((1, -1))
    with pytest.raises(ValueError, match=r"r2anker.weights: expected at least one that is pos"):
        R2anker((0, 0))
    with pytest.raises(ValueError, match="needs weights"):
        parse("r2anker")
    with pytest.raises(ValueError, match="3 given, but there are 2 sources: source0, source1"):
        first_draws((1, 1, 1), merged())


def test_sources_are_needed():
    for call in (
        lambda: nm.mine(np.eye(3), np.eye(3), strategy=R2anker((1,))),
        lambda: nm.mine_candidates([[0.5] * 3], [[0, 1, 2]], strategy=R2anker((1,))),
    ):
        with pytest.raises(ValueError, match="'r2anker': needs the sources of nearmiss.Cand"):
            call()
