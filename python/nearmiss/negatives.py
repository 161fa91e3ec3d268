# SPDX-License-Identifier: Apache-2.0
"""The result of mining: one table of arrays, with what it took to make it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Float32,
    Float64,
    Int64,
    as_integers,
    as_score_matrix,
    check_seed,
)
from nearmiss.formats.table import read_arrays, write_arrays
from nearmiss.ids import Labels, ReferencedIds
from nearmiss.positives import Lists
from nearmiss.report.statistics import Statistics, Tally
from nearmiss.rounding import to_float64
from nearmiss.strategies.base import Strategy, parse
from nearmiss.strategies.reserve import ReserveStrategy

_FORMAT_VERSION = 1
_ARRAYS = ("indices", "scores", "counts", "positive_scores", "query_indices", "query_ids")
#: The optional arrays with one entry per negative, and what they hold where there is none.
OPTIONAL_COLUMNS = {
    "sources": 0,
    "log_probs": np.nan,
    "weights": np.nan,
    "strata": -1,
    "places": -1,
}
#: The optional arrays with a row for each query and a width of their own.
OPTIONAL_ROWS = ("reserve_indices", "reserve_scores")


@dataclass(frozen=True, eq=False, repr=False)
class Negatives:
    """Mined negatives: a row for each query, best first.

    Made by `mine` and `mine_candidates`, or read by `load`.

    Attributes
    ----------
    indices : (n, k) int64
        Corpus rows, padded with -1.
    scores : (n, k) float32
        Their scores, padded with nan.
    counts : (n,) int64
        How many negatives each row holds.
    positive_scores : (n,) float32
        The score that margins refer to, nan for queries without a positive.
    query_indices : (n,) int64
        Which query each row is for; 0, 1, 2, … unless ``on_shortage="drop"`` left some out.
    query_ids : (n,) int64
        The id of each query, by which random draws are made.
    params : dict
        Everything that determines the answer besides the embeddings, as plain data.
    sources : (n, k) int64 or None
        For negatives among `Candidates`: which sources listed each one, bit i standing for
        ``params["sources"][i]``; 0 where there is none.
    log_probs : (n, k) float64 or None
        For strategies that tell it: the log-probability of each draw given those before it, or,
        for designs of fixed size, that a set holds it (log inclusion probability); padded with nan.
    weights : (n, k) float64 or None
        For strategies that give them: the weight of each negative in the loss, padded with nan.
    strata : (n, k) int64 or None
        For strategies that divide the corpus: the band or bin each negative is from, counted
        from 0; -1 where there is none.
    places : (n, k) int64 or None
        For strategies that keep a reserve: where in it each negative was. Those that are in use
        from the start have the places before it, from -k to -1; a negative is replaced by what is
        k places farther. -1 also where there is none.
    reserve_indices, reserve_scores : (n, r) int64, (n, r) float32, or None
        The rows kept to replace negatives that stop being hard, best first, and their scores;
        padded with -1 and nan. See `renew`.
    """

    indices: Int64
    scores: Float32
    counts: Int64
    positive_scores: Float32
    query_indices: Int64
    query_ids: Int64
    params: dict[str, Any]
    tally: Tally
    positives: Lists | None = None
    referenced_ids: ReferencedIds | None = None
    sources: Int64 | None = None
    log_probs: Float64 | None = None
    weights: Float64 | None = None
    strata: Int64 | None = None
    places: Int64 | None = None
    reserve_indices: Int64 | None = None
    reserve_scores: Float32 | None = None

    def __repr__(self) -> str:
        short = self.tally.short_queries
        share = f" of {self.tally.queries}" if short else ""
        return (
            f"Negatives(shape={self.indices.shape}, strategy={self.params['strategy']!r}, "
            f"short_queries={short}{share})"
        )

    @property
    def ids(self) -> Labels | None:
        """The corpus's own ids of `indices`, (n, k), padded with -1 or, among strings, None.

        None if the corpus has no ids.
        """
        return None if self.referenced_ids is None else self.referenced_ids.lookup(self.indices)

    @cached_property
    def stats(self) -> Statistics:
        """Score distributions, rows skipped by cause, and shortage; ``print`` shows a table."""
        return Statistics(self.tally, self.scores, self.positive_scores, self.params)

    def sample(
        self,
        n: int,
        epoch: int = 0,
        seed: int | None = None,
        *,
        strategy: str | Strategy | None = None,
        rows: npt.ArrayLike | None = None,
    ) -> Negatives:
        """Draw ``n`` negatives of each row, by default uniformly and without replacement.

        A draw depends on (seed, epoch, query id) alone, not on the other rows.

        Parameters
        ----------
        n : int
            Negatives per row; rows with fewer keep all they have.
        epoch : int, default 0
            Another epoch is another draw.
        seed : int, optional
            Default: the seed of the search.
        strategy : str or Strategy, optional
            Picks from each row as `mine_candidates` does from a list of candidates: its ranks
            count the columns of the table, and it knows their scores and the positive's. From a
            table of the nearest rows, as many as the strategy's pool, it picks what `mine` would
            have picked with the same seed, epoch and query ids.
        rows : array-like of int, optional
            Draw for these rows of the table only.

        Returns
        -------
        Negatives
            A table of n columns, still best first. Its `stats` tell the scores of what was
            drawn; their counts, and what the optional columns that the strategy does not give say
            of each negative, are those of the search that made the source table.

        Raises
        ------
        ValueError
            For a strategy that needs anything else, or a table that lacks what it needs.
        """
        from nearmiss.table_draws import TableDraws  # it stands on this module

        draws = TableDraws(n, strategy)
        epoch = check_seed(epoch, "epoch")
        seed = check_seed(self.params["seed"] if seed is None else seed, "seed")
        draws.check(self)
        which = None if rows is None else _check_rows(rows, len(self.counts))
        table = self if which is None else self._take(which)
        everything = np.arange(len(table.counts), dtype=np.int64)
        names = ("indices", "scores", *OPTIONAL_COLUMNS)
        drawn: dict[str, Any] = draws.draw(table, everything, seed, epoch, names)
        sampled: dict[str, Any] = {"n": draws.num_drawn, "epoch": epoch, "seed": seed}
        if draws.strategy is not None:
            sampled["strategy"] = str(draws.strategy)
        return replace(
            table,
            counts=(drawn["indices"] >= 0).sum(axis=1, dtype=np.int64),
            params={**self.params, "sampled": sampled},
            **drawn,
        )

    def renew(self, current_scores: npt.ArrayLike, *, rows: npt.ArrayLike | None = None) -> Renewal:
        """Replace the negatives that stopped being hard by the next of the reserve.

        The strategy of the table says which ones those are, by the score they were mined with (the
        one in `scores`) and the current one: see `nearmiss.strategies.ConanV1` and `ConanV2`.

        Parameters
        ----------
        current_scores : array-like of shape (n, k)
            The scores of `indices` under the model as it is now. Entries of nan, and those of
            padding, are left alone.
        rows : array-like of int, optional
            Rows of the table that the scores are for, all different; the others stay as they are.

        Returns
        -------
        Renewal
            The whole table with its replacements, and what happened to the rows asked for. The
            table's `scores` are those of mining throughout. Nothing is known of replacements in
            `sources`. `stats` stay those of the search.

        Raises
        ------
        ValueError
            If the table has no reserve, or for scores of another shape or that are infinite.
        """
        strategy = _strategy_with_reserve(self)
        which = _check_rows(np.arange(len(self.counts)) if rows is None else rows, len(self.counts))
        if len(np.unique(which)) < len(which):
            raise ValueError("rows: must be all different")
        part = self._take(which)
        current = _current_scores(current_scores, part.indices)
        due = strategy.is_stale(to_float64(np.asarray(part.scores)), current) & ~np.isnan(current)
        places = _next_places(part, due)
        replaced = (places >= 0).sum(axis=1, dtype=np.int64)
        exhausted = due.sum(axis=1, dtype=np.int64) - replaced
        return Renewal(self._put(which, _with_replacements(part, places)), replaced, exhausted)

    def _optional_columns(self) -> dict[str, Any]:
        """Return the optional arrays per negative that this table has."""
        return self._those_present(OPTIONAL_COLUMNS)

    def _optional_arrays(self) -> dict[str, Any]:
        """Return all optional arrays that this table has; one row for each query."""
        return self._those_present((*OPTIONAL_COLUMNS, *OPTIONAL_ROWS))

    def _those_present(self, names: Iterable[str]) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in names}
        return {name: array for name, array in found.items() if array is not None}

    def _take(self, rows: Int64) -> Negatives:
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        arrays |= {name: array[rows] for name, array in self._optional_arrays().items()}
        return replace(self, **arrays, positives=_take_lists(self.positives, rows))

    def _put(self, rows: Int64, part: Negatives) -> Negatives:
        """Return the table with what the part, renewed, has for these rows."""
        arrays: dict[str, Any] = {}
        for name in ("indices", "scores", *self._optional_columns()):
            arrays[name] = np.array(getattr(self, name))
            arrays[name][rows] = getattr(part, name)
        renewals = self.params.get("renewals", 0) + 1
        return replace(self, **arrays, params={**self.params, "renewals": renewals})

    def to_csr(self) -> tuple[Int64, Int64, Float32]:
        """Return ``(indptr, indices, scores)`` without padding.

        Row i holds ``indices[indptr[i]:indptr[i + 1]]``.
        """
        filled = self.indices >= 0
        indptr = np.zeros(len(self.counts) + 1, dtype=np.int64)
        np.cumsum(self.counts, out=indptr[1:])
        return indptr, self.indices[filled], self.scores[filled]

    def to_triplets(self) -> Int64:
        """Return all (query, positive, negative) triplets, (t, 3) int64.

        Queries are numbered as they were given to `mine`, positives and negatives by corpus row.
        Each positive of a query meets each of its negatives; queries without a positive have no
        triplets. Order: query, then positive, then negative from the best on.

        Raises
        ------
        ValueError
            If the table was made without positives.
        """
        if self.positives is None:
            raise ValueError("to_triplets: this table was mined without positives")
        counts = self.counts
        # One block of negatives for each (query, positive) pair.
        blocks = np.repeat(np.arange(len(counts)), self.positives.lengths())
        sizes = counts[blocks]
        rows = np.repeat(blocks, sizes)
        starts = np.cumsum(sizes) - sizes
        columns = np.arange(len(rows)) - np.repeat(starts, sizes)
        triplets = np.empty((len(rows), 3), dtype=np.int64)
        triplets[:, 0] = self.query_indices[rows]
        triplets[:, 1] = np.repeat(self.positives.rows, sizes)
        triplets[:, 2] = self.indices[rows, columns]
        return triplets

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file, which `load` maps into memory.

        The file is in the safetensors layout (see `nearmiss.formats.table`). It takes the place
        of an older one at once and only when complete.
        """
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= self._optional_arrays()
        if self.positives is not None:
            arrays["positives_indptr"] = self.positives.indptr
            arrays["positives_rows"] = self.positives.rows
        if self.referenced_ids is not None:
            arrays |= self.referenced_ids.to_arrays()
        metadata = {
            "format": "nearmiss.negatives",
            "format_version": _FORMAT_VERSION,
            "params": self.params,
            "tally": self.tally.to_json(),
        }
        write_arrays(path, arrays, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Negatives:
        """Open a saved table; its arrays are memory-mapped and read-only.

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is not such a table, is truncated, or was written by a later version.
        """
        arrays, metadata = read_arrays(path)
        if metadata.get("format") != "nearmiss.negatives":
            raise ValueError(f"{os.fspath(path)}: not a table of negatives")
        if metadata.get("format_version") != _FORMAT_VERSION:
            raise ValueError(
                f"{os.fspath(path)}: table version {metadata.get('format_version')!r}; "
                f"this package reads version {_FORMAT_VERSION}"
            )
        names = (*OPTIONAL_COLUMNS, *OPTIONAL_ROWS)
        optional: dict[str, Any] = {name: arrays.get(name) for name in names}
        try:
            positives = None
            if "positives_indptr" in arrays:
                positives = Lists(arrays["positives_indptr"], arrays["positives_rows"])
            return cls(
                **{name: arrays[name] for name in _ARRAYS},
                **optional,
                params=metadata["params"],
                tally=Tally.from_json(metadata["tally"]),
                positives=positives,
                referenced_ids=ReferencedIds.from_arrays(arrays),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: the table lacks {error}") from None


class Renewal(NamedTuple):
    """What `Negatives.renew` returns.

    Attributes
    ----------
    negatives : Negatives
        The table with its replacements.
    replaced : (rows,) int64
        How many negatives of each row that was asked for were replaced.
    exhausted : (rows,) int64
        How many stopped being hard and stay, because the reserve has no more for them.
    """

    negatives: Negatives
    replaced: Int64
    exhausted: Int64


def _strategy_with_reserve(table: Negatives) -> ReserveStrategy:
    strategy = parse(table.params["strategy"])
    if isinstance(strategy, ReserveStrategy) and table.reserve_indices is not None:
        return strategy
    raise ValueError(
        f"renew: strategy {strategy.name!r} keeps no reserve; 'conan-v1' and 'conan-v2' do"
    )


def _next_places(table: Negatives, due: npt.NDArray[np.bool_]) -> Int64:
    """Return the place in the reserve of what comes after each negative that is due, else -1."""
    reserve: Any = table.reserve_indices
    places: Any = table.places
    places = places + table.params["num_negatives"]
    places = np.where(due & (places < reserve.shape[1]), places, -1)
    return np.where(pick(reserve, places, -1) >= 0, places, -1)


def _with_replacements(table: Negatives, places: Int64) -> Negatives:
    """Return the table with the rows at these places of the reserve in it, where not -1."""
    fresh = places >= 0
    arrays: dict[str, Any] = {
        name: np.where(fresh, missing, getattr(table, name))
        for name, missing in OPTIONAL_COLUMNS.items()
        if getattr(table, name) is not None
    }
    reserve: Any = table.reserve_indices, table.reserve_scores
    arrays["indices"] = np.where(fresh, pick(reserve[0], places, -1), table.indices)
    arrays["scores"] = np.where(fresh, pick(reserve[1], places, np.nan), table.scores)
    places_before: Any = table.places
    arrays["places"] = np.where(fresh, places, places_before)
    # What was in use comes before the reserve, which is in order itself: by place is best first.
    filled = arrays["indices"] >= 0
    order = np.argsort(np.where(filled, arrays["places"], np.iinfo(np.int64).max), kind="stable")
    for name, array in arrays.items():
        arrays[name] = np.take_along_axis(array, order, axis=1)
    return replace(table, **arrays)


def _current_scores(value: npt.ArrayLike, indices: Int64) -> Float64:
    """Return the scores as float64, nan where there is no negative."""
    scores = as_score_matrix(value, "current_scores")
    if scores.shape != indices.shape:
        raise ValueError(f"current_scores: expected shape {indices.shape}, got {scores.shape}")
    scores = np.where(indices >= 0, scores, np.float32(np.nan))
    if np.isinf(scores).any():
        row, column = (int(at[0]) for at in np.nonzero(np.isinf(scores)))
        raise ValueError(
            f"current_scores: row {row}, column {column} has {scores[row, column]}; expected a "
            "finite number, or nan for one that is not known"
        )
    return to_float64(scores)


def keep_full(negatives: Negatives) -> Negatives:
    """Return the table without the queries that got fewer negatives than its columns."""
    rows = np.flatnonzero(negatives.counts == negatives.indices.shape[1])
    return negatives._take(rows.astype(np.int64))


def pick(
    array: npt.NDArray[Any], columns: Int64, missing: float, rows: Int64 | None = None
) -> npt.NDArray[Any]:
    """Return the entries in these columns of each row; ``missing`` for column -1.

    ``rows`` are those that the lines of ``columns`` belong to, by default all in their order.
    """
    if array.size == 0:
        return np.full(columns.shape, missing, dtype=array.dtype)
    lines = np.arange(len(columns)) if rows is None else rows
    places = lines[:, np.newaxis] * array.shape[1] + columns
    absent = columns < 0 if columns.size and columns.min() < 0 else None
    if absent is not None:
        places[absent] = 0
    picked: npt.NDArray[Any] = np.take(array, places)  # of a flat array: quicker than pairs
    if absent is not None:
        picked[absent] = missing
    return picked


def _check_rows(rows: npt.ArrayLike, num_rows: int) -> Int64:
    checked = as_integers(rows, "rows")
    if len(checked) and not 0 <= checked.min() <= checked.max() < num_rows:
        raise ValueError(f"rows: must be from 0 to {num_rows - 1}")
    return checked


def _take_lists(lists: Lists | None, rows: Int64) -> Lists | None:
    if lists is None:
        return None
    lengths = lists.lengths()[rows]
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=indptr[1:])
    offsets = np.repeat(lists.indptr[:-1][rows] - indptr[:-1], lengths)
    return Lists(indptr, np.asarray(lists.rows[np.arange(indptr[-1]) + offsets]))
