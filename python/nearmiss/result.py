# SPDX-License-Identifier: Apache-2.0
"""From what the core returns to the table the caller gets: shortage, statistics, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nearmiss.arrays import Int64, digest
from nearmiss.ids import Labels, ReferencedIds
from nearmiss.negatives import OPTIONAL_COLUMNS, OPTIONAL_ROWS, Negatives, keep_full
from nearmiss.probes import report_of
from nearmiss.report.statistics import Tally
from nearmiss.request import Groups, Queries, Request
from nearmiss.runtime import RNG_SCHEME, __version__


def wrap(
    result: Mapping[str, Any],
    request: Request,
    queries: Queries,
    groups: Groups,
    source: Mapping[str, Any],
    *,
    pairs: int,
    ids: Labels | None = None,
) -> Negatives:
    """Return the table of a search, its shortage treated as the request says.

    ``result`` may hold the optional columns of `Negatives` too. ``source`` describes the corpus or
    the candidates, for `Negatives.params`; ``pairs`` is the number of (query, row) pairs looked at.
    """
    if request.on_shortage == "error":
        _require_full(result["counts"], request.num_negatives)
    tally = Tally.of(
        result["counts"],
        result["skipped"],
        result["positive_scores"],
        request.limits,
        num_negatives=request.num_negatives,
        pairs=pairs,
        all_scored=request.plan.law not in ("uniform", "members"),
        strata=result.get("strata"),
        quotas=request.strategy.quotas(),
        approximate=report_of(result["probes"], queries.count) if "probes" in result else None,
    )
    negatives = Negatives(
        indices=result["indices"],
        scores=result["scores"],
        counts=result["counts"],
        positive_scores=result["positive_scores"],
        query_indices=np.arange(queries.count, dtype=np.int64),
        query_ids=queries.ids,
        params=_provenance(request, queries, groups, source),
        tally=tally,
        positives=queries.positives,
        referenced_ids=None if ids is None else _referenced_ids(ids, result, queries),
        **{name: result.get(name) for name in (*OPTIONAL_COLUMNS, *OPTIONAL_ROWS)},
    )
    return keep_full(negatives) if request.on_shortage == "drop" else negatives


def _referenced_ids(ids: Labels, result: Mapping[str, Any], queries: Queries) -> ReferencedIds:
    """Keep the ids of negatives, now or later, and of positives: writers of files name both."""
    positives = np.empty(0, np.int64) if queries.positives is None else queries.positives.rows
    later = result.get("reserve_indices", np.empty(0, np.int64))
    return ReferencedIds.of(
        ids, np.concatenate([result["indices"].ravel(), later.ravel(), positives])
    )


def _require_full(counts: Int64, num_negatives: int) -> None:
    short = np.flatnonzero(counts < num_negatives)
    if len(short):
        raise ValueError(
            f"on_shortage: {len(short)} of {len(counts)} queries have fewer than "
            f"{num_negatives} admissible negatives; the first is query {short[0]} "
            f"with {counts[short[0]]}"
        )


def _provenance(
    request: Request, queries: Queries, groups: Groups, source: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that determines the answer, as JSON-able data; arrays by digest."""
    limits = request.limits.describe()
    if queries.exclude is not None:
        limits["exclude"] = digest(*queries.exclude)
    if groups.queries is not None and groups.corpus is not None:
        limits["query_groups"] = digest(groups.queries)
        limits["corpus_groups"] = groups.corpus.fingerprint
    params = {
        "version": __version__,
        "rng_scheme": RNG_SCHEME,
        "n": queries.count,
        **source,
        "num_negatives": request.num_negatives,
        "strategy": str(request.strategy),
        "limits": limits,
        "on_shortage": request.on_shortage,
        "seed": request.seed,
        "epoch": request.epoch,
    }
    if queries.positives is not None:
        params["positives"] = digest(*queries.positives)
    if queries.positive_scores is not None:
        params["positive_scores"] = digest(queries.positive_scores)
    if not np.array_equal(queries.ids, np.arange(queries.count)):
        params["query_ids"] = digest(queries.ids)
    return params
