# SPDX-License-Identifier: Apache-2.0
"""Strategies that go by which sources listed a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearmiss.arrays import Float64
from nearmiss.limits import LAST_RANK
from nearmiss.strategies.base import parameter, register
from nearmiss.strategies.pool import Picks, Pool, Setting, WeightedStrategy, log


@register
@dataclass(frozen=True)
class R2anker(WeightedStrategy):
    """Draws a source by its weight, then one of its candidates: a mixture of several retrievers.

    For `mine_candidates` with `Candidates`. A first draw has the probability
    ``p(d) = Σ w_i p_i(d)``, p_i uniform over the admissible candidates of source i in the rank
    window; sources that have none there leave their weight to the others. Further draws go by the
    same p among what is left. A candidate that several sources list has a share of each, and
    stands once.

    The paper combines BM25, dense and learned sparse retrievers; its weights are not known, so
    they have to be given. Candidates of sources of weight 0 alone are never drawn.
    """

    name: ClassVar[str] = "r2anker"
    paper: ClassVar[str] = (
        "Zhou et al., Towards Robust Ranker for Text Retrieval, Findings of ACL 2023"
    )
    picks: ClassVar[str] = "p = Σ w_i · (uniform over the candidates of source i)"
    inputs: ClassVar[tuple[str, ...]] = ("sources",)
    example: ClassVar[str] = "r2anker:weights=0.5;0.5"

    weights: tuple[float, ...] = parameter(
        "one per source, in the order of Candidates.names", minimum=0, maximum=1e200
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.weights):
            raise ValueError("r2anker.weights: expected at least one that is positive")

    @property
    def pool_size(self) -> int:
        """The lists are the pool."""
        return LAST_RANK

    def chooser(self, setting: Setting) -> Callable[[Pool, int], Picks]:
        """Check that every source has a weight."""
        assert setting.candidates is not None  # sources are an input
        names = setting.candidates.names
        if len(names) != len(self.weights):
            raise ValueError(
                f"r2anker.weights: {len(self.weights)} given, but there are {len(names)} sources: "
                f"{', '.join(names)}"
            )
        return self.choose

    def log_weights(self, pool: Pool) -> Float64:
        """Return ln Σ w_i / n_i over the sources i that list a row, n_i rows each."""
        assert pool.setting.candidates is not None
        sources = pool.setting.candidates._sources_of(pool.rows, pool.queries)
        mixture = np.zeros(pool.rows.shape)
        for bit, weight in enumerate(self.weights):
            listed = ((sources >> np.int64(bit)) & 1 > 0) & pool.admissible
            number = np.maximum(listed.sum(axis=1, keepdims=True), 1)
            mixture += np.where(listed, weight / number, 0.0)
        return log(mixture)
