# SPDX-License-Identifier: Apache-2.0
"""Candidates: lists of corpus rows that some source retrieved for each query, and their merging.

A source is a search of the own corpus, another engine, a TREC run. Its candidates are brought
into one form, merged by rank or by quota, and mined by `mine_candidates`; which sources listed a
row stays with it as a bit mask.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Float32,
    Float64,
    Int64,
    as_float64_vector,
    as_integers,
    as_row_matrix,
    as_score_matrix,
    check_choice,
    check_flag,
    check_integer,
    check_number,
)
from nearmiss.formats.pairs import look_up
from nearmiss.formats.trec import read_run
from nearmiss.ids import rows_by_text
from nearmiss.request import Source, candidate_scores, check_candidate_rows
from nearmiss.rounding import to_float32, without_negative_zeros

if TYPE_CHECKING:
    from nearmiss.corpus import Corpus, Metric
    from nearmiss.mining import Precision

_MOST_SOURCES = 63  # bits of an int64 that leave it positive
_RRF_K = 60.0


@dataclass(frozen=True, eq=False, repr=False)
class Candidates:
    """Candidates of each query, best first, from one source or several.

    Made by `from_arrays`, `from_search` and `from_run`, combined by `merge`, and given to
    `mine_candidates`. Each row of the corpus stands at most once in a query's list; higher scores
    come first, equal ones in the order of their rows.

    Attributes
    ----------
    scores : (n, c) float32
        Higher is closer; nan where there is no candidate. c is the length of the longest list.
    indices : (n, c) int64
        Corpus rows, padded with -1.
    sources : (n, c) int64
        Which sources listed the candidate: bit i (of value ``1 << i``) stands for ``names[i]``;
        0 where there is none.
    names : tuple of str
        The sources, at most 63.
    """

    scores: Float32
    indices: Int64
    sources: Int64
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"Candidates(shape={self.indices.shape}, names={self.names})"

    @classmethod
    def from_arrays(
        cls,
        scores: npt.ArrayLike,
        indices: npt.ArrayLike,
        *,
        name: str = "candidates",
        higher_is_closer: bool = True,
    ) -> Candidates:
        """Take the lists that another engine returned, such as ``D, I`` of faiss.

        Parameters
        ----------
        scores : array-like of shape (n, c)
            In any order, as float32.
        indices : array-like of int of shape (n, c)
            Corpus rows; -1 for none, whatever its score. Of a row listed twice for a query the
            better score counts.
        name : str, default "candidates"
            What to call this source.
        higher_is_closer : bool, default True
            If False, ``scores`` are distances and are negated.

        Raises
        ------
        ValueError, TypeError
            For shapes that differ, a row below -1, or a score that is not finite, naming it.

        Examples
        --------
        >>> import nearmiss as nm
        >>> found = nm.Candidates.from_arrays([[0.1, 0.9, 0.5]], [[4, 2, -1]], name="bm25")
        >>> found.indices
        array([[2, 4]])
        """
        name = _check_name(name)
        higher_is_closer = check_flag(higher_is_closer, "higher_is_closer")
        given = as_score_matrix(scores, "scores")
        rows = as_row_matrix(indices, "indices")
        check_candidate_rows(rows, None)
        return _of_one_source(candidate_scores(given, rows, higher_is_closer), rows, name)

    @classmethod
    def from_search(
        cls,
        queries: npt.ArrayLike,
        corpus: Corpus | npt.ArrayLike,
        depth: int,
        *,
        name: str = "corpus",
        metric: Metric | None = None,
        precision: Precision = "auto",
        num_threads: int | None = None,
    ) -> Candidates:
        """Search a corpus for the ``depth`` nearest rows of each query, exactly (see `topk`).

        Parameters
        ----------
        queries, corpus, metric, precision, num_threads
            As for `topk`.
        depth : int
            How many rows each query gets, at least 1; all of them where the corpus has fewer.
        name : str, default "corpus"
            What to call this source.

        Raises
        ------
        ValueError, TypeError
            As `topk` does.
        """
        from nearmiss.mining import topk  # which takes candidates itself

        name = _check_name(name)
        num_rows = Source.of(corpus, metric).num_rows
        scores, indices = topk(
            queries,
            corpus,
            min(check_integer(depth, "depth", 1), num_rows),
            metric=metric,
            precision=precision,
            num_threads=num_threads,
        )
        return cls(scores, indices, np.ones_like(indices), (name,))

    @classmethod
    def from_run(
        cls,
        run: Mapping[Any, Any] | str | os.PathLike[str],
        *,
        query_ids: Iterable[Any],
        corpus_ids: Iterable[Any] | None = None,
        name: str | None = None,
        unknown: Literal["error", "ignore"] = "error",
    ) -> Candidates:
        """Take a run, as TREC's tools and most retrievers write it.

        Parameters
        ----------
        run : mapping or path
            ``{query id: {corpus id: score}}``, or a text file with six columns separated by
            blanks: query, Q0, document, rank, score, tag. Scores decide the order, as in TREC's
            own evaluation; ranks and tags are not read. Higher scores are closer.
        query_ids : sequence of int or str
            The id of each query. Queries that are not in the run get no candidates. Ids are
            compared as text: 7 and "7" are the same.
        corpus_ids : sequence of int or str, optional
            The id in each row of the corpus. Without them the run holds row numbers.
        name : str, optional
            What to call this source. Default: the file's name without its suffix; "run" for a
            mapping.
        unknown : {"error", "ignore"}
            What to do with a pair whose query or document has no row.

        Raises
        ------
        ValueError, TypeError
            For a malformed line (named), a score that is no finite float32, an unknown id, or
            ids that are not unique.

        Examples
        --------
        >>> import nearmiss as nm
        >>> run = {"q1": {"d7": 3.5, "d9": 8.25}}
        >>> ids = {"query_ids": ["q0", "q1"], "corpus_ids": ["d7", "d8", "d9"]}
        >>> nm.Candidates.from_run(run, **ids).indices
        array([[-1, -1],
               [ 2,  0]])
        """
        check_choice(unknown, "unknown", ("error", "ignore"))
        if name is None:
            name = Path(run).stem if isinstance(run, (str, os.PathLike)) else "run"
        name = _check_name(name)
        query_map = rows_by_text(query_ids, "query_ids")
        corpus_map = None if corpus_ids is None else rows_by_text(corpus_ids, "corpus_ids")
        queries, rows, values = look_up(
            read_run(run), query_map, corpus_map, "run", ignore_unknown=unknown == "ignore"
        )
        scores = without_negative_zeros(to_float32(values))
        if np.isinf(scores).any():
            at = int(np.isinf(scores).argmax())
            raise ValueError(
                f"run: query {list(query_map)[queries[at]]!r} has a score of {values[at]}, beyond "
                "the range of float32"
            )
        order = np.argsort(queries, kind="stable")
        queries = queries[order]
        places, width = _places(queries, len(query_map))
        table = np.full((len(query_map), width), -1, dtype=np.int64)
        table[queries, places] = rows[order]
        closeness = np.zeros(table.shape, dtype=np.float32)
        closeness[queries, places] = scores[order]
        return _of_one_source(closeness, table, name)

    @classmethod
    def merge(
        cls,
        lists: Sequence[Candidates],
        *,
        how: Literal["union", "rrf", "quota"] = "union",
        k: float = _RRF_K,
        weights: npt.ArrayLike | None = None,
        quotas: npt.ArrayLike | None = None,
        depth: int | None = None,
    ) -> Candidates:
        """Merge the candidates of several sources for the same queries; each row comes out once.

        Scores of different sources do not compare, so only ranks count, and the scores of the
        result come from them. Limits on scores and margins, which speak of similarities, mean
        little there; `rescored` puts the scores of one model in their place.

        Parameters
        ----------
        lists : sequence of Candidates
            All for the same n queries, with names that differ, and at most 63 sources in all.
        how : {"union", "rrf", "quota"}
            ``"union"``: all candidates; the score is 1 / rank, from the best rank a candidate
            has in any list (ranks start at 1).
            ``"rrf"``: all candidates; the score is reciprocal rank fusion, the sum of
            ``weight / (k + rank)`` over the lists that hold the candidate, in float64 and in
            the order of the lists, rounded to float32 once.
            ``"quota"``: from each list in turn its first ``quota`` candidates that no list
            before it gave, with the scores of ``"union"``. A list that runs out gives fewer.
            Positives among them count, as nobody has told them apart yet.
        k : float, default 60
            Of ``"rrf"``, at least 0: the larger, the less the first ranks stand out.
        weights : array-like of float of shape (number of lists,), optional
            Of ``"rrf"``, above 0. Default: 1 each.
        quotas : array-like of int of shape (number of lists,)
            Of ``"quota"``, which needs them; at least 0, and not all of them 0.
        depth : int, optional
            Look at this many first candidates of each list only. Default: at all.

        Returns
        -------
        Candidates
            Best first, ties to the lower row. `sources` tells all lists that hold a candidate
            (within ``depth``), not only the one that gave it.

        Raises
        ------
        ValueError, TypeError
            For no lists, other numbers of queries, equal names, more than 63 sources, or
            arguments of another ``how``.

        References
        ----------
        Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and
        individual rank learning methods", SIGIR 2009.

        Examples
        --------
        >>> import nearmiss as nm
        >>> dense = nm.Candidates.from_arrays([[0.9, 0.8, 0.7]], [[5, 1, 3]], name="dense")
        >>> bm25 = nm.Candidates.from_arrays([[21.0, 20.5]], [[3, 8]], name="bm25")
        >>> both = nm.Candidates.merge([dense, bm25], how="rrf")
        >>> both.indices, both.sources
        (array([[3, 5, 1, 8]]), array([[3, 1, 1, 2]]))
        """
        check_choice(how, "how", ("union", "rrf", "quota"))
        lists = _check_lists(lists)
        k, shares = _check_rrf(k, weights, how, len(lists))
        wanted = _check_quotas(quotas, how, len(lists))
        if depth is not None:
            depth = check_integer(depth, "depth", 1)
        parts = [part.indices[:, :depth] for part in lists]
        pairs, numbers = _distinct(np.hstack(parts))
        blocks = np.split(numbers, np.cumsum([part.shape[1] for part in parts])[:-1], axis=1)
        sources = _merged_sources(lists, blocks, len(pairs.rows))
        if how == "rrf":
            scores = _fuse(blocks, len(pairs.rows), k, shares)
        else:
            scores = 1 / _best_ranks(blocks, len(pairs.rows))
        names = tuple(name for part in lists for name in part.names)
        merged = _Scored(pairs, to_float32(scores), sources)
        if wanted is not None:
            merged = merged.keep(_given(blocks, len(pairs.rows), wanted))
        return _best_first(merged, len(lists[0]), names)

    def rescored(self, scores: npt.ArrayLike) -> Candidates:
        """Return the same candidates by other scores, such as those of one model for all.

        Parameters
        ----------
        scores : array-like of shape (n, c)
            The score of each entry of `indices`, higher closer, as float32; where there is no
            candidate, anything.

        Raises
        ------
        ValueError, TypeError
            For another shape, or a score that is not finite, naming it.
        """
        given = as_score_matrix(scores, "scores")
        return _of_tables(candidate_scores(given, self.indices, True), self)

    def _sources_of(self, indices: Int64, queries: Int64 | None = None) -> Int64:
        """Return the sources of (n, k) candidates, each listed once in its row; 0 for -1.

        ``queries`` are the queries of the rows; without them, all of them in order.
        """
        of = slice(None) if queries is None else queries
        entries = np.hstack([self.indices[of], indices])
        sources = np.hstack([self.sources[of], np.zeros_like(indices)])
        # Sorted stably, a row that was chosen follows the candidate that it is, and -1 follows -1.
        order = np.argsort(entries, axis=1, kind="stable")
        ordered = np.take_along_axis(sources, order, axis=1)
        found = np.zeros_like(entries)
        np.put_along_axis(found, order[:, 1:], ordered[:, :-1], axis=1)
        return np.ascontiguousarray(found[:, self.indices.shape[1] :])


# --- checks ---------------------------------------------------------------------------------------


def _check_name(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name: expected text, got {name!r}")
    if not name:
        raise ValueError("name: must not be empty")
    return name


def _check_lists(lists: Sequence[Candidates]) -> list[Candidates]:
    if isinstance(lists, Candidates):
        raise TypeError("lists: expected a list of nearmiss.Candidates, got one of them")
    lists = list(lists)
    if not lists:
        raise ValueError("lists: there is none to merge")
    for place, part in enumerate(lists):
        if not isinstance(part, Candidates):
            raise TypeError(
                f"lists: expected nearmiss.Candidates, but entry {place} is a {type(part).__name__}"
            )
        if len(part) != len(lists[0]):
            raise ValueError(
                f"lists: entry {place} is for {len(part)} queries, entry 0 for {len(lists[0])}"
            )
    names = [name for part in lists for name in part.names]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"lists: two sources are called {name!r}; give each its own name")
    if len(names) > _MOST_SOURCES:
        raise ValueError(f"lists: at most {_MOST_SOURCES} sources, got {len(names)}")
    return lists


def _check_rrf(k: float, weights: Any, how: str, count: int) -> tuple[float, Float64]:
    k = check_number(k, "k")
    if k < 0:
        raise ValueError(f"k: must be at least 0, got {k}")
    if how != "rrf" and (k != _RRF_K or weights is not None):
        name = "k" if weights is None else "weights"
        raise ValueError(f"{name}: only how='rrf' has it, got how={how!r}")
    if weights is None:
        return k, np.ones(count)
    shares = as_float64_vector(weights, "weights", count, "list")
    # Beyond the range of float32 a score could be infinite.
    bad = ~((shares > 0) & (shares <= 1e30))
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"weights: must be above 0 and at most 1e30, got {shares[at]} for list {at}"
        )
    return k, shares


def _check_quotas(quotas: Any, how: str, count: int) -> Int64 | None:
    if how != "quota":
        if quotas is not None:
            raise ValueError(f"quotas: only how='quota' has them, got how={how!r}")
        return None
    if quotas is None:
        raise ValueError("quotas: how='quota' needs them, one per list")
    wanted = as_integers(quotas, "quotas", count, "list")
    if wanted.min() < 0:
        at = int((wanted < 0).argmax())
        raise ValueError(f"quotas: must be at least 0, got {wanted[at]} for list {at}")
    if not wanted.any():
        raise ValueError("quotas: all are 0")
    return wanted


# --- one list -------------------------------------------------------------------------------------


class _Pairs(NamedTuple):
    """Distinct (query, corpus row) pairs, in ascending order."""

    queries: Int64
    rows: Int64


class _Scored(NamedTuple):
    """Pairs with what is known of each."""

    pairs: _Pairs
    scores: Float32
    sources: Int64

    def keep(self, kept: npt.NDArray[np.bool_]) -> _Scored:
        """Return those that a mask is true for."""
        pairs = _Pairs(self.pairs.queries[kept], self.pairs.rows[kept])
        return _Scored(pairs, self.scores[kept], self.sources[kept])


def _of_one_source(scores: Float32, rows: Int64, name: str) -> Candidates:
    return _of_tables(scores, Candidates(scores, rows, np.ones_like(rows), (name,)))


def _of_tables(scores: Float32, lists: Candidates) -> Candidates:
    """Return the lists by these scores of theirs; of a row listed twice the better one counts."""
    pairs, numbers = _distinct(lists.indices)
    present = numbers >= 0
    best = np.full(len(pairs.rows), -np.inf, dtype=np.float32)
    np.maximum.at(best, numbers[present], scores[present])
    sources = np.empty(len(pairs.rows), dtype=np.int64)
    sources[numbers[present]] = lists.sources[present]
    return _best_first(_Scored(pairs, best, sources), len(lists), lists.names)


def _distinct(table: Int64) -> tuple[_Pairs, Int64]:
    """Return the pairs of a table of rows, and the number of each entry's pair (-1: none)."""
    order = np.argsort(table, axis=1)
    ordered = np.take_along_axis(table, order, axis=1)
    fresh = ordered >= 0
    fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    running = np.cumsum(fresh, dtype=np.int64).reshape(table.shape) - 1
    numbers = np.empty_like(table)
    np.put_along_axis(numbers, order, running, axis=1)
    numbers[table < 0] = -1
    return _Pairs(np.nonzero(fresh)[0], ordered[fresh]), numbers


def _places(queries: Int64, num_queries: int) -> tuple[Int64, int]:
    """Return the place of each entry within its query (ascending), and the most there are."""
    counts = np.bincount(queries, minlength=num_queries)
    starts = np.cumsum(counts) - counts
    return np.arange(len(queries)) - starts[queries], int(counts.max(initial=0))


def _best_first(scored: _Scored, num_queries: int, names: tuple[str, ...]) -> Candidates:
    """Lay the pairs out as one list per query; higher scores first, then lower rows."""
    queries = scored.pairs.queries
    places, width = _places(queries, num_queries)
    indices = np.full((num_queries, width), -1, dtype=np.int64)
    scores = np.full(indices.shape, np.nan, dtype=np.float32)
    sources = np.zeros_like(indices)
    indices[queries, places] = scored.pairs.rows
    scores[queries, places] = scored.scores
    sources[queries, places] = scored.sources
    order = np.argsort(-scores, axis=1, kind="stable")  # nan comes last
    return Candidates(
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(sources, order, axis=1),
        names,
    )


# --- several lists, as blocks of pair numbers (queries, candidates), best first, -1 padded --------


def _merged_sources(lists: list[Candidates], blocks: list[Int64], num_pairs: int) -> Int64:
    merged = np.zeros(num_pairs, dtype=np.int64)
    first_bit = 0
    for part, numbers in zip(lists, blocks, strict=True):
        present = numbers >= 0
        sources = part.sources[:, : numbers.shape[1]]
        merged[numbers[present]] |= sources[present] << np.int64(first_bit)
        first_bit += len(part.names)
    return merged


def _best_ranks(blocks: list[Int64], num_pairs: int) -> Float64:
    best = np.full(num_pairs, np.inf)
    for numbers in blocks:
        query, place = np.nonzero(numbers >= 0)
        listed = numbers[query, place]
        best[listed] = np.minimum(best[listed], place + 1)
    return best


def _fuse(blocks: list[Int64], num_pairs: int, k: float, weights: Float64) -> Float64:
    fused = np.zeros(num_pairs)
    for numbers, weight in zip(blocks, weights, strict=True):
        query, place = np.nonzero(numbers >= 0)
        fused[numbers[query, place]] += weight / (k + (place + 1))
    return fused


def _given(blocks: list[Int64], num_pairs: int, quotas: Int64) -> npt.NDArray[np.bool_]:
    """Tell which pairs are among the first of some list that no earlier list gave."""
    given = np.zeros(num_pairs, dtype=np.bool_)
    for numbers, quota in zip(blocks, quotas, strict=True):
        fresh = numbers >= 0
        fresh[fresh] = ~given[numbers[fresh]]
        fresh &= np.cumsum(fresh, axis=1) <= quota
        given[numbers[fresh]] = True
    return given
