# SPDX-License-Identifier: Apache-2.0
"""How hard: parameters of a strategy that follow the training step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Protocol, get_type_hints

from nearmiss.arrays import check_integer, check_number
from nearmiss.strategies.base import Strategy, resolve


class Course(Protocol):
    """A number that depends on the step."""

    def at(self, step: int) -> float:
        """Return its value at a step, at least 0."""

    def values_met(self) -> tuple[float, ...]:
        """Return values between which all others lie."""


@dataclass(frozen=True)
class Linear:
    """From ``start`` to ``end`` on a straight line over ``steps`` steps; then ``end``.

    Parameters
    ----------
    start, end : float
    steps : int
        At least 1.
    begin : int, default 0
        The step until which it stays at ``start``.
    """

    start: float
    end: float
    steps: int
    begin: int = 0

    def __post_init__(self) -> None:
        check_number(self.start, "start")
        check_number(self.end, "end")
        check_integer(self.steps, "steps", 1)
        check_integer(self.begin, "begin", 0)

    def at(self, step: int) -> float:
        """Return the value at a step."""
        done = min(max(step - self.begin, 0), self.steps)
        if done == self.steps:
            return self.end  # exactly
        return self.start + (self.end - self.start) * (done / self.steps)

    def values_met(self) -> tuple[float, ...]:
        """Return both ends."""
        return (self.start, self.end)


@dataclass(frozen=True)
class Stages:
    """One value after the other: the first until the first boundary, from that step on the second.

    Parameters
    ----------
    boundaries : sequence of int
        Ascending steps.
    values : sequence of float
        One more than there are boundaries.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        steps = tuple(check_integer(step, "boundaries", 1) for step in self.boundaries)
        values = tuple(self.values)
        for value in values:
            check_number(value, "values")
        if any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(f"boundaries: must ascend, got {steps}")
        if len(values) != len(steps) + 1:
            raise ValueError(
                f"values: expected {len(steps) + 1}, one more than boundaries, got {len(values)}"
            )
        object.__setattr__(self, "boundaries", steps)
        object.__setattr__(self, "values", values)

    def at(self, step: int) -> float:
        """Return the value at a step."""
        return self.values[bisect_right(self.boundaries, step)]

    def values_met(self) -> tuple[float, ...]:
        """Return all values."""
        return self.values


@dataclass(frozen=True)
class Curriculum:
    """A strategy whose parameters follow the training step, such as from easy to hard.

    Parameters
    ----------
    strategy : str or Strategy
        With the parameters that stay as they are.
    courses : mapping of str to Linear or Stages
        By the names of parameters that are numbers. Those that are whole numbers are rounded to
        the nearest (halves to even).

    Raises
    ------
    ValueError, TypeError
        If the strategy has no such parameter, or a course leads out of its bounds.

    Examples
    --------
    >>> from nearmiss.refresh import Curriculum, Linear
    >>> harder = Curriculum("simans", {"b": Linear(-0.2, 0.0, 10_000)})
    >>> str(harder.at(5_000))
    'simans:a=0.5,b=-0.1,pool=200'
    """

    strategy: str | Strategy
    courses: Mapping[str, Course] = field(hash=False)

    def __post_init__(self) -> None:
        strategy = resolve(self.strategy)
        object.__setattr__(self, "strategy", strategy)
        object.__setattr__(self, "courses", dict(self.courses))
        known = [entry.name for entry in fields(strategy)]
        for name, course in self.courses.items():
            if name not in known:
                raise ValueError(
                    f"courses: strategy {strategy.name!r} has no parameter {name!r}, "
                    f"only {', '.join(known) or 'none at all'}"
                )
            for value in course.values_met():
                self._with({name: value})  # raises where it is out of bounds

    def at(self, step: int) -> Strategy:
        """Return the strategy at a step of training."""
        step = check_integer(step, "step", 0)
        return self._with({name: course.at(step) for name, course in self.courses.items()})

    def _with(self, values: Mapping[str, float]) -> Strategy:
        strategy = resolve(self.strategy)
        hints = get_type_hints(type(strategy))
        whole = {name for name in values if hints[name] in (int, int | None)}
        rounded = {name: round(values[name]) if name in whole else values[name] for name in values}
        return replace(strategy, **rounded)
