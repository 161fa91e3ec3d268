# SPDX-License-Identifier: Apache-2.0
"""Scores of two sets of tensors by torch, with the bits of the core.

Torch adds up in float64 in an order of its own. Its sum and the core's are both within a known
bound of the true one, so wherever both ends of that interval round to the same float32, that is the
score. The few pairs next to a rounding boundary are settled by the core.
"""

from __future__ import annotations

import numpy as np
import torch

from nearmiss import _core
from nearmiss.arrays import Float32, Matrix, as_matrix

_UNIT = 2.0**-53
_BLOCK_SCORES = 1 << 23  # 64 MiB of float64 scores at a time
_MOST_UNSETTLED = 1 / 64  # of a block; beyond it the core computes all


def torch_scores(
    anchors: torch.Tensor, candidates: torch.Tensor, metric: str, num_threads: int
) -> Float32:
    """Return the scores of every anchor and candidate, (n, m) float32, in main memory.

    Parameters
    ----------
    anchors, candidates : (n, d), (m, d) tensors
        On one device that knows float64. Finite, and not zero under cosine.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.
    """
    left, right = _as_float64(anchors), _as_float64(candidates)
    right_norms = right.square().sum(dim=1).sqrt()
    scores = np.empty((len(left), len(right)), dtype=np.float32)
    core = _Settling(anchors, candidates, metric, num_threads)
    per_block = max(1, _BLOCK_SCORES // max(1, len(right)))
    for begin in range(0, len(left), per_block):
        block = slice(begin, begin + per_block)
        lower, upper = _interval(left[block], right, right_norms, metric)
        unsettled = torch.nonzero(lower != upper).cpu().numpy()
        scores[block] = (upper + 0.0).cpu().numpy()
        core.settle(scores[block], begin, unsettled)
    return scores


def _as_float64(rows: torch.Tensor) -> torch.Tensor:
    rows = rows.detach()
    return (rows.float() if rows.dtype == torch.float64 else rows).double()


def _interval(
    left: torch.Tensor, right: torch.Tensor, right_norms: torch.Tensor, metric: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Round both ends of intervals that hold the sums of torch, of the core, and the true ones.

    A sum of d products in any order is within gamma_d of the product of the norms (Higham 2002,
    section 3.1); norms, roots, divisions and this arithmetic add a few units. 16 times gamma is
    twice what that comes to.
    """
    terms = left.shape[1] + 8
    bound = 16 * terms * _UNIT
    norms = left.square().sum(dim=1).sqrt()[:, None]
    values = left @ right.T
    if metric == "cosine":
        values = values / (norms * right_norms)
        error = torch.full_like(norms, bound)
    elif metric == "ip":
        error = bound * norms * right_norms
    else:
        values = 2 * values - norms.square() - right_norms.square()
        error = bound * (norms + right_norms).square()
    return (values - error).float(), (values + error).float()


class _Settling:
    """Exact scores of single pairs by the core, which gets the rows only if there are any."""

    def __init__(
        self, anchors: torch.Tensor, candidates: torch.Tensor, metric: str, num_threads: int
    ) -> None:
        self._tensors = anchors, candidates
        self._metric = metric
        self._num_threads = num_threads
        self._ready: tuple[Matrix, _core.Corpus] | None = None

    def settle(
        self, scores: Float32, begin: int, pairs: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    ) -> None:
        """Overwrite ``scores``, those of anchors from ``begin`` on, at ``pairs``, (k, 2)."""
        if len(pairs) == 0:
            return
        if len(pairs) > _MOST_UNSETTLED * scores.size:
            pairs = np.argwhere(np.ones(scores.shape, dtype=np.bool_))
        anchors, corpus = self._rows()
        scores[pairs[:, 0], pairs[:, 1]] = _core.pair_scores(
            anchors.rows,
            anchors.element_type,
            corpus,
            np.ascontiguousarray(pairs[:, 0] + begin),
            np.ascontiguousarray(pairs[:, 1]),
            num_threads=self._num_threads,
        )

    def _rows(self) -> tuple[Matrix, _core.Corpus]:
        if self._ready is None:
            anchors, candidates = (as_matrix(rows.cpu(), "embeddings") for rows in self._tensors)
            corpus = _core.Corpus(
                candidates.rows,
                candidates.element_type,
                self._metric,
                num_threads=self._num_threads,
                precision="float32",
            )
            self._ready = anchors, corpus
        return self._ready
