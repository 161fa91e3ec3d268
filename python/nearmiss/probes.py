# SPDX-License-Identifier: Apache-2.0
"""Approximate search, opt-in: look at the lists of a corpus that are nearest to a query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nearmiss.arrays import check_integer, check_number, check_seed


@dataclass(frozen=True)
class Probes:
    """Search the rows of the ``p`` nearest clusters of the corpus instead of all rows.

    The rows of the corpus are kept in lists, one around each centre of a k-means (spherical under
    ``"cosine"``, else Euclidean). A query looks at the lists of the ``p`` centres of highest
    score, and there the search is exact, with all limits: what is missed lies in other lists. This
    is the inverted file of Sivic and Zisserman (2003) and of Jégou, Douze and Schmid (2011),
    known as IVF, over the packed form and the certified screening of exact search.

    A query with fewer admissible rows in its lists than its rank window asks for looks at twice as
    many lists, again and again; where that would be more than a quarter of all, it is searched
    exactly. So a query is short of negatives only where exact search is too. The price: a
    ``min_score`` that leaves hardly any rows makes the search slower than the exact one.

    Lists are made in the first search that needs them, and kept by the `Corpus` until one with
    other ``lists`` or another ``seed``, or `Corpus.update`; they hold the packed rows a second
    time. What is found depends on the rows, the queries and these numbers alone, not on threads,
    nor on batches unless p is chosen by recall.

    Parameters
    ----------
    p : int, optional
        How many lists a query looks at. All of them, or more, is exact search. Give it or
        ``recall``.
    lists : int, optional
        How many lists there are, at most one for each row. Default: 4 √m.
    seed : int, default 0
        Of the k-means and of the sample.
    sample : int, optional
        Queries that are searched exactly as well, to measure recall: `Negatives.stats` then has
        ``["approximate"]["recall"]``, the part of the rows of their exact rank windows (from rank
        0 on) that approximate search found, and ``["recall_error"]``, its standard error. They are
        drawn at random among the queries of the call. 0 measures nothing. Default: 64 with
        ``recall``; else one of 32 queries, but 16 at least and 64 at most. If the recalls of
        single queries have a standard deviation of 0.1, the error is 0.013 with 64 of many
        queries, 0.018 with 32 and 0.025 with 16.
    recall : float, optional
        In (0, 1]. The least p that reaches it on the first half of the sample is taken, as if no
        query looked at more lists; the other half then measures it, so that what is reported
        is no better than it is.

    Raises
    ------
    ValueError, TypeError
        For numbers out of range; both or none of ``p`` and ``recall``; ``recall`` without sample.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.Probes(8)
    Probes(p=8, lists=None, seed=0, sample=None, recall=None)
    >>> nm.Probes.for_recall(0.95).recall
    0.95
    """

    p: int | None = None
    lists: int | None = None
    seed: int = 0
    sample: int | None = None
    recall: float | None = None

    def __post_init__(self) -> None:
        if (self.p is None) == (self.recall is None):
            raise ValueError("p: expected either p or recall")
        if self.p is not None:
            check_integer(self.p, "p", 1, _MOST)
        if self.lists is not None:
            check_integer(self.lists, "lists", 1, _MOST)
        check_seed(self.seed, "seed")
        if self.sample is not None:
            check_integer(self.sample, "sample", 0 if self.recall is None else 1, _MOST)
        if self.recall is not None:
            check_number(self.recall, "recall", above=0, maximum=1)

    @classmethod
    def for_recall(
        cls, recall: float, *, lists: int | None = None, seed: int = 0, sample: int | None = None
    ) -> Probes:
        """Return probes that choose p in each call, by exact search of some of its queries.

        Parameters
        ----------
        recall : float
            In (0, 1].
        lists, seed, sample
            As for `Probes`.
        """
        return cls(recall=recall, lists=lists, seed=seed, sample=sample)

    def describe(self) -> dict[str, Any]:
        """Return what was asked for, as JSON-able data."""
        chosen = {"p": self.p} if self.recall is None else {"recall": self.recall}
        lists = {} if self.lists is None else {"lists": self.lists}
        sample = {} if self.sample is None else {"sample": self.sample}
        return {**chosen, **lists, "seed": self.seed, **sample}

    def _core_argument(
        self, num_queries: int, *, measure: bool = True
    ) -> tuple[int, float, int, int, int]:
        sample = self._sample_of(num_queries) if measure or self.recall is not None else 0
        return (self.p or 0, self.recall or 0.0, self.lists or 0, self.seed, sample)

    def _sample_of(self, num_queries: int) -> int:
        if self.sample is not None:
            return self.sample
        if self.recall is not None:
            return _LARGEST_SAMPLE
        return min(max(num_queries // _QUERIES_PER_SAMPLED, _SMALLEST_SAMPLE), _LARGEST_SAMPLE)


_MOST = 2**32 - 1  # lists, and queries of a sample
# By default. Searching for one of 32 queries exactly takes less time than all others approximately.
_SMALLEST_SAMPLE, _LARGEST_SAMPLE = 16, 64
_QUERIES_PER_SAMPLED = 32


def check_probes(approximate: Any) -> Probes | None:
    """Return the argument if it is `Probes` or None."""
    if approximate is None or isinstance(approximate, Probes):
        return approximate
    raise TypeError(
        f"approximate: expected nearmiss.Probes or None, got {approximate!r}; "
        "nearmiss.Probes(8) looks at 8 lists"
    )


def report_of(found: Mapping[str, int], num_queries: int) -> dict[str, Any]:
    """Return the core's report of an approximate search as the statistics show it."""
    return {
        "p": found["num_probes"],
        "lists": found["num_lists"],
        "recall": found["found"] / found["expected"] if found["expected"] else None,
        "recall_error": _standard_error(found, num_queries),
        "sampled_queries": found["sampled"],
        "widened_queries": found["widened"],
    }


def _standard_error(found: Mapping[str, int], num_queries: int) -> float | None:
    """Return that of the recall, a ratio F / E of two sums over a sample without replacement.

    Σ (f - (F/E) e)² over its queries, as far as a sample of that size tells (Cochran, "Sampling
    Techniques", 1977, chapter 6). None for a sample of one.
    """
    size, f, e = found["sampled"], found["found"], found["expected"]
    if size < 2 or not e:
        return None
    squares = (  # of f * E - F * e: integers, so nothing cancels
        found["found_squares"] * e * e
        - 2 * found["products"] * e * f
        + found["expected_squares"] * f * f
    )
    variance = squares / e**4 * size / (size - 1) * (1 - size / num_queries)
    return math.sqrt(variance)
