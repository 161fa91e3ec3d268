# SPDX-License-Identifier: Apache-2.0
"""Scores of two sets of tensors by torch, with the bits of the core.

Torch adds up in float64 in an order of its own. Its sum and the core's are both within a known
bound of the true one, so wherever both ends of that interval round to the same float32, that is the
score. The few pairs next to a rounding boundary are settled by the core.
"""

from __future__ import annotations

import torch

from nearmiss import _core
from nearmiss.arrays import Float32, as_matrix

_UNIT = 2.0**-53
_BLOCK_SCORES = 1 << 23  # 64 MiB of float64 scores at a time
_MOST_UNSETTLED = 1 / 64  # of all scores; beyond it the core computes all


def torch_scores(
    anchors: torch.Tensor, candidates: torch.Tensor, metric: str, num_threads: int
) -> torch.Tensor:
    """Return the scores of every anchor and candidate, (n, m) float32, on their device.

    Parameters
    ----------
    anchors, candidates : (n, d), (m, d) tensors
        On one device that knows float64.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.

    Raises
    ------
    ValueError
        For rows that are not finite, or zero under cosine, and scores beyond float32.
    """
    left, right = _as_float64(anchors), _as_float64(candidates)
    right_norms = right.square().sum(dim=1).sqrt()
    scores = torch.empty(len(left), len(right), dtype=torch.float32, device=left.device)
    unsettled = []
    per_block = max(1, _BLOCK_SCORES // max(1, len(right)))
    for begin in range(0, len(left), per_block):
        block = slice(begin, begin + per_block)
        lower, upper = _interval(left[block], right, right_norms, metric)
        scores[block] = upper + 0.0
        pairs = torch.nonzero(lower != upper).T
        pairs[0] += begin
        unsettled.append(pairs)
    # The one question where all is well: rows that are to be refused have no finite scores.
    if scores.numel() == 0 or not bool(torch.isfinite(scores).all()):
        _check_rows(anchors, "embeddings", metric)
        _check_rows(candidates, "ref_emb", metric)
        _check_scores(scores)
    if unsettled:
        _settle(scores, torch.cat(unsettled, dim=1), anchors, candidates, metric, num_threads)
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


def _check_rows(rows: torch.Tensor, name: str, metric: str) -> None:
    """Refuse what the core refuses; elements are looked at where they are."""
    finite = torch.isfinite(rows.float()).all(dim=1)
    if not bool(finite.all()):
        row = int((~finite).int().argmax())
        raise ValueError(f"{name}: row {row} has a NaN or infinite element")
    zero = (rows == 0).all(dim=1)
    if metric == "cosine" and bool(zero.any()):
        raise ValueError(f"{name}: row {int(zero.int().argmax())} is zero, which has no cosine")


def _check_scores(scores: torch.Tensor) -> None:
    finite = torch.isfinite(scores)
    if not bool(finite.all()):
        row, column = torch.nonzero(~finite)[0].tolist()
        raise ValueError(
            f"the score of embeddings row {row} and candidate {column} overflows float32; "
            "scale the embeddings down"
        )


def _settle(
    scores: torch.Tensor,
    pairs: torch.Tensor,
    anchors: torch.Tensor,
    candidates: torch.Tensor,
    metric: str,
    num_threads: int,
) -> None:
    """Overwrite the scores of pairs, (2, k), by the core's."""
    rows, columns = pairs
    if len(rows) == 0:
        return
    if len(rows) > _MOST_UNSETTLED * scores.numel():
        rows, columns = torch.nonzero(torch.ones_like(scores)).T
    elif len(rows) < len(anchors) + len(candidates):
        # Few: only their rows travel, each pair's on its own.
        left, right = anchors[rows], candidates[columns]
        places = torch.arange(len(rows))
        scores[rows, columns] = _pair_scores(left, right, places, places, metric, num_threads)
        return
    scores[rows, columns] = _pair_scores(anchors, candidates, rows, columns, metric, num_threads)


def _pair_scores(
    anchors: torch.Tensor,
    candidates: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    metric: str,
    num_threads: int,
) -> torch.Tensor:
    """Return the core's scores of single pairs."""
    left, right = as_matrix(anchors, "embeddings"), as_matrix(candidates, "embeddings")
    corpus = _core.Corpus(
        right.rows, right.element_type, metric, num_threads=num_threads, precision="float32"
    )
    scores: Float32 = _core.pair_scores(
        left.rows,
        left.element_type,
        corpus,
        rows.cpu().numpy(),
        columns.cpu().numpy(),
        num_threads=num_threads,
    )
    return torch.from_numpy(scores).to(anchors.device)
