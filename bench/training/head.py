# SPDX-License-Identifier: Apache-2.0
"""What is trained: a small map on top of frozen embeddings, and its loss.

Every kind of head starts as the identity, so an untrained one is the frozen model.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.retrieval import Rows
from training.settings import HeadKind

_RANK = 64


class Head(nn.Module):
    """x ↦ (x + f(x)) / ‖x + f(x)‖, with f = 0 at first.

    ``"linear"``: f is a d × d matrix, the same for queries and documents. ``"linear-query"``: the
    same for queries alone, so that the documents of an existing index stay as they are.
    ``"low-rank"``: a product of matrices d × 64 and 64 × d. ``"diagonal"``: a factor per dimension.
    """

    def __init__(self, dim: int, kind: HeadKind) -> None:
        super().__init__()
        self.moves_documents = kind != "linear-query"
        if kind == "diagonal":
            self.change: nn.Module = _Scale(dim)
            return
        last = nn.Linear(_RANK if kind == "low-rank" else dim, dim, bias=False)
        nn.init.zeros_(last.weight)
        low_rank = nn.Sequential(nn.Linear(dim, _RANK, bias=False), last)
        self.change = low_rank if kind == "low-rank" else last

    def forward(self, rows: Tensor) -> Tensor:
        return nn.functional.normalize(rows + self.change(rows), dim=1)

    def documents(self, rows: Tensor) -> Tensor:
        return cast(Tensor, self(rows)) if self.moves_documents else rows

    @torch.no_grad()
    def encode(self, queries: Rows, corpus: Rows) -> tuple[Rows, Rows]:
        """Embeddings as the head has them now, without gradient."""
        moved = self(torch.from_numpy(queries)), self.documents(torch.from_numpy(corpus))
        return cast(tuple[Rows, Rows], tuple(np.asarray(part) for part in moved))


class _Scale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.zeros(dim))

    def forward(self, rows: Tensor) -> Tensor:
        return rows * self.factors


def contrastive_loss(scores: Tensor, documents: Tensor, positives: Tensor) -> Tensor:
    """InfoNCE over all documents of a batch, as sentence-transformers' ranking loss.

    Parameters
    ----------
    scores : (B, D) float
        Of each query with each document; document i < B is the positive of query i.
    documents : (D,) int64
        Their corpus rows, -1 where there is none.
    positives : (B,) int64
        The corpus row of each query's positive. Where it is among the other documents too, it
        is no negative of this query.
    """
    own = torch.arange(len(positives))
    unwanted = (documents < 0) | (documents == positives[:, None])
    unwanted[own, own] = False
    return nn.functional.cross_entropy(scores.masked_fill(unwanted, -torch.inf), own)
