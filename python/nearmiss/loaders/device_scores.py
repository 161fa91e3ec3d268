# SPDX-License-Identifier: Apache-2.0
"""Scores of two sets of tensors by torch, with the bits of the core.

Torch adds up in float64 in an order of its own. Its sum and the core's are both within a known
bound of the true one, so wherever both ends of that interval round to the same float32, that is the
score. The few pairs next to a rounding boundary are settled by the core.
"""

from __future__ import annotations

import torch

from nearmiss import _core
from nearmiss.arrays import Float32, Int64, as_matrix

_UNIT = 2.0**-53
_BLOCK_SCORES = 1 << 23  # 64 MiB of float64 scores at a time
_MOST_UNSETTLED = 1 / 64  # of a block; beyond it the core computes all


def torch_scores(
    anchors: torch.Tensor, candidates: torch.Tensor, metric: str, num_threads: int
) -> torch.Tensor:
    """Return the scores of every anchor and candidate, (n, m) float32, on their device.

    Parameters
    ----------
    anchors, candidates : (n, d), (m, d) tensors
        On one device that knows float64. Finite, and not zero under cosine.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.
    """
    left, right = _as_float64(anchors), _as_float64(candidates)
    right_norms = right.square().sum(dim=1).sqrt()
    scores = torch.empty(len(left), len(right), dtype=torch.float32, device=left.device)
    per_block = max(1, _BLOCK_SCORES // max(1, len(right)))
    for begin in range(0, len(left), per_block):
        block = slice(begin, begin + per_block)
        lower, upper = _interval(left[block], right, right_norms, metric)
        scores[block] = upper + 0.0
        unsettled = torch.nonzero(lower != upper)
        if len(unsettled) > _MOST_UNSETTLED * lower.numel():
            unsettled = torch.nonzero(torch.ones_like(lower))
        if len(unsettled):
            rows, columns = unsettled[:, 0] + begin, unsettled[:, 1]
            settled = _pair_scores(anchors, candidates, rows, columns, metric, num_threads)
            scores[rows, columns] = settled
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


def _pair_scores(
    anchors: torch.Tensor,
    candidates: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    metric: str,
    num_threads: int,
) -> torch.Tensor:
    """Return the core's scores of single pairs; it gets only the rows that are in one."""
    left, left_rows = _rows_in_use(anchors, rows)
    right, right_rows = _rows_in_use(candidates, columns)
    embeddings, others = as_matrix(left, "embeddings"), as_matrix(right, "embeddings")
    corpus = _core.Corpus(
        others.rows, others.element_type, metric, num_threads=num_threads, precision="float32"
    )
    scores: Float32 = _core.pair_scores(
        embeddings.rows,
        embeddings.element_type,
        corpus,
        left_rows,
        right_rows,
        num_threads=num_threads,
    )
    return torch.from_numpy(scores).to(anchors.device)


def _rows_in_use(matrix: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, Int64]:
    """Return the rows that are mentioned, in main memory, and which of them each one is."""
    used, places = torch.unique(rows, return_inverse=True)
    return matrix[used].detach().cpu(), places.cpu().numpy()
