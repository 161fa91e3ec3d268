# SPDX-License-Identifier: Apache-2.0
"""The list of cases, one row each. A run is written ``adapter:job``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from data import ElementType, Source
from limits import LimitsKind

Suite: TypeAlias = Literal[
    "topk",
    "mine",
    "sample",
    "batches",
    "in-batch",
    "kmeans",
    "bank",
    "collate",
    "refresh",
    "training",
    "probes",
]
# search: nearest rows, under limits where the case names some; bands: draws from bands of ranks, k
# being the last; pairs: negatives of known pairs; memory: how much `mine` needs; weighted,
# complement: random draws (see draws.py); packing: batches without conflicts (see packing.py);
# lloyd, balanced, seeding: k-means (see clusters.py); bank: the queries replace rows of their own,
# then nearest other rows are found; probes: approximate search at equal recall (see probes.py);
# collate-*: batches of a loader (see collating.py); refresh: what re-mining costs a training step
# (see refreshing.py); train-*: training with different negatives (see training/). The others:
# miners inside a batch (see in_batch.py).
Kind: TypeAlias = Literal[
    "search",
    "bands",
    "pairs-real",
    "pairs-near",
    "memory",
    "weighted",
    "complement",
    "packing",
    "batch-hard",
    "margin",
    "distance-weighted",
    "multi-similarity",
    "lloyd",
    "start",
    "balanced",
    "seeding",
    "bank",
    "collate-rows",
    "collate-draws",
    "collate-embeddings",
    "refresh",
    "train-docstrings",
    "train-questions",
    "probes",
]


@dataclass(frozen=True)
class Size:
    """n queries, m corpus rows, k results, d dimensions.

    Of draws: m columns or items, k draws, d excluded items per query. Of packing: n pairs, k rows
    in a batch. Of miners: n rows compared with each other, k of each class. Of clusterings: n rows,
    m clusters, k iterations. Of collating: batches of n, a table of m rows, k negatives. Of
    training: n queries trained on, m documents.
    """

    n: int
    m: int
    k: int
    d: int


@dataclass(frozen=True)
class Match:
    """Runs that take turns. ``targets`` are the least ratios ``peer / ours`` wanted."""

    name: str
    ours: str
    peers: tuple[str, ...]
    targets: dict[str, float] = field(default_factory=dict)


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
    limits: LimitsKind | None = None
    element_type: ElementType = "float32"


_OTHERS = ("torch:cold", "numpy:cold", "usearch:cold", "sklearn:cold")


def _match(name: str, ours: str, targets: dict[str, float | None]) -> Match:
    wanted = {peer: target for peer, target in targets.items() if target is not None}
    return Match(name, ours, tuple(targets), wanted)


def _topk(name: str, source: Source, size: Size, target: float, suffix: str = "") -> Case:
    """Against faiss, cold and warm; the target is for cold."""
    return Case(
        name, "topk", "search", source, size, Size(60, 2500, min(size.k, 500), size.d),
        (
            _match("cold", f"ours:cold{suffix}", {"faiss:cold": target}),
            _match("warm", f"ours:warm{suffix}", {"faiss:warm": None}),
        ),
        _OTHERS,
    )  # fmt: skip


def _few(n: int) -> Case:
    """Few queries against a large corpus that is packed already."""
    return Case(
        f"few-{n}", "topk", "search", "docstrings", Size(n, 1_000_000, 100, 384),
        Size(n, 2500, 100, 384),
        (_match("warm", "ours:warm", {"faiss:warm": 1.5}),),
    )  # fmt: skip


def _in_batch(name: str, size: Size, smoke: Size) -> Case:
    return Case(
        name, "topk", "search", "docstrings", size, smoke,
        (_match("one call", "ours:cold", {"torch:cold": 1.0, "faiss:cold": None}),),
        ("numpy:cold",),
    )  # fmt: skip


def _limited(
    name: str, kind: LimitsKind, target: float | None, source: Source = "docstrings"
) -> Case:
    return Case(
        name, "mine", "search", source, Size(4096, 200_000, 100, 384),
        Size(60, 2500, 100, 384),
        (_match("on against none", "ours:limits-on", {"ours:limits-none": target}),),
        limits=kind,
    )  # fmt: skip


def _mine(name: str, kind: Kind) -> Case:
    peers = {
        "sentence_transformers:mine-faiss": 4.0,
        "sentence_transformers:mine-torch": 6.0,
        "faiss:mine": None,
    }
    return Case(
        name, "mine", kind, "docstrings", Size(20_000, 100_000, 5, 384),
        Size(300, 2500, 5, 384), (_match("mine", "ours:mine", peers),), relative_margin=0.05,
    )  # fmt: skip


def _probes(name: str, n: int, m: int, target: float | None, theirs: float | None) -> Case:
    """Against our exact search, and faiss' lists at the same recall."""
    return Case(
        name, "probes", "probes", "docstrings", Size(n, m, 100, 384), Size(300, 2500, 20, 384),
        (
            _match("search", "ours:probes", {"ours:warm": target, "faiss:lists": theirs}),
            _match("mine, recall measured", "ours:mine-probes", {"ours:limits-none": target}),
        ),
    )  # fmt: skip


def _miner(kind: Kind, n: int) -> Case:
    return Case(
        f"miner-{kind}", "in-batch", kind, "made-up", Size(n, n, 4, 256), Size(64, 64, 4, 256),
        (_match("one batch", "ours:mine", {"pytorch_metric_learning:mine": 5.0}),),
    )  # fmt: skip


def _lloyd(name: str, size: Size, targets: dict[str, float | None]) -> Case:
    """The same centres to begin with and as many iterations for all."""
    return Case(
        name, "kmeans", "lloyd", "docstrings", size, Size(2500, min(size.m, 256), 3, size.d),
        (_match("iterations", "ours:lloyd", targets),),
    )  # fmt: skip


CASES = (
    _topk("topk-384-k100", "docstrings", Size(4096, 200_000, 100, 384), 2.8),
    _topk("topk-384-k10", "docstrings", Size(4096, 200_000, 10, 384), 3.0),
    _topk("topk-768-k100", "layers", Size(4096, 200_000, 100, 768), 2.5),
    _topk("topk-128-k100", "docstrings", Size(4096, 200_000, 100, 128), 1.4),
    _topk("topk-64-k100", "docstrings", Size(4096, 200_000, 100, 64), 1.8),
    _topk("topk-384-1m", "docstrings", Size(1024, 1_000_000, 100, 384), 2.8),
    # All of the real vectors but the queries, nothing stretched.
    _topk("real-k100", "docstrings", Size(4096, 25_904, 100, 384), 2.0),
    _topk("real-k10", "docstrings", Size(4096, 25_904, 10, 384), 2.8),
    _topk("topk-384-k1000", "docstrings", Size(4096, 200_000, 1000, 384), 2.0),
    _topk("topk-384-k10000", "docstrings", Size(1024, 200_000, 10_000, 384), 1.5),
    _topk("float32-384", "docstrings", Size(4096, 200_000, 100, 384), 1.2, "-float32"),
    _topk("float32-768", "layers", Size(4096, 200_000, 100, 768), 1.12, "-float32"),
    _topk("float32-128", "docstrings", Size(4096, 200_000, 100, 128), 1.4, "-float32"),
    _topk("float32-64", "docstrings", Size(4096, 200_000, 100, 64), 1.8, "-float32"),
    Case("gaussian", "topk", "search", "gaussian", Size(4096, 200_000, 100, 384),
         Size(60, 2500, 100, 384),
         (_match("cold", "ours:cold", {"ours:cold-float32": 1.0, "faiss:cold": None}),
          _match("warm", "ours:warm", {"ours:warm-float32": 1.0}))),
    Case("int8-rows", "topk", "search", "docstrings", Size(4096, 200_000, 100, 384),
         Size(60, 2500, 100, 384),
         (_match("cold, theirs prebuilt", "ours:cold", {"faiss:codes": 3.0, "usearch:cold": 3.0}),),
         element_type="int8"),
    _few(1),
    _few(16),
    _in_batch("in-batch", Size(256, 4096, 10, 128), Size(32, 512, 10, 128)),
    _in_batch("in-batch-1k", Size(1024, 1024, 10, 384), Size(64, 64, 10, 384)),
    _in_batch("in-batch-4k", Size(4096, 4096, 10, 384), Size(128, 128, 10, 384)),
    _in_batch("in-batch-16k", Size(16_384, 16_384, 10, 384), Size(256, 256, 10, 384)),
    _limited("limits", "all", 1 / 1.05),
    _limited("limits-own-cluster", "own-cluster", None, "clusters"),
    _limited("limits-ceiling", "ceiling", None),
    _limited("limits-exclude", "exclude-near", None),
    Case("bands", "mine", "bands", "docstrings", Size(4096, 200_000, 1000, 384),
         Size(60, 2500, 200, 384),
         (_match("three bands against top-k as deep", "ours:bands",
                 {"ours:limits-none": 1 / 1.15}),)),
    _mine("mine-st", "pairs-real"),
    _mine("mine-st-near", "pairs-near"),
    Case("draw-weighted", "sample", "weighted", "made-up", Size(100_000, 200, 15, 0),
         Size(2000, 200, 15, 0),
         (_match("without replacement", "ours:weighted", {"numpy:choice": 50.0}),)),
    Case("draw-complement", "sample", "complement", "made-up", Size(10_000, 1_000_000, 100, 50),
         Size(500, 2500, 100, 50),
         (_match("with replacement", "ours:complement",
                 {"numpy:reject-by-search": 5.0, "numpy:reject-by-comparison": 5.0}),)),
    Case("pack-texts", "batches", "packing", "made-up", Size(200_000, 0, 1024, 0),
         Size(2000, 0, 64, 0),
         (_match("first epoch, from a data set", "ours:pack",
                 {"sentence_transformers:no-duplicates": 20.0}),
          _match("first epoch, from strings", "ours:pack-strings",
                 {"sentence_transformers:no-duplicates": 20.0}),
          _match("later epochs", "ours:pack-again",
                 {"sentence_transformers:no-duplicates": 20.0,
                  "sentence_transformers:no-duplicates-hashed": None}))),
    _miner("batch-hard", 1024),
    _miner("margin", 1024),
    _miner("distance-weighted", 1024),
    _miner("multi-similarity", 4096),
    _lloyd("kmeans-384-k1024", Size(200_000, 1024, 10, 384),
           {"faiss:lloyd": 2.5, "sklearn:lloyd": 2.5, "superkmeans:f32": 2.5,
            "superkmeans:sq8": 2.5}),
    _lloyd("kmeans-384-k4096", Size(200_000, 4096, 5, 384),
           {"faiss:lloyd": 2.5, "sklearn:lloyd": 2.5, "superkmeans:f32": 2.5,
            "superkmeans:sq8": 2.5}),
    _lloyd("kmeans-128-k64", Size(200_000, 64, 10, 128),
           {"sklearn:lloyd": 1.0, "faiss:lloyd": None}),
    Case("two-level-384-k16384", "kmeans", "start", "docstrings", Size(200_000, 16_384, 1, 384),
         Size(2500, 256, 1, 384),
         (_match("seeding and one iteration", "ours:two-level", {"ours:lloyd": None}),)),
    Case("balanced-384-k64", "kmeans", "balanced", "docstrings", Size(5000, 64, 5, 384),
         Size(500, 16, 2, 384),
         (_match("iterations", "ours:balanced", {"scipy:balanced": None}),)),
    Case("balanced-384-k2048", "kmeans", "balanced", "docstrings", Size(200_000, 2048, 10, 384),
         Size(2500, 256, 3, 384),
         (_match("iterations", "ours:balanced", {"ours:lloyd": 0.5}),)),
    Case("seed-128-k1000", "kmeans", "seeding", "docstrings", Size(200_000, 1000, 0, 128),
         Size(2500, 100, 0, 128),
         (_match("the D2 law", "ours:rejection",
                 {"sklearn:plus-plus": 5.0, "sklearn:greedy-plus-plus": None,
                  "ours:plus-plus": None}),)),
    Case("collate-1m", "collate", "collate-rows", "made-up", Size(1024, 1_000_000, 8, 384),
         Size(16, 200, 8, 24), (_match("loader", "ours:loader", {"torch:loader": 0.95}),)),
    Case("collate-1m-of-32", "collate", "collate-draws", "made-up", Size(1024, 1_000_000, 8, 384),
         Size(16, 200, 8, 24), (_match("loader", "ours:loader", {"torch:loader": 0.95}),)),
    Case("collate-embeddings", "collate", "collate-embeddings", "made-up",
         Size(1024, 1_000_000, 8, 384), Size(16, 200, 8, 24),
         (_match("collate", "ours:collate", {"torch:gather": 1 / 1.2}),)),
    Case("bank-100k", "bank", "bank", "docstrings", Size(1024, 100_000, 16, 384),
         Size(64, 2500, 16, 384),
         (_match("update, then mine", "ours:bank",
                 {"torch:bank": 3.0, "torch:bank-known-slots": None}),),
         limits="own-slot"),
    Case("refresh-step", "refresh", "refresh", "docstrings", Size(20_000, 100_000, 8, 384),
         Size(600, 1500, 8, 384), ()),
    Case("train-docstrings", "training", "train-docstrings", "docstrings",
         Size(8893, 12_393, 7, 384), Size(400, 600, 7, 32), ()),
    Case("train-questions", "training", "train-questions", "questions",
         Size(800, 3043, 7, 256), Size(400, 600, 7, 32), ()),
    _probes("probes-30k", 4096, 25_904, None, 1.5),
    _probes("probes-1m", 4096, 1_000_000, 5.0, 1.5),
    _probes("probes-1m-1k", 1024, 1_000_000, 5.0, 1.5),
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
