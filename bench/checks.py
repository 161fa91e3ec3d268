# SPDX-License-Identifier: Apache-2.0
"""Is the answer right? Every timing is checked in the run that made it.

A sample of queries is answered again in float64, without any of the contestants. Rows must be
the same at every rank, except where float64 scores are closer than the contestant's arithmetic
can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from contestants import Answer, Task
from nearmiss.strategies import Band

# Scores are at most 1. Ours round once to float32; the peers add up in float32, whose errors
# here stay far below this (the worst case, d units in the last place, is larger).
OUR_TOLERANCE = 2.0**-24
PEER_TOLERANCE = 2e-6
_SAMPLE = 32
_BLOCK = 16_384

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


class WrongAnswer(Exception):
    """A contestant's answer differs by more than rounding explains."""


@dataclass(frozen=True)
class Reference:
    """The right answer for a sample of queries: ``rows`` (s, k), -1 padded."""

    sample: Ids
    scores: Floats
    rows: Ids
    all_scores: Floats  # (s, m)


def pair_scores(task: Task, query_rows: Ids, corpus_rows: Ids) -> Floats:
    """Float64 inner products of pairs, in blocks."""
    parts = [
        np.einsum(
            "nd,nd->n",
            task.vectors.queries[query_rows[i : i + _BLOCK]].astype(np.float64),
            task.vectors.corpus[corpus_rows[i : i + _BLOCK]].astype(np.float64),
        )
        for i in range(0, len(query_rows), _BLOCK)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def full_scores(task: Task, query_rows: Ids) -> Floats:
    """(s, m) float64 scores of some queries with the whole corpus."""
    queries = task.vectors.queries[query_rows].astype(np.float64)
    corpus = task.vectors.corpus
    blocks = range(0, len(corpus), _BLOCK)
    return np.concatenate(
        [queries @ corpus[i : i + _BLOCK].astype(np.float64).T for i in blocks], axis=1
    )


def thresholds(task: Task, query_rows: Ids) -> Floats | None:
    """The largest score a negative may have by the relative margin, or None without one."""
    if task.relative_margin is None or task.vectors.positives is None:
        return None
    exact = pair_scores(task, query_rows, task.vectors.positives[query_rows])
    positive = exact.astype(np.float32).astype(np.float64)
    return positive - task.relative_margin * np.abs(positive)


def spread(task: Task) -> Ids:
    """Some queries from all over the batch."""
    count = min(_SAMPLE, len(task.vectors.queries))
    return np.unique(np.linspace(0, len(task.vectors.queries) - 1, count).astype(np.int64))


def make_reference(task: Task) -> Reference:
    """Answer a spread of queries by brute force, limits included."""
    sample = spread(task)
    scores = full_scores(task, sample)
    rounded = scores.astype(np.float32).astype(np.float64)
    ranked = np.where(_admissible(task, sample, rounded), rounded, -np.inf)
    rows = np.stack([_best(line, task.k) for line in ranked])
    found = np.isfinite(np.take_along_axis(ranked, rows, axis=1))
    return Reference(
        sample,
        np.where(found, np.take_along_axis(scores, rows, axis=1), np.nan),
        np.where(found, rows, -1),
        scores,
    )


def _best(scores: Floats, count: int) -> Ids:
    """The ``count`` best: higher score first, ties to the lower row."""
    least = np.partition(scores, -count)[-count]
    rows = np.flatnonzero(scores >= least)
    order: Ids = rows[np.argsort(-scores[rows], kind="stable")][:count]
    return order


def _admissible(task: Task, sample: Ids, scores: Floats) -> npt.NDArray[np.bool_]:
    allowed = np.ones(scores.shape, dtype=np.bool_)
    ceiling = thresholds(task, sample)
    if ceiling is not None and task.vectors.positives is not None:
        allowed &= scores <= ceiling[:, None]
        allowed[np.arange(len(sample)), task.vectors.positives[sample]] = False
    limits = task.limits
    if limits is None:
        return allowed
    if limits.max_score is not None:
        allowed &= scores <= limits.max_score[sample][:, None]
    if limits.query_groups is not None and limits.corpus_groups is not None:
        allowed &= limits.query_groups[sample][:, None] != limits.corpus_groups
    if limits.exclude is not None:
        np.put_along_axis(allowed, limits.exclude[sample], False, axis=1)
    return allowed


def check_against_reference(
    name: str, answer: Answer, reference: Reference, tolerance: float
) -> dict[str, float]:
    """Compare the sampled queries rank by rank; return how far they were apart."""
    rows = answer.rows[reference.sample]
    if rows.shape != reference.rows.shape or not np.array_equal(rows < 0, reference.rows < 0):
        raise WrongAnswer(f"{name}: found other numbers of rows than the reference")
    lines, columns = np.nonzero(rows >= 0)
    theirs = rows[lines, columns]
    expected = reference.scores[lines, columns]
    gap = np.abs(reference.all_scores[lines, theirs] - expected)
    if gap.max(initial=0.0) > tolerance:
        worst = int(gap.argmax())
        raise WrongAnswer(
            f"{name}: query {reference.sample[lines[worst]]}, rank {columns[worst]}: row "
            f"{theirs[worst]} scores {gap[worst]:.2e} away from the right one"
        )
    _reject_repeats(name, rows)
    given = answer.scores[reference.sample][lines, columns].astype(np.float64)
    error = np.abs(given - reference.all_scores[lines, theirs])
    if np.nanmax(error, initial=0.0) > tolerance:
        raise WrongAnswer(f"{name}: a score is {np.nanmax(error):.2e} off")
    return {
        "rows_compared": len(theirs),
        "rows_other_by_rounding": int((theirs != reference.rows[lines, columns]).sum()),
        "largest_score_error": float(np.nanmax(error, initial=0.0)),
    }


def _reject_repeats(name: str, rows: Ids) -> None:
    ordered = np.sort(rows, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise WrongAnswer(f"{name}: the same row twice for one query")


def check_same_bits(name: str, cause: str, first: Answer, second: Answer) -> None:
    """Answers to the same queries must be the same, score bits included."""
    if not np.array_equal(first.rows, second.rows):
        raise WrongAnswer(f"{name}: rows depend on {cause}")
    if not np.array_equal(first.scores.view(np.uint32), second.scores.view(np.uint32)):
        raise WrongAnswer(f"{name}: score bits depend on {cause}")


def check_bands(answer: Answer, ranking: Answer, bands: Sequence[Band]) -> dict[str, int]:
    """Each band must have given its quota of rows, all of its ranks."""
    start = 0
    for band in bands:
        rows = answer.rows[:, start : start + band.n]
        ranks = ranking.rows[:, int(band.lo) : int(band.hi)]
        for query in range(len(rows)):
            if not np.isin(rows[query], ranks[query]).all():
                raise WrongAnswer(f"bands: query {query} has too few of {band}")
        start += band.n
    _reject_repeats("bands", answer.rows)
    return {"rows_compared": answer.rows.size}


def check_full(name: str, answer: Answer) -> None:
    """Every query must have all it asked for."""
    short = short_queries(answer)
    if short:
        raise WrongAnswer(f"{name}: {short} queries came up short")


def short_queries(answer: Answer) -> int:
    return int((answer.rows < 0).any(axis=1).sum())


def check_agreement(task: Task, name: str, ours: Answer, peer: Answer) -> dict[str, int]:
    """Where a peer found negatives, ours must be the same ones up to its rounding.

    A row that scores within the tolerance of the margin's threshold may count as admissible
    for one and not for the other; such queries are counted, not failed.
    """
    lines, columns = np.nonzero(peer.rows >= 0)
    gap = np.zeros(peer.rows.shape)
    gap[lines, columns] = np.abs(
        pair_scores(task, lines, ours.rows[lines, columns])
        - pair_scores(task, lines, peer.rows[lines, columns])
    )
    differing = np.flatnonzero(gap.max(axis=1) > PEER_TOLERANCE).tolist()
    unexplained = [query for query in differing if not _on_the_threshold(task, query)]
    if unexplained:
        raise WrongAnswer(
            f"{name}: {len(unexplained)} queries got other negatives, the first {unexplained[0]}"
        )
    return {
        "queries_compared": len(np.unique(lines)),
        "queries_short": short_queries(peer),
        "queries_other_by_rounding_of_the_margin": len(differing),
    }


def _on_the_threshold(task: Task, query: int) -> bool:
    line = np.array([query])
    threshold = thresholds(task, line)
    if threshold is None:
        return False
    return bool((np.abs(full_scores(task, line) - threshold[:, None]) <= PEER_TOLERANCE).any())
