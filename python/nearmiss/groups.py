# SPDX-License-Identifier: Apache-2.0
"""Group labels of the user, mapped to the dense int64 codes of the core.

A label is an integer, where -1 means "in no group", or a string, where None means the same. A
query's group that no corpus row has gets a code that no corpus row has: it excludes nothing, and
nothing is within it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nearmiss.arrays import Int64, digest
from nearmiss.ids import Labels, as_labels


@dataclass(frozen=True, eq=False)
class CorpusGroups:
    """The groups of the corpus rows.

    Attributes
    ----------
    labels : (m,) int64, or object holding str and None
        As given.
    codes : (m,) int64
        0, 1, 2, … in ascending order of the labels, -1 for rows in no group.
    distinct : array
        The distinct labels, ascending: the label of each code.
    """

    labels: Labels
    codes: Int64
    distinct: Labels

    @classmethod
    def of(cls, groups: Any, num_rows: int | None, name: str) -> CorpusGroups:
        """Check labels, one per corpus row, and give them codes."""
        labels = as_group_labels(groups, name, num_rows, "corpus row").copy()
        present = _is_present(labels)
        codes = np.full(len(labels), -1, dtype=np.int64)
        distinct, codes[present] = np.unique(labels[present], return_inverse=True)
        return cls(labels, codes, distinct)

    @cached_property
    def fingerprint(self) -> str:
        """Of the codes, for provenance: a corpus is searched many times."""
        return digest(self.codes)

    def codes_of(self, query_groups: Any, num_queries: int, name: str = "query_groups") -> Int64:
        """Return the codes of the queries' groups, -1 for queries in no group."""
        labels = as_group_labels(query_groups, name, num_queries, "query")
        present = _is_present(labels)
        if present.any() and len(self.distinct) and labels.dtype != self.labels.dtype:
            kinds = [
                "integers" if a.dtype == np.int64 else "strings" for a in (labels, self.labels)
            ]
            raise TypeError(f"{name}: {kinds[0]}, but the groups of the corpus are {kinds[1]}")
        codes = np.full(num_queries, -1, dtype=np.int64)
        codes[present] = len(self.distinct)
        if len(self.distinct):
            wanted = labels[present]
            place = np.minimum(np.searchsorted(self.distinct, wanted), len(self.distinct) - 1)
            found = self.distinct[place] == wanted
            codes[present] = np.where(found, place, len(self.distinct))
        return codes


def as_group_labels(value: Any, name: str, length: int | None, what: str) -> Labels:
    """Return labels, one per ``what``: integers from -1 on, or strings and None."""
    labels = as_labels(value, name, length, what)
    if labels.dtype == np.int64 and len(labels) and labels.min() < -1:
        row = int(np.argmax(labels < -1))
        raise ValueError(
            f"{name}: {what} {row} has group {labels[row]}; groups start at 0 and -1 means none"
        )
    return labels


def _is_present(labels: Labels) -> Any:
    if labels.dtype == np.int64:
        return labels >= 0
    return np.array([label is not None for label in labels], dtype=np.bool_)
