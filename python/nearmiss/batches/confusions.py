# SPDX-License-Identifier: Apache-2.0
"""Tuples whose negatives are what a classifier takes for the anchor's class."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nearmiss.arrays import Int64, as_integers, check_integer, check_number, check_seed
from nearmiss.batches.base import Batches, BatchPlan, Coverage, Stream, keys_of, shuffled


@dataclass(frozen=True, eq=False)
class CFCD(BatchPlan):
    """Tuples of an anchor, a positive and negatives, chosen by a classifier's confusions.

    Row i has a class and was predicted to be of one. *Confused with c* are rows of other classes
    that were predicted as c. One tuple after the other:

    * a class c is drawn uniformly among those with two rows that are free, and a free anchor of it;
    * the positive is a free row of c; for an anchor predicted wrongly one that was predicted
      rightly, if there is any;
    * each negative slot of an anchor that was predicted rightly takes, with probability
      ``confused``, a row confused with c. Of an anchor that was predicted wrongly: with probability
      ``confused_of_wrong`` a row confused with c, otherwise with probability ``mistaken`` a row of
      the class that the anchor was taken for;
    * slots that are still empty, also because there was no such row, take a row each of as many
      random other classes, in turn.

    Rows that were taken are not free. When no class has two free rows, or a tuple cannot be
    completed (it is given up), all rows are free again. So a row comes twice only after such a
    start anew.

    A batch holds ``tuples_per_batch`` tuples, one after the other: ``batch.reshape(-1, 2 +
    num_negatives)`` has anchors in column 0, positives in column 1.

    Parameters
    ----------
    labels : array-like of int of shape (n,)
        The class of each row, ≥ 0; any numbers.
    predictions : array-like of int of shape (n,)
        The class that each row was last predicted to be of, ≥ 0; -1 for not predicted yet, which
        counts as wrong and confused with no class.
    tuples_per_batch : int, default 16
        Defaults, this and below, are those of the authors' code.
    num_negatives : int, default 6
    confused : float, default 0.5
    confused_of_wrong : float, default 0.33
    mistaken : float, default 0.5
    num_batches : int, optional
        Batches of an epoch. Default: as many as n rows fill, but one at least.
    seed : int, default 0

    Raises
    ------
    ValueError
        For a negative label, different lengths, or where no class has two rows beside
        ``num_negatives`` of other classes.

    References
    ----------
    "Coarse-to-Fine: Learning Compact Discriminative Representation for Single-Stage Image
    Retrieval" (CFCD), ICCV 2023.

    Examples
    --------
    >>> import nearmiss as nm
    >>> labels = [0, 0, 1, 1, 2, 2]
    >>> plan = nm.batches.CFCD(labels, labels, tuples_per_batch=1, num_negatives=2)
    >>> anchor, positive, *negatives = plan.batches(epoch=0)[0].tolist()
    >>> labels[anchor] == labels[positive], labels[anchor] in [labels[row] for row in negatives]
    (True, False)
    """

    paper: ClassVar[str] = "Coarse-to-Fine (CFCD), ICCV 2023"

    labels: Any = field(repr=False)
    predictions: Any = field(repr=False)
    tuples_per_batch: int = field(default=16, kw_only=True)
    num_negatives: int = field(default=6, kw_only=True)
    confused: float = field(default=0.5, kw_only=True)
    confused_of_wrong: float = field(default=0.33, kw_only=True)
    mistaken: float = field(default=0.5, kw_only=True)
    num_batches: int | None = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    coverage: Coverage = field(default="repeats", init=False, repr=False)
    num_rows: int = field(init=False)
    batch_size: int = field(init=False, repr=False)
    _classes: Int64 = field(init=False, repr=False)
    _predicted: Int64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        labels = as_integers(self.labels, "labels")
        predictions = as_integers(self.predictions, "predictions", len(labels), "row")
        for name, values, least in (("labels", labels, 0), ("predictions", predictions, -1)):
            for row in np.flatnonzero(values < least)[:1]:
                raise ValueError(f"{name}: row {row} is {values[row]}; expected {least} or more")
        check_integer(self.tuples_per_batch, "tuples_per_batch", 1)
        check_integer(self.num_negatives, "num_negatives", 1)
        for name in ("confused", "confused_of_wrong", "mistaken"):
            check_number(getattr(self, name), name, minimum=0, maximum=1)
        if self.num_batches is not None:
            check_integer(self.num_batches, "num_batches", 0)
        check_seed(self.seed, "seed")
        names, classes = np.unique(labels, return_inverse=True)
        sizes = np.bincount(classes)
        if not ((sizes >= 2) & (len(labels) - sizes >= self.num_negatives)).any():
            raise ValueError(
                f"labels: no class has two rows beside {self.num_negatives} rows of other classes"
            )
        # A class that no row has is no class to take a negative from.
        place = np.minimum(np.searchsorted(names, predictions), len(names) - 1)
        found = np.where(names[place] == predictions, place, -1)
        object.__setattr__(self, "num_rows", len(labels))
        object.__setattr__(self, "batch_size", self.tuples_per_batch * (2 + self.num_negatives))
        object.__setattr__(self, "_classes", classes.astype(np.int64))
        object.__setattr__(self, "_predicted", found.astype(np.int64))

    def __len__(self) -> int:
        if self.num_batches is not None:
            return self.num_batches
        return max(1, self.num_rows // self.batch_size)

    def batches(self, epoch: int = 0) -> Batches:
        """Return the batches of an epoch; see `BatchPlan.batches`."""
        check_seed(epoch, "epoch")
        drawing = _Drawing(self, epoch)
        tuples = [drawing.next_tuple() for _ in range(len(self) * self.tuples_per_batch)]
        indices = np.array(tuples, dtype=np.int64).reshape(-1)
        ends = np.arange(len(self) + 1, dtype=np.int64) * self.batch_size
        return Batches(ends, indices, np.empty(0, np.int64))


class _Drawing:
    """The tuples of one epoch, one after the other."""

    def __init__(self, plan: CFCD, epoch: int) -> None:
        self._plan = plan
        self._epoch = epoch
        self._class_of = plan._classes.tolist()
        self._predicted = plan._predicted.tolist()
        self._sizes = np.bincount(plan._classes).tolist()
        self._starts = 0
        self._attempts = 0
        self._start_anew()

    def next_tuple(self) -> list[int]:
        while True:
            if not len(self._anchoring):
                self._start_anew()
            self._draws = _Draws(self._plan.seed, self._epoch, self._attempts)
            self._attempts += 1
            found = self._try_tuple()
            if found is not None:
                return found
            self._start_anew()

    def _start_anew(self) -> None:
        """Make all rows free."""
        plan, n = self._plan, self._plan.num_rows
        rows = np.arange(n, dtype=np.int64)
        right = plan._predicted == plan._classes
        wrong = ~right & (plan._predicted >= 0)
        self._used = [False] * n
        self._of_class = self._piles(rows, plan._classes, 0)
        self._right_of = self._piles(rows[right], plan._classes[right], 1)
        self._confused_with = self._piles(rows[wrong], plan._predicted[wrong], 2)
        self._free = list(self._sizes)
        self._open = _ClassSet(range(len(self._sizes)))
        room = [size >= 2 and n - size >= plan.num_negatives for size in self._sizes]
        self._anchoring = _ClassSet(c for c, can in enumerate(room) if can)
        self._starts += 1

    def _piles(self, rows: Int64, classes: Int64, kind: int) -> dict[int, list[int]]:
        """Return the rows of each class in random order, independent of other kinds of pile."""
        counters = rows + kind * self._plan.num_rows
        numbers = np.full(len(rows), self._starts, dtype=np.int64)
        order = shuffled(numbers, self._plan.seed, self._epoch, Stream.MEMBERS, counters)
        piles: dict[int, list[int]] = {}
        for row, of in zip(rows[order].tolist(), classes[order].tolist(), strict=True):
            piles.setdefault(of, []).append(row)
        return piles

    def _take(self, pile: list[int] | None) -> int | None:
        """Take a free row of a pile, None if there is none."""
        while pile:
            row = pile.pop()
            if self._used[row]:
                continue
            self._used[row] = True
            of = self._class_of[row]
            self._free[of] -= 1
            if self._free[of] < 2:
                self._anchoring.discard(of)
            if self._free[of] == 0:
                self._open.discard(of)
            return row
        return None

    def _try_tuple(self) -> list[int] | None:
        of = self._anchoring[self._draws.below(len(self._anchoring))]
        anchor = self._take(self._of_class[of])
        assert anchor is not None
        right = self._predicted[anchor] == of
        positive = None if right else self._take(self._right_of.get(of))
        if positive is None:
            positive = self._take(self._of_class[of])
        assert positive is not None
        slots = [self._confusion(anchor, of, right) for _ in range(self._plan.num_negatives)]
        confusions = [row for row in slots if row is not None]
        others = self._others(of, len(slots) - len(confusions))
        if others is None:
            return None
        filling = iter(others)
        return [anchor, positive, *(next(filling) if row is None else row for row in slots)]

    def _confusion(self, anchor: int, of: int, right: bool) -> int | None:
        plan = self._plan
        if self._draws.unit() < (plan.confused if right else plan.confused_of_wrong):
            return self._take(self._confused_with.get(of))
        if not right and self._draws.unit() < plan.mistaken:
            return self._take(self._of_class.get(self._predicted[anchor]))
        return None

    def _others(self, of: int, count: int) -> list[int] | None:
        """Take rows of random other classes, in turn; None if there are not as many."""
        classes = self._other_classes(of, self._plan.num_negatives)
        taken: list[int] = []
        while len(taken) < count:
            if not classes:
                classes = self._other_classes(of, 1)
                if not classes:
                    return None
            row = self._take(self._of_class[classes[0]])
            if row is None:
                classes.popleft()
                continue
            taken.append(row)
            classes.rotate(-1)
        return taken

    def _other_classes(self, of: int, most: int) -> deque[int]:
        """Draw classes with free rows, without replacement."""
        found: deque[int] = deque()
        for place in self._draws.distinct(len(self._open)):
            if self._open[place] != of:
                found.append(self._open[place])
            if len(found) == most:
                break
        return found


class _ClassSet:
    """A set of classes that can be drawn from in constant time."""

    def __init__(self, classes: Iterable[int]) -> None:
        self._list = list(classes)
        self._place = {of: place for place, of in enumerate(self._list)}

    def __len__(self) -> int:
        return len(self._list)

    def __getitem__(self, place: int) -> int:
        return self._list[place]

    def discard(self, of: int) -> None:
        place = self._place.pop(of, None)
        if place is None:
            return
        last = self._list.pop()
        if last != of:
            self._list[place] = last
            self._place[last] = place


class _Draws:
    """Successive random numbers of one tuple."""

    _AT_ONCE = 32

    def __init__(self, seed: int, epoch: int, attempt: int) -> None:
        self._seed, self._epoch, self._attempt = seed, epoch, attempt
        self._made: list[int] = []
        self._counter = 0

    def _next_bits(self) -> int:
        if not self._made:
            counters = np.arange(self._counter, self._counter + self._AT_ONCE, dtype=np.int64)
            ids = np.full(self._AT_ONCE, self._attempt, dtype=np.int64)
            keys = keys_of(ids, self._seed, self._epoch, Stream.TUPLES, counters)
            self._made = keys.tolist()[::-1]
            self._counter += self._AT_ONCE
        return self._made.pop()

    def below(self, bound: int) -> int:
        return self._next_bits() * bound >> 64

    def unit(self) -> float:
        return (self._next_bits() >> 11) * 2.0**-53

    def distinct(self, bound: int) -> Iterator[int]:
        """Draw numbers below a bound without replacement: a shuffle that moves what it must."""
        moved: dict[int, int] = {}
        for first in range(bound):
            place = first + self.below(bound - first)
            yield moved.get(place, place)
            moved[place] = moved.get(first, first)
