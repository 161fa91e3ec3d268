# SPDX-License-Identifier: Apache-2.0
"""Weights, masks, targets and losses of published methods, as plain functions.

They take numpy arrays (or lists) and torch tensors alike, return the same kind, and never import
torch. Tensors keep their device, their element type and, where a formula is differentiated in the
paper's code, their gradients; what is a constant there is one here. Arrays are computed in float64
unless all are float32.

n queries, k negatives each. Scores are higher for closer. In tables of negatives, nan marks what is
none, as in ``Negatives.scores``; it takes no part in sums, means and counts.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nearmiss.arrays import as_integers, check_choice, check_flag, check_integer, check_number
from nearmiss.positives import count_lists, to_lists

__all__ = [
    "NoisyLabelWeights",
    "adaptive_relevance_loss",
    "adaptive_relevance_targets",
    "asymmetric_loss",
    "asymmetric_weights",
    "contrastive_cosine_loss",
    "debiased_loss",
    "debiased_sum",
    "dice_loss",
    "focal_weights",
    "guide_mask",
    "hardest_mask",
    "hardness_weights",
    "listwise_mask",
    "log_sum_exp",
    "noisy_label_weights",
    "propensity_posterior",
    "propensity_weights",
    "relevance_mask",
]

#: An array-like or a tensor; results are of the same kind.
Numbers: TypeAlias = Any


# --- arrays and tensors ---------------------------------------------------------------------------


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def _read(**given: Any) -> tuple[Any, list[Any]]:
    """Return the namespace to compute with, numpy or torch, and the arguments as its numbers."""
    tensors = [value for value in given.values() if _is_tensor(value)]
    if not tensors:
        arrays = [_as_array(value, name) for name, value in given.items()]
        kind = np.result_type(*arrays)
        return np, [array.astype(kind, copy=False) for array in arrays]
    torch = sys.modules["torch"]
    first = next((tensor for tensor in tensors if tensor.is_floating_point()), tensors[0])
    kind = first.dtype if first.is_floating_point() else torch.get_default_dtype()
    return torch, [
        value.to(device=first.device, dtype=value.dtype if value.is_floating_point() else kind)
        if _is_tensor(value)
        else torch.as_tensor(_as_array(value, name), device=first.device, dtype=kind)
        for name, value in given.items()
    ]


def _as_array(value: Any, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers, got {array.dtype.name}")
    return array if array.dtype == np.float32 else array.astype(np.float64)


def _as_tables(positive: Any, negatives: Any) -> tuple[Any, Any, Any]:
    """Return the namespace, the scores of positives (n,) and those of negatives (n, k)."""
    xp, (own, others) = _read(positive=positive, negatives=negatives)
    if others.ndim != 2:
        raise ValueError(f"negatives: expected shape (queries, negatives), got {_shape(others)}")
    if _shape(own) != _shape(others)[:1]:
        raise ValueError(
            f"positive: expected shape ({len(others)},), one per query, got {_shape(own)}"
        )
    return xp, own, others


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape)


def _constant(value: Any) -> Any:
    return value.detach() if _is_tensor(value) else value


def _check_range(value: Any, name: str, low: float, high: float) -> None:
    """Refuse numbers outside [low, high], and nan."""
    wrong = ~((value >= low) & (value <= high))
    if bool(wrong.any()):
        place = int(_constant(wrong).reshape(-1).nonzero()[0][0])
        raise ValueError(
            f"{name}: expected {low:g} to {high:g}, got {float(value.reshape(-1)[place]):g} "
            f"at place {place}"
        )


def _filled(xp: Any, value: Any, counted: Any, filling: float) -> Any:
    """Return the values that count, and ``filling`` elsewhere; no gradient passes there."""
    return xp.where(counted, value, xp.zeros_like(value) + filling)


def _softplus(xp: Any, value: Any) -> Any:
    return xp.logaddexp(value, xp.zeros_like(value))


# --- softmax with weights and masks ---------------------------------------------------------------


def log_sum_exp(logits: Numbers, weights: Numbers) -> Numbers:
    """Return log(sum of w exp(x)) over the last axis.

    Weights and masks belong here, on the exponentials: a weight of 0 removes an item. The code of
    DCLR multiplies the logits instead, where a removed negative still counts as exp(0) = 1.

    Parameters
    ----------
    logits : (..., k)
        Of items without weight any number, infinite and nan included.
    weights : (..., k)
        At least 0, or booleans. ``-inf`` where all are 0.

    Returns
    -------
    (...)

    Examples
    --------
    >>> import nearmiss as nm
    >>> float(nm.weights.log_sum_exp([2.0, 0.0, 50.0], [1, 0.5, 0]).round(6))
    2.065476
    """
    xp, (values, of_items) = _read(logits=logits, weights=weights)
    _check_range(of_items, "weights", 0.0, float("inf"))
    counted = xp.broadcast_to(of_items > 0, _shape(values))
    if values.shape[-1] == 0:
        return values.sum(axis=-1) - float("inf")
    # Weights as part of the exponent: a weight of 0 is an item at -infinity.
    shifted = _filled(xp, values, counted, -float("inf")) + xp.log(
        _filled(xp, xp.zeros_like(values) + of_items, counted, 1.0)
    )
    most = _constant(xp.amax(shifted, axis=-1))
    most = _filled(xp, most, xp.isfinite(most), 0.0)
    sums = xp.exp(shifted - most[..., None]).sum(axis=-1)
    return _filled(xp, xp.log(_filled(xp, sums, sums > 0, 1.0)) + most, sums > 0, -float("inf"))


def guide_mask(guide_scores: Numbers, max_score: float, *, keep_diagonal: bool = True) -> Numbers:
    """Tell which in-batch negatives a guide model does not find too similar (DCLR).

    Parameters
    ----------
    guide_scores : (n, m)
        Cosines under a fixed model.
    max_score : float
        A negative is kept up to and including this; in DCLR's code 0.9 (BERT) and 0.85 (RoBERTa).
    keep_diagonal : bool, default True
        Whether column i is the positive of row i and stays.

    Returns
    -------
    (n, m) booleans
        Weights for `log_sum_exp`, not factors of logits.

    References
    ----------
    "Debiased contrastive learning of unsupervised sentence representations" (DCLR), ACL 2022.
    """
    xp, (scores,) = _read(guide_scores=guide_scores)
    if scores.ndim != 2:
        raise ValueError(f"guide_scores: expected shape (queries, items), got {_shape(scores)}")
    kept = scores <= check_number(max_score, "max_score")
    if check_flag(keep_diagonal, "keep_diagonal"):
        on = xp.arange(min(_shape(scores)))
        kept[on, on] = True
    return kept


# --- debiased and hardness-weighted contrast ------------------------------------------------------


def hardness_weights(negatives: Numbers, *, beta: float, temperature: float) -> Numbers:
    """Return weights that grow with exp(beta s / temperature), of mean 1 for each query.

    The importance of HCL: beta multiplies the score over the temperature, as in its code.

    Parameters
    ----------
    negatives : (n, k)
        Scores; nan for none, which gets weight 0.
    beta : float
        0: all alike. In HCL's code 1 by default.
    temperature : float
        Above 0; in HCL's code 0.5.

    Returns
    -------
    (n, k)
        With gradients, as in HCL's code.

    References
    ----------
    Robinson, Chuang, Sra, Jegelka, "Contrastive learning with hard negative samples", ICLR 2021.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.hardness_weights([[0.5, 0.3]], beta=1.0, temperature=0.5).round(6).tolist()
    [[1.197375, 0.802625]]
    """
    xp, (scores,) = _read(negatives=negatives)
    if scores.ndim != 2:
        raise ValueError(f"negatives: expected shape (queries, negatives), got {_shape(scores)}")
    power = check_number(beta, "beta") / check_number(temperature, "temperature", above=0.0)
    return _mean_one(xp, scores, power)


def _mean_one(xp: Any, scores: Any, power: float) -> Any:
    counted = scores == scores
    logs = power * _filled(xp, scores, counted, 0.0)
    shifts = _constant(_largest(xp, logs, counted))
    importance = _filled(xp, xp.exp(logs - shifts), counted, 0.0)
    sums = importance.sum(axis=1)[:, None]
    sums = _filled(xp, sums, sums > 0, 1.0)
    return importance * (_count(xp, scores, counted)[:, None] / sums)


def _count(xp: Any, values: Any, counted: Any) -> Any:
    """Return how many of each row count, (n,), as the values' own kind of number."""
    return _filled(xp, xp.ones_like(values), counted, 0.0).sum(axis=1)


def _largest(xp: Any, values: Any, counted: Any) -> Any:
    """Return the largest of those that count, (n, 1); 0 for a row without any."""
    if values.shape[1] == 0:
        return values.sum(axis=1)[:, None]
    most = xp.amax(_filled(xp, values, counted, -float("inf")), axis=1)[:, None]
    return _filled(xp, most, xp.isfinite(most), 0.0)


def debiased_sum(
    positive: Numbers,
    negatives: Numbers,
    *,
    tau_plus: float = 0.1,
    temperature: float = 0.5,
    beta: float = 0.0,
) -> Numbers:
    """Estimate the sum over true negatives from negatives some of which are positives.

    With e(s) = exp(s / temperature), N negatives of weights w (see `hardness_weights`):
    max((sum of w e(s-) - N tau_plus e(s+)) / (1 - tau_plus), N e(-1)).

    Parameters
    ----------
    positive : (n,)
        Cosines of the positives.
    negatives : (n, k)
        Cosines of the negatives; nan for none.
    tau_plus : float, default 0.1
        How many of the negatives are expected to be positives, 0 to below 1. 0: no correction.
    temperature : float, default 0.5
        Above 0.
    beta : float, default 0
        0 is DCL; above, hard negatives weigh more (HCL; in its code 1).

    Returns
    -------
    (n,)
        At least N exp(-1 / temperature): the floor is active where negatives are very easy.

    Notes
    -----
    Defaults of the code of DCL; for two views or modalities (HAR) take the mean of both directions.

    References
    ----------
    DCL: Chuang, Robinson, Lin, Torralba, Jegelka, "Debiased contrastive learning", NeurIPS 2020.
    HCL: see `hardness_weights`.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.debiased_sum([0.8], [[0.5, 0.3]]).round(6).tolist()
    [3.944216]
    """
    xp, own, others = _as_tables(positive, negatives)
    sums, shifts = _debiased(xp, own, others, tau_plus, temperature, beta)
    return sums * xp.exp(shifts)


def debiased_loss(
    positive: Numbers,
    negatives: Numbers,
    *,
    tau_plus: float = 0.1,
    temperature: float = 0.5,
    beta: float = 0.0,
) -> Numbers:
    """Return -log(e(s+) / (e(s+) + `debiased_sum`)) of each query, (n,).

    Parameters are those of `debiased_sum`. ``tau_plus=0`` and ``beta=0`` is InfoNCE.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.debiased_loss([0.8], [[0.5, 0.3]]).round(6).tolist()
    [0.585742]
    >>> nm.weights.debiased_loss([0.8], [[0.5, 0.3]], beta=1.0).round(6).tolist()
    [0.607591]
    """
    xp, own, others = _as_tables(positive, negatives)
    sums, shifts = _debiased(xp, own, others, tau_plus, temperature, beta)
    scaled = own / temperature - shifts
    return xp.log(xp.exp(scaled) + sums) - scaled


def _debiased(
    xp: Any, own: Any, others: Any, tau_plus: float, temperature: float, beta: float
) -> tuple[Any, Any]:
    """Return the sum times exp(-shift), and the shift, so that nothing overflows."""
    share = check_number(tau_plus, "tau_plus", minimum=0.0)
    if share >= 1:
        raise ValueError(f"tau_plus: must be below 1, got {tau_plus}")
    unit = 1.0 / check_number(temperature, "temperature", above=0.0)
    counted = others == others
    weights = _mean_one(xp, others, check_number(beta, "beta") * unit)
    logs = unit * _filled(xp, others, counted, 0.0)
    shifts = _constant(xp.maximum(_largest(xp, logs, counted)[:, 0], unit * own))
    terms = _filled(xp, weights * xp.exp(logs - shifts[:, None]), counted, 0.0)
    number = _count(xp, others, counted)
    corrected = (terms.sum(axis=1) - number * share * xp.exp(unit * own - shifts)) / (1.0 - share)
    return xp.maximum(corrected, number * xp.exp(-unit - shifts)), shifts


def contrastive_cosine_loss(
    positive: Numbers,
    negatives: Numbers,
    *,
    margin: float,
    weight: float,
    num_negatives: int | None = None,
) -> Numbers:
    """Return (1 - s+) + (weight / N) sum of max(0, s- - margin) of each query, (n,): CCL.

    Negatives up to the margin have neither loss nor gradient. They may be dropped before vectors
    are gathered, if ``num_negatives`` says how many there were.

    Parameters
    ----------
    positive : (n,)
        Cosines.
    negatives : (n, k)
        Cosines; nan for none.
    margin, weight : float
        In SimpleX's configurations 0.1 to 0.9, and 2 to 300 (0.9 and 150 for Yelp18).
    num_negatives : int, optional
        N. Default: how many negatives a query has here.

    References
    ----------
    Mao et al., "SimpleX: a simple and strong baseline for collaborative filtering", CIKM 2021.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.contrastive_cosine_loss([0.8], [[0.95, 0.5]], margin=0.9, weight=150.0).round(6)
    array([3.95])
    """
    xp, own, others = _as_tables(positive, negatives)
    counted = others == others
    floor = check_number(margin, "margin")
    excess = _filled(xp, others - floor, counted & (others > floor), 0.0).sum(axis=1)
    number = _count(xp, others, counted)
    if num_negatives is not None:
        number = number * 0 + check_integer(num_negatives, "num_negatives", 1)
    # A query without negatives has nothing to divide.
    return (1.0 - own) + check_number(weight, "weight") * excess / xp.maximum(
        number, xp.ones_like(number)
    )


# --- weights of single judgements -----------------------------------------------------------------


def focal_weights(probabilities: Numbers, gamma: float) -> Numbers:
    """Return (1 - p)**gamma: little weight for what the model has learned.

    Parameters
    ----------
    probabilities : array of any shape
        Of the positive among its candidates, such as e(s+) / Z; 0 to 1.
    gamma : float
        At least 0. For KaLM-Embedding-V2 0.5 is reported (not checked against its code).

    Returns
    -------
    Same shape
        Constants: no gradient.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.focal_weights([0.9, 0.5, 0.1], 0.5).round(5).tolist()
    [0.31623, 0.70711, 0.94868]
    """
    _, (p,) = _read(probabilities=probabilities)
    _check_range(p, "probabilities", 0.0, 1.0)
    return (1.0 - _constant(p)) ** check_number(gamma, "gamma", minimum=0.0)


def asymmetric_weights(
    probabilities: Numbers,
    labels: Numbers,
    *,
    gamma_positive: float = 1.0,
    gamma_negative: float = 4.0,
    clip: float = 0.05,
) -> Numbers:
    """Return the weights of ASL: (1 - p)**gamma+ of positives, max(p - clip, 0)**gamma- of others.

    Parameters
    ----------
    probabilities, labels : arrays of one shape
        0 to 1; labels 1 for positives, 0 for negatives.
    gamma_positive, gamma_negative, clip : float
        At least 0. Defaults of the code of ASL; CQ-DINO takes 0 and 7.

    Returns
    -------
    Same shape
        Constants. Exactly 0 for negatives with p <= clip, which need not be looked up at all.

    References
    ----------
    Ridnik et al., "Asymmetric loss for multi-label classification", ICCV 2021.
    """
    xp, p, y = _judged(probabilities, labels)
    low, high = _clipped(xp, _constant(p), clip)
    hard = check_number(gamma_positive, "gamma_positive", minimum=0.0)
    easy = check_number(gamma_negative, "gamma_negative", minimum=0.0)
    of_negatives = _filled(xp, low**easy, high, 0.0)
    return xp.where(y > 0, (1.0 - _constant(p)) ** hard, of_negatives)


def asymmetric_loss(
    probabilities: Numbers,
    labels: Numbers,
    *,
    gamma_positive: float = 1.0,
    gamma_negative: float = 4.0,
    clip: float = 0.05,
) -> Numbers:
    """Return ASL of each judgement: -w log p, or -w log(1 - max(p - clip, 0)).

    Parameters are those of `asymmetric_weights`, which are w. Logarithms are of at least 1e-8.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.asymmetric_loss([0.04, 0.5, 0.9, 0.9], [0, 0, 0, 1]).round(6).tolist()
    [0.0, 0.024515, 0.990308, 0.010536]
    """
    xp, p, y = _judged(probabilities, labels)
    weights = asymmetric_weights(
        p, y, gamma_positive=gamma_positive, gamma_negative=gamma_negative, clip=clip
    )
    low, _ = _clipped(xp, p, clip)
    right = xp.where(y > 0, p, 1.0 - low)
    return weights * abs(xp.log(xp.maximum(right, xp.zeros_like(right) + 1e-8)))


def _judged(probabilities: Any, labels: Any) -> tuple[Any, Any, Any]:
    xp, (p, y) = _read(probabilities=probabilities, labels=labels)
    if _shape(p) != _shape(y):
        raise ValueError(f"labels: expected shape {_shape(p)}, got {_shape(y)}")
    _check_range(p, "probabilities", 0.0, 1.0)
    _check_range(y, "labels", 0.0, 1.0)
    return xp, p, y


def _clipped(xp: Any, p: Any, clip: float) -> tuple[Any, Any]:
    """Return max(p - clip, 0), and where it is above 0."""
    cut = check_number(clip, "clip", minimum=0.0, maximum=1.0)
    above = p > cut
    return _filled(xp, p - cut, above, 0.0), above


def dice_loss(
    probabilities: Numbers,
    labels: Numbers,
    *,
    alpha: float = 0.0,
    smooth: float = 1e-4,
    squared: bool = False,
) -> Numbers:
    """Return 1 - (2 sum of q y + smooth) / (sum of q + sum of y + smooth), q = (1 - p)**alpha p.

    Parameters
    ----------
    probabilities, labels : (..., k)
        0 to 1; sums are over the last axis.
    alpha : float, default 0
        At least 0; above 0, what is easy counts less.
    smooth : float, default 1e-4
        At least 0. This and ``alpha`` are defaults of the code.
    squared : bool, default False
        Whether the denominator has the squares of q and of y.

    Returns
    -------
    (...)

    References
    ----------
    Li et al., "Dice loss for data-imbalanced NLP tasks", ACL 2020.

    Examples
    --------
    >>> import nearmiss as nm
    >>> float(nm.weights.dice_loss([0.9, 0.5], [1, 0], smooth=0.0).round(6))
    0.25
    """
    _, p, y = _judged(probabilities, labels)
    q = (1.0 - p) ** check_number(alpha, "alpha", minimum=0.0) * p
    rest = check_number(smooth, "smooth", minimum=0.0)
    both = (q * q, y * y) if check_flag(squared, "squared") else (q, y)
    return 1.0 - (2.0 * (q * y).sum(axis=-1) + rest) / (
        both[0].sum(axis=-1) + both[1].sum(axis=-1) + rest
    )


def hardest_mask(scores: Numbers, k: int) -> Numbers:
    """Tell which are the k highest of each row, ties to the left: online hard example mining.

    Just k, or all there are. The code of the dice loss compares with the wrong element, strictly:
    there k = 3 keeps one, and k = 1 nearly all.

    Parameters
    ----------
    scores : (n, m)
        Such as probabilities of negatives; nan for none.
    k : int
        At least 1.

    Returns
    -------
    (n, m) booleans

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.hardest_mask([[0.1, 0.9, 0.5, 0.9]], 2).tolist()
    [[False, True, False, True]]
    """
    xp, (values,) = _read(scores=scores)
    if values.ndim != 2:
        raise ValueError(f"scores: expected shape (queries, items), got {_shape(values)}")
    counted = values == values
    filled = _filled(xp, _constant(values), counted, -float("inf"))
    first = check_integer(k, "k", 1)
    if xp is np:
        order = np.argsort(-filled, axis=1, kind="stable")[:, :first]
    else:
        order = xp.sort(-filled, dim=1, stable=True).indices[:, :first]
    kept = xp.zeros_like(counted)
    kept[xp.arange(len(values))[:, None], order] = True
    return kept & counted


# --- labels that may be wrong ---------------------------------------------------------------------


class NoisyLabelWeights(NamedTuple):
    """Weights of four logarithms, of the shape of the scores.

    Attributes
    ----------
    positive, negative
        Of log sigma(R) and log sigma(-R), R the score.
    flipped, kept
        Of log sigma(g) and log sigma(-g), g the logit of the label's being wrong.
    """

    positive: Numbers
    negative: Numbers
    flipped: Numbers
    kept: Numbers


def noisy_label_weights(
    scores: Numbers, noise_logits: Numbers, voted: Numbers
) -> NoisyLabelWeights:
    r"""Return NBPO's weights for items whose labels may be wrong.

    ============ ============ ============ ============ ============
    \            log sigma(R) log sigma(-R) log sigma(g) log sigma(-g)
    ============ ============ ============ ============ ============
    voted        sigma(-g)    0            0            sigma(R)
    not voted    sigma(g)     1            sigma(R)     0
    ============ ============ ============ ============ ============

    Parameters
    ----------
    scores, noise_logits, voted : arrays of one shape
        ``voted``: 1 (true) for items the user chose.

    Returns
    -------
    NoisyLabelWeights
        Constants. With g -> -inf they are those of logistic regression.

    References
    ----------
    "Sampler design for implicit feedback data by noisy-label robust learning" (NBPO), SIGIR 2020.
    """
    xp, (r, g, y) = _read(scores=scores, noise_logits=noise_logits, voted=voted)
    for name, value in (("noise_logits", g), ("voted", y)):
        if _shape(value) != _shape(r):
            raise ValueError(f"{name}: expected shape {_shape(r)}, got {_shape(value)}")
    _check_range(y, "voted", 0.0, 1.0)
    of_score = xp.exp(-_softplus(xp, -_constant(r)))
    wrong = xp.exp(-_softplus(xp, -_constant(g)))
    right = xp.exp(-_softplus(xp, _constant(g)))
    chosen, none = y > 0, xp.zeros_like(of_score)
    return NoisyLabelWeights(
        xp.where(chosen, right, wrong),
        xp.where(chosen, none, none + 1.0),
        xp.where(chosen, none, of_score),
        xp.where(chosen, of_score, none),
    )


def propensity_weights(labelled: Numbers, propensities: Numbers) -> tuple[Numbers, Numbers]:
    """Return the weights of an example as a positive and as a negative (SAR-PU).

    An example with a label counts 1/e as a positive and 1 - 1/e as a negative, one without 0 and
    1, where e is the probability that a positive like it gets its label. The expected weighted loss
    is then that of full labels.

    Parameters
    ----------
    labelled, propensities : arrays of one shape
        Propensities above 0, at most 1.

    Returns
    -------
    positive, negative : arrays of the same shape

    References
    ----------
    Bekker, Robberechts, Davis, "Beyond the selected completely at random assumption for learning
    from positive and unlabeled data", ECML PKDD 2019.

    Examples
    --------
    >>> import nearmiss as nm
    >>> [w.tolist() for w in nm.weights.propensity_weights([1, 0], [0.25, 0.25])]
    [[4.0, 0.0], [-3.0, 1.0]]
    """
    xp, (s, e) = _read(labelled=labelled, propensities=propensities)
    _check_propensities(s, e, "labelled")
    inverse = 1.0 / e
    none = xp.zeros_like(inverse)
    return xp.where(s > 0, inverse, none), xp.where(s > 0, 1.0 - inverse, none + 1.0)


def propensity_posterior(probabilities: Numbers, propensities: Numbers) -> Numbers:
    """Return P(positive | no label) = f (1 - e) / (1 - f e), of shape (n,) or any other.

    Parameters
    ----------
    probabilities, propensities : arrays of one shape
        f, that the example is a positive, 0 to 1; e as in `propensity_weights`.

    Returns
    -------
    Same shape
        0 where e is 1: a positive would have its label.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.propensity_posterior([0.6], [0.25]).round(6).tolist()
    [0.529412]
    """
    xp, (f, e) = _read(probabilities=probabilities, propensities=propensities)
    _check_propensities(f, e, "probabilities")
    without_label = 1.0 - f * e
    possible = without_label > 0
    return _filled(xp, f * (1.0 - e) / _filled(xp, without_label, possible, 1.0), possible, 0.0)


def _check_propensities(shares: Any, propensities: Any, name: str) -> None:
    if _shape(shares) != _shape(propensities):
        raise ValueError(
            f"propensities: expected shape {_shape(shares)}, got {_shape(propensities)}"
        )
    _check_range(shares, name, 0.0, 1.0)
    _check_range(propensities, "propensities", 0.0, 1.0)
    if bool((propensities == 0).any()):
        raise ValueError("propensities: expected more than 0")


# --- masks by document ----------------------------------------------------------------------------


def relevance_mask(documents: Numbers, positives: Any) -> Numbers:
    """Tell which documents of a batch may be negatives of which query: STAR's in-batch mask.

    Whatever is labelled as relevant to a query is masked for it wherever it stands, as another
    query's positive or hard negative, and as its own positive.

    Parameters
    ----------
    documents : (m,) integers
        The corpus rows of the documents in the batch, in columns.
    positives
        The relevant corpus rows of each query of the batch, in any form that
        ``mine(positives=…)`` takes.

    Returns
    -------
    (n, m) booleans
        True where the document may be a negative. A tensor if ``documents`` is one.

    References
    ----------
    Zhan et al., "Optimizing dense retrieval model training with hard negatives", SIGIR 2021.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.relevance_mask([4, 7, 4], [[4], [7, 9]]).tolist()
    [[False, True, False], [True, False, True]]
    """
    rows = as_integers(documents.cpu() if _is_tensor(documents) else documents, "documents")
    num_queries = count_lists(positives) or 0
    lists = to_lists(positives, "positives", num_queries, None)
    present, column = np.unique(rows, return_inverse=True)
    allowed = np.ones((num_queries, len(present)), dtype=np.bool_)
    if lists is not None and len(present):
        queries = np.repeat(np.arange(num_queries), lists.lengths())
        place = np.minimum(np.searchsorted(present, lists.rows), len(present) - 1)
        found = present[place] == lists.rows
        allowed[queries[found], place[found]] = False
    mask = allowed[:, column.reshape(-1)]
    return _like(mask, documents)


def listwise_mask(
    documents: Numbers,
    listed: Numbers,
    teacher_scores: Numbers,
    positive_columns: Numbers,
    *,
    fraction: float = 0.6,
) -> Numbers:
    """Tell which documents of a batch a teacher does not find near the best of the query's list.

    A listed document whose score is above ``fraction`` of the list's best is masked for that query
    wherever it stands in the batch, by its id. The query's own positive column never is.

    Parameters
    ----------
    documents : (m,) integers
        Ids of the documents in the batch, in columns.
    listed : (n, k) integers
        Ids the teacher scored for each query; -1 for none.
    teacher_scores : (n, k)
        Their scores.
    positive_columns : (n,) integers
        The column of each query's positive.
    fraction : float, default 0.6
        0 to 1, as in the code. Of a best score b below 0 the bound is b - (1 - fraction) |b|.

    Returns
    -------
    (n, m) booleans
        True where the document takes part.

    References
    ----------
    "Teaching dense retrieval models to specialize with listwise distillation and LLM data
    augmentation".

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.listwise_mask([5, 6, 7], [[5, 7, 6]], [[1.0, 0.7, 0.6]], [0]).tolist()
    [[True, True, False]]
    """
    xp, (scores,) = _read(teacher_scores=teacher_scores)
    share = check_number(fraction, "fraction", minimum=0.0, maximum=1.0)
    ids, lists, columns = (
        _integers(value, name, scores)
        for value, name in (
            (documents, "documents"),
            (listed, "listed"),
            (positive_columns, "positive_columns"),
        )
    )
    if scores.ndim != 2 or _shape(lists) != _shape(scores):
        raise ValueError(f"listed: expected shape {_shape(scores)}, got {_shape(lists)}")
    if _shape(columns) != _shape(scores)[:1]:
        raise ValueError(f"positive_columns: expected one per query, got {_shape(columns)}")
    _check_range(columns, "positive_columns", 0, max(0, len(ids) - 1))
    counted = lists >= 0
    best = _largest(xp, scores, counted)
    bound = xp.where(best >= 0, share * best, (2.0 - share) * best)
    near = counted & (scores > bound)
    masked = (columns[:, None] == ids[None, :]) & False
    for place in range(_shape(lists)[1]):
        masked |= (lists[:, place, None] == ids[None, :]) & near[:, place, None]
    masked[xp.arange(len(scores)), columns] = False
    return ~masked


def _integers(value: Any, name: str, like: Any) -> Any:
    """Return integers of any shape, where ``like`` is."""
    if _is_tensor(value):
        if value.is_floating_point() or not _is_tensor(like):
            raise TypeError(f"{name}: expected integers, as tensors where scores are tensors")
        return value.to(like.device)
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected integers, got {array.dtype.name}")
    array = array.astype(np.int64)
    return _like(array, like)


def _like(array: np.ndarray[Any, np.dtype[Any]], given: Any) -> Any:
    """Return an array as a tensor on the device of ``given``, if that is a tensor."""
    if not _is_tensor(given):
        return array
    return sys.modules["torch"].as_tensor(array, device=given.device)


# --- margins as targets ---------------------------------------------------------------------------


def adaptive_relevance_targets(
    positives: Numbers, negatives: Numbers, *, all_pairs: bool = False
) -> Numbers:
    """Return target margins between a positive and a negative: cos(d+, d-) / 2 + 1/2 (ARM).

    The more alike the documents, the larger the target.

    Parameters
    ----------
    positives, negatives : (n, d)
        Embeddings of the positive and of the negative of each query, from the same encoder.
    all_pairs : bool, default False
        False: row by row, (n,). True: every positive with every negative, (n, n).

    Returns
    -------
    (n,) or (n, n)
        1 for the same direction, 0 for opposite ones. With gradients.

    References
    ----------
    "Learning effective representations for retrieval using self-distillation with adaptive
    relevance margins" (ARM).

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.adaptive_relevance_targets([[1.0, 0.0]], [[0.6, 0.8]]).tolist()
    [0.8]
    """
    xp, (own, others) = _read(positives=positives, negatives=negatives)
    if own.ndim != 2 or _shape(own) != _shape(others):
        raise ValueError(f"negatives: expected shape {_shape(own)}, got {_shape(others)}")
    left, right = (_unit_rows(xp, own, "positives"), _unit_rows(xp, others, "negatives"))
    cosines = left @ right.T if check_flag(all_pairs, "all_pairs") else (left * right).sum(axis=1)
    return cosines / 2 + 0.5


def _unit_rows(xp: Any, rows: Any, name: str) -> Any:
    norms = xp.sqrt((rows * rows).sum(axis=1))
    if bool((norms == 0).any()):
        raise ValueError(f"{name}: row {int((norms == 0).nonzero()[0][0])} is zero")
    return rows / norms[:, None]


def adaptive_relevance_loss(margins: Numbers, targets: Numbers, kind: str = "l2") -> Numbers:
    """Return how far margins s+ - s- are from their targets: squared or absolute differences.

    Parameters
    ----------
    margins : (n,) or (n, n)
        Of each query's own negative, or of every negative in the batch.
    targets : (n,) or (n, n)
        From `adaptive_relevance_targets`, or a constant. Own margins with targets of all pairs is
        the "distributed" mode, the default of ARM's code: margin i meets the targets of row i.
    kind : {"l2", "l1"}, default "l2"

    Returns
    -------
    The larger shape of both
        One loss each; take their mean.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.weights.adaptive_relevance_loss([0.8 - 0.5], [0.8]).round(6).tolist()
    [0.25]
    """
    _, (found, wanted) = _read(margins=margins, targets=targets)
    if found.ndim == 1 and wanted.ndim == 2:
        found = found[:, None]
    gaps = found - wanted
    return gaps * gaps if check_choice(kind, "kind", ("l1", "l2")) == "l2" else abs(gaps)
