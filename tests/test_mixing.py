# SPDX-License-Identifier: Apache-2.0
"""Mixing: the numbers of the papers, who is mixed with whom, laws, tensors, errors."""

import math
from collections import Counter
from fractions import Fraction
from itertools import permutations, product

import nearmiss as nm
import numpy as np
import pytest
import torch
from compare import assert_law, rejects
from hypothesis import given
from hypothesis import strategies as st
from laws import ALPHA, SEEDS
from nearmiss import _core
from nearmiss.mixing import (
    interpolate,
    mix_different_labels,
    mix_pairs,
    mix_same_label,
    mix_with_queries,
    repel,
)
from scipy.stats import beta, kstest, uniform

COPIES = 6000
QUERY = np.array([1.0, 0.0])
FIRST, SECOND = np.array([0.8, 0.6]), np.array([0.8, -0.6])


def unit(vector):
    return vector / math.sqrt(math.fsum(x * x for x in vector))


def assert_made_of(mixed, first, second, normalize):
    """Every mixture is what its parents and shares say."""
    flat = mixed.vectors.reshape(-1, mixed.vectors.shape[-1])
    for vector, a, b, share, made in zip(
        flat, first, second, mixed.shares.ravel(), mixed.mask.ravel(), strict=True
    ):
        expected = share * a + (1 - share) * b if made else np.zeros(len(vector))
        if made and normalize:
            expected = unit(expected)
        np.testing.assert_allclose(vector, expected, rtol=1e-12, atol=1e-14)


# --- worked numbers -------------------------------------------------------------------------------


def test_a_mixture_can_be_harder_than_both_parents():
    mixture = interpolate(FIRST, SECOND, 0.5)
    assert mixture.tolist() == [1, 0]
    assert mixture @ QUERY > max(FIRST @ QUERY, SECOND @ QUERY)


def test_a_quarter_of_the_query():
    mixture = interpolate(QUERY, FIRST, 0.25)
    assert mixture @ QUERY == pytest.approx(0.883788, abs=5e-7)
    assert interpolate(QUERY, FIRST, 0.25, normalize=False).tolist() == pytest.approx([0.85, 0.45])


def test_repulsion():
    moved, matches = repel([QUERY], [[0.0, 1.0], FIRST], threshold=0.65)
    assert moved[0] == pytest.approx([1.18, -0.54])
    assert unit(moved[0]) @ FIRST == pytest.approx(0.477, abs=1e-3)
    assert matches.tolist() == [1]


def test_repulsion_moves_only_what_is_nearer_than_the_threshold():
    score = float(nm.topk([QUERY], [FIRST], 1)[0][0, 0])
    for threshold, moves in ((score, False), (np.nextafter(score, 0), True), (0.9, False)):
        moved, matches = repel([QUERY], [FIRST], threshold=threshold)
        assert (matches[0] == 0) == moves
        assert (moved[0].tolist() != [1, 0]) == moves


def test_vectors_that_cancel_out_stay_zero():
    assert interpolate(FIRST, -FIRST, 0.5).tolist() == [0, 0]


@pytest.mark.parametrize("exponent", [-40, 0, 37])
def test_length_is_one_at_any_magnitude(exponent):
    """Squares of these overflow or vanish in float32."""
    parents = np.array([[3, 4], [3, 4]], np.float32) * np.float32(10.0**exponent)
    for rows in (parents, torch.from_numpy(parents)):
        mixture = interpolate(rows[0], rows[1], 0.5)
        np.testing.assert_allclose(np.asarray(mixture), [0.6, 0.8], rtol=2e-4)


# --- mixtures of negatives ------------------------------------------------------------------------


@given(data=st.data())
def test_mixtures_of_negatives_are_made_of_their_own(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, k, s, d = (data.draw(st.integers(low, 6)) for low in (0, 1, 1, 1))
    negatives, queries = rng.normal(size=(n, k, d)), rng.normal(size=(n, d))
    mask = rng.random((n, k)) < 0.6 if data.draw(st.booleans()) else None
    there = np.ones((n, k), bool) if mask is None else mask
    negatives[~there] = np.nan  # must not be read
    normalize, distinct = data.draw(st.booleans()), data.draw(st.booleans())
    law = data.draw(st.sampled_from(("uniform", "beta")))
    keywords = {"mask": mask, "normalize": normalize, "seed": 3, "epoch": 2}
    pairs = mix_pairs(negatives, s, law=law, distinct=distinct, **keywords)
    with_query = mix_with_queries(queries, negatives, s, **keywords)
    for mixed, least in ((pairs, 1 + distinct), (with_query, 1)):
        assert mixed.vectors.shape == (n, s, d)
        assert mixed.parents.shape == (n, s, 2)
        assert (mixed.mask == (there.sum(axis=1) >= least)[:, None]).all()
        assert (mixed.parents[~mixed.mask] == -1).all()
        assert np.isnan(mixed.shares[~mixed.mask]).all()
        made = mixed.parents[mixed.mask]
        rows = np.nonzero(mixed.mask)[0]
        assert there[rows, made[:, 1]].all()
    rows = np.nonzero(pairs.mask)[0]
    assert there[rows, pairs.parents[pairs.mask][:, 0]].all()
    if distinct:
        assert (np.diff(pairs.parents[pairs.mask], axis=1) != 0).all()
    rows = np.repeat(np.arange(n), s)
    columns = pairs.parents.reshape(-1, 2)
    assert_made_of(pairs, negatives[rows, columns[:, 0]], negatives[rows, columns[:, 1]], normalize)
    columns = with_query.parents.reshape(-1, 2)
    assert (with_query.parents[with_query.mask][:, 0] == np.nonzero(with_query.mask)[0]).all()
    assert_made_of(with_query, queries[rows], negatives[rows, columns[:, 1]], normalize)
    assert (with_query.shares[with_query.mask] < 0.5).all()


def test_draws_depend_on_the_query_id_alone():
    rng = np.random.default_rng(0)
    negatives, queries = rng.normal(size=(9, 5, 3)), rng.normal(size=(9, 3))
    ids, part = np.arange(9) * 7 + 2, [8, 3, 4]

    def both(rows, **keywords):
        options = {"seed": 5, "epoch": 6, "query_ids": ids[rows], **keywords}
        return [
            mix_pairs(negatives[rows], 4, **options),
            mix_with_queries(queries[rows], negatives[rows], 4, **options),
        ]

    whole = both(np.arange(9))
    for mixed, some in zip(whole, both(part), strict=True):
        assert np.array_equal(mixed.vectors[part], some.vectors)
        assert np.array_equal(mixed.shares[part], some.shares)
    for changed in ({"seed": 6}, {"epoch": 7}, {"query_ids": ids + 1}):
        for mixed, other in zip(whole, both(np.arange(9), **changed), strict=True):
            assert not np.isin(mixed.shares, other.shares).any()
    fewer = mix_pairs(negatives, 2, seed=5, epoch=6, query_ids=ids)
    assert np.array_equal(whole[0].vectors[:, :2], fewer.vectors)


def test_the_layout_of_the_draws():
    """Recorded samples depend on it (rng_scheme 1)."""
    mixed = mix_pairs(np.zeros((1, 3, 1)), 5, seed=7, epoch=8, query_ids=[9])
    beta_mixed = mix_pairs(np.zeros((1, 3, 1)), 5, law="beta", seed=7, epoch=8, query_ids=[9])

    def bits(stream, counter):
        one = np.array([9]), np.array([counter])
        return int(_core.random_bits(7, stream, 8, *one)[0])

    for number in range(5):
        attempt = 0
        while (pair := bits(160, number + (attempt << 32)) & 7) >= 6:
            attempt += 1
        first, second = divmod(pair, 2)
        assert mixed.parents[0, number].tolist() == [first, second + (second >= first)]
        assert mixed.shares[0, number] == (bits(161, number) >> 11) / 2**53
        three = sorted((bits(161, 3 * number + i) >> 11) / 2**53 for i in range(3))
        assert beta_mixed.shares[0, number] == three[1]


# --- laws -----------------------------------------------------------------------------------------


def pairs_drawn(seed, distinct=True, present=(0, 2, 3)):
    mask = np.zeros((COPIES, 4), bool)
    mask[:, list(present)] = True
    mixed = mix_pairs(np.ones((COPIES, 4, 1)), 1, mask=mask, distinct=distinct, seed=seed)
    return Counter(map(tuple, mixed.parents[:, 0].tolist()))


def assert_uniform(counts, outcomes):
    assert set(counts) <= set(outcomes)
    total = sum(counts.values())
    assert_law([counts[one] for one in outcomes], [total / len(outcomes)] * len(outcomes), ALPHA)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pair_is_equally_likely(seed):
    assert_uniform(pairs_drawn(seed), list(permutations((0, 2, 3), 2)))
    assert_uniform(pairs_drawn(seed, distinct=False), list(product((0, 2, 3), repeat=2)))


def test_the_test_refuses_parents_drawn_independently_and_moved_apart():
    """The control: a second parent that equals the first one replaced by its neighbour."""
    independent = pairs_drawn(0, distinct=False)
    moved = Counter()
    following = {0: 2, 2: 3, 3: 0}
    for (first, second), count in independent.items():
        moved[first, following[first] if first == second else second] += count
    assert rejects(assert_uniform, moved, list(permutations((0, 2, 3), 2)))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_negative_is_equally_likely_beside_the_query(seed):
    mask = np.zeros((COPIES, 4), bool)
    mask[:, 1:] = True
    mixed = mix_with_queries(np.ones((COPIES, 1)), np.ones((COPIES, 4, 1)), 1, mask=mask, seed=seed)
    assert_uniform(Counter(mixed.parents[:, 0, 1].tolist()), [1, 2, 3])
    assert kstest(mixed.shares.ravel(), uniform(0, 0.5).cdf).pvalue > ALPHA


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_follow_their_laws(seed):
    negatives = np.ones((COPIES, 2, 1))
    flat = mix_pairs(negatives, 1, seed=seed).shares.ravel()
    peaked = mix_pairs(negatives, 1, law="beta", seed=seed).shares.ravel()
    assert kstest(flat, uniform.cdf).pvalue > ALPHA
    assert kstest(peaked, beta(2, 2).cdf).pvalue > ALPHA
    assert abs(peaked.mean() - 0.5) < 5 * math.sqrt(1 / 20 / COPIES)
    # The variance of a sample's variance: (fourth moment - variance^2) / n.
    fourth = float(beta(2, 2).stats(moments="k")) + 3
    assert abs(peaked.var() - 1 / 20) < 5 / 20 * math.sqrt((fourth - 1) / COPIES)
    assert kstest(flat, beta(1.3, 1.3).cdf).pvalue < ALPHA  # the controls
    assert kstest(peaked, beta(2.5, 2).cdf).pvalue < ALPHA


# --- the same label -------------------------------------------------------------------------------


def test_between_two_points():
    mixed = mix_same_label([[0.0], [1.0]], [7, 7], num_mixed={7: 2000}, num_neighbors=1)
    values = mixed.vectors.ravel()
    assert values.min() >= 0
    assert values.max() <= 1
    assert kstest(values, uniform.cdf).pvalue > 1e-3
    assert kstest(values, uniform(0, 1.1).cdf).pvalue < 1e-3
    assert {tuple(pair) for pair in mixed.parents.tolist()} == {(0, 1), (1, 0)}


@given(data=st.data())
def test_classes_are_lifted_to_the_largest(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    k = data.draw(st.integers(1, 3))
    sizes = [data.draw(st.integers(k + 1, 7)) for _ in range(data.draw(st.integers(1, 4)))]
    labels = rng.permutation(np.repeat([*range(len(sizes)), -1], [*sizes, 3]))
    vectors = rng.integers(0, 3, (len(labels), 2)).astype(float)  # copies and ties
    mixed = mix_same_label(vectors, labels, num_neighbors=k, seed=1)
    made = labels[mixed.parents[:, 1]]
    assert made.tolist() == sorted(made.tolist())
    assert [int((made == code).sum()) + size for code, size in enumerate(sizes)] == [
        max(sizes)
    ] * len(sizes)
    for neighbour, row in mixed.parents.tolist():
        others = [i for i in np.flatnonzero(labels == labels[row]) if i != row]
        distances = {i: int(((vectors[i] - vectors[row]) ** 2).sum()) for i in others}
        assert neighbour in sorted(others, key=lambda i: (distances[i], i))[:k]
    first, second = vectors[mixed.parents[:, 0]], vectors[mixed.parents[:, 1]]
    assert_made_of(mixed, first, second, normalize=False)
    assert ((mixed.shares >= 0) & (mixed.shares < 1)).all()


def test_the_row_itself_is_left_out_not_a_copy_of_it():
    """Dropping the nearest found, whichever it is, would pair row 1 with itself."""
    mixed = mix_same_label([[0.0], [0.0], [5.0]], ["a"] * 3, num_mixed={"a": 99}, num_neighbors=1)
    assert {tuple(pair) for pair in mixed.parents.tolist()} == {(1, 0), (0, 1), (0, 2)}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_neighbour_pair_is_equally_likely(seed):
    mixed = mix_same_label(
        [[0.0], [1.0], [3.0]], ["a"] * 3, num_mixed={"a": COPIES}, num_neighbors=2, seed=seed
    )
    assert_uniform(Counter(map(tuple, mixed.parents.tolist())), list(permutations(range(3), 2)))


# --- different labels -----------------------------------------------------------------------------


@given(data=st.data())
def test_labels_differ_from_each_other_and_from_the_anchor(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    m = data.draw(st.integers(1, 9))
    labels = rng.integers(-1, data.draw(st.integers(0, 4)), m)
    vectors = rng.normal(size=(m, 3))
    anchors = rng.integers(-1, 6, 5) if data.draw(st.booleans()) else None
    mixed = mix_different_labels(vectors, labels, 4, anchor_labels=anchors, seed=1)
    for row, anchor in enumerate((labels if anchors is None else anchors).tolist()):
        others = {one for one in labels.tolist() if one not in (-1, anchor)}
        assert (mixed.mask[row] == (len(others) >= 2)).all()
        for first, second in mixed.parents[row][mixed.mask[row]].tolist():
            assert labels[first] != labels[second]
            assert {int(labels[first]), int(labels[second])} <= others
    flat = mixed.parents.reshape(-1, 2)
    assert_made_of(mixed, vectors[flat[:, 0]], vectors[flat[:, 1]], normalize=True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("anchor", [0, 1, 2, -1, 9])
def test_every_pair_of_different_labels_is_equally_likely(anchor, seed):
    labels = np.array([1, 0, 2, 0, 1, 1])
    mixed = mix_different_labels(
        np.ones((6, 1)), labels, 1, anchor_labels=np.full(COPIES, anchor), seed=seed
    )
    outcomes = [
        (i, j)
        for i, j in permutations(range(6), 2)
        if labels[i] != labels[j] and anchor not in (labels[i], labels[j])
    ]
    counts = Counter(map(tuple, mixed.parents[:, 0].tolist()))
    assert_uniform(counts, outcomes)


def test_the_test_refuses_a_second_parent_drawn_after_the_first():
    """The control: first any row, then any of another label, favours pairs of large classes."""
    labels = [0, 0, 0, 0, 1, 2]
    outcomes = [(i, j) for i, j in permutations(range(6), 2) if labels[i] != labels[j]]
    chances = [Fraction(1, 6 * sum(one != labels[i] for one in labels)) for i, _ in outcomes]
    assert sum(chances) == 1
    counts = Counter(dict(zip(outcomes, (round(COPIES * p) for p in chances), strict=True)))
    assert rejects(assert_uniform, counts, outcomes)


# --- tensors --------------------------------------------------------------------------------------


def test_tensors_come_back_as_tensors_with_the_same_draws():
    rng = np.random.default_rng(0)
    negatives, queries = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 3))
    labels, mask = [0, 1, 2, 3], rng.random((4, 5)) < 0.7

    def all_of(convert):
        rows = convert(queries)
        small = convert(rng.normal(size=(6, 2)) * 0 + np.arange(12).reshape(6, 2))
        return [
            mix_pairs(convert(negatives), 3, mask=convert(mask)),
            mix_with_queries(rows, convert(negatives), 3, mask=convert(mask)),
            mix_different_labels(rows, labels, 3),
            mix_same_label(small, [0, 0, 0, 0, 1, 1], num_neighbors=1),
        ]

    for array, tensor in zip(all_of(np.asarray), all_of(torch.from_numpy), strict=True):
        for name in ("vectors", "parents", "shares", "mask"):
            expected, found = getattr(array, name), getattr(tensor, name)
            assert isinstance(found, torch.Tensor), name
            assert isinstance(expected, np.ndarray), name
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-15)
    moved, matches = repel(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]]), threshold=0.5)
    assert torch.allclose(moved, torch.tensor([[1.18, -0.54]]))
    assert matches.tolist() == [0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_element_type_stays(dtype):
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6], [0.0, 1.0]], dtype=dtype)
    assert mix_pairs(rows[None], 2).vectors.dtype == dtype
    assert mix_with_queries(rows[:1].float(), rows[None], 2).vectors.dtype == dtype
    assert (
        mix_same_label(rows, [0, 0, 1, 1], num_mixed={0: 2}, num_neighbors=1).vectors.dtype == dtype
    )
    assert repel(rows, rows.float(), threshold=0.5)[0].dtype == dtype


def test_gradients_reach_the_parents_that_were_used_and_no_others():
    rows = torch.tensor([[[0.8, 0.6], [0.8, -0.6], [np.nan, 1.0]], [[1.0, 0.0]] * 3])
    rows = rows.double().requires_grad_()
    mask = torch.tensor([[True, True, False], [True, False, False]])
    mix_pairs(rows, 2, mask=mask).vectors.sum().backward()
    assert rows.grad[0, :2].abs().min() > 0
    assert (rows.grad[0, 2] == 0).all()
    assert (rows.grad[1] == 0).all()
    ok = torch.tensor([[[0.3, 0.9], [0.7, -0.2]]]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: mix_pairs(rows, 3).vectors, (ok,))


# --- errors ---------------------------------------------------------------------------------------

SOME = np.ones((2, 3, 2))
BROKEN = SOME.copy()
BROKEN[1] = np.inf


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mix_pairs(SOME[0], 1), ValueError, "negatives: expected 3 dimensions"),
        (
            lambda: mix_pairs(SOME.astype(int), 1),
            TypeError,
            "negatives: expected floats, got int64",
        ),
        (lambda: mix_pairs(SOME[:, :0], 1), ValueError, "negatives: expected at least one"),
        (lambda: mix_pairs(SOME[..., :0], 1), ValueError, "negatives: vectors have no dimensions"),
        (lambda: mix_pairs(SOME, 0), ValueError, "num_mixed: must be at least 1"),
        (
            lambda: mix_pairs(SOME, 1, mask=np.ones((2, 2), bool)),
            ValueError,
            "mask: expected shape",
        ),
        (lambda: mix_pairs(SOME, 1, mask=np.ones((2, 3))), TypeError, "mask: expected booleans"),
        (lambda: mix_pairs(SOME, 1, law="gamma"), ValueError, "law: expected one of"),
        (lambda: mix_pairs(SOME, 1, query_ids=[4, 4]), ValueError, "query_ids: queries 0 and 1"),
        (lambda: mix_pairs(SOME, 1, seed=-1), ValueError, "seed: "),
        (lambda: mix_pairs(BROKEN, 1), ValueError, "negatives: row 1 has a vector that is not"),
        (
            lambda: mix_with_queries(SOME[0], SOME, 1),
            ValueError,
            r"queries: expected shape \(2, 2\)",
        ),
        (
            lambda: mix_with_queries(torch.ones(2, 2), SOME, 1),
            TypeError,
            "queries: expected an array like the others, got a tensor",
        ),
        (
            lambda: mix_same_label(SOME[0], [1, 1, 2], num_neighbors=1),
            ValueError,
            "num_neighbors: class 2 has 1 rows, so each has 0 others, not 1",
        ),
        (
            lambda: mix_same_label(SOME[0], [1, 1, 1], num_mixed={1: 1}),
            ValueError,
            "num_neighbors: ",
        ),
        (
            lambda: mix_same_label(SOME[0], [1, 1, 1], num_mixed={2: 1}),
            ValueError,
            "no row has label",
        ),
        (
            lambda: mix_same_label(SOME[0], [1, 1, 1], num_mixed=3),
            TypeError,
            "num_mixed: expected a",
        ),
        (lambda: mix_same_label(SOME[0], [1, 1]), ValueError, "labels: expected 3"),
        (lambda: mix_same_label(SOME[0, :0], []), ValueError, "embeddings: empty"),
        (lambda: mix_different_labels(SOME[0, :0], [], 1), ValueError, "embeddings: empty"),
        (
            lambda: mix_different_labels(SOME[0], [1, 2, 3], 1, anchor_labels=["a"]),
            TypeError,
            "anchor_labels: strings, but",
        ),
        (
            lambda: repel(SOME[0], SOME[0], threshold=np.nan),
            ValueError,
            "threshold: must be finite",
        ),
        (
            lambda: repel(SOME[0], SOME[0], threshold=0, strength=-1),
            ValueError,
            "strength: must be at least 0",
        ),
        (lambda: repel(SOME[0] * 0, SOME[0], threshold=0), ValueError, "row 0"),
        (lambda: interpolate(FIRST, SOME[0], 0.5), ValueError, "second: expected the shape"),
    ],
)
def test_arguments_that_cannot_be_used(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_queries_give_no_mixtures():
    assert mix_pairs(np.ones((0, 3, 2)), 4).vectors.shape == (0, 4, 2)
    assert mix_with_queries(np.ones((0, 2)), np.ones((0, 3, 2)), 4).vectors.shape == (0, 4, 2)
    assert mix_different_labels(np.ones((3, 2)), [1, 2, 3], 4, anchor_labels=[]).mask.shape == (
        0,
        4,
    )
    assert mix_same_label(np.ones((3, 2)), ["a"] * 3, num_neighbors=1).vectors.shape == (0, 2)
