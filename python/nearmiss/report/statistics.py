# SPDX-License-Identifier: Apache-2.0
"""The statistics of a mined table: score distributions, what was skipped and why, shortage.

Two parts, made at different times: `Tally` counts what only the search knows (it is stored with
the table); `Statistics` adds what the table's arrays say, when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float32, Float64, Int64
from nearmiss.limits import Limits
from nearmiss.rounding import to_float64

# The core's causes, in its order; it has one column for the score ceiling, split here by limit.
_CAUSES = ("positive", "duplicate", "exclude", "self", "group", "value")
_CEILINGS = ("max_score", "absolute_margin", "relative_margin")
_QUANTILES = {"25%": 0.25, "50%": 0.5, "75%": 0.75}
_COLUMNS = ("count", "mean", "median", "std", "min", "25%", "50%", "75%", "max")


@dataclass(frozen=True)
class Tally:
    """Counts of one search, before any row was dropped.

    Attributes
    ----------
    queries, requested : int
        Number of queries, and of negatives asked for in all.
    returned : int
        Negatives found in all.
    queries_without_positives : int
        Queries without a positive's score; margins do not apply to them.
    pairs : int
        (query, row) pairs looked at: queries times corpus rows, or the candidates given.
    skipped : dict
        By cause, how many of these pairs were ruled out. A pair ruled out for several reasons
        counts under each of them; ``max_score`` and the margins count only pairs that nothing
        else rules out, each under the strictest of the three. They are None where they were in
        force but not counted: draws from the whole corpus do not score every row. ``min_score``
        never costs a negative and has no count.
    shortage : dict
        Number of missing negatives -> number of queries that miss so many; short ones only.
    strata : list of dict, optional
        For strategies with quotas, of each part they divide the window into: its ``name``, how many
        negatives were ``requested`` and ``returned``, and how many queries it was too ``short``
        for.
    approximate : dict, optional
        Of an approximate search (`Probes`): ``p`` and the number of ``lists``; the ``recall``
        measured on ``sampled_queries`` of the queries, None without any; and how many of all were
        ``widened_queries``, which looked at more lists than p. Rows above a ceiling are then
        counted in the lists looked at only.
    """

    queries: int
    requested: int
    returned: int
    queries_without_positives: int
    pairs: int
    skipped: dict[str, int | None]
    shortage: dict[int, int]
    strata: list[dict[str, Any]] = field(default_factory=list)
    approximate: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        counts: Int64,
        skipped: Int64,
        positive_scores: Float32,
        limits: Limits,
        *,
        num_negatives: int,
        pairs: int,
        all_scored: bool = True,
        strata: Int64 | None = None,
        quotas: Mapping[str, int] | None = None,
        approximate: dict[str, Any] | None = None,
    ) -> Tally:
        """Count the result of a search; ``skipped`` is (n, 7), the core's causes.

        ``all_scored`` says whether the core scored every row, and so counted those above the
        ceiling. ``strata`` numbers the ``quotas``.
        """
        missing, queries = np.unique(num_negatives - counts, return_counts=True)
        by_cause = dict(zip(_CAUSES, skipped[:, :-1].sum(axis=0).tolist(), strict=True))
        by_ceiling: dict[str, int | None] = dict.fromkeys(_CEILINGS)
        if all_scored:
            by_ceiling |= _split_ceiling(skipped[:, -1], positive_scores, limits)
        else:
            by_ceiling |= {name: 0 for name in _CEILINGS if getattr(limits, name) is None}
        return cls(
            queries=len(counts),
            requested=len(counts) * num_negatives,
            returned=int(counts.sum()),
            queries_without_positives=int(np.isnan(positive_scores).sum()),
            pairs=pairs,
            skipped=by_cause | by_ceiling,
            shortage={int(n): int(q) for n, q in zip(missing, queries, strict=True) if n > 0},
            strata=_count_strata(strata, quotas or {}),
            approximate=approximate,
        )

    @property
    def short_queries(self) -> int:
        """Number of queries that got fewer negatives than asked for."""
        return sum(self.shortage.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain data; JSON turns the keys of ``shortage`` into text."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """Return what `to_json` was called on."""
        shortage = {int(missing): queries for missing, queries in data["shortage"].items()}
        return cls(**{**data, "shortage": shortage})


def _count_strata(strata: Int64 | None, quotas: Mapping[str, int]) -> list[dict[str, Any]]:
    if strata is None:
        return []
    counted = []
    for number, (name, quota) in enumerate(quotas.items()):
        taken = (strata == number).sum(axis=1)
        counted.append(
            {
                "name": name,
                "requested": quota * len(strata),
                "returned": int(taken.sum()),
                "short": int((taken < quota).sum()),
            }
        )
    return counted


def _split_ceiling(above: Int64, positive_scores: Float32, limits: Limits) -> dict[str, int]:
    """Give the rows above a query's ceiling to the limit that sets it: the lowest, the first."""
    reference = to_float64(positive_scores)
    ceilings = np.full((len(_CEILINGS), len(above)), np.inf)
    maximum = limits.per_query("max_score", len(above))
    if maximum is not None:
        ceilings[0] = maximum
    if limits.absolute_margin is not None:
        ceilings[1] = reference - limits.absolute_margin
    if limits.relative_margin is not None:
        ceilings[2] = reference - limits.relative_margin * np.abs(reference)
    ceilings[np.isnan(ceilings)] = np.inf  # no positive, no margin
    strictest = ceilings.argmin(axis=0)
    return {name: int(above[strictest == place].sum()) for place, name in enumerate(_CEILINGS)}


class Statistics(Mapping[str, Any]):
    """What a search found: a mapping of plain data, and a table when printed.

    Keys: those of the counts (``queries``, ``requested``, ``returned``,
    ``queries_without_positives``, ``pairs``, ``skipped`` by cause, ``shortage`` as
    {missing: queries}, ``short_queries``; ``approximate``, None of an exact search: see
    `Tally`), and ``scores``: for ``positive`` (one per query),
    ``negative`` and ``difference`` (positive minus negative, for each negative) their count,
    mean, median, std, min, quartiles and max; None where there are none.

    In ``skipped`` a pair ruled out for several reasons counts under each of them; ``max_score``
    and the margins count only pairs that nothing else rules out, and are None where they were
    in force but not counted (draws from the whole corpus do not score every row). ``min_score``
    never costs a negative and has no count.

    The scores are those of the rows of the table; the counts are those of the search, so queries
    that ``on_shortage="drop"`` left out are in them.
    """

    def __init__(
        self, tally: Tally, scores: Float32, positive_scores: Float32, params: Mapping[str, Any]
    ) -> None:
        self._params = params
        self._data: dict[str, Any] = {
            **tally.to_json(),
            "short_queries": tally.short_queries,
            "strata": tally.strata,
            "scores": _describe_scores(scores, positive_scores),
        }

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"Statistics({self._data!r})"

    def __str__(self) -> str:
        return "\n".join(
            [
                *self._score_lines(),
                *self._skipped_lines(),
                *self._approximate_lines(),
                *self._shortage_lines(),
            ]
        )

    def _score_lines(self) -> list[str]:
        lines = ["Metric       Positive     Negative   Difference"]
        for column in _COLUMNS:
            cells = []
            for kind in ("positive", "negative", "difference"):
                value = self["scores"][kind][column]
                cells.append("-" if value is None else _number(value))
            lines.append(f"{column.capitalize():<8} {cells[0]:>12} {cells[1]:>12} {cells[2]:>12}")
        return lines

    def _skipped_lines(self) -> list[str]:
        labels = {
            "positive": "positives",
            "duplicate": "duplicates of positives",
            "exclude": "excluded rows",
            "self": "the query itself",
            "group": "rows outside the query's group"
            if self._params.get("limits", {}).get("within_groups")
            else "rows of the query's group",
            "value": "rows outside the query's range of values",
        }
        lines = []
        for cause, count in self["skipped"].items():
            limit = self._params.get("limits", {}).get(cause)
            shown = f" of {limit:g}" if isinstance(limit, (int, float)) else ""
            label = labels.get(cause, f"rows above the {cause}{shown}")
            if count is None:
                lines.append(f"Skipped pairs, not counted: {label}")
            elif count:
                lines.append(f"Skipped {count:,} pairs ({_percent(count, self['pairs'])}): {label}")
        if self["queries_without_positives"]:
            share = _percent(self["queries_without_positives"], self["queries"])
            lines.append(f"No positive: {_queries(self['queries_without_positives'])} ({share})")
        return lines

    def _approximate_lines(self) -> list[str]:
        found = self["approximate"]
        if found is None:
            return []
        widened = found["widened_queries"]
        more = f", more for {_queries(widened)}" if widened else ""
        line = f"Approximate: looked at {found['p']:,} of {found['lists']:,} lists{more}"
        if found["recall"] is None:
            return [line]
        error = found.get("recall_error")  # older tables do not have it
        about = "" if error is None else f" ± {error:.3f}"
        sampled = _queries(found["sampled_queries"])
        return [f"{line}; recall {found['recall']:.3f}{about} on {sampled}"]

    def _shortage_lines(self) -> list[str]:
        lines = [
            f"Found {self['returned']:,} of {self['requested']:,} negatives "
            f"for {_queries(self['queries'])}"
        ]
        for stratum in self["strata"]:
            short = f", short for {_queries(stratum['short'])}" if stratum["short"] else ""
            lines.append(
                f"  {stratum['name']}: {stratum['returned']:,} of {stratum['requested']:,}{short}"
            )
        if not self["short_queries"]:
            return lines
        share = _percent(self["short_queries"], self["queries"])
        short = f"{_queries(self['short_queries'])} ({share})"
        lines.append(f"Could not find enough negatives for {short}")
        for missing, queries in self["shortage"].items():
            lines.append(f"  {missing:,} missing: {_queries(queries)}")
        return lines + [f"Consider {hint}" for hint in self._hints()]

    def _hints(self) -> list[str]:
        """Say what to change, from the limits in force and what they ruled out."""
        limits, skipped = self._params.get("limits", {}), self["skipped"]
        hints = []
        if limits.get("range_mode") == "raw":
            hints.append('a larger range_max, or range_mode="filtered"')
        elif "range_max" in limits and limits["range_max"] < self._params.get("m", 0):
            hints.append("a larger range_max")
        if limits.get("range_min"):
            hints.append("a smaller range_min")
        for name in sorted(_CEILINGS, key=lambda name: -(skipped[name] or 0)):
            if skipped[name]:
                hints.append("a higher max_score" if name == "max_score" else f"a smaller {name}")
        if "min_score" in limits:
            hints.append("a lower min_score")
        if limits.get("within_groups"):
            hints.append("larger groups, or within_groups=False")
        if skipped.get("value"):
            hints.append("wider ranges of values")
        return hints or ["fewer num_negatives, or a larger corpus"]


def _describe_scores(
    scores: Float32, positive_scores: Float32
) -> dict[str, dict[str, float | None]]:
    negatives = scores.astype(np.float64)
    reference = positive_scores.astype(np.float64)
    differences = reference[:, np.newaxis] - negatives
    return {
        "positive": _distribution(reference[~np.isnan(reference)]),
        "negative": _distribution(negatives[~np.isnan(negatives)]),
        "difference": _distribution(differences[~np.isnan(differences)]),
    }


def _distribution(values: Float64) -> dict[str, float | None]:
    if not len(values):
        return {column: 0 if column == "count" else None for column in _COLUMNS}
    quantiles: npt.NDArray[np.float64] = np.quantile(values, list(_QUANTILES.values()))
    return {
        "count": len(values),
        "mean": float(values.mean()),
        "median": float(quantiles[1]),
        "std": float(values.std()),
        "min": float(values.min()),
        **dict(zip(_QUANTILES, quantiles.tolist(), strict=True)),
        "max": float(values.max()),
    }


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def _queries(count: int) -> str:
    return "1 query" if count == 1 else f"{count:,} queries"


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.2f} %" if share == 0 or share >= 0.01 else f"{share:.2g} %"
