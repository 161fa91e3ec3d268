# SPDX-License-Identifier: Apache-2.0
"""The arguments of a mining call, checked against each other and brought into the core's form.

`Request` holds what needs no data, `Source` the corpus, `Queries` what comes one per query,
`Groups` the labels of both sides, `Values` the numbers of the one and the ranges of the other.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Float32,
    Float64,
    Int64,
    Matrix,
    as_float32_vector,
    as_integers,
    as_matrix,
    check_choice,
    check_integer,
    check_not_truncated,
    check_seed,
)
from nearmiss.corpus import Corpus, as_corpus_matrix, check_metric
from nearmiss.groups import CorpusGroups
from nearmiss.limits import LAST_RANK, Limits
from nearmiss.positives import Lists, to_lists
from nearmiss.rounding import without_negative_zeros
from nearmiss.strategies.base import Plan, Strategy, resolve

_MOST_NEGATIVES = 2**31 - 1  # per query


@dataclass(frozen=True)
class Request:
    """What to pick, checked as far as it can be without data."""

    num_negatives: int
    strategy: Strategy
    limits: Limits
    plan: Plan
    seed: int
    epoch: int
    on_shortage: str

    @classmethod
    def of(
        cls,
        num_negatives: int | None,
        strategy: str | Strategy,
        limits: Limits,
        seed: int,
        epoch: int,
        on_shortage: str,
        *,
        candidates: bool = False,
    ) -> Request:
        """Check what is asked for; ``candidates`` says that queries bring lists of their own."""
        chosen = resolve(strategy)
        num_negatives = check_integer(
            chosen.count(num_negatives), "num_negatives", 1, _MOST_NEGATIVES
        )
        limits = limits.merge(chosen.limits())
        make_plan = chosen.plan_candidates if candidates else chosen.plan
        plan = make_plan(limits, num_negatives)
        if plan.range_max is not None:
            check_integer(plan.range_max, "range_max", 1, LAST_RANK)
        if plan.range_max is not None and num_negatives > plan.range_max - plan.range_min:
            raise ValueError(
                f"num_negatives: {num_negatives} do not fit in the rank window "
                f"[{plan.range_min}, {plan.range_max})"
            )
        return cls(
            num_negatives,
            chosen,
            limits,
            plan,
            check_seed(seed, "seed"),
            check_seed(epoch, "epoch"),
            check_choice(on_shortage, "on_shortage", ("pad", "drop", "error")),
        )

    def limit_arguments(self) -> dict[str, Any]:
        """Return the core's keywords for limits that are the same for all queries."""
        return {
            "absolute_margin": self.limits.absolute_margin,
            "relative_margin": self.limits.relative_margin,
            "margin_reference": self.limits.margin_reference,
            "range_min": self.plan.range_min,
            "range_max": self.plan.range_max,
            "raw_ranks": self.limits.range_mode == "raw",
            "within_groups": self.limits.within_groups,
        }

    def choice_arguments(self, query_ids: Int64) -> dict[str, Any]:
        """Return the core's keywords for the choice among what the limits leave."""
        return {
            "law": self.plan.law,
            "num_negatives": self.num_negatives,
            "query_ids": query_ids,
            "seed": self.seed,
            "epoch": self.epoch,
            **self.plan.keywords,
        }

    def require_inputs(self, given: Container[str]) -> None:
        """Raise ValueError if the strategy needs something that is not given."""
        for name in self.strategy.needs():
            if name not in given:
                what = _MISSING_INPUT.get(name, name)
                raise ValueError(f"strategy {self.strategy.name!r}: needs {what}")

    def require_search(self, argument: str) -> None:
        """Raise ValueError if the strategy draws without a search, which ``argument`` is about."""
        if self.plan.law == "uniform":
            raise ValueError(
                f"{argument}: strategy {self.strategy.name!r} draws from the whole corpus here, "
                "which is not searched"
            )

    def require_metric(self, metric: str) -> None:
        """Raise ValueError if the strategy is not defined for the metric of the search."""
        allowed = self.strategy.metrics
        if allowed and metric not in allowed:
            raise ValueError(
                f"metric: strategy {self.strategy.name!r} is defined for {' and '.join(allowed)}, "
                f"not {metric!r}"
            )


_MISSING_INPUT = {
    "positives": "positives or positive_scores",
    "positive_rows": "positives, the rows themselves",
    "vectors": "the embeddings, which mine_candidates does not see",
    "sources": "the sources of nearmiss.Candidates, given to mine_candidates",
}


def merge_limits(limits: Limits | None, keywords: Limits) -> Limits:
    """Return the ``limits`` argument merged with the limits given as keywords."""
    if limits is None:
        return keywords
    if not isinstance(limits, Limits):
        raise TypeError(f"limits: expected nearmiss.Limits, got a {type(limits).__name__}")
    return limits.merge(keywords)


def check_precision(precision: str) -> None:
    """Raise ValueError unless the precision is one that exists."""
    check_choice(precision, "precision", ("auto", "float32", "int16", "int8"))


# --- where it is searched -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Source:
    """The corpus argument: packed already, or rows that are packed once all is checked."""

    packed: Corpus | None
    matrix: Matrix | None
    metric: str
    num_rows: int
    dim: int

    @classmethod
    def of(cls, corpus: Corpus | npt.ArrayLike, metric: str | None) -> Source:
        """Check the corpus and its metric; None is the corpus's own, else cosine."""
        if metric is not None:
            check_metric(metric)
        if isinstance(corpus, Corpus):
            if metric not in (None, corpus.metric):
                raise ValueError(f"metric: {metric!r}, but the corpus has {corpus.metric!r}")
            check_not_truncated(corpus._matrix.rows, "corpus")  # since it was packed
            return cls(corpus, None, corpus.metric, len(corpus), corpus.dim)
        matrix = as_corpus_matrix(corpus, "corpus")
        return cls(None, matrix, metric or "cosine", *matrix.rows.shape)

    def pack(self, groups: CorpusGroups | None, threads: int, precision: str) -> Corpus:
        """Return the packed corpus, packing it now, for this precision, if it came as an array."""
        if self.packed is not None:
            return self.packed
        assert self.matrix is not None
        return Corpus._of_matrix(self.matrix, self.metric, groups, threads, precision)


def query_matrix(queries: npt.ArrayLike, source: Source) -> Matrix:
    """Return the queries, of as many dimensions as the corpus."""
    matrix = as_matrix(queries, "queries")
    if matrix.rows.shape[1] != source.dim:
        raise ValueError(
            f"queries: {matrix.rows.shape[1]} dimensions, but the corpus has {source.dim}"
        )
    return matrix


def check_candidate_rows(rows: Int64, num_rows: int | None) -> None:
    """Raise ValueError for candidates that are no corpus rows."""
    outside = rows < -1
    if num_rows is not None:
        outside |= rows >= num_rows
    if outside.any():
        query, column = (int(at[0]) for at in np.nonzero(outside))
        size = "" if num_rows is None else f"; the corpus has {num_rows} rows"
        raise ValueError(
            f"indices: query {query} refers to corpus row {rows[query, column]}; corpus rows "
            f"start at 0 and -1 means none{size}"
        )


def candidate_scores(given: Float32, rows: Int64, higher_is_closer: bool) -> Float32:
    """Return the scores of candidates, higher closer and finite; 0 where there is none."""
    if given.shape != rows.shape:
        raise ValueError(f"scores: expected shape {rows.shape}, that of indices, got {given.shape}")
    closeness = without_negative_zeros(given if higher_is_closer else -given)
    closeness[rows < 0] = 0  # whatever stood there is nobody's score
    bad = ~np.isfinite(closeness)
    if bad.any():
        query, column = (int(at[0]) for at in np.nonzero(bad))
        raise ValueError(
            f"scores: query {query}, candidate {column} has {given[query, column]}; expected "
            "finite float32 numbers wherever indices is not -1"
        )
    return closeness


# --- what belongs to each query -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Queries:
    """The arguments that come one per query, in the core's form."""

    count: int
    positives: Lists | None
    exclude: Lists | None
    self_rows: Int64 | None
    positive_scores: Float32 | None
    max_score: Float64 | None
    min_score: Float64 | None
    ids: Int64

    @classmethod
    def of(
        cls,
        limits: Limits,
        count: int,
        num_rows: int | None,
        positives: Any,
        positive_scores: npt.ArrayLike | None,
        query_ids: npt.ArrayLike | None,
    ) -> Queries:
        """Check the arguments against the number of queries and of corpus rows (if known)."""
        if limits.has_margin and positives is None and positive_scores is None:
            name = "relative_margin" if limits.absolute_margin is None else "absolute_margin"
            raise ValueError(f"{name}: needs positives or positive_scores to refer to")
        ids = check_query_ids(query_ids, count)
        return cls(
            count,
            to_lists(positives, "positives", count, num_rows),
            to_lists(limits.exclude, "exclude", count, num_rows),
            _check_self_rows(ids, num_rows) if limits.exclude_self else None,
            _check_positive_scores(positive_scores, count),
            limits.per_query("max_score", count),
            limits.per_query("min_score", count),
            ids,
        )

    def negated(self) -> Queries:
        """Return the same with distances turned into scores."""
        if self.positive_scores is None:
            return self
        return replace(self, positive_scores=without_negative_zeros(-self.positive_scores))

    def core_arguments(self) -> dict[str, Any]:
        """Return the core's keywords for this part."""
        return {
            "positives": self.positives,
            "exclude": self.exclude,
            "self_rows": self.self_rows,
            "positive_scores": self.positive_scores,
            "max_score": self.max_score,
            "min_score": self.min_score,
        }

    def inputs(self) -> set[str]:
        """Return what strategies may need and is given here."""
        if self.positives is not None:
            return {"positives", "positive_rows"}
        return set() if self.positive_scores is None else {"positives"}


def check_query_ids(query_ids: npt.ArrayLike | None, count: int) -> Int64:
    """Return the ids, all different and not negative; without them the row numbers."""
    if query_ids is None:
        return np.arange(count, dtype=np.int64)
    ids = as_integers(query_ids, "query_ids", count, "query").copy()  # tables keep it
    if len(ids) and ids.min() < 0:
        row = int((ids < 0).argmax())
        raise ValueError(f"query_ids: query {row} has {ids[row]}; ids start at 0")
    order = np.argsort(ids, kind="stable")
    repeated = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(repeated):
        first, second = order[repeated[0]], order[repeated[0] + 1]
        raise ValueError(f"query_ids: queries {first} and {second} have the same id {ids[first]}")
    return ids


def _check_self_rows(ids: Int64, num_rows: int | None) -> Int64:
    if num_rows is not None and len(ids) and ids.max() >= num_rows:
        row = int((ids >= num_rows).argmax())
        raise ValueError(
            f"exclude_self: query {row} has id {ids[row]}, but the corpus has {num_rows} rows"
        )
    return ids


def _check_positive_scores(value: npt.ArrayLike | None, count: int) -> Float32 | None:
    if value is None:
        return None
    scores = without_negative_zeros(as_float32_vector(value, "positive_scores", count))
    if np.isinf(scores).any():
        query = int(np.isinf(scores).argmax())
        raise ValueError(f"positive_scores: query {query}: expected a finite float32 or nan")
    return scores


# --- groups ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Groups:
    """Group codes of the queries (None: no groups in this search) and the corpus's groups."""

    queries: Int64 | None
    corpus: CorpusGroups | None

    @classmethod
    def of(cls, limits: Limits, num_queries: int, corpus: CorpusGroups | None) -> Groups:
        """Match the queries' labels with the corpus's; what needs the other must have it."""
        if limits.query_groups is None:
            if limits.corpus_groups is not None or limits.within_groups:
                name = "within_groups" if limits.within_groups else "corpus_groups"
                raise ValueError(f"{name}: needs query_groups")
            return cls(None, corpus)
        if corpus is None:
            raise ValueError("query_groups: needs corpus_groups, or a Corpus with groups")
        return cls(corpus.codes_of(limits.query_groups, num_queries), corpus)

    def inputs(self) -> set[str]:
        """Return what strategies may need and is given here."""
        return set() if self.queries is None else {"query_groups"}

    @property
    def corpus_codes(self) -> Int64 | None:
        """The codes of the corpus rows, if this search has groups."""
        return None if self.queries is None or self.corpus is None else self.corpus.codes


def groups_of_corpus(labels: Any, source: Source) -> CorpusGroups | None:
    """Return the groups of the corpus: its own, or those given for this search."""
    own = None if source.packed is None else source.packed._groups
    if labels is None:
        return own
    if own is not None:
        raise ValueError("corpus_groups: the corpus has groups of its own already")
    return CorpusGroups.of(labels, source.num_rows, "corpus_groups")


# --- values ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Values:
    """A number for each corpus row and each query's half-open range of them; None: no limit."""

    corpus: Float64 | None
    min_value: Float64 | None
    max_value: Float64 | None

    @classmethod
    def of(cls, request: Request, num_queries: int, num_rows: int | None) -> Values:
        """Check values and ranges against the number of corpus rows (if known) and of queries."""
        limits = request.limits
        _check_complete(limits, used="corpus_values" in request.strategy.needs())
        values: Any = limits.corpus_values
        if values is not None and num_rows is not None and len(values) != num_rows:
            raise ValueError(
                f"corpus_values: expected {num_rows}, one per corpus row, got {len(values)}"
            )
        return cls(
            values,
            limits.per_query("min_value", num_queries),
            limits.per_query("max_value", num_queries),
        )

    def core_arguments(self) -> dict[str, Any]:
        """Return the core's keywords for this part."""
        limited = self.min_value is not None or self.max_value is not None
        return {
            "corpus_values": self.corpus if limited else None,
            "min_value": self.min_value,
            "max_value": self.max_value,
        }

    def inputs(self) -> set[str]:
        """Return what strategies may need and is given here."""
        return set() if self.corpus is None else {"corpus_values"}


def _check_complete(limits: Limits, used: bool) -> None:
    """Raise ValueError for ranges without values, and for values that nothing uses."""
    ranges = [name for name in ("min_value", "max_value") if getattr(limits, name) is not None]
    if limits.corpus_values is None and ranges:
        raise ValueError(f"{ranges[0]}: needs corpus_values")
    if limits.corpus_values is not None and not ranges and not used:
        raise ValueError("corpus_values: needs min_value or max_value")
