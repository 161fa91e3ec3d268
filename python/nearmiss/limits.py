# SPDX-License-Identifier: Apache-2.0
"""Who may be a negative: one frozen object, shared by every way of mining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Float64,
    as_float64_vector,
    check_choice,
    check_exact_numbers,
    check_flag,
    check_integer,
    check_number,
    digest,
)
from nearmiss.positives import Joined

RangeMode: TypeAlias = Literal["filtered", "raw"]
MarginReference: TypeAlias = Literal["min", "max", "mean"]
PerQuery: TypeAlias = "float | npt.ArrayLike | None"

LAST_RANK = 2**63 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Who may be a negative. The keywords of `mine` of the same names build one.

    Scores are cosine similarities, inner products or, under ``"l2"``, negative squared
    distances: higher is always closer. All score limits keep equality. Two objects that set the
    same are equal; they are not hashable, as they may hold arrays.

    Parameters
    ----------
    range_min, range_max : int, default 0 and None
        Half-open window [range_min, range_max) of ranks a negative may have. None leaves the
        end to the strategy.
    range_mode : {"filtered", "raw"}
        Whether ranks count the rows that pass all other limits (default), or every row, the
        positives included; then a query can fall short.
    max_score, min_score : float or array-like of shape (n,), optional
        Bounds on the score of a negative, for all queries or one for each; infinite for none.
    absolute_margin : float, optional
        Keeps scores up to ``s - absolute_margin``, s being the positive's score.
    relative_margin : float, optional
        Keeps scores up to ``s - relative_margin * abs(s)``.
    margin_reference : {"min", "max", "mean"}
        Which score s stands for when a query has several positives.
    exclude : optional
        Further rows that may not be negatives, in any form that ``positives`` has.
    exclude_self : bool, default False
        Whether the corpus row whose number is the query's id is excluded.
    exclude_duplicates : bool, default True
        Whether rows bit-identical to a positive count as positives.
    query_groups, corpus_groups : array-like of int or str, optional
        A group label for each query and each corpus row; -1 (or None among strings) means none.
        A row of the query's own group is never a negative.
    within_groups : bool, default False
        Instead: only rows of the query's own group may be negatives.
    corpus_values : array-like of shape (m,), optional
        A number for each corpus row, such as a date: integers up to 2**53 or finite floats. An
        array is referred to, not copied.
    min_value, max_value : float or array-like of shape (n,), optional
        Keeps rows of which ``min_value <= value < max_value``, for all queries or one range for
        each; infinite for none. Half-open: a row dated as the query is not before it.

    Raises
    ------
    ValueError, TypeError
        For values that are not of these kinds, or contradict each other.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.Limits(relative_margin=0.05, range_max=100)
    Limits(range_max=100, relative_margin=0.05)
    """

    range_min: int = 0
    range_max: int | None = None
    range_mode: RangeMode = "filtered"
    max_score: PerQuery = None
    min_score: PerQuery = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    margin_reference: MarginReference = "min"
    exclude: Any = None
    exclude_self: bool = False
    exclude_duplicates: bool = True
    query_groups: Any = None
    corpus_groups: Any = None
    within_groups: bool = False
    corpus_values: npt.ArrayLike | None = None
    min_value: PerQuery = None
    max_value: PerQuery = None

    def __post_init__(self) -> None:
        self._set("range_min", check_integer(self.range_min, "range_min", 0, LAST_RANK))
        if self.range_max is not None:
            self._set("range_max", check_integer(self.range_max, "range_max", 1, LAST_RANK))
        check_choice(self.range_mode, "range_mode", ("filtered", "raw"))
        check_choice(self.margin_reference, "margin_reference", ("min", "max", "mean"))
        for name in ("absolute_margin", "relative_margin"):
            if getattr(self, name) is not None:
                self._set(name, check_number(getattr(self, name), name))
        for name in ("exclude_self", "exclude_duplicates", "within_groups"):
            self._set(name, check_flag(getattr(self, name), name))
        self._set("max_score", _check_bound(self.max_score, "max_score", -np.inf))
        self._set("min_score", _check_bound(self.min_score, "min_score", np.inf))
        self._set("corpus_values", _check_values(self.corpus_values))
        for name in ("min_value", "max_value"):
            check_exact_numbers(getattr(self, name), name)
        self._set("max_value", _check_bound(self.max_value, "max_value", -np.inf))
        self._set("min_value", _check_bound(self.min_value, "min_value", np.inf))
        self._check_contradictions()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # frozen for everyone but the constructor

    def _check_contradictions(self) -> None:
        if self.range_max is not None and self.range_min >= self.range_max:
            raise ValueError(
                f"range_min: must be below range_max, got [{self.range_min}, {self.range_max})"
            )
        self._check_bounds("min_score", "max_score", np.greater, "must not be above")
        self._check_bounds("min_value", "max_value", np.greater_equal, "must be below")

    def _check_bounds(
        self, low_name: str, high_name: str, contradicts: Callable[[Any, Any], Any], rule: str
    ) -> None:
        low, high = getattr(self, low_name), getattr(self, high_name)
        if low is None or high is None:
            return
        low, high = _same_length(low, high, low_name, high_name)
        bad = np.atleast_1d(contradicts(low, high))
        if bad.any():
            query = int(bad.argmax())
            place = f" for query {query}" if low.ndim else ""
            raise ValueError(
                f"{low_name}: {rule} {high_name}, got {np.atleast_1d(low)[query]} and "
                f"{np.atleast_1d(high)[query]}{place}"
            )

    @property
    def has_margin(self) -> bool:
        """Whether some limit refers to the positive's score."""
        return self.absolute_margin is not None or self.relative_margin is not None

    def merge(self, other: Limits) -> Limits:
        """Return limits that satisfy both: the strictest wins where both constrain.

        Windows and ranges are intersected, the lower ceiling, the higher floor and the larger
        margin hold, and exclusions add up. A field left at its default does not constrain, so a
        switch or choice that only one side sets is taken from that side.

        Raises
        ------
        ValueError
            If both set different values that cannot be combined (``range_mode``,
            ``margin_reference``, groups, ``corpus_values``), or nothing can satisfy both.
        """
        merged = {
            field.name: _merge_field(
                field.name, getattr(self, field.name), getattr(other, field.name), field.default
            )
            for field in fields(self)
        }
        return Limits(**merged)

    def per_query(
        self,
        name: Literal["max_score", "min_score", "min_value", "max_value"],
        num_queries: int,
    ) -> Float64 | None:
        """Return a bound as one float64 for each query, or None if there is none."""
        value = getattr(self, name)
        if value is None:
            return None
        if isinstance(value, np.ndarray):
            return as_float64_vector(value, name, num_queries)
        return np.full(num_queries, value, dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        """Return what is set, as plain data for JSON; values and bounds per query by a digest.

        Exclusions and groups are left to the caller, who knows them in their final form.
        """
        return {
            name: digest(value) if isinstance(value, np.ndarray) else value
            for name, value in self._set_fields().items()
            if name not in ("exclude", "query_groups", "corpus_groups")
        }

    def _set_fields(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return {name: v for name, v in values.items() if not _is_default(v, defaults[name])}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Limits):
            return NotImplemented
        mine, theirs = self._set_fields(), other._set_fields()
        return mine.keys() == theirs.keys() and all(
            _same_value(mine[name], theirs[name]) for name in mine
        )

    def __repr__(self) -> str:
        shown = (
            f"{name}={value!r}" if isinstance(value, (bool, int, float, str)) else f"{name}=…"
            for name, value in self._set_fields().items()
        )
        return f"Limits({', '.join(shown)})"


def _check_bound(value: PerQuery, name: str, impossible: float) -> float | Float64 | None:
    if value is None:
        return None
    if np.ndim(value) == 0:
        if value == -impossible:
            return None
        return check_number(value, name)
    array = np.array(as_float64_vector(value, name))
    bad = np.isnan(array) | (array == impossible)
    if bad.any():
        query = int(np.argmax(bad))
        raise ValueError(f"{name}: must be a number, got {array[query]} for query {query}")
    array.flags.writeable = False
    return array


def _check_values(value: npt.ArrayLike | None) -> Float64 | None:
    if value is None:
        return None
    check_exact_numbers(value, "corpus_values", "corpus row")
    array = as_float64_vector(value, "corpus_values").view()  # not a copy: it may be large
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"corpus_values: must be finite, got {array[row]} for corpus row {row}")
    array.flags.writeable = False
    return array


def _same_length(a: Any, b: Any, a_name: str, b_name: str) -> tuple[Float64, Float64]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim and second.ndim and len(first) != len(second):
        raise ValueError(f"{a_name} has {len(first)} entries, but {b_name} has {len(second)}")
    low, high = np.broadcast_arrays(first, second)
    return low, high


def _merge_field(name: str, ours: Any, theirs: Any, default: Any) -> Any:
    if _is_default(ours, default):
        return theirs
    if _is_default(theirs, default) or ours is theirs:
        return ours
    if name == "exclude":
        return Joined((ours, theirs))
    if name in _STRICTEST:
        if isinstance(ours, np.ndarray) or isinstance(theirs, np.ndarray):
            ours, theirs = _same_length(ours, theirs, name, f"the other {name}")
        return _STRICTEST[name](ours, theirs)
    if not _same_value(ours, theirs):
        shown = f": {ours!r} and {theirs!r}" if isinstance(ours, str) else ""
        raise ValueError(f"{name}: given twice with different values{shown}")
    return ours


# Built-in max and min for scalars would lose the element-wise case; numpy's cover both.
_STRICTEST: dict[str, Callable[[Any, Any], Any]] = {
    "range_min": max,
    "range_max": min,
    "max_score": lambda a, b: _plain(np.minimum(a, b)),
    "min_score": lambda a, b: _plain(np.maximum(a, b)),
    "max_value": lambda a, b: _plain(np.minimum(a, b)),
    "min_value": lambda a, b: _plain(np.maximum(a, b)),
    "absolute_margin": max,
    "relative_margin": max,
}


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and value == default)


def _same_value(a: Any, b: Any) -> bool:
    if isinstance(a, (bool, int, float, str)) or isinstance(b, (bool, int, float, str)):
        return type(a) is type(b) and bool(a == b)
    try:
        return bool(np.array_equal(a, b))
    except (TypeError, ValueError):  # ragged lists compare by identity
        return a is b
