# SPDX-License-Identifier: Apache-2.0
"""Known positives in every form users have them, brought into one: lists per query, as CSR.

`to_lists` is the way in for arguments (``positives=``, ``exclude=``); `Positives` is the public
object for pairs and relevance judgements. Forms with -1 for "none" may hold it anywhere.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Int64,
    as_integers,
    as_plain_array,
    check_choice,
    check_integer,
    integers_to_int64,
)
from nearmiss.formats import qrels as _qrels
from nearmiss.formats.pairs import look_up
from nearmiss.ids import rows_by_text

_FORMS = (
    "one row per query, a 2-dimensional array padded with -1, a list of lists, "
    "a tuple (indptr, indices), a scipy CSR matrix, or nearmiss.Positives"
)


class Lists(NamedTuple):
    """One ascending list of distinct corpus rows per query.

    Attributes
    ----------
    indptr : (n + 1,) int64
        List i is ``rows[indptr[i]:indptr[i + 1]]``.
    rows : (nnz,) int64
    """

    indptr: Int64
    rows: Int64

    def lengths(self) -> Int64:
        """Return the length of each list."""
        return np.diff(self.indptr)

    def take(self, numbers: Int64) -> Lists:
        """Return the lists of these numbers, one after the other; a number may come again."""
        lengths = self.lengths()[numbers]
        indptr = np.zeros(len(numbers) + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        # Entry e of list i is entry e - indptr[i] of the list that it was taken from.
        shifts = np.repeat(self.indptr[:-1][numbers] - indptr[:-1], lengths)
        return Lists(indptr, self.rows[shifts + np.arange(indptr[-1])])

    def owners(self) -> Int64:
        """Return which list each entry of ``rows`` is in."""
        return np.repeat(np.arange(len(self.indptr) - 1), self.lengths())


class _Pairs(NamedTuple):
    """(query row, corpus row) pairs in any order, -1 still among the corpus rows."""

    queries: Int64
    rows: Int64


@dataclass(frozen=True)
class Joined:
    """Several values of ``exclude``, each in a form of its own; their union is meant."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Positives:
    """The positives of each query, from pairs or from relevance judgements.

    Made by `from_pairs` or `from_qrels` and given to ``mine(positives=…)`` or ``exclude=``.

    Attributes
    ----------
    query_rows, corpus_rows : (p,) int64
        The pairs: row of the query, row of one of its positives.
    num_queries : int or None
        How many queries there are; None: as many as ``mine`` is given.
    """

    query_rows: Int64
    corpus_rows: Int64
    num_queries: int | None = None

    def __post_init__(self) -> None:
        queries = as_integers(self.query_rows, "query_rows")
        rows = as_integers(self.corpus_rows, "corpus_rows", len(queries), "pair")
        if len(queries) and min(queries.min(), rows.min()) < 0:
            at = int(np.argmax((queries < 0) | (rows < 0)))
            raise ValueError(f"pairs: pair {at} is ({queries[at]}, {rows[at]}); rows start at 0")
        object.__setattr__(self, "query_rows", queries.copy())
        object.__setattr__(self, "corpus_rows", rows.copy())

    @classmethod
    def from_pairs(
        cls,
        pairs: npt.ArrayLike,
        *,
        num_queries: int | None = None,
        query_ids: Iterable[Any] | None = None,
        corpus_ids: Iterable[Any] | None = None,
    ) -> Positives:
        """Take (query, corpus) pairs.

        Parameters
        ----------
        pairs : array-like of shape (p, 2)
            A row for each pair: query, then one of its positives. Row numbers, or ids where
            ``query_ids`` or ``corpus_ids`` say which id is in which row.
        num_queries : int, optional
            Number of queries, so that pairs beyond it are found out. Default: that of
            ``query_ids``, else that of the queries given to ``mine``.
        query_ids, corpus_ids : sequence of int or str, optional
            The id in each row. Ids are compared as text: 7 and "7" are the same.

        Raises
        ------
        TypeError
            If ``pairs`` holds anything but integers or, with ids, strings.
        ValueError
            For a wrong shape, a negative row, a query beyond ``num_queries``, or an unknown id.

        Examples
        --------
        >>> import nearmiss as nm
        >>> nm.Positives.from_pairs([(0, 3), (0, 5), (2, 1)], num_queries=3)
        Positives(pairs=3, num_queries=3)
        """
        table = _as_pairs(pairs)
        query_map = _row_map(query_ids, "query_ids")
        corpus_map = _row_map(corpus_ids, "corpus_ids")
        query_rows = _look_up_pairs(table[:, 0], query_map, "query")
        corpus_rows = _look_up_pairs(table[:, 1], corpus_map, "corpus")
        if num_queries is not None:
            num_queries = check_integer(num_queries, "num_queries", 0)
        elif query_map is not None:
            num_queries = len(query_map)
        if num_queries is not None and len(query_rows) and query_rows.max() >= num_queries:
            pair = int(query_rows.argmax())
            raise ValueError(
                f"pairs: pair {pair} refers to query {query_rows[pair]}, "
                f"but there are {num_queries} queries"
            )
        return cls(query_rows, corpus_rows, num_queries)

    @classmethod
    def from_qrels(
        cls,
        qrels: Mapping[Any, Any] | str | os.PathLike[str],
        *,
        query_ids: Iterable[Any] | None = None,
        corpus_ids: Iterable[Any] | None = None,
        min_relevance: float = 1,
        unknown: Literal["error", "ignore"] = "error",
    ) -> Positives:
        """Take relevance judgements, as BEIR and TREC write them.

        Parameters
        ----------
        qrels : mapping or path
            ``{query id: {corpus id: relevance}}``, or ``{query id: [corpus id, …]}`` where all
            are relevant; or a text file: TREC's four columns (query, iteration, document,
            relevance), BEIR's three with or without a header line (query-id, corpus-id, score),
            or two (query, document). Columns are separated by tabs or, without tabs, by blanks.
        query_ids, corpus_ids : sequence of int or str, optional
            The id in each row of the queries and of the corpus. Without them the judgements
            hold row numbers. Ids are compared as text: 7 and "7" are the same.
        min_relevance : float, default 1
            Judgements below it are no positives.
        unknown : {"error", "ignore"}
            What to do with a relevant pair whose query or document has no row.

        Raises
        ------
        ValueError
            For a malformed line (named), an unknown id, or ids that are not unique.
        TypeError
            If a mapping's value is a string, or neither a mapping nor a list.

        Examples
        --------
        >>> import nearmiss as nm
        >>> nm.Positives.from_qrels(
        ...     {"q1": {"d7": 2, "d9": 0}}, query_ids=["q0", "q1"], corpus_ids=["d7", "d9"]
        ... )
        Positives(pairs=1, num_queries=2)
        """
        check_choice(unknown, "unknown", ("error", "ignore"))
        judgements = _qrels.read(qrels, min_relevance)
        query_map = _row_map(query_ids, "query_ids")
        corpus_map = _row_map(corpus_ids, "corpus_ids")
        query_rows, corpus_rows, _ = look_up(
            judgements, query_map, corpus_map, "qrels", ignore_unknown=unknown == "ignore"
        )
        return cls(query_rows, corpus_rows, None if query_map is None else len(query_map))

    def __len__(self) -> int:
        return len(self.query_rows)

    def __repr__(self) -> str:
        return f"Positives(pairs={len(self)}, num_queries={self.num_queries})"


def to_lists(value: Any, name: str, num_queries: int, num_rows: int | None) -> Lists | None:
    """Bring positives or exclusions of any form into lists per query; None stays None.

    ``num_rows`` is the size of the corpus, None where it is not known. Duplicates are merged.

    Raises
    ------
    TypeError
        For a form or element type that is not accepted, strings above all.
    ValueError
        For a wrong length, a row below -1, or a row beyond the corpus, naming query and row.
    """
    if value is None:
        return None
    pairs = _to_pairs(value, name, num_queries, num_rows)
    _check_range(pairs, name, num_rows)
    return grouped(*pairs, num_queries)


def count_lists(value: Any) -> int | None:
    """Return for how many queries a form that `to_lists` takes has lists, None for no form."""
    if value is None:
        return None
    if isinstance(value, Positives):
        return value.num_queries
    if isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "__len__"):
        return max(0, len(value[0]) - 1)
    if hasattr(value, "tocsr"):
        return int(value.shape[0])
    return len(value) if hasattr(value, "__len__") else 0


def length_of(value: Any, name: str) -> int:
    """Return for how many rows a form that `to_lists` takes has lists; it must say so."""
    try:
        count = count_lists(value)
    except TypeError:
        count = 0  # an array without dimensions
    if isinstance(value, Positives) and count is None:
        raise ValueError(f"{name}: made for no given number of queries; give num_queries=")
    if count is None or not (count or hasattr(value, "__len__") or hasattr(value, "tocsr")):
        raise TypeError(f"{name}: expected one entry per row, got {value!r}")
    return count


def _to_pairs(value: Any, name: str, num_queries: int, num_rows: int | None) -> _Pairs:
    if isinstance(value, Joined):  # whose parts may be joined themselves
        parts = [_to_pairs(part, name, num_queries, num_rows) for part in value.parts]
        return _Pairs(
            np.concatenate([part.queries for part in parts]),
            np.concatenate([part.rows for part in parts]),
        )
    if isinstance(value, Positives):
        return _from_positives(value, name, num_queries)
    if isinstance(value, tuple):
        return _from_csr(value, name, num_queries)
    if hasattr(value, "tocsr"):
        return _from_sparse(value, name, num_queries, num_rows)
    if hasattr(value, "__array__"):
        array = as_plain_array(value, name)
        if array.dtype.hasobject and array.ndim:  # lists of any length; pandas has them too
            return _from_list(list(array), name, num_queries)
        return _from_array(array, name, num_queries)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return _from_list(list(value), name, num_queries)
    hint = "; use nearmiss.Positives.from_qrels for files and mappings of judgements"
    raise TypeError(f"{name}: expected {_FORMS}, got a {type(value).__name__}{hint}")


def _from_positives(value: Positives, name: str, num_queries: int) -> _Pairs:
    if value.num_queries is not None and value.num_queries != num_queries:
        raise ValueError(
            f"{name}: made for {value.num_queries} queries, but there are {num_queries}"
        )
    if len(value) and value.query_rows.max() >= num_queries:
        raise ValueError(
            f"{name}: refers to query {value.query_rows.max()}, but there are {num_queries} queries"
        )
    return _Pairs(value.query_rows, value.corpus_rows)


def _from_csr(value: tuple[Any, ...], name: str, num_queries: int) -> _Pairs:
    if len(value) != 2 or any(isinstance(part, (int, np.integer)) for part in value):
        raise TypeError(
            f"{name}: a tuple means (indptr, indices); got a tuple of {len(value)} "
            "(use a list or an array for one row per query)"
        )
    indptr = as_integers(value[0], f"{name} indptr")
    rows = as_integers(value[1], f"{name} indices")
    if len(indptr) != num_queries + 1:
        raise ValueError(
            f"{name}: indptr must have {num_queries + 1} entries for {num_queries} queries, "
            f"got {len(indptr)}"
        )
    if indptr[0] != 0 or indptr[-1] != len(rows):
        raise ValueError(
            f"{name}: indptr must run from 0 to the number of indices, {len(rows)}; "
            f"it runs from {indptr[0]} to {indptr[-1]}"
        )
    lengths = np.diff(indptr)
    if (lengths < 0).any():
        query = int(np.argmax(lengths < 0))
        raise ValueError(f"{name}: indptr decreases after query {query}")
    return _Pairs(np.repeat(np.arange(num_queries), lengths), rows)


def _from_sparse(value: Any, name: str, num_queries: int, num_rows: int | None) -> _Pairs:
    expected = (num_queries, value.shape[1] if num_rows is None else num_rows)
    if tuple(value.shape) != expected:
        raise ValueError(
            f"{name}: expected a sparse matrix of shape {expected} (queries, corpus rows), "
            f"got {tuple(value.shape)}"
        )
    entries = value.tocoo()
    stored = entries.data != 0  # an explicit zero says "not a positive"
    return _Pairs(entries.row[stored].astype(np.int64), entries.col[stored].astype(np.int64))


def _from_array(array: npt.NDArray[Any], name: str, num_queries: int) -> _Pairs:
    if array.dtype.kind in "SU":
        raise TypeError(f"{name}: expected corpus rows (integers), got strings{_IDS_HINT}")
    if array.ndim not in (1, 2):
        raise ValueError(f"{name}: expected 1 or 2 dimensions, got shape {array.shape}")
    if len(array) != num_queries:
        raise ValueError(f"{name}: {len(array)} rows given, but there are {num_queries} queries")
    rows = integers_to_int64(array, name)
    width = 1 if array.ndim == 1 else array.shape[1]
    return _Pairs(np.repeat(np.arange(num_queries), width), rows.ravel())


_IDS_HINT = "; map ids with nearmiss.Positives.from_pairs or .from_qrels"


def _from_list(value: list[Any], name: str, num_queries: int) -> _Pairs:
    if len(value) != num_queries:
        raise ValueError(f"{name}: {len(value)} entries given, but there are {num_queries} queries")
    if not value:
        return _Pairs(np.empty(0, np.int64), np.empty(0, np.int64))
    if _is_integer(value[0]):
        for query, item in enumerate(value):
            if not _is_integer(item):
                raise TypeError(
                    f"{name}: expected a corpus row (an integer) for query {query}, as for query "
                    f"0, got {item!r}; -1 means none"
                )
        return _from_array(_to_int64(value, name), name, num_queries)
    for query, item in enumerate(value):
        if isinstance(item, (str, bytes, Mapping)) or not hasattr(item, "__iter__"):
            either = "a corpus row or " if query == 0 else ""
            raise TypeError(
                f"{name}: expected {either}a list of corpus rows for query {query}, got {item!r}"
                + (_IDS_HINT if isinstance(item, str) else "")
            )
    lists = [list(item) for item in value]
    lengths = np.array([len(items) for items in lists], dtype=np.int64)
    flat = [row for items in lists for row in items]
    if not all(map(_is_integer, flat)):
        _raise_not_a_row(lists, name)
    return _Pairs(np.repeat(np.arange(num_queries), lengths), _to_int64(flat, name))


def _is_integer(item: Any) -> bool:
    if isinstance(item, (int, np.integer)):
        return not isinstance(item, bool)
    # Elements of a tensor of torch are tensors without dimensions.
    return getattr(item, "ndim", None) == 0 and hasattr(item, "__index__") and _has_index(item)


def _has_index(item: Any) -> bool:
    try:
        operator.index(item)
    except TypeError:
        return False
    return True


def _to_int64(items: Iterable[Any], name: str) -> Int64:
    try:
        return np.array([operator.index(item) for item in items], dtype=np.int64)
    except OverflowError:
        raise ValueError(f"{name}: holds a number beyond the range of int64") from None


def _raise_not_a_row(lists: list[list[Any]], name: str) -> None:
    for query, items in enumerate(lists):
        for item in items:
            if not _is_integer(item):
                raise TypeError(
                    f"{name}: expected corpus rows (integers) for query {query}, got {item!r}"
                    + (_IDS_HINT if isinstance(item, str) else "")
                )


def _check_range(pairs: _Pairs, name: str, num_rows: int | None) -> None:
    if not len(pairs.rows):
        return
    if pairs.rows.min() < -1:
        at = int(np.argmax(pairs.rows < -1))
        raise ValueError(
            f"{name}: query {pairs.queries[at]} holds {pairs.rows[at]}; "
            "corpus rows start at 0 and -1 means none"
        )
    if num_rows is not None and pairs.rows.max() >= num_rows:
        at = int(np.argmax(pairs.rows >= num_rows))
        raise ValueError(
            f"{name}: query {pairs.queries[at]} refers to corpus row {pairs.rows[at]}, "
            f"but the corpus has {num_rows} rows"
        )


def grouped(queries: Int64, rows: Int64, num_queries: int) -> Lists:
    """Return pairs in any order as lists per query; rows of -1 are none, duplicates are merged.

    The lists are kept in tables, so they never share memory with what the user gave.
    """
    present = rows >= 0
    if not present.all():
        queries, rows = queries[present], rows[present]
    if not _in_order(queries, rows):
        queries, rows = _sort_pairs(queries, rows)
    indptr = np.zeros(num_queries + 1, dtype=np.int64)
    np.cumsum(np.bincount(queries, minlength=num_queries), out=indptr[1:])
    return Lists(indptr, np.array(rows, dtype=np.int64))


def _in_order(queries: Int64, rows: Int64) -> bool:
    """Tell whether pairs are sorted already and all different, as lists often are."""
    later = queries[1:] > queries[:-1]
    later |= (queries[1:] == queries[:-1]) & (rows[1:] > rows[:-1])
    return bool(later.all())


def _sort_pairs(queries: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Return the distinct pairs, by query and then by row."""
    stride = int(rows.max()) + 1
    if (int(queries.max()) + 1) * stride <= np.iinfo(np.int64).max:
        numbers = np.sort(queries * np.int64(stride) + rows)  # a pair is one number
        queries, rows = np.divmod(numbers, np.int64(stride))
    else:
        order = np.lexsort((rows, queries))
        queries, rows = queries[order], rows[order]
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (queries[1:] != queries[:-1]) | (rows[1:] != rows[:-1])
    return queries[fresh], rows[fresh]


def _row_map(ids: Iterable[Any] | None, name: str) -> dict[str, int] | None:
    if ids is None:
        return None
    if isinstance(ids, (str, bytes)):
        raise TypeError(f"{name}: expected a sequence of ids, got a {type(ids).__name__}")
    return rows_by_text(ids, name)


def _as_pairs(pairs: Any) -> npt.NDArray[Any]:
    if isinstance(pairs, (str, bytes, Mapping)):
        raise TypeError(f"pairs: expected an array of shape (p, 2), got a {type(pairs).__name__}")
    if not hasattr(pairs, "__array__"):
        if not isinstance(pairs, Iterable):
            raise TypeError(f"pairs: expected an array of shape (p, 2), got {pairs!r}")
        pairs = list(pairs)
        for at, pair in enumerate(pairs):
            if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
                raise ValueError(f"pairs: pair {at} is {pair!r}; expected (query, corpus)")
        return np.array([tuple(pair) for pair in pairs], dtype=object).reshape(-1, 2)
    array = as_plain_array(pairs, "pairs")
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"pairs: expected shape (p, 2), got {array.shape}")
    return array


def _look_up_pairs(column: npt.NDArray[Any], rows: dict[str, int] | None, side: str) -> Int64:
    if rows is None:
        if column.dtype == object and not all(map(_is_integer, column)):
            at = next(i for i, item in enumerate(column) if not _is_integer(item))
            raise TypeError(
                f"pairs: pair {at} has {side} {column[at]!r}; "
                f"expected a row number, or give {side}_ids"
            )
        if column.dtype == object:
            return _to_int64(column, "pairs")
        return integers_to_int64(column, "pairs")
    found = np.fromiter((rows.get(str(item), -1) for item in column), np.int64, len(column))
    if (found < 0).any():
        at = int(np.argmax(found < 0))
        raise ValueError(f"pairs: pair {at}: {side} id {column[at]!r} is not in {side}_ids")
    return found
