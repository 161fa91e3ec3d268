# SPDX-License-Identifier: Apache-2.0
"""What a strategy is, and the registry that CLI, provenance and tests read.

A strategy says which of the admissible rows to pick. It is a frozen dataclass whose fields are
its parameters; it declares a law (how the core picks), the pool the law acts in, and sometimes
extra limits. Its text form, ``name`` or ``name:key=value,key=value``, is the same everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any, ClassVar, NamedTuple, TypeVar, get_args, get_type_hints

from nearmiss.arrays import check_choice
from nearmiss.limits import Limits


class Plan(NamedTuple):
    """What the core is asked to do: a law, and the window of ranks it acts in."""

    law: str
    range_min: int
    range_max: int | None


@dataclass(frozen=True)
class Strategy(ABC):
    """Base of all strategies.

    Attributes
    ----------
    name : str
        The name in text, set by `register`.
    law : str
        How the core picks from the pool: ``"top"``, ``"random"`` or ``"uniform"``.
    pool : str
        What the law acts in, for documentation.
    """

    name: ClassVar[str]
    law: ClassVar[str]
    pool: ClassVar[str]

    def limits(self) -> Limits:
        """Return the limits this strategy adds to those of the user (the strictest wins)."""
        return Limits()

    @abstractmethod
    def plan(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the law and window for a search of the corpus under these (merged) limits.

        Raises ValueError if the strategy cannot work under them.
        """

    def plan_candidates(self, limits: Limits, num_negatives: int) -> Plan:
        """Return the law and window where each query brings its own list of candidates."""
        return self.plan(limits, num_negatives)

    def __str__(self) -> str:
        texts = [f"{field.name}={_to_text(getattr(self, field.name))}" for field in fields(self)]
        return f"{self.name}:{','.join(texts)}" if texts else self.name


_registry: dict[str, type[Strategy]] = {}
_Class = TypeVar("_Class", bound=type[Strategy])


def register(cls: _Class) -> _Class:
    """Add a strategy class under its ``name``; used as a decorator."""
    if cls.name in _registry:
        raise ValueError(f"strategy {cls.name!r} is registered twice")
    _registry[cls.name] = cls
    return cls


def available() -> dict[str, type[Strategy]]:
    """Return the strategy classes by name.

    Examples
    --------
    >>> import nearmiss as nm
    >>> sorted(nm.strategies.available())
    ['random', 'top', 'uniform']
    """
    return dict(_registry)


def parse(text: str) -> Strategy:
    """Return the strategy that a text such as ``"top"`` or ``"name:key=value"`` stands for.

    The inverse of ``str(strategy)``. Parameters not mentioned keep their defaults.

    Raises
    ------
    ValueError
        For an unknown name (the closest known one is suggested), an unknown or repeated
        parameter, or a value that does not fit.
    """
    name, _, rest = text.strip().partition(":")
    name = check_choice(name.strip(), "strategy", sorted(_registry))
    cls = _registry[name]
    values: dict[str, Any] = {}
    for item in filter(str.strip, rest.split(",")):
        key, value = _parse_parameter(cls, item)
        if key in values:
            raise ValueError(f"strategy {name!r}: parameter {key!r} is given twice")
        values[key] = value
    try:
        return cls(**values)
    except TypeError as error:  # a parameter without a default
        raise ValueError(f"strategy {name!r}: {error}") from None


def resolve(strategy: str | Strategy) -> Strategy:
    """Return a strategy from the argument of `mine`: an object or its text."""
    if isinstance(strategy, str):
        return parse(strategy)
    if not isinstance(strategy, Strategy):
        raise TypeError(
            f"strategy: expected a name or a strategy object such as strategies.Top(), "
            f"got {strategy!r}"
        )
    return strategy


def _parse_parameter(cls: type[Strategy], item: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in item.partition("="))
    known = [field.name for field in fields(cls)]
    if not equals or key not in known:
        takes = f"takes {', '.join(known)}" if known else "takes no parameters"
        raise ValueError(f"strategy {cls.name!r}: {takes}; got {item.strip()!r}")
    hint = get_type_hints(cls)[key]
    kinds = get_args(hint) or (hint,)
    if NoneType in kinds and text == "none":
        return key, None
    kind = next(kind for kind in kinds if kind is not NoneType)
    try:
        return key, _BOOLEANS[text] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ValueError(
            f"strategy {cls.name!r}: {key} must be of type {kind.__name__}, got {text!r}"
        ) from None


_BOOLEANS = {"true": True, "false": False}


def _to_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
