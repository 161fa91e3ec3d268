# SPDX-License-Identifier: Apache-2.0
"""Miners inside a batch, called as those of pytorch-metric-learning are.

``miner(embeddings, labels, ref_emb=None, ref_labels=None)`` returns index tensors on the device of
``embeddings``: triplets (anchors, positives, negatives), or pairs (anchors, positives, anchors,
negatives). Anchors are rows of ``embeddings``; positives and negatives are rows of ``ref_emb``, or
of ``embeddings`` without it. Candidates with an anchor's label are its positives, all others its
negatives. Any loss of pytorch-metric-learning takes the result as its ``indices_tuple``, and
``CrossBatchMemory(miner=…)`` takes the miner.

A miner never pads: an anchor without what a miner looks for is not in its result. Results are those
of exact scores: the same bits for any number of threads, SIMD target and device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch

from nearmiss import _core
from nearmiss.arrays import (
    Float64,
    Int64,
    as_float64_vector,
    as_integers,
    as_matrix,
    check_choice,
    check_integer,
    check_number,
    check_seed,
)
from nearmiss.loaders.device_picks import DeviceBatch
from nearmiss.loaders.device_scores import torch_scores
from nearmiss.runtime import resolve_num_threads

__all__ = [
    "BatchHardMiner",
    "DistanceWeightedMiner",
    "MultiSimilarityMiner",
    "SemiHardMiner",
    "SoftHardMiner",
    "TopKMiner",
    "TripletMarginMiner",
    "log_distance_weights",
]

Backend: TypeAlias = Literal["auto", "core", "torch"]

_MOST = 2**62


class _Distance(NamedTuple):
    """A metric of the core, and what margins are measured in."""

    metric: str
    gauge: str


_DISTANCES = {
    "cosine": _Distance("cosine", "score"),
    "ip": _Distance("ip", "score"),
    "normalized_l2": _Distance("cosine", "distance"),
    "squared_normalized_l2": _Distance("cosine", "squared_distance"),
    "l2": _Distance("l2", "distance"),
    "squared_l2": _Distance("l2", "squared_distance"),
}


def _parse_distance(distance: Any) -> _Distance:
    """Take a name, or a distance of pytorch-metric-learning that means one of them."""
    if isinstance(distance, str):
        return _DISTANCES[check_choice(distance, "distance", _DISTANCES)]
    classes = {kind.__name__ for kind in type(distance).__mro__}
    name = None
    if "DotProductSimilarity" in classes and distance.power == 1:
        name = "cosine" if distance.normalize_embeddings else "ip"
    elif "LpDistance" in classes and distance.p == 2 and distance.power in (1, 2):
        squared = "squared_" if distance.power == 2 else ""
        name = squared + ("normalized_l2" if distance.normalize_embeddings else "l2")
    if name is None:
        raise ValueError(
            f"distance: expected one of {', '.join(_DISTANCES)}, or CosineSimilarity, "
            "DotProductSimilarity or LpDistance(p=2, power=1 or 2) of pytorch-metric-learning, "
            f"got {distance!r}"
        )
    return _DISTANCES[name]


class _Miner(torch.nn.Module, ABC):
    """What miners share: from tensors to a batch of the core, and back."""

    def __init__(self, distance: Any, num_threads: int | None, backend: Backend) -> None:
        super().__init__()
        self.distance = distance
        self.num_threads = num_threads
        self.backend = check_choice(backend, "backend", ("auto", "core", "torch"))
        self._distance = _parse_distance(distance)
        self.num_triplets = self.num_pos_pairs = self.num_neg_pairs = 0

    @abstractmethod
    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        """Return what the core finds in the batch."""

    def _mine_on_device(self, batch: DeviceBatch) -> tuple[torch.Tensor, ...] | None:
        """Return the same, found on the device, or None where only the core can."""
        return None

    def forward(
        self,
        embeddings: torch.Tensor,
        labels: Any = None,
        ref_emb: torch.Tensor | None = None,
        ref_labels: Any = None,
    ) -> tuple[torch.Tensor, ...]:
        """Mine a batch.

        Parameters
        ----------
        embeddings : (n, d) tensor
            float64 (rounded to float32), float32, float16 or bfloat16. Not differentiated.
        labels : (n,) integers, optional
            None is for pairs: row i of ``ref_emb`` is the one positive of row i of
            ``embeddings``; further rows, such as mined negatives, are positives of none.
        ref_emb : (m, d) tensor, optional
            The candidates. Default: ``embeddings``, and then nothing is paired with itself.
        ref_labels : (m,) integers, optional
            Default: ``labels``.

        Returns
        -------
        tuple of int64 tensors
            (anchors, positives, negatives), or (anchors, positives, anchors, negatives), see the
            class. In the order of anchors.

        Raises
        ------
        ValueError
            For embeddings that are not finite, of other dimensions or, for normalised ones, zero;
            naming the row. For labels that do not match.
        TypeError
            For labels that are no integers, or other element types.
        """
        threads = resolve_num_threads(self.num_threads)
        with torch.no_grad():
            if ref_emb is embeddings:
                ref_emb = None
            _check_tensors(embeddings, ref_emb)
            given = _Batch(embeddings, ref_emb, *_labels(embeddings, labels, ref_emb, ref_labels))
            mined = self._find(given, threads)
        self._count(mined)
        return mined

    def _find(self, batch: _Batch, threads: int) -> tuple[torch.Tensor, ...]:
        scores = None
        if self._by_torch(batch.device):
            metric = self._distance.metric
            scores = torch_scores(batch.embeddings, batch.candidates, metric, threads)
            found = self._mine_on_device(batch.on_device(scores, self._distance))
            if found is not None:
                return found
        core = batch.of_core(scores, self._distance)
        mined = self._mine(core, batch.embeddings.shape[1], threads)
        return tuple(torch.from_numpy(part).to(batch.device) for part in mined)

    def _count(self, mined: tuple[torch.Tensor, ...]) -> None:
        if len(mined) == 3:
            self.num_triplets = len(mined[0])
        else:
            self.num_pos_pairs, self.num_neg_pairs = len(mined[0]), len(mined[2])

    def _by_torch(self, device: torch.device) -> bool:
        # Where there is no float64 there is no bound small enough to be of use.
        if self.backend == "auto":
            return device.type not in ("cpu", "mps")
        return self.backend == "torch"


class _Batch(NamedTuple):
    """Checked tensors, with labels in main memory."""

    embeddings: torch.Tensor
    ref_emb: torch.Tensor | None
    labels: Int64
    candidate_labels: Int64

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    @property
    def candidates(self) -> torch.Tensor:
        return self.embeddings if self.ref_emb is None else self.ref_emb

    def on_device(self, scores: torch.Tensor, distance: _Distance) -> DeviceBatch:
        own = torch.from_numpy(self.labels).to(self.device)
        others = own
        if self.ref_emb is not None:
            others = torch.from_numpy(self.candidate_labels).to(self.device)
        return DeviceBatch(scores, own, others, self.ref_emb is None, *distance)

    def of_core(self, scores: torch.Tensor | None, distance: _Distance) -> _core.Batch:
        anchors = as_matrix(self.embeddings, "embeddings")
        rest = None if self.ref_emb is None else as_matrix(self.ref_emb, "ref_emb")
        return _core.Batch(
            anchors.rows,
            anchors.element_type,
            None if rest is None else rest.rows,
            "float32" if rest is None else rest.element_type,
            self.labels,
            self.candidate_labels,
            distance.metric,
            None if scores is None else scores.cpu().numpy(),
        )


def _check_tensors(embeddings: torch.Tensor, ref_emb: torch.Tensor | None) -> None:
    _check_tensor(embeddings, "embeddings")
    if ref_emb is None:
        return
    _check_tensor(ref_emb, "ref_emb")
    if ref_emb.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"ref_emb: expected {embeddings.shape[1]} dimensions, as embeddings have, "
            f"got {ref_emb.shape[1]}"
        )
    if ref_emb.device != embeddings.device:
        raise ValueError(f"ref_emb: is on {ref_emb.device}, embeddings on {embeddings.device}")


def _check_tensor(value: Any, name: str) -> None:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if value.ndim != 2:
        raise ValueError(
            f"{name}: expected a 2-dimensional tensor (rows, dimensions), got {tuple(value.shape)}"
        )


def _labels(
    embeddings: torch.Tensor, labels: Any, ref_emb: torch.Tensor | None, ref_labels: Any
) -> tuple[Int64, Int64]:
    """Return the labels of anchors and of candidates."""
    if labels is None:
        if ref_emb is None or ref_labels is not None:
            raise ValueError("labels: needed, unless row i of ref_emb is the positive of row i")
        if len(ref_emb) < len(embeddings):
            raise ValueError(
                f"ref_emb: expected a positive for each of {len(embeddings)} rows, "
                f"got {len(ref_emb)}"
            )
        return np.arange(len(embeddings)), np.arange(len(ref_emb))
    own = as_integers(_to_host(labels), "labels", len(embeddings), "row of embeddings")
    if ref_emb is None:
        if ref_labels is not None and ref_labels is not labels:
            raise ValueError("ref_labels: given without ref_emb")
        return own, own
    if ref_labels is None:
        ref_labels = labels
    return own, as_integers(_to_host(ref_labels), "ref_labels", len(ref_emb), "row of ref_emb")


def _to_host(labels: Any) -> Any:
    return labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels


class _DrawingMiner(_Miner):
    """A miner whose draws are a function of (seed, step, anchor) and of the batch."""

    def __init__(self, distance: Any, seed: int, num_threads: int | None, backend: Backend) -> None:
        super().__init__(distance, num_threads, backend)
        self.seed = check_seed(seed, "seed")
        self.step = 0

    def set_step(self, step: int) -> None:
        """Draw for this step at the next call; each call without ``step`` goes on by one."""
        self.step = check_seed(step, "step")

    def forward(
        self,
        embeddings: torch.Tensor,
        labels: Any = None,
        ref_emb: torch.Tensor | None = None,
        ref_labels: Any = None,
        *,
        step: int | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Mine a batch, drawing for ``step``, by default `step` of the miner, which then moves on.

        Everything else is as said for miners that do not draw.
        """
        if step is None:
            mined = super().forward(embeddings, labels, ref_emb, ref_labels)
            self.step += 1
            return mined
        following, self.step = self.step, check_seed(step, "step")
        try:
            return super().forward(embeddings, labels, ref_emb, ref_labels)
        finally:
            self.step = following

    def get_extra_state(self) -> dict[str, int]:
        """Return what a checkpoint holds: the step."""
        return {"step": self.step}

    def set_extra_state(self, state: Mapping[str, int]) -> None:
        """Go on where a checkpoint was written."""
        self.set_step(state["step"])


def _check_most(max_triplets: int | None) -> int | None:
    return None if max_triplets is None else check_integer(max_triplets, "max_triplets", 1, _MOST)


class BatchHardMiner(_Miner):
    """For every anchor its farthest positive and its nearest negative.

    Anchors without a positive or without a negative give no triplet. Ties go to the lower row. If
    all embeddings are equal, the triplet loss is just its margin: the sign of a collapse.

    Parameters
    ----------
    distance : str or distance of pytorch-metric-learning, default "normalized_l2"
        ``"normalized_l2"`` (between vectors of unit length), ``"l2"``, their squares
        ``"squared_normalized_l2"`` and ``"squared_l2"``, or a similarity, ``"cosine"`` or
        ``"ip"``. Here only the order counts.
    num_threads : int, optional
        Default: all that are allowed; one inside a DataLoader worker. Never changes the answer.
    backend : {"auto", "core", "torch"}, default "auto"
        Where scores are computed: by the core, or by torch on the tensors' device, whose scores
        are then settled to the core's bits. "auto" is the core for tensors on the CPU and on
        devices without float64. Never changes the answer.

    Notes
    -----
    With torch, the scores, 4 n m bytes, are held on the device. Miners that draw nothing pick
    there; for the others the scores are brought to main memory, where the core draws.

    References
    ----------
    Hermans, Beyer, Leibe, "In defense of the triplet loss for person re-identification", 2017.
    Why the hardest: "Mathematical justification of hard negative mining via isometric approximation
    theorem".

    Examples
    --------
    >>> import torch, nearmiss as nm
    >>> points = torch.tensor([[0.0], [1.0], [1.5], [5.0]])
    >>> miner = nm.loaders.miners.BatchHardMiner(distance="l2")
    >>> [part.tolist() for part in miner(points, torch.tensor([0, 0, 1, 1]))]
    [[0, 1, 2, 3], [1, 0, 3, 2], [2, 2, 1, 1]]
    """

    def __init__(
        self,
        distance: Any = "normalized_l2",
        *,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(distance, num_threads, backend)

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.batch_hard(threads)

    def _mine_on_device(self, batch: DeviceBatch) -> tuple[torch.Tensor, ...]:
        return batch.batch_hard()


class TripletMarginMiner(_DrawingMiner):
    """All triplets that violate a margin, or those that do in one way.

    With t = d(a, n) - d(a, p), or s(a, p) - s(a, n) for similarities:

    ========== ===========================
    "all"      t <= margin
    "hard"     t <= margin and t <= 0
    "semihard" 0 < t <= margin
    "easy"     t > margin
    ========== ===========================

    Parameters
    ----------
    margin : float, default 0.2
    type_of_triplets : {"all", "hard", "semihard", "easy"}, default "all"
    distance : str or distance of pytorch-metric-learning, default "normalized_l2"
        As in `BatchHardMiner`.
    max_triplets : int, optional
        At most so many, drawn uniformly without replacement from all there are. They are counted
        first, never listed, so memory does not grow with what is left out.
    seed : int, default 0
        Of the draws, which depend on (seed, step) and the batch. See `set_step`.
    num_threads, backend
        As in `BatchHardMiner`.

    Notes
    -----
    Ordered by anchor, positive, negative. Margins are differences in float64 of distances computed
    from float32 scores; equality counts as written. Defaults, names and rules are those of
    pytorch-metric-learning 2.9.
    """

    def __init__(
        self,
        margin: float = 0.2,
        type_of_triplets: str = "all",
        distance: Any = "normalized_l2",
        *,
        max_triplets: int | None = None,
        seed: int = 0,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(distance, seed, num_threads, backend)
        self.margin = check_number(margin, "margin")
        self.type_of_triplets = check_choice(
            type_of_triplets, "type_of_triplets", ("all", "hard", "semihard", "easy")
        )
        self.max_triplets = _check_most(max_triplets)

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.margin_triplets(
            self._distance.gauge,
            *self._range(),
            self.max_triplets,
            self.seed,
            self.step,
            threads,
        )

    def _mine_on_device(self, batch: DeviceBatch) -> tuple[torch.Tensor, ...] | None:
        return batch.margin_triplets(*self._range()) if self.max_triplets is None else None

    def _range(self) -> tuple[float, float]:
        """Return (above, most): t is above the one and at most the other."""
        return {
            "all": (-math.inf, self.margin),
            "hard": (-math.inf, min(self.margin, 0.0)),
            "semihard": (0.0, self.margin),
            "easy": (self.margin, math.inf),
        }[self.type_of_triplets]


class SemiHardMiner(_DrawingMiner):
    """For every pair of an anchor and a positive, one negative a little farther than the positive.

    Eligible are negatives with d(a, p) < d(a, n) < d(a, p) + margin.

    Parameters
    ----------
    margin : float, default 0.2
        Above 0; ``math.inf`` for no upper end.
    pick : {"random", "nearest"}, default "random"
        One of them uniformly, or the nearest (ties to the lower row), as in FaceNet's selection.
    fallback : {"none", "random"}, default "none"
        Where no negative is eligible: no triplet, or any negative, uniformly.
    distance : str or distance of pytorch-metric-learning, default "normalized_l2"
        As in `BatchHardMiner`.
    max_triplets : int, optional
        At most so many, drawn uniformly without replacement.
    seed : int, default 0
        As in `TripletMarginMiner`.
    num_threads, backend
        As in `BatchHardMiner`.

    Notes
    -----
    Margin and random fallback are those of the code of PADS (Roth, Milbich, Ommer, CVPR 2020),
    which draws one positive per anchor; here every positive gets its negative.

    References
    ----------
    Schroff, Kalenichenko, Philbin, "FaceNet: a unified embedding for face recognition and
    clustering", CVPR 2015, section 3.2.
    """

    def __init__(
        self,
        margin: float = 0.2,
        pick: str = "random",
        fallback: str = "none",
        distance: Any = "normalized_l2",
        *,
        max_triplets: int | None = None,
        seed: int = 0,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(distance, seed, num_threads, backend)
        self.margin = math.inf if margin == math.inf else check_number(margin, "margin", above=0.0)
        self.pick = check_choice(pick, "pick", ("random", "nearest"))
        self.fallback = check_choice(fallback, "fallback", ("none", "random"))
        self.max_triplets = _check_most(max_triplets)

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.semi_hard(
            self._distance.gauge,
            self.margin,
            self.pick == "nearest",
            self.fallback == "random",
            self.max_triplets,
            self.seed,
            self.step,
            threads,
        )


class SoftHardMiner(_DrawingMiner):
    """For every anchor a random one of its hard positives and a random one of its hard negatives.

    Hard positives are farther than the anchor's nearest negative, hard negatives nearer than its
    farthest positive; if there are any of one kind, there are of the other.

    Parameters
    ----------
    fallback : {"none", "random"}, default "none"
        Where an anchor has none: no triplet, or any positive and any negative, uniformly.
    distance : str or distance of pytorch-metric-learning, default "normalized_l2"
        As in `BatchHardMiner`; only the order counts.
    seed : int, default 0
        As in `TripletMarginMiner`.
    num_threads, backend
        As in `BatchHardMiner`.

    Notes
    -----
    The rule of the code of PADS (Roth, Milbich, Ommer, CVPR 2020), which falls back at random.
    """

    def __init__(
        self,
        fallback: str = "none",
        distance: Any = "normalized_l2",
        *,
        seed: int = 0,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(distance, seed, num_threads, backend)
        self.fallback = check_choice(fallback, "fallback", ("none", "random"))

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.soft_hard(self.fallback == "random", self.seed, self.step, threads)


class DistanceWeightedMiner(_DrawingMiner):
    """For every pair of an anchor and a positive, one negative drawn evenly over distances.

    Weights undo how points of a sphere in D dimensions spread over distances d:
    log w = (2 - D) log d - (D - 3)/2 log(1 - d**2 / 4), with d raised to ``cutoff``, and w = 0 from
    ``nonzero_loss_cutoff`` on. A pair whose anchor has no negative with weight gives no triplet.

    Parameters
    ----------
    cutoff : float, default 0.5
        Above 0.
    nonzero_loss_cutoff : float, default 1.4
        Above ``cutoff``, at most 2.
    max_triplets : int, optional
        At most so many, drawn uniformly without replacement.
    seed : int, default 0
        As in `TripletMarginMiner`.
    num_threads, backend
        As in `BatchHardMiner`.

    Notes
    -----
    Distances are between vectors of unit length. Weights are relative to the greatest of the
    anchor; pytorch-metric-learning, whose defaults these are, relates them to the greatest of the
    batch, which leaves some anchors without any. It also draws positives at random, some of them
    twice; here each has its turn. Probabilities are integers over 2**62, and draws exact.

    References
    ----------
    Wu, Manmatha, Smola, Krähenbühl, "Sampling matters in deep embedding learning", ICCV 2017,
    section 4.
    """

    def __init__(
        self,
        cutoff: float = 0.5,
        nonzero_loss_cutoff: float = 1.4,
        *,
        max_triplets: int | None = None,
        seed: int = 0,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__("normalized_l2", seed, num_threads, backend)
        self.cutoff, self.nonzero_loss_cutoff = _check_cutoffs(cutoff, nonzero_loss_cutoff)
        self.max_triplets = _check_most(max_triplets)

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.distance_weighted(
            float(dimensions),
            self.cutoff,
            self.nonzero_loss_cutoff,
            self.max_triplets,
            self.seed,
            self.step,
            threads,
        )


def _check_cutoffs(cutoff: float, nonzero_loss_cutoff: float) -> tuple[float, float]:
    nearest = check_number(cutoff, "cutoff", above=0.0)
    farthest = check_number(nonzero_loss_cutoff, "nonzero_loss_cutoff", above=nearest, maximum=2.0)
    return nearest, farthest


def log_distance_weights(
    distances: Any,
    dimensions: int,
    *,
    cutoff: float = 0.5,
    nonzero_loss_cutoff: float = 1.4,
) -> Float64:
    """Return the log-weights `DistanceWeightedMiner` draws by, before they are related.

    Parameters
    ----------
    distances : array-like of shape (m,)
        Between vectors of unit length.
    dimensions : int
        Of the vectors, at least 1.
    cutoff, nonzero_loss_cutoff : float
        As in `DistanceWeightedMiner`.

    Returns
    -------
    (m,) float64
        ``-inf`` from ``nonzero_loss_cutoff`` on.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.loaders.miners.log_distance_weights([0.5, 1.0, 1.4], 128).round(4).tolist()
    [91.3702, 17.9801, -inf]
    """
    nearest, farthest = _check_cutoffs(cutoff, nonzero_loss_cutoff)
    return _core.log_distance_weights(
        as_float64_vector(distances, "distances"),
        float(check_integer(dimensions, "dimensions", 1)),
        nearest,
        farthest,
    )


class MultiSimilarityMiner(_Miner):
    """Pairs that are hard compared with the hardest pair of the other kind.

    A positive is kept if s(a, p) - epsilon < max s(a, n), a negative if s(a, n) + epsilon >
    min s(a, p). With distances: d(a, p) + epsilon > min d(a, n), d(a, n) - epsilon < max d(a, p).
    Anchors without a positive or without a negative give no pairs.

    Parameters
    ----------
    epsilon : float, default 0.1
    distance : str or distance of pytorch-metric-learning, default "cosine"
        As in `BatchHardMiner`.
    num_threads, backend
        As in `BatchHardMiner`.

    Notes
    -----
    Returns (anchors, positives, anchors, negatives), both halves ordered by anchor and candidate;
    pytorch-metric-learning returns the same pairs, ordered by similarity. Comparisons are in
    float64 of float32 scores.

    References
    ----------
    Wang, Han, Huang, Dong, Scott, "Multi-similarity loss with general pair weighting for deep
    metric learning", CVPR 2019, section 3.2.
    """

    def __init__(
        self,
        epsilon: float = 0.1,
        distance: Any = "cosine",
        *,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(distance, num_threads, backend)
        self.epsilon = check_number(epsilon, "epsilon")

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.multi_similarity(self._distance.gauge, self.epsilon, threads)

    def _mine_on_device(self, batch: DeviceBatch) -> tuple[torch.Tensor, ...]:
        return batch.multi_similarity(self.epsilon)


class TopKMiner(_Miner):
    """Every positive pair, and for every anchor its k nearest negatives.

    Parameters
    ----------
    k : int
        Negatives per anchor, at least 1; an anchor with fewer has them all.
    distance : str or distance of pytorch-metric-learning, default "cosine"
        As in `BatchHardMiner`; only the order counts.
    num_threads, backend
        As in `BatchHardMiner`.

    Notes
    -----
    Returns (anchors, positives, anchors, negatives): positives of an anchor in ascending order,
    negatives nearest first, ties to the lower row.
    """

    def __init__(
        self,
        k: int,
        distance: Any = "cosine",
        *,
        num_threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(distance, num_threads, backend)
        self.k = check_integer(k, "k", 1, _MOST)

    def _mine(self, batch: _core.Batch, dimensions: int, threads: int) -> tuple[Int64, ...]:
        return batch.nearest_negatives(self.k, threads)

    def _mine_on_device(self, batch: DeviceBatch) -> tuple[torch.Tensor, ...]:
        return batch.nearest_negatives(self.k)
