# SPDX-License-Identifier: Apache-2.0
"""The calls: exact top-k, mining over a corpus, mining over given candidates.

Each one checks its arguments, brings them into the core's form, calls the core once and wraps
what it returns. Nothing is searched before everything has been checked.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, TypeAlias

import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import (
    Float32,
    Int64,
    as_row_matrix,
    as_score_matrix,
    check_flag,
    check_integer,
)
from nearmiss.candidates import Candidates
from nearmiss.corpus import Corpus, Metric
from nearmiss.groups import CorpusGroups
from nearmiss.limits import Limits, MarginReference, PerQuery, RangeMode
from nearmiss.negatives import Negatives
from nearmiss.pools import choose
from nearmiss.probes import Probes, check_probes
from nearmiss.progress import Progress, reporting
from nearmiss.request import (
    Groups,
    Queries,
    Request,
    Source,
    Values,
    candidate_scores,
    check_candidate_rows,
    check_precision,
    groups_of_corpus,
    merge_limits,
    query_matrix,
)
from nearmiss.result import wrap
from nearmiss.runtime import resolve_num_threads
from nearmiss.strategies.base import Strategy
from nearmiss.strategies.pool import Setting

OnShortage: TypeAlias = Literal["pad", "drop", "error"]
Precision: TypeAlias = Literal["auto", "float32", "int16", "int8"]


def topk(
    queries: npt.ArrayLike,
    corpus: Corpus | npt.ArrayLike,
    k: int,
    *,
    metric: Metric | None = None,
    precision: Precision = "auto",
    approximate: Probes | None = None,
    num_threads: int | None = None,
) -> tuple[Float32, Int64]:
    """Return the k nearest corpus rows of each query, exactly unless told otherwise.

    Parameters
    ----------
    queries : array-like of shape (n, d)
    corpus : Corpus or array-like of shape (m, d)
        An array is packed for this call; make a `Corpus` of it to search it more than once.
    k : int
        From 1 to m.
    metric : {"cosine", "ip", "l2"}, optional
        Default: the corpus's own, else cosine.
    precision : {"auto", "float32", "int16", "int8"}
        What to screen in: codes of 16 or 8 bits with a proven error bound, or float32. ``"auto"``
        takes int8 where it pays and turns to int16 or float32 where it does not. Changes the time,
        never the answer.
    approximate : Probes, optional
        Look at some clusters of the corpus only (`Probes`). Always k rows; the scores are
        exact. Default: exact search.
    num_threads : int, optional
        Default: all that are allowed (``NEARMISS_NUM_THREADS``, affinity, cgroup); one inside
        a DataLoader worker.

    Returns
    -------
    scores : (n, k) float32
        Higher is closer (``"l2"``: negative squared distance), best first.
    indices : (n, k) int64
        Corpus rows; equal scores are in the order of their rows.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used; the message names argument, row and expectation.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> scores, indices = nm.topk([[1.0, 0.1]], np.eye(2, dtype=np.float32), k=1, metric="ip")
    >>> indices
    array([[0]])
    """
    threads = resolve_num_threads(num_threads)
    check_precision(precision)
    probes = check_probes(approximate)
    source = Source.of(corpus, metric)
    rows = query_matrix(queries, source)
    k = check_integer(k, "k", 1)
    if k > source.num_rows:
        raise ValueError(f"k: must be at most the {source.num_rows} rows of the corpus, got {k}")
    packed = source.pack(None, threads, precision)
    scores, indices, _ = _core.topk(
        rows.rows,
        rows.element_type,
        packed._core,
        k,
        precision=precision,
        num_threads=threads,
        probes=None if probes is None else probes._core_argument(len(rows.rows), measure=False),
    )
    return scores, indices


def mine(
    queries: npt.ArrayLike,
    corpus: Corpus | npt.ArrayLike,
    positives: Any = None,
    *,
    num_negatives: int | None = None,
    strategy: str | Strategy = "top",
    limits: Limits | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    range_mode: RangeMode = "filtered",
    max_score: PerQuery = None,
    min_score: PerQuery = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    margin_reference: MarginReference = "min",
    positive_scores: npt.ArrayLike | None = None,
    exclude: Any = None,
    exclude_self: bool = False,
    exclude_duplicates: bool = True,
    query_groups: Any = None,
    corpus_groups: Any = None,
    within_groups: bool = False,
    corpus_values: npt.ArrayLike | None = None,
    min_value: PerQuery = None,
    max_value: PerQuery = None,
    query_ids: npt.ArrayLike | None = None,
    metric: Metric | None = None,
    precision: Precision = "auto",
    approximate: Probes | None = None,
    on_shortage: OnShortage = "pad",
    seed: int = 0,
    epoch: int = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Negatives:
    """Give every query its hard negatives: near rows of the corpus that are not its positives.

    The search is exact, unless told otherwise, and the limits act inside it: a query gets all it
    asks for whenever enough admissible rows exist in its rank window.

    Parameters
    ----------
    queries : array-like of shape (n, d)
        Element types as for `Corpus`; they need not be the corpus's.
    corpus : Corpus or array-like of shape (m, d)
        An array is packed for this call; make a `Corpus` of it to search it more than once.
    positives : optional
        The known positives, never returned. One row per query (1-D, -1 for none), a 2-D array
        padded with -1, a list of lists, a tuple ``(indptr, indices)``, a scipy CSR matrix (n, m),
        or `Positives` (pairs, relevance judgements).
    num_negatives : int, optional
        How many for each query. Default: the strategy's own number, such as the sum of its
        quotas, else 3.
    strategy : str or Strategy
        Which of the admissible rows to pick: ``"top"`` the nearest, ``"random"`` at random in
        the rank window or below ``max_score``, ``"uniform"`` at random in the whole corpus, or
        any other of `strategies.available`. Whatever is picked is returned best first.
    limits : Limits, optional
        Who may be a negative. The keywords from ``range_min`` to ``max_value`` say the same
        one by one; given both ways, the strictest wins (see `Limits.merge`).
    range_min, range_max, range_mode
        Window of ranks. ``"top"`` takes ``range_max = range_min + num_negatives`` by default.
    max_score, min_score, absolute_margin, relative_margin, margin_reference
        Limits on scores, closed. Under ``"l2"`` a relative margin with a positive at distance 0
        keeps every row.
    positive_scores : array-like of shape (n,), optional
        Scores the margins refer to, nan for none. Default: computed from ``positives``.
    exclude, exclude_self, exclude_duplicates, query_groups, corpus_groups, within_groups
        Rows ruled out one by one, and by group. With an array for ``corpus``, ``corpus_groups``
        orders the packed rows, as ``Corpus(groups=…)`` does.
    corpus_values, min_value, max_value
        A number for each corpus row, and the half-open range that a query admits: with dates
        and ``max_value=`` the date of each query, only what was there before it (as in ECtHR-PCR,
        Santosh et al. 2024).
    query_ids : array-like of int of shape (n,), optional
        Identify queries in random draws, so that batches and shards agree; and say which
        corpus row a query is, for ``exclude_self``. All different. Default: row numbers.
    metric : {"cosine", "ip", "l2"}, optional
        Default: the corpus's own, else cosine.
    precision : {"auto", "float32", "int16", "int8"}
        What to screen in: codes of 16 or 8 bits with a proven error bound, or float32. ``"auto"``
        takes int8 where it pays and turns to int16 or float32 where it does not. Changes the time,
        never the answer.
    approximate : Probes, optional
        Look at some clusters of the corpus only (`Probes`), where limits and ranks mean what
        they always do; ``stats["approximate"]`` has the recall measured on some of the queries.
        Not for draws from the whole corpus, such as ``strategy="uniform"``. Default: exact search.
    on_shortage : {"pad", "drop", "error"}
        A query with fewer admissible rows than asked for: pad its row with -1 and nan, leave
        it out (`Negatives.query_indices` tells which remain), or raise ValueError.
    seed, epoch : int, default 0
        With the query id they determine every random draw.
    num_threads : int, optional
        Default: all that are allowed; one inside a DataLoader worker. Never changes the answer.
    progress : bool or callable, optional
        True for a bar (needs tqdm), or a function of the fraction done; an exception it raises
        stops the work.

    Returns
    -------
    Negatives

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used or contradict each other, before any search; the message
        names argument, row and expectation.
    ImportError
        If ``progress=True`` and tqdm is not installed.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> corpus = np.array([[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]], dtype=np.float32)
    >>> nm.mine(corpus[:1], corpus, positives=[0], num_negatives=2).indices
    array([[1, 2]])
    """
    merged = merge_limits(
        limits,
        Limits(
            range_min=range_min,
            range_max=range_max,
            range_mode=range_mode,
            max_score=max_score,
            min_score=min_score,
            absolute_margin=absolute_margin,
            relative_margin=relative_margin,
            margin_reference=margin_reference,
            exclude=exclude,
            exclude_self=exclude_self,
            exclude_duplicates=exclude_duplicates,
            query_groups=query_groups,
            corpus_groups=corpus_groups,
            within_groups=within_groups,
            corpus_values=corpus_values,
            min_value=min_value,
            max_value=max_value,
        ),
    )
    request = Request.of(num_negatives, strategy, merged, seed, epoch, on_shortage)
    threads = resolve_num_threads(num_threads)
    check_precision(precision)
    probes = check_probes(approximate)
    if probes is not None:
        request.require_search("approximate")
    source = Source.of(corpus, metric)
    request.require_metric(source.metric)
    rows = query_matrix(queries, source)
    queries_given = Queries.of(
        request.limits, len(rows.rows), source.num_rows, positives, positive_scores, query_ids
    )
    groups = Groups.of(
        request.limits, len(rows.rows), groups_of_corpus(request.limits.corpus_groups, source)
    )
    values = Values.of(request, len(rows.rows), source.num_rows)
    request.require_inputs({*queries_given.inputs(), *groups.inputs(), *values.inputs(), "vectors"})
    with reporting(progress) as report:
        packed = source.pack(groups.corpus, threads, precision)
        searched = rows.rows, rows.element_type, packed._core
        keywords: dict[str, Any] = {
            **request.limit_arguments(),
            **queries_given.core_arguments(),
            **values.core_arguments(),
            "exclude_duplicates": request.limits.exclude_duplicates,
            "query_groups": groups.queries,
            # The groups a corpus was packed with it knows already.
            "corpus_groups": None if packed._groups is groups.corpus else groups.corpus_codes,
            "precision": precision,
            "probes": None if probes is None else probes._core_argument(len(rows.rows)),
            "num_threads": threads,
            "progress": report,
        }
        result = choose(
            request,
            queries_given.ids,
            Setting(
                num_queries=len(rows.rows),
                positives=queries_given.positives,
                corpus_values=values.corpus,
                query_groups=groups.queries,
                corpus_groups=groups.corpus_codes,
                corpus=packed,
                queries=rows,
                metric=packed.metric,
                seed=request.seed,
                epoch=request.epoch,
                num_threads=threads,
            ),
            partial(_core.mine, *searched, **keywords),
            partial(_core.mine_pools, *searched, **keywords),
        )
    params: dict[str, Any] = {"metric": packed.metric, "m": len(packed), "d": packed.dim}
    if probes is not None:
        params["approximate"] = probes.describe()
    pairs = len(rows.rows) * len(packed)
    return wrap(result, request, queries_given, groups, params, pairs=pairs, ids=packed.ids)


def mine_candidates(
    scores: npt.ArrayLike | Candidates,
    indices: npt.ArrayLike | None = None,
    *,
    positives: Any = None,
    positive_scores: npt.ArrayLike | None = None,
    higher_is_closer: bool = True,
    num_negatives: int | None = None,
    strategy: str | Strategy = "top",
    limits: Limits | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    range_mode: RangeMode = "filtered",
    max_score: PerQuery = None,
    min_score: PerQuery = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    margin_reference: MarginReference = "min",
    exclude: Any = None,
    exclude_self: bool = False,
    query_groups: Any = None,
    corpus_groups: Any = None,
    within_groups: bool = False,
    corpus_values: npt.ArrayLike | None = None,
    min_value: PerQuery = None,
    max_value: PerQuery = None,
    query_ids: npt.ArrayLike | None = None,
    on_shortage: OnShortage = "pad",
    seed: int = 0,
    epoch: int = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Negatives:
    """Choose negatives among candidates you already have: the limits and strategies of `mine`.

    For results of an approximate index, of a reranker, or of BM25.

    Parameters
    ----------
    scores : array-like of shape (n, c), or Candidates
        Scores of the candidates in any order, as float32; or `Candidates`, which bring their
        rows, and whose sources then stand in `Negatives.sources`.
    indices : array-like of int of shape (n, c)
        Their corpus rows; -1 for none, whatever its score. Of a row listed twice for a query
        the better score counts. Not with `Candidates`.
    positives : optional
        As for `mine`.
    positive_scores : array-like of shape (n,), optional
        Scores the margins refer to, nan for none. Default: the scores of the positives found
        among the candidates. A margin then needs one there for each query that has positives.
    higher_is_closer : bool, default True
        If False, ``scores`` and ``positive_scores`` are distances. They are negated first, so
        ``max_score`` and ``min_score``, the margins and the result all speak of negative
        distances, as under ``metric="l2"``. Not with `Candidates`.
    num_negatives, strategy, limits, range_min, range_max, range_mode, max_score, min_score, \
absolute_margin, relative_margin, margin_reference, exclude, exclude_self, query_groups, \
corpus_groups, within_groups, corpus_values, min_value, max_value, query_ids, on_shortage, seed, \
epoch, num_threads, progress
        As for `mine`. Ranks count the candidates. ``"random"`` needs no window here;
        ``"uniform"`` does not apply, nor does ``Limits.exclude_duplicates`` (there are no
        vectors to compare). The size of the corpus is that of ``corpus_groups`` or
        ``corpus_values``, if given.

    Returns
    -------
    Negatives

    Raises
    ------
    ValueError, TypeError
        As for `mine`; and for scores of candidates that are not finite, naming the row.

    Examples
    --------
    >>> import nearmiss as nm
    >>> scores = [[0.9, 0.8, 0.7, 0.1]]
    >>> nm.mine_candidates(scores, [[4, 0, 7, 2]], positives=[4], num_negatives=2).indices
    array([[0, 7]])
    """
    merged = merge_limits(
        limits,
        Limits(
            range_min=range_min,
            range_max=range_max,
            range_mode=range_mode,
            max_score=max_score,
            min_score=min_score,
            absolute_margin=absolute_margin,
            relative_margin=relative_margin,
            margin_reference=margin_reference,
            exclude=exclude,
            exclude_self=exclude_self,
            query_groups=query_groups,
            corpus_groups=corpus_groups,
            within_groups=within_groups,
            corpus_values=corpus_values,
            min_value=min_value,
            max_value=max_value,
        ),
    )
    request = Request.of(num_negatives, strategy, merged, seed, epoch, on_shortage, candidates=True)
    threads = resolve_num_threads(num_threads)
    higher_is_closer = check_flag(higher_is_closer, "higher_is_closer")
    listed = _candidate_lists(scores, indices, higher_is_closer)
    given = as_score_matrix(scores if listed is None else listed.scores, "scores")
    rows = as_row_matrix(indices if listed is None else listed.indices, "indices")
    labels = request.limits.corpus_groups
    corpus = None if labels is None else CorpusGroups.of(labels, None, "corpus_groups")
    num_rows = None if corpus is None else len(corpus.codes)
    values = Values.of(request, len(rows), num_rows)
    if num_rows is None and values.corpus is not None:
        num_rows = len(values.corpus)
    check_candidate_rows(rows, num_rows)
    closeness = candidate_scores(given, rows, higher_is_closer)
    queries_given = Queries.of(
        request.limits, len(rows), num_rows, positives, positive_scores, query_ids
    )
    if not higher_is_closer:
        queries_given = queries_given.negated()
    groups = Groups.of(request.limits, len(rows), corpus)
    given_inputs = {*queries_given.inputs(), *groups.inputs(), *values.inputs()}
    request.require_inputs(given_inputs if listed is None else {*given_inputs, "sources"})
    with reporting(progress) as report:
        keywords: dict[str, Any] = {
            **request.limit_arguments(),
            **queries_given.core_arguments(),
            **values.core_arguments(),
            "query_groups": groups.queries,
            "corpus_groups": groups.corpus_codes,
            "num_threads": threads,
            "progress": report,
        }
        result = choose(
            request,
            queries_given.ids,
            Setting(
                num_queries=len(rows),
                positives=queries_given.positives,
                corpus_values=values.corpus,
                candidates=listed,
                seed=request.seed,
                epoch=request.epoch,
                num_threads=threads,
            ),
            partial(_core.mine_candidates, closeness, rows, **keywords),
            partial(_core.candidate_pools, closeness, rows, **keywords),
        )
    params: dict[str, Any] = {
        "candidates": rows.shape[1],
        "m": num_rows,
        "higher_is_closer": higher_is_closer,
    }
    found: dict[str, Any] = {**result}
    if listed is not None:
        params["sources"] = list(listed.names)
        found["sources"] = listed._sources_of(result["indices"])
    pairs = int((rows >= 0).sum())
    return wrap(found, request, queries_given, groups, params, pairs=pairs)


def _candidate_lists(scores: Any, indices: Any, higher_is_closer: bool) -> Candidates | None:
    """Return the first argument if it is `Candidates`, which leave nothing to the others."""
    if not isinstance(scores, Candidates):
        if indices is None:
            raise TypeError("indices: needed, unless nearmiss.Candidates are given")
        return None
    if indices is not None:
        raise ValueError("indices: nearmiss.Candidates bring their own")
    if not higher_is_closer:
        raise ValueError("higher_is_closer: scores of nearmiss.Candidates are never distances")
    return scores
