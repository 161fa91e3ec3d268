# SPDX-License-Identifier: Apache-2.0
"""Weights, masks, targets and losses: worked numbers on arrays and on tensors, the formulas in
plain loops, gradients, and the faults of reference code that are not to be repeated.
"""

import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import weights

ARRAY, TENSOR = np.asarray, torch.tensor
both_kinds = pytest.mark.parametrize("kind", [ARRAY, TENSOR], ids=["array", "tensor"])
NAN, INF = math.nan, math.inf


def close(found, expected, digits=6):
    """Demand equality to so many digits after the point."""
    found, wanted = np.asarray(found), np.array(expected, float)
    assert found.shape == wanted.shape
    assert np.allclose(found, wanted, rtol=0, atol=0.6 * 10.0**-digits), f"{found} not {wanted}"


def is_kind(found, kind):
    return isinstance(found, torch.Tensor) == (kind is TENSOR)


def doubles(kind, values):
    return np.array(values, float) if kind is ARRAY else torch.tensor(values, dtype=torch.float64)


# --- contrast -------------------------------------------------------------------------------------


@both_kinds
def test_debiased_contrast_of_worked_numbers(kind):
    positive, negatives = doubles(kind, [0.8]), doubles(kind, [[0.5, 0.3]])
    assert is_kind(weights.debiased_sum(positive, negatives), kind)
    close(weights.debiased_sum(positive, negatives), [3.944216])
    close(weights.debiased_loss(positive, negatives), [0.585742])
    close(weights.debiased_loss(positive, negatives, tau_plus=0.0), [0.650600])
    found = weights.hardness_weights(negatives, beta=1.0, temperature=0.5)
    close(found, [[1.197375, 0.802625]])
    close((found * doubles(kind, [[math.exp(1.0), math.exp(0.6)]])).sum(), 4.717281)
    close(weights.debiased_sum(positive, negatives, beta=1.0), [4.140750])
    close(weights.debiased_loss(positive, negatives, beta=1.0), [0.607591])


@both_kinds
def test_the_floor_of_debiased_contrast(kind):
    easy = doubles(kind, [[-1.0, -1.0]])
    close(weights.debiased_sum(doubles(kind, [0.8]), easy), [0.270671])
    # Nothing at all: no sum, no loss.
    none = doubles(kind, [[NAN, NAN]])
    close(weights.debiased_sum(doubles(kind, [0.8]), none), [0.0])
    close(weights.debiased_loss(doubles(kind, [0.8]), none, beta=1.0), [0.0])


@given(
    n=st.sampled_from([0, 1, 4]),
    k=st.sampled_from([0, 1, 7]),
    seed=st.integers(0, 999),
    beta=st.sampled_from([0.0, 0.5, 2.0]),
    tau=st.sampled_from([0.0, 0.1, 0.9]),
)
def test_debiased_contrast_by_its_formula(n, k, seed, beta, tau):
    rng = np.random.default_rng(seed)
    positive, negatives = rng.uniform(-1, 1, n), rng.uniform(-1, 1, (n, k))
    negatives[rng.random((n, k)) < 0.3] = NAN
    expected, losses = [], []
    for own, row in zip(positive, negatives, strict=True):
        terms = [math.exp(s / 0.3) for s in row if s == s]
        hard = [term**beta for term in terms]
        mean = sum(hard) / len(hard) if hard else 1.0
        total = sum(term * h / mean for term, h in zip(terms, hard, strict=True))
        plain = (total - len(terms) * tau * math.exp(own / 0.3)) / (1 - tau)
        expected.append(max(plain, len(terms) * math.exp(-1 / 0.3)))
        losses.append(-math.log(math.exp(own / 0.3) / (math.exp(own / 0.3) + expected[-1])))
    options = {"tau_plus": tau, "temperature": 0.3, "beta": beta}
    for kind in (np.array, torch.tensor):
        arguments = kind(positive), kind(negatives)
        assert np.allclose(weights.debiased_sum(*arguments, **options), expected, rtol=1e-12)
        assert np.allclose(weights.debiased_loss(*arguments, **options), losses, rtol=1e-9)


def test_contrast_of_small_temperatures_does_not_overflow():
    found = weights.debiased_loss([0.9], [[0.8, 0.1]], temperature=0.001, beta=1.0, tau_plus=0.0)
    close(found, [math.log1p(math.exp(-100) * 2)], 12)
    found = weights.debiased_loss([0.1], [[0.8, 0.1]], temperature=0.001, tau_plus=0.0)
    close(found, [700.0])


def test_gradients_of_debiased_contrast():
    positive = torch.tensor([0.8, 0.1], dtype=torch.float64, requires_grad=True)
    negatives = torch.tensor([[0.5, 0.3, -0.2], [0.9, 0.2, 0.1]], dtype=torch.float64)
    for beta in (0.0, 1.0):
        assert torch.autograd.gradcheck(
            lambda p, s, beta=beta: weights.debiased_loss(p, s, beta=beta),
            (positive, negatives.clone().requires_grad_()),
        )
    padded = torch.cat([negatives, torch.full((2, 1), NAN)], dim=1).requires_grad_()
    weights.debiased_loss(positive, padded, beta=1.0).sum().backward()
    assert torch.isfinite(padded.grad).all()
    assert (padded.grad[:, 3] == 0).all()


@both_kinds
def test_a_masked_negative_takes_no_part(kind):
    """DCLR's code multiplies logits: there what is masked still adds exp(0)."""
    logits, mask = doubles(kind, [[2.0, 5.0, 1.0]]), doubles(kind, [[1.0, 0.0, 1.0]])
    found = weights.log_sum_exp(logits, mask)
    assert is_kind(found, kind)
    close(found, [math.log(math.exp(2) + math.exp(1))])
    faulty = math.log(math.exp(2) + math.exp(0) + math.exp(1))
    assert abs(float(found[0]) - faulty) > 0.05
    close(
        weights.log_sum_exp(logits, doubles(kind, [[0.5, 0, 3]])),
        [math.log(0.5 * math.exp(2) + 3 * math.e)],
    )
    assert weights.log_sum_exp(logits, mask * 0).tolist() == [-INF]
    close(
        weights.log_sum_exp(doubles(kind, [[NAN, 800.0, INF]]), doubles(kind, [[0, 1, 0]])), [800.0]
    )


def test_gradients_of_log_sum_exp():
    logits = torch.tensor([[2.0, NAN, 1.0]], dtype=torch.float64, requires_grad=True)
    weights.log_sum_exp(logits, torch.tensor([[True, False, True]])).sum().backward()
    close(logits.grad, [[0.731059, 0.0, 0.268941]])


@both_kinds
def test_guide_mask(kind):
    scores = doubles(kind, [[1.0, 0.9, 0.91], [0.2, 0.95, 0.89]])
    found = weights.guide_mask(scores, 0.9)
    assert is_kind(found, kind)
    # Equality is kept, and so is the own positive.
    assert found.tolist() == [[True, True, False], [True, True, True]]
    everything = weights.guide_mask(scores, 0.9, keep_diagonal=False)
    assert everything.tolist() == [[False, True, False], [True, False, True]]


@both_kinds
def test_contrastive_cosine_loss(kind):
    own, pair = doubles(kind, [0.8]), doubles(kind, [[0.95, 0.5]])
    options = {"margin": 0.9, "weight": 150.0}
    close(weights.contrastive_cosine_loss(own, pair, **options), [3.95])
    # What has no gradient may be dropped, if it is counted.
    dropped = weights.contrastive_cosine_loss(own, pair[:, :1], num_negatives=2, **options)
    close(dropped, [3.95])
    padded = doubles(kind, [[0.95, NAN, 0.5]])
    close(weights.contrastive_cosine_loss(own, padded, **options), [3.95])
    close(weights.contrastive_cosine_loss(own, pair[:, :0], **options), [0.2])


def test_gradients_of_contrastive_cosine_loss():
    gradients = []
    for negatives, number in ([[0.95, 0.5]], None), ([[0.95]], 2), ([[0.95, NAN]], 2):
        own = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)
        others = torch.tensor(negatives, dtype=torch.float64, requires_grad=True)
        weights.contrastive_cosine_loss(
            own, others, margin=0.9, weight=150.0, num_negatives=number
        ).sum().backward()
        gradients.append((own.grad.item(), others.grad[0, 0].item()))
        assert (others.grad[0, 1:] == 0).all()
    assert gradients == [(-1.0, 75.0)] * 3


# --- single judgements ----------------------------------------------------------------------------


@both_kinds
def test_focal_weights(kind):
    close(
        weights.focal_weights(doubles(kind, [0.9, 0.5, 0.1]), 0.5), [0.31623, 0.70711, 0.94868], 5
    )
    assert weights.focal_weights(doubles(kind, [0.3]), 0.0).tolist() == [1.0]


@both_kinds
def test_asymmetric_loss(kind):
    p, y = doubles(kind, [0.04, 0.05, 0.5, 0.9, 0.9]), doubles(kind, [0, 0, 0, 0, 1])
    found = weights.asymmetric_weights(p, y)
    close(found, [0.0, 0.0, 0.041006, 0.522006, 0.1])
    assert found[:2].tolist() == [0.0, 0.0]  # exactly: such negatives need not be looked up
    close(weights.asymmetric_loss(p, y), [0.0, 0.0, 0.024515, 0.990308, 0.010536])
    # Nothing asymmetric left: cross entropy.
    plain = weights.asymmetric_loss(p, y, gamma_positive=0, gamma_negative=0, clip=0)
    close(plain, [-math.log(q) for q in (0.96, 0.95, 0.5, 0.1, 0.9)])
    assert np.isfinite(
        np.asarray(weights.asymmetric_loss(doubles(kind, [0, 1]), doubles(kind, [1, 0])))
    ).all()


def test_asymmetric_weights_are_constants():
    p = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    loss = weights.asymmetric_loss(p, torch.tensor([0]))
    loss.sum().backward()
    close(p.grad, [0.45**4 / 0.55])
    assert not weights.asymmetric_weights(p, [0]).requires_grad
    assert not weights.focal_weights(p, 1.0).requires_grad


@both_kinds
def test_dice_loss(kind):
    p = doubles(kind, [0.1, 0.5, 0.9])
    q = (1 - p) * p
    close(q, [0.09, 0.25, 0.09])
    y = doubles(kind, [1, 0, 1])
    close(weights.dice_loss(p, y, alpha=1.0, smooth=0.0), 1 - 2 * 0.18 / (0.43 + 2))
    close(weights.dice_loss(p, y), 1 - (2 * 1.0 + 1e-4) / (1.5 + 2 + 1e-4))
    squared = weights.dice_loss(p, y, squared=True, smooth=1.0)
    close(squared, 1 - (2 * 1.0 + 1) / (0.01 + 0.25 + 0.81 + 2 + 1))
    close(
        weights.dice_loss(doubles(kind, [[0.5], [1.0]]), doubles(kind, [[1], [1]]), smooth=0.0),
        [1 / 3, 0],
    )


@both_kinds
@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_the_hardest_are_just_k(kind, k):
    """The dice loss's code keeps one for k = 3, and nearly all for k = 1."""
    scores = doubles(kind, [[0.1, 0.9, 0.5, 0.9], [0.3, NAN, 0.3, 0.3]])
    found = np.asarray(weights.hardest_mask(scores, k))
    assert found.sum(axis=1).tolist() == [min(k, 4), min(k, 3)]
    order = [[1, 3, 2, 0], [0, 2, 3]]
    for row, best in zip(found, order, strict=True):
        assert sorted(np.flatnonzero(row)) == sorted(best[:k])


# --- labels that may be wrong ---------------------------------------------------------------------


def sigma(x):
    return 1 / (1 + math.exp(-x))


@both_kinds
def test_noisy_label_weights(kind):
    scores, noise = doubles(kind, [1.5, -0.5]), doubles(kind, [-1.0, 2.0])
    found = weights.noisy_label_weights(scores, noise, doubles(kind, [1, 0]))
    assert is_kind(found.positive, kind)
    close(found.positive, [sigma(1.0), sigma(2.0)])
    close(found.negative, [0.0, 1.0])
    close(found.flipped, [0.0, sigma(-0.5)])
    close(found.kept, [sigma(1.5), 0.0])
    # No doubt: logistic regression.
    sure = weights.noisy_label_weights(scores, noise * 0 - 800.0, doubles(kind, [1, 0]))
    assert sure.positive.tolist() == [1.0, 0.0]
    assert sure.negative.tolist() == [0.0, 1.0]


def test_noisy_label_weights_give_the_gradient_of_the_likelihood():
    """Voted: P = sigma(R) sigma(-g); not: 1 - sigma(R)(1 - sigma(g)), up to what is constant."""
    r = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([-0.4], dtype=torch.float64, requires_grad=True)
    found = weights.noisy_label_weights(r, g, [0])
    assert not any(weight.requires_grad for weight in found)
    loss = -(found.positive * torch.nn.functional.logsigmoid(r)).sum()
    loss.backward()
    close(r.grad, [-sigma(-0.4) * sigma(-0.7)])


@both_kinds
def test_propensity_weights(kind):
    positive, negative = weights.propensity_weights(
        doubles(kind, [1, 0, 1]), doubles(kind, [0.25, 0.25, 1])
    )
    assert positive.tolist() == [4.0, 0.0, 1.0]
    assert negative.tolist() == [-3.0, 1.0, 0.0]
    close(
        weights.propensity_posterior(
            doubles(kind, [0.6, 0.6, 1.0]), doubles(kind, [0.25, 1.0, 1.0])
        ),
        [0.529412, 0.0, 0.0],
    )


@given(e=st.floats(0.01, 1), right=st.floats(0, 5), wrong=st.floats(0, 5))
def test_propensity_weights_are_unbiased(e, right, wrong):
    """A positive gets its label with probability e; both outcomes enumerated."""
    positive, negative = weights.propensity_weights([1, 0], [e, e])
    costs = positive * right + negative * wrong
    assert e * costs[0] + (1 - e) * costs[1] == pytest.approx(right, abs=1e-9)


# --- masks by document ----------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("form", ["lists", "padded", "csr"])
def test_relevance_mask(kind, form):
    positives = {
        "lists": [[4], [7, 9], []],
        "padded": np.array([[4, -1], [7, 9], [-1, -1]]),
        "csr": (np.array([0, 1, 3, 3]), np.array([4, 7, 9])),
    }[form]
    documents = kind([4, 7, 4, 9, 1])
    found = weights.relevance_mask(documents, positives)
    assert is_kind(found, kind)
    assert found.tolist() == [
        [False, True, False, True, True],
        [True, False, True, False, True],
        [True] * 5,
    ]


@given(seed=st.integers(0, 999), n=st.integers(0, 6), m=st.sampled_from([0, 1, 9]))
def test_relevance_mask_is_set_membership(seed, n, m):
    rng = np.random.default_rng(seed)
    documents = rng.integers(0, 12, m)
    positives = [rng.integers(0, 12, rng.integers(0, 5)).tolist() for _ in range(n)]
    expected = [[d not in relevant for d in documents] for relevant in positives]
    found = weights.relevance_mask(documents, positives)
    assert found.shape == (n, m)
    assert found.tolist() == expected


@both_kinds
def test_listwise_mask(kind):
    """Ids count, wherever they stand; the own positive stays."""
    documents = kind([5, 6, 7, 6])
    listed = kind([[5, 7, 6], [6, 5, -1]])
    scores = doubles(kind, [[1.0, 0.7, 0.6], [-1.0, -1.2, 9.0]])
    found = weights.listwise_mask(documents, listed, scores, kind([0, 1]))
    assert is_kind(found, kind)
    # Query 0: above .6 are 5 (its positive) and 7. Query 1: above -1.4 are 5 and 6, its positive
    # in column 1, but not in column 3.
    assert found.tolist() == [[True, True, False, True], [False, True, True, False]]
    everything = weights.listwise_mask(documents, listed, scores, kind([0, 1]), fraction=1.0)
    assert everything.all()


@given(seed=st.integers(0, 999), n=st.integers(0, 5), k=st.integers(0, 4))
def test_listwise_mask_by_its_rule(seed, n, k):
    rng = np.random.default_rng(seed)
    documents, listed = rng.integers(0, 9, 7), rng.integers(-1, 9, (n, k))
    scores, columns = rng.random((n, k)), rng.integers(0, 7, n)
    expected = np.ones((n, 7), bool)
    for i in range(n):
        kept = [(s, d) for s, d in zip(scores[i], listed[i], strict=True) if d >= 0]
        near = {d for s, d in kept if s > 0.6 * max(kept)[0]}
        for j in range(7):
            expected[i, j] = documents[j] not in near or j == columns[i]
    assert weights.listwise_mask(documents, listed, scores, columns).tolist() == expected.tolist()


# --- margins --------------------------------------------------------------------------------------


@both_kinds
def test_adaptive_relevance_margins(kind):
    """More alike, a larger target: not 1 minus the similarity, as one might guess."""
    own = doubles(kind, [[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]])
    others = doubles(kind, [[0.6, 0.8], [5.0, 0.0], [-1.0, 0.0]])
    targets = weights.adaptive_relevance_targets(own, others)
    close(targets, [0.8, 1.0, 0.0])
    every = weights.adaptive_relevance_targets(own, others, all_pairs=True)
    close(every, [[0.8, 1.0, 0.0]] * 3)
    close(
        weights.adaptive_relevance_loss(doubles(kind, [0.8 - 0.5] * 3), targets), [0.25, 0.49, 0.09]
    )
    close(weights.adaptive_relevance_loss(doubles(kind, [0.3]), 0.8, "l1"), [0.5])
    # Own margins meet the targets of their row.
    distributed = weights.adaptive_relevance_loss(doubles(kind, [0.8, 0.0, 1.0]), every)
    close(distributed, [[0, 0.04, 0.64], [0.64, 1, 0], [0.04, 0, 1]])


def test_gradients_of_adaptive_relevance():
    rows = torch.tensor([[1.0, 0.2], [0.3, 1.0]], dtype=torch.float64, requires_grad=True)
    others = torch.tensor([[0.5, 1.0], [-0.3, 0.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, b: weights.adaptive_relevance_targets(a, b, all_pairs=True), (rows, others)
    )


# --- kinds of numbers, bad input ------------------------------------------------------------------


def test_element_types_are_kept():
    single = np.float32([[0.5, 0.3]])
    assert weights.debiased_loss(np.float32([0.8]), single, beta=1.0).dtype == np.float32
    assert weights.hardness_weights(single, beta=1.0, temperature=0.5).dtype == np.float32
    assert weights.focal_weights(single, 0.5).dtype == np.float32
    assert weights.debiased_loss([0.8], single).dtype == np.float64
    half = torch.tensor([[0.5, 0.3]], dtype=torch.bfloat16)
    assert weights.hardness_weights(half, beta=1.0, temperature=0.5).dtype == torch.bfloat16
    assert weights.debiased_loss([0.8], half.double()).dtype == torch.float64


def test_torch_is_not_imported():
    code = (
        "import sys, nearmiss as nm; nm.weights.debiased_loss([0.8], [[0.5, 0.3]]); "
        "nm.weights.relevance_mask([1], [[1]]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@both_kinds
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda a: weights.debiased_loss(a([0.1, 0.2]), a([[0.5]])),
            "positive: expected shape (1,)",
        ),
        (lambda a: weights.debiased_sum(a([0.1]), a([0.5])), "negatives: expected shape"),
        (
            lambda a: weights.debiased_sum(a([0.1]), a([[0.5]]), tau_plus=1.0),
            "tau_plus: must be bel",
        ),
        (lambda a: weights.debiased_sum(a([0.1]), a([[0.5]]), temperature=0.0), "temperature: "),
        (
            lambda a: weights.hardness_weights(a([0.1]), beta=1, temperature=1),
            "negatives: expected",
        ),
        (lambda a: weights.log_sum_exp(a([[1.0, 2.0]]), a([[1.0, -2.0]])), "got -2 at place 1"),
        (lambda a: weights.guide_mask(a([0.1]), 0.9), "guide_scores: expected shape"),
        (
            lambda a: weights.focal_weights(a([0.1, 1.5]), 0.5),
            "probabilities: expected 0 to 1, got 1.5",
        ),
        (
            lambda a: weights.focal_weights(a([0.1, NAN]), 0.5),
            "probabilities: expected 0 to 1, got nan",
        ),
        (lambda a: weights.asymmetric_loss(a([0.1]), a([1.0, 0.0])), "labels: expected shape (1,)"),
        (lambda a: weights.dice_loss(a([0.1]), a([2.0])), "labels: expected 0 to 1, got 2"),
        (lambda a: weights.hardest_mask(a([[0.1]]), 0), "k: must be at least 1"),
        (lambda a: weights.propensity_weights(a([1.0]), a([0.0])), "propensities: expected more"),
        (
            lambda a: weights.noisy_label_weights(a([1.0]), a([0.0]), a([0.0, 1.0])),
            "voted: expected",
        ),
        (
            lambda a: weights.adaptive_relevance_targets(a([[0.0]]), a([[1.0]])),
            "positives: row 0 is",
        ),
        (lambda a: weights.adaptive_relevance_loss(a([1.0]), a([1.0]), "l3"), "kind: "),
        (
            lambda a: weights.contrastive_cosine_loss(
                a([1.0]), a([[1.0]]), margin=1, weight=1, num_negatives=0
            ),
            "num_negatives: must be at least 1",
        ),
        (
            lambda a: weights.listwise_mask(a([1]), a([[1]]), a([[0.5]]), a([1])),
            "positive_columns: expected 0 to 0, got 1",
        ),
        (
            lambda a: weights.listwise_mask(a([1]), a([[1, 2]]), a([[0.5]]), a([0])),
            "listed: expected shape",
        ),
    ],
)
def test_bad_input_is_named(kind, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(kind)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="negatives: expected numbers"):
        weights.hardness_weights([["a"]], beta=1.0, temperature=1.0)
    with pytest.raises(TypeError, match="documents: expected integers"):
        weights.relevance_mask([0.5], [[1]])
    with pytest.raises(TypeError, match="listed: expected integers"):
        weights.listwise_mask([1], [[0.5]], [[0.5]], [0])
    with pytest.raises(TypeError, match="squared: expected True or False"):
        weights.dice_loss([0.5], [1], squared=1)
