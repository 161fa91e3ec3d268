# SPDX-License-Identifier: Apache-2.0
"""Negatives of no label, between rows of different ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Int64, check_flag
from nearmiss.groups import CorpusGroups
from nearmiss.mixing.draws import Draws, Stream
from nearmiss.mixing.vectors import Mixed, as_floats, check_some, mix, take


def mix_different_labels(
    embeddings: Any,
    labels: Iterable[Any],
    num_mixed: int,
    *,
    anchor_labels: Iterable[Any] | None = None,
    normalize: bool = True,
    seed: int = 0,
    epoch: int = 0,
    query_ids: npt.ArrayLike | None = None,
) -> Mixed:
    """Make negatives of no label: mix two rows whose labels differ, also from the anchor's.

    After the fused speakers of CLN-VC: somebody who is neither of the two, nor the anchor. How its
    module fuses them is not known to us; here they are mixed as MoCHi's type 1, in shares uniform
    on [0, 1).

    Parameters
    ----------
    embeddings : array or tensor of shape (m, d)
    labels : sequence of int or str of shape (m,)
        -1 (or None among strings): unknown, not used as a parent.
    num_mixed : int
        Mixtures for each anchor.
    anchor_labels : sequence of int or str of shape (n,), optional
        The label of each anchor; -1 or None if any two labels will do. Default: ``labels``, each
        row being an anchor.
    normalize, seed, epoch, query_ids
        As for `mix_pairs`; ids are those of the anchors.

    Returns
    -------
    Mixed
        Of shape (n, num_mixed). Parents are rows of ``embeddings``, every admissible pair equally
        likely. Anchors for which there are no two such labels get no mixtures.

    Raises
    ------
    ValueError, TypeError
        As for `mix_pairs`.

    References
    ----------
    "CLN-VC: Text-Free Voice Conversion Based on Fine-Grained Style Control and Contrastive
    Learning with Negative Samples Augmentation".
    """
    vectors = as_floats(embeddings, "embeddings", 2)
    check_some(vectors, "embeddings")
    classes = CorpusGroups.of(labels, len(vectors), "labels")
    anchors = classes.codes
    if anchor_labels is not None:
        given = list(anchor_labels)
        anchors = classes.codes_of(given, len(given), "anchor_labels")
    draws = Draws.of(len(anchors), num_mixed, seed, epoch, query_ids)
    normalize = check_flag(normalize, "normalize")
    pairs = _DifferentPairs.of(classes)
    counts = np.array([pairs.count(code) for code in range(-1, len(classes.distinct) + 1)])
    bounds = counts[anchors + 1, np.newaxis]
    drawn = draws.below(np.maximum(bounds, 1), Stream.DIFFERENT_LABEL_PARENTS)
    shares = draws.shares("uniform", Stream.DIFFERENT_LABEL_SHARES)
    parents = np.zeros((*drawn.shape, 2), dtype=np.int64)
    for code in np.unique(anchors[bounds[:, 0] > 0]).tolist():
        parents[anchors == code] = pairs.rows_of(drawn[anchors == code], code)
    made = np.broadcast_to(bounds > 0, drawn.shape)
    first, second = take(vectors, parents[..., 0]), take(vectors, parents[..., 1])
    return mix(first, second, parents, shares, made, normalize, "embeddings")


@dataclass(frozen=True, eq=False)
class _DifferentPairs:
    """The ordered pairs of rows whose labels differ from each other and from an anchor's.

    For one anchor's class they are numbered by the class of the first row, then the first row, then
    the second.
    """

    order: Int64  # rows with a label, by class
    starts: Int64  # of each class in it
    sizes: Int64

    @classmethod
    def of(cls, classes: CorpusGroups) -> _DifferentPairs:
        order = np.argsort(classes.codes, kind="stable").astype(np.int64)
        order = order[classes.codes[order] >= 0]
        sizes = np.bincount(classes.codes[order], minlength=len(classes.distinct)).astype(np.int64)
        return cls(order, np.cumsum(sizes) - sizes, sizes)

    def count(self, anchor: int) -> int:
        """Return how many there are."""
        return int(self._by_class(anchor).sum())

    def _by_class(self, anchor: int) -> Int64:
        """Return how many have their first row in each class."""
        size = self._block(anchor)[1]
        counts = self.sizes * (len(self.order) - size - self.sizes)
        if size:
            counts[anchor] = 0
        return counts

    def _block(self, code: int) -> tuple[int, int]:
        """Return start and size of a class; one that no row has is empty."""
        if not 0 <= code < len(self.sizes):
            return 0, 0
        return int(self.starts[code]), int(self.sizes[code])

    def rows_of(self, numbers: Int64, anchor: int) -> Int64:
        """Return the pairs of these numbers, (…, 2)."""
        counts = self._by_class(anchor)
        ends = np.cumsum(counts)
        code = np.searchsorted(ends, numbers, side="right")
        number = numbers - (ends - counts)[code]
        start, size = self._block(anchor)
        others = len(self.order) - size - self.sizes[code]
        first = self.starts[code] + number // others
        # Count past the two classes left out, the one that comes first before the other.
        second = number % others
        anchor_first = start < self.starts[code]
        for earlier in (True, False):
            of_anchor = anchor_first == earlier
            skipped_from = np.where(of_anchor, start, self.starts[code])
            skipped = np.where(of_anchor, size, self.sizes[code])
            second = second + np.where(second >= skipped_from, skipped, 0)
        return np.stack([self.order[first], self.order[second]], axis=-1)
