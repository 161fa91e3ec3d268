# SPDX-License-Identifier: Apache-2.0
"""What miners pick, by torch on the device that holds the scores: the same as the core picks.

Comparisons are of float32 scores, and of gaps in float64 by +, -, * and square root, which IEEE
leaves no choice in; ties go to the lower row. Only rules that draw nothing are here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

_BLOCK_SCORES = 1 << 23  # 64 MiB of float64 gaps at a time

Found = tuple[torch.Tensor, ...]


class Block(NamedTuple):
    """Some anchors that have both positives and negatives, with all candidates.

    Attributes
    ----------
    anchors : (b,) int64
    scores : (b, m) float32
    positives, negatives : (b, m) bool
    """

    anchors: torch.Tensor
    scores: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor


class DeviceBatch:
    """Exact scores on a device, and who has whose label. All tensors stay there.

    Parameters
    ----------
    scores : (n, m) float32 tensor
    labels, candidate_labels : (n,), (m,) int64 tensors
    among_themselves : bool
        Whether candidate i is anchor i, and no positive of itself.
    metric, gauge : str
        Of the scores, and what gaps between them are measured in: ``"score"``, ``"distance"`` or
        ``"squared_distance"``.
    """

    def __init__(
        self,
        scores: torch.Tensor,
        labels: torch.Tensor,
        candidate_labels: torch.Tensor,
        among_themselves: bool,
        metric: str,
        gauge: str,
    ) -> None:
        self._scores = scores
        self._labels = labels
        self._candidate_labels = candidate_labels
        self._among_themselves = among_themselves
        self._metric = metric
        self._gauge = gauge

    def batch_hard(self) -> Found:
        """Return (anchors, farthest positives, nearest negatives) of anchors that have both."""
        found = []
        for block in self._blocks():
            farthest = _first_greatest(_only(-block.scores, block.positives))
            nearest = _first_greatest(_only(block.scores, block.negatives))
            found.append((block.anchors, farthest, nearest))
        return _joined(found, 3, self._scores.device)

    def margin_triplets(self, above: float, most: float) -> Found:
        """Return all triplets with above < gap(a, n) - gap(a, p) <= most."""
        found = []
        for block in self._blocks():
            gaps = self._gaps(block.scores)
            rows, positives = _where(block.positives)
            per_part = max(1, _BLOCK_SCORES // max(1, gaps.shape[1]))
            for begin in range(0, len(rows), per_part):
                row, positive = rows[begin : begin + per_part], positives[begin : begin + per_part]
                margins = gaps[row] - gaps[row, positive][:, None]
                holds = (margins > above) & (margins <= most) & block.negatives[row]
                pair, negative = _where(holds)
                found.append((block.anchors[row[pair]], positive[pair], negative))
        return _joined(found, 3, self._scores.device)

    def multi_similarity(self, epsilon: float) -> Found:
        """Return the pairs that are hard compared with the hardest of the other kind."""
        near, far = [], []
        for block in self._blocks():
            gaps = self._gaps(block.scores)
            nearest = torch.where(block.negatives, gaps, math.inf).amin(dim=1, keepdim=True)
            farthest = torch.where(block.positives, gaps, -math.inf).amax(dim=1, keepdim=True)
            rows, positives = _where(block.positives & (gaps + epsilon > nearest))
            near.append((block.anchors[rows], positives))
            rows, negatives = _where(block.negatives & (gaps - epsilon < farthest))
            far.append((block.anchors[rows], negatives))
        device = self._scores.device
        return *_joined(near, 2, device), *_joined(far, 2, device)

    def nearest_negatives(self, k: int) -> Found:
        """Return all positive pairs, and the k nearest negatives of every anchor, best first."""
        near, far = [], []
        for block in self._blocks(needs_both=False):
            rows, positives = _where(block.positives)
            near.append((block.anchors[rows], positives))
            order = torch.sort(
                _only(block.scores, block.negatives), dim=1, descending=True, stable=True
            ).indices[:, :k]
            held = torch.arange(order.shape[1], device=order.device)
            rows, places = _where(held < block.negatives.sum(dim=1, keepdim=True))
            far.append((block.anchors[rows], order[rows, places]))
        device = self._scores.device
        return *_joined(near, 2, device), *_joined(far, 2, device)

    def _blocks(self, needs_both: bool = True) -> Iterator[Block]:
        n, m = self._scores.shape
        per_block = max(1, _BLOCK_SCORES // max(1, m))
        for begin in range(0, n if m else 0, per_block):
            anchors = torch.arange(begin, min(begin + per_block, n), device=self._scores.device)
            same = self._labels[anchors, None] == self._candidate_labels
            negatives = ~same
            if self._among_themselves:
                same[anchors - begin, anchors] = False
            scores = self._scores[begin : begin + per_block]
            if needs_both:
                both = same.any(dim=1) & negatives.any(dim=1)
                if not bool(both.all()):
                    kept = both.nonzero()[:, 0]
                    anchors, scores = anchors[kept], scores[kept]
                    same, negatives = same[kept], negatives[kept]
            yield Block(anchors, scores, same, negatives)

    def _gaps(self, scores: torch.Tensor) -> torch.Tensor:
        """Return how far candidates are: the greater the score, the smaller the gap."""
        if self._gauge == "score":
            return -scores.double()
        square = -scores.double() if self._metric == "l2" else 2.0 - 2.0 * scores.double()
        square = square.clamp(min=0.0)
        return square.sqrt() if self._gauge == "distance" else square


def _only(scores: torch.Tensor, eligible: torch.Tensor) -> torch.Tensor:
    return torch.where(eligible, scores, -math.inf)


def _first_greatest(scores: torch.Tensor) -> torch.Tensor:
    """Return the lowest column of each row's maximum; argmax would leave open which."""
    greatest = scores == scores.amax(dim=1, keepdim=True)
    columns = torch.arange(scores.shape[1], device=scores.device)
    return torch.where(greatest, columns, scores.shape[1]).amin(dim=1)


def _where(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns of what is true, in order."""
    places = mask.nonzero()
    return places[:, 0], places[:, 1]


def _joined(parts: Sequence[Found], width: int, device: torch.device) -> Found:
    if not parts:
        return tuple(torch.empty(0, dtype=torch.int64, device=device) for _ in range(width))
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
