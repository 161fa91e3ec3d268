# SPDX-License-Identifier: Apache-2.0
"""The list of cases, one row each. A run is written ``adapter:job``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from data import Source

Suite: TypeAlias = Literal["topk", "mine"]
# search: nearest rows; limits: the same under limits; pairs: negatives of known pairs;
# memory: how much `mine` needs.
Kind: TypeAlias = Literal["search", "limits", "pairs-real", "pairs-near", "memory"]


@dataclass(frozen=True)
class Size:
    """n queries, m corpus rows, k results, d dimensions."""

    n: int
    m: int
    k: int
    d: int


@dataclass(frozen=True)
class Match:
    """Runs that take turns. ``target`` is the least ratio ``first peer / ours`` wanted."""

    name: str
    ours: str
    peers: tuple[str, ...]
    target: float | None = None


@dataclass(frozen=True)
class Case:
    """``extra`` runs join the first match when asked for by name with ``--with``."""

    name: str
    suite: Suite
    kind: Kind
    source: Source
    size: Size
    smoke: Size
    matches: tuple[Match, ...]
    extra: tuple[str, ...] = ()
    relative_margin: float | None = None


def _against_faiss(target: float) -> tuple[Match, ...]:
    return (
        Match("cold", "ours:cold", ("faiss:cold",), target),
        Match("warm", "ours:warm", ("faiss:warm",)),
    )


_OTHERS = ("torch:cold", "numpy:cold", "usearch:cold", "sklearn:cold")
_SENTENCE_TRANSFORMERS = (
    Match(
        "mine",
        "ours:mine",
        ("sentence_transformers:mine-faiss", "sentence_transformers:mine-torch", "faiss:mine"),
        1.5,
    ),
)

CASES = (
    Case("topk-384-k100", "topk", "search", "docstrings", Size(4096, 200_000, 100, 384),
         Size(60, 2500, 100, 384), _against_faiss(1.1), _OTHERS),
    Case("topk-768-k100", "topk", "search", "layers", Size(4096, 200_000, 100, 768),
         Size(60, 2500, 100, 768), _against_faiss(1.1), _OTHERS),
    Case("topk-128-k100", "topk", "search", "docstrings", Size(4096, 200_000, 100, 128),
         Size(60, 2500, 100, 128), _against_faiss(1.2), _OTHERS),
    Case("topk-64-k100", "topk", "search", "docstrings", Size(4096, 200_000, 100, 64),
         Size(60, 2500, 100, 64), _against_faiss(1.4), _OTHERS),
    Case("topk-384-k10", "topk", "search", "docstrings", Size(4096, 200_000, 10, 384),
         Size(60, 2500, 10, 384), _against_faiss(1.1), _OTHERS),
    Case("in-batch", "topk", "search", "docstrings", Size(256, 4096, 10, 128),
         Size(32, 512, 10, 128),
         (Match("one call", "ours:cold", ("torch:cold", "faiss:cold", "numpy:cold"), 1.0),)),
    Case("limits", "mine", "limits", "docstrings", Size(4096, 200_000, 100, 384),
         Size(60, 2500, 100, 384),
         (Match("all against none", "ours:limits-all", ("ours:limits-none",), 1 / 1.05),)),
    Case("mine-st", "mine", "pairs-real", "docstrings", Size(20_000, 100_000, 5, 384),
         Size(300, 2500, 5, 384), _SENTENCE_TRANSFORMERS, relative_margin=0.05),
    Case("mine-st-near", "mine", "pairs-near", "docstrings", Size(20_000, 100_000, 5, 384),
         Size(300, 2500, 5, 384), _SENTENCE_TRANSFORMERS, relative_margin=0.05),
    Case("memory", "mine", "memory", "docstrings", Size(4096, 200_000, 100, 384),
         Size(60, 2500, 100, 384), ()),
)  # fmt: skip


def find_cases(suite: Suite | None, names: list[str]) -> list[Case]:
    """Cases of a suite, or those named; unknown names raise ValueError."""
    known = [case for case in CASES if suite is None or case.suite == suite]
    unknown = set(names) - {case.name for case in known}
    if unknown:
        listed = ", ".join(case.name for case in known)
        raise ValueError(f"unknown case {', '.join(sorted(unknown))}; there are {listed}")
    return [case for case in known if not names or case.name in names]
