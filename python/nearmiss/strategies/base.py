# SPDX-License-Identifier: Apache-2.0
"""What a strategy is, and the registry that CLI, provenance, documentation and tests read.

A strategy says which of the admissible rows to pick. It is a frozen dataclass whose fields are
its parameters; it declares what it needs, the window of ranks it picks from, and sometimes extra
limits. Its text form, ``name`` or ``name:key=value,key=value``, is the same everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from nearmiss.arrays import check_choice, check_flag, check_integer, check_number
from nearmiss.limits import LAST_RANK, Limits

#: What a strategy may need besides embeddings; `Strategy.inputs` lists them.
#: positives: `positives` or `positive_scores`; positive_rows: `positives`, of which the scores
#: tell too little; corpus_values, query_groups: the arguments;
#: vectors: the embeddings themselves, which mine_candidates does not see;
#: sources: candidates that tell their sources, which only mine_candidates sees.
INPUTS = ("positives", "positive_rows", "corpus_values", "query_groups", "vectors", "sources")


class Plan(NamedTuple):
    """What the core is asked to do.

    Attributes
    ----------
    law : str
        How it picks: ``"top"``, ``"random"``, ``"uniform"``, ``"bands"``; ``"pool"``: it passes
        on the windows, and the strategy picks (`PoolStrategy.choose`); or ``"members"``: one row of
        each of the groups that the strategy picks (`ClusterStrategy.clusters`).
    range_min, range_max : int
        The window of ranks it picks from.
    keywords : mapping
        The law's own.
    """

    law: str
    range_min: int
    range_max: int | None
    keywords: Mapping[str, Any] = {}


def parameter(about: str, default: Any = MISSING, *, read_in: str = "", **bounds: float) -> Any:
    """Declare a parameter of a strategy: a dataclass field with its documentation and bounds.

    Parameters
    ----------
    about : str
        What it is, in a few words.
    default : optional
        Only what was read in the method's code or paper, or what changes nothing; a parameter
        without a default must be given.
    read_in : str
        Where the default was read: ``"paper"``, or ``"code"`` and whose. Empty for neutral ones.
    **bounds
        ``minimum``, ``maximum`` (closed) or ``above`` (open) of a number, or of each of several.
    """
    return field(default=default, metadata={"about": about, "read_in": read_in, "bounds": bounds})


@dataclass(frozen=True)
class Strategy(ABC):
    """Base of all strategies.

    Attributes
    ----------
    name : str
        The name in text.
    paper : str
        Where the method was published; empty for what has no author.
    picks : str
        What it picks, in a line: the formula, in s (score), s⁺ (of the positive), r (rank).
    inputs : tuple of str
        What it needs, of `INPUTS`.
    metrics : tuple of str
        The metrics it is defined for; empty for all.
    example : str
        A text of it with what it requires; by default the name is enough.
    usual_count : int
        How many negatives a query gets where the caller does not say.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    picks: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""
    usual_count: ClassVar[int] = 3

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for entry in fields(self):
            label = f"{self.name}.{entry.name}"
            value = getattr(self, entry.name)
            checked = _check(value, label, hints[entry.name], entry.metadata.get("bounds", {}))
            object.__setattr__(self, entry.name, checked)  # frozen for everyone else

    def needs(self) -> tuple[str, ...]:
        """Return what it needs with these parameters, of `INPUTS`."""
        return self.inputs

    def limits(self) -> Limits:
        """Return the limits this strategy adds to those of the user (the strictest wins)."""
        return Limits()

    def count(self, num_negatives: int | None) -> int:
        """Return how many negatives a query gets where the caller asks for ``num_negatives``."""
        return self.usual_count if num_negatives is None else num_negatives

    def quotas(self) -> dict[str, int]:
        """Return the parts that `Negatives.strata` numbers and how many of each query they give.

        Empty for strategies without quotas.
        """
        return {}

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


def _check(value: Any, label: str, hint: Any, bounds: Mapping[str, float]) -> Any:
    """Return the value of a parameter as its type hint says, within bounds."""
    if NoneType in get_args(hint):
        if value is None:
            return None
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is tuple:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"{label}: expected a sequence, got {value!r}")
        values = tuple(_check(part, label, get_args(hint)[0], bounds) for part in value)
        if not values:
            raise ValueError(f"{label}: expected at least one")
        return values
    if get_origin(hint) is Literal:
        return check_choice(value, label, get_args(hint))
    if hint is float:
        return check_number(value, label, **bounds)
    if hint is int:
        return check_integer(
            value, label, int(bounds.get("minimum", 0)), int(bounds.get("maximum", LAST_RANK))
        )
    if hint is bool:
        return check_flag(value, label)
    if not isinstance(value, hint):
        raise TypeError(f"{label}: expected {hint.__name__}, got {value!r}")
    return value


_registry: dict[str, type[Strategy]] = {}
_Class = TypeVar("_Class", bound=type[Strategy])


def register(cls: _Class) -> _Class:
    """Add a strategy class under its ``name``; used as a decorator."""
    if cls.name in _registry:
        raise ValueError(f"strategy {cls.name!r} is registered twice")
    unknown = set(cls.inputs) - set(INPUTS)
    if unknown:
        raise ValueError(f"strategy {cls.name!r}: there is no input {sorted(unknown)[0]!r}")
    if "example" not in vars(cls):  # one that a registered base has is of that
        cls.example = cls.name
    _registry[cls.name] = cls
    return cls


class Catalogue(dict[str, type[Strategy]]):
    """The strategy classes by name; printed, a table of what they pick and need."""

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return text, what is picked, parameters with their origin, inputs and paper of each."""
        return [
            (cls.example, cls.picks, _describe_parameters(cls), ", ".join(cls.inputs), cls.paper)
            for _, cls in sorted(self.items())
        ]

    def to_markdown(self) -> str:
        """Return the table of the user guide."""
        header = "| `strategy` | picks | parameters | needs | paper |\n|---|---|---|---|---|\n"
        lines = []
        for text, *others in self.rows():
            cells = " | ".join(other.replace("|", "\\|") for other in others)
            lines.append(f"| `{text}` | {cells} |\n")
        return header + "".join(lines)

    def __repr__(self) -> str:
        return "\n".join(
            f"{text}: {picks}"
            + (f"\n    {parameters}" if parameters else "")
            + (f"\n    needs {inputs}" if inputs else "")
            + (f"\n    {paper}" if paper else "")
            for text, picks, parameters, inputs, paper in self.rows()
        )


def _describe_parameters(cls: type[Strategy]) -> str:
    texts = []
    for entry in fields(cls):
        value = "" if entry.default is MISSING else f" = {_to_text(entry.default)}"
        origin = "required" if entry.default is MISSING else entry.metadata.get("read_in", "")
        notes = "; ".join(filter(None, (entry.metadata.get("about", ""), origin)))
        texts.append(f"{entry.name}{value} ({notes})" if notes else f"{entry.name}{value}")
    return ", ".join(texts)


def available() -> Catalogue:
    """Return the strategy classes by name; print it to see what they pick and need.

    Examples
    --------
    >>> import nearmiss as nm
    >>> "top" in nm.strategies.available()
    True
    """
    return Catalogue(_registry)


def parse(text: str) -> Strategy:
    """Return the strategy that a text such as ``"top"`` or ``"name:key=value"`` stands for.

    The inverse of ``str(strategy)``. Parameters not mentioned keep their defaults. The values of
    a parameter that holds several are separated by ``;``.

    Raises
    ------
    ValueError
        For an unknown name (the closest known one is suggested), an unknown or repeated
        parameter, or a value that does not fit.
    TypeError
        For anything but text.
    """
    if not isinstance(text, str):
        raise TypeError(f"strategy: expected text such as 'top', got {text!r}")
    name, _, rest = text.strip().partition(":")
    name = check_choice(name.strip(), "strategy", sorted(_registry))
    cls = _registry[name]
    values: dict[str, Any] = {}
    for item in filter(str.strip, rest.split(",")):
        key, value = _parse_parameter(cls, item)
        if key in values:
            raise ValueError(f"strategy {name!r}: parameter {key!r} is given twice")
        values[key] = value
    missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
    if missing:
        raise ValueError(f"strategy {name!r}: needs {', '.join(missing)}")
    return cls(**values)


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
    if NoneType in get_args(hint):
        if text == "none":
            return key, None
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
    try:
        return key, _from_text(hint, text)
    except (KeyError, ValueError) as error:
        reason = f": {error}" if hasattr(hint, "parse") or get_origin(hint) is tuple else ""
        raise ValueError(
            f"strategy {cls.name!r}: {key} must be of type {_kind_name(hint)}, got {text!r}{reason}"
        ) from None


def _from_text(kind: Any, text: str) -> Any:
    if get_origin(kind) is tuple:
        return tuple(_from_text(get_args(kind)[0], part) for part in text.split(";"))
    if get_origin(kind) is Literal or kind is str:
        return text  # the class checks its choices
    if kind is bool:
        return {"true": True, "false": False}[text]
    read: Callable[[str], Any] = getattr(kind, "parse", kind)
    return read(text)


def _kind_name(kind: Any) -> str:
    return f"{get_args(kind)[0].__name__}s" if get_origin(kind) is tuple else kind.__name__


def _to_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ";".join(_to_text(part) for part in value)
    return repr(value) if isinstance(value, float) else str(value)
