# SPDX-License-Identifier: Apache-2.0
"""Embeddings to measure on: real ones where ``NEARMISS_DATA`` is set, else synthetic ones.

Real sets are stretched to the size a case asks for by interpolating between near neighbours,
which keeps the distribution of scores; adding noise would not. Isotropic Gaussians are there as the
worst case of a screen in few bits: all rows score nearly alike. All vectors are float32 of unit
length, or such vectors rounded to int8.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int64]
# "made-up": no vectors at all; "questions": see training/retrieval.py.
Source: TypeAlias = Literal["docstrings", "layers", "clusters", "gaussian", "questions", "made-up"]
ElementType: TypeAlias = Literal["float32", "int8"]

_FILES = {"docstrings": "minilm-docstrings-30k.npy", "layers": "minilm-layers-15k-768.npy"}
_FULL_DIM = {"docstrings": 384, "layers": 768}
_SYNTHETIC_ROWS = 20_000
_NEIGHBOURS = 8
_HELD_OUT = 4096  # queries; cases that ask for fewer take the first, and share the corpus
_BLOCK = 65_536  # rows worked on at a time, so that a large corpus needs little more than itself
_LARGEST_CODE = 127
_ROWS_PER_CLUSTER = 10_000
_CLUSTER_SAMPLE = 20_000
_CLUSTER_ROUNDS = 10
_TO_THE_CENTRE = 0.7  # of the way
_CACHED_NAMES = ("queries.npy", "corpus.npy")
_LAYOUT_VERSION = 1  # in the names of cached files; raise it when this file's recipe changes


@dataclass(frozen=True)
class Vectors:
    """A search problem.

    ``queries`` is (n, d), ``corpus`` (m, d). ``positives`` is (n,) corpus rows where the
    problem has pairs, ``groups`` the group of each query and of each corpus row where they come in
    groups. ``origin`` says in words where the vectors come from.
    """

    queries: npt.NDArray[Any]
    corpus: npt.NDArray[Any]
    origin: str
    positives: Ids | None = None
    groups: tuple[Ids, Ids] | None = None


def cache_folder() -> Path:
    """Folder for stretched data and the calibration program, outside the repository."""
    chosen = os.environ.get("NEARMISS_BENCH_CACHE")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(chosen or Path(tempfile.gettempdir()) / f"nearmiss-bench-{user}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def store_queries(vectors: Vectors) -> Vectors:
    """The same with the queries as the first rows of the corpus: a bank that has just had them."""
    corpus = vectors.corpus.copy()
    corpus[: len(vectors.queries)] = vectors.queries
    return replace(vectors, corpus=corpus)


def load_search(
    source: Source, dim: int, num_queries: int, num_rows: int, base_rows: int | None = None
) -> Vectors:
    """Queries held out of a set, and a corpus made of the rest, stretched where it is short.

    Parameters
    ----------
    source
        ``"docstrings"`` (384-d), ``"layers"`` (768-d, anisotropic), ``"clusters"`` (docstrings in
        groups, the queries deep inside theirs) or ``"gaussian"`` (isotropic, made to size).
    dim
        Below the set's own dimension: projected on its leading principal directions.
    num_queries, num_rows
        n and m.
    base_rows
        Use only so many vectors of the set; None for all. Makes smoke runs cheap.
    """
    if source == "gaussian":
        return _load_gaussian(dim, num_queries, num_rows)
    if source == "clusters":
        return _gather(load_search("docstrings", dim, num_queries, num_rows, base_rows))
    base, origin = _load_base(source)
    if base_rows is not None:
        base = base[:base_rows]
    held_out = max(num_queries, min(_HELD_OUT, len(base) // 2))

    def build() -> tuple[Rows, ...]:
        mixed = np.random.default_rng(1).permutation(len(base))
        queries, rest = base[mixed[:held_out]], base[mixed[held_out:]]
        corpus = _stretch(rest, num_rows, seed=2)
        if dim < base.shape[1]:
            directions = _principal_directions(base, dim)
            queries, corpus = unit(queries @ directions), unit(corpus @ directions)
        return queries, corpus

    key = f"search-{source}-{dim}-{held_out}-{num_rows}"
    queries, corpus = _cached(key, base, build)
    kept = len(base) - held_out
    described = _describe(origin, base, kept, dim, num_rows)
    return Vectors(queries[:num_queries], corpus, described)


def _load_gaussian(dim: int, num_queries: int, num_rows: int) -> Vectors:
    rng = np.random.default_rng(9)
    queries, corpus = (
        unit(rng.standard_normal((count, dim), dtype=np.float32))
        for count in (num_queries, num_rows)
    )
    return Vectors(queries, corpus, "isotropic Gaussian")


def _gather(vectors: Vectors) -> Vectors:
    """Groups that are clusters, and queries so deep inside that their nearest rows are too.

    Spherical k-means on a sample; queries are moved towards their centre.
    """
    rng = np.random.default_rng(8)
    corpus = vectors.corpus
    sample = corpus[rng.permutation(len(corpus))[:_CLUSTER_SAMPLE]]
    centres = sample[: max(4, len(corpus) // _ROWS_PER_CLUSTER)].copy()
    for _ in range(_CLUSTER_ROUNDS):
        labels = _assign(sample, centres)
        for label in np.unique(labels):
            centres[label] = sample[labels == label].sum(axis=0)
        centres = unit(centres)
    query_groups = _assign(vectors.queries, centres)
    weight = np.full(len(query_groups), _TO_THE_CENTRE, dtype=np.float32)
    return replace(
        vectors,
        queries=_blend(vectors.queries, centres[query_groups], weight),
        origin=f"{vectors.origin}, in {len(centres)} clusters, queries moved into theirs",
        groups=(query_groups, _assign(corpus, centres)),
    )


def _assign(rows: Rows, centres: Rows) -> Ids:
    """The nearest centre of each row."""
    blocks = range(0, len(rows), _BLOCK)
    return np.concatenate([(rows[i : i + _BLOCK] @ centres.T).argmax(axis=1) for i in blocks])


def quantise(vectors: Vectors) -> Vectors:
    """The vectors rounded to int8, with one scale for all."""
    largest = max(float(np.abs(vectors.queries).max()), float(np.abs(vectors.corpus).max()))
    scale = np.float32(_LARGEST_CODE / largest)

    def codes(rows: Rows) -> npt.NDArray[np.int8]:
        return np.rint(rows * scale).astype(np.int8)

    return replace(
        vectors,
        queries=codes(vectors.queries),
        corpus=codes(vectors.corpus),
        origin=f"{vectors.origin}, rounded to int8",
    )


def load_pairs(
    kind: Literal["real", "near"], num_queries: int, num_rows: int, base_rows: int | None = None
) -> Vectors:
    """Queries with one positive each; the positives are the first rows of the corpus.

    ``"real"``: summary and explanation of the same function, a hard and realistic task in which
    many rows score above the positive. ``"near"``: the positive is a near neighbour of the query.
    """
    base, origin = _load_base("docstrings")
    if base_rows is not None:
        base = base[:base_rows]

    def build() -> tuple[Rows, ...]:
        left, right = _pair_halves(kind, base)
        queries, positives = _stretch_pairs(left, right, num_queries, seed=3)
        others = _stretch(base, num_rows - num_queries, seed=4)
        return queries, np.concatenate([positives, others])

    queries, corpus = _cached(f"pairs-{kind}-{num_queries}-{num_rows}", base, build)
    description = _describe(f"{kind} pairs, {origin}", base, len(base), base.shape[1], num_rows)
    return Vectors(queries, corpus, description, np.arange(num_queries, dtype=np.int64))


def data_folder() -> Path | None:
    folder = os.environ.get("NEARMISS_DATA")
    return Path(folder) if folder else None


def _load_base(source: Source) -> tuple[Rows, str]:
    folder = data_folder()
    if folder is None:
        return _synthetic(_FULL_DIM[source]), "SYNTHETIC (NEARMISS_DATA is unset)"
    return unit(np.load(folder / _FILES[source])), f"real {_FILES[source]}"


def _pair_halves(kind: str, base: Rows) -> tuple[Rows, Rows]:
    """Both sides of the known pairs, no more of them than there are rows in ``base``."""
    folder = data_folder()
    if kind == "near":
        return base, base[_nearest(base, 1)[:, 0]]
    if folder is not None:
        pairs = folder / "beir" / "docstrings"
        left, right = np.load(pairs / "queries.npy"), np.load(pairs / "corpus.npy")
        return unit(left[: len(base)]), unit(right[: len(base)])
    noise = np.random.default_rng(5).standard_normal(base.shape, dtype=np.float32)
    return unit(base + 1.2 * unit(noise)), base


def _synthetic(dim: int) -> Rows:
    """Clusters with a power-law spectrum and a non-zero mean."""
    rng = np.random.default_rng(6)
    spectrum = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    centres = rng.standard_normal((200, dim), dtype=np.float32) * spectrum
    members = rng.standard_normal((_SYNTHETIC_ROWS, dim), dtype=np.float32) * spectrum
    mean = 0.5 * rng.standard_normal(dim, dtype=np.float32) * spectrum
    return unit(mean + 0.7 * centres[rng.integers(0, 200, _SYNTHETIC_ROWS)] + members)


def unit(rows: npt.NDArray[np.generic]) -> Rows:
    """The rows divided by their lengths, computed in float64."""
    scaled: Rows = np.empty(rows.shape, dtype=np.float32)
    for first in range(0, len(rows), _BLOCK):
        part = slice(first, first + _BLOCK)
        wide = np.asarray(rows[part], dtype=np.float64)
        scaled[part] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return scaled


def _nearest(rows: Rows, count: int, block: int = 1024) -> Ids:
    """The ``count`` nearest other rows of each row, in no particular order."""
    found = []
    for start in range(0, len(rows), block):
        scores = rows[start : start + block] @ rows.T
        lines = np.arange(len(scores))
        scores[lines, start + lines] = -np.inf
        # Copied: a view would keep whole rows of the matrix of pairs in memory.
        found.append(np.argpartition(scores, -count, axis=1)[:, -count:].astype(np.int64))
    return np.concatenate(found)


def _blend(first: Rows, second: Rows, weight: npt.NDArray[np.float32]) -> Rows:
    return unit((1 - weight[:, None]) * first + weight[:, None] * second)


def _stretch(base: Rows, num_rows: int, seed: int) -> Rows:
    """``num_rows`` vectors: those of ``base``, then points between near neighbours, shuffled."""
    rng = np.random.default_rng(seed)
    if num_rows <= len(base):
        return base[rng.permutation(len(base))[:num_rows]]
    missing = num_rows - len(base)
    neighbours = _nearest(base, _NEIGHBOURS)
    start = np.resize(rng.permutation(len(base)), missing)
    end = neighbours[start, rng.integers(0, _NEIGHBOURS, missing)]
    weight = rng.uniform(0.2, 0.8, missing).astype(np.float32)
    stretched = np.empty((num_rows, base.shape[1]), dtype=np.float32)
    place = rng.permutation(num_rows)
    stretched[place[: len(base)]] = base
    for first in range(0, missing, _BLOCK):
        part = slice(first, first + _BLOCK)
        blended = _blend(base[start[part]], base[end[part]], weight[part])
        stretched[place[len(base) :][part]] = blended
    return stretched


def _stretch_pairs(left: Rows, right: Rows, count: int, seed: int) -> tuple[Rows, Rows]:
    """``count`` pairs: the given ones, then blends of two pairs whose right sides are near."""
    if count <= len(left):
        return left[:count], right[:count]
    rng = np.random.default_rng(seed)
    missing = count - len(left)
    start = np.resize(rng.permutation(len(left)), missing)
    end = _nearest(right, _NEIGHBOURS)[start, rng.integers(0, _NEIGHBOURS, missing)]
    weight = rng.uniform(0.2, 0.8, missing).astype(np.float32)
    return (
        np.concatenate([left, _blend(left[start], left[end], weight)]),
        np.concatenate([right, _blend(right[start], right[end], weight)]),
    )


def _principal_directions(base: Rows, dim: int) -> Rows:
    """(D, dim) leading eigenvectors of the second moment, not centred: the mean stays."""
    wide = base.astype(np.float64)
    _, vectors = np.linalg.eigh(wide.T @ wide)
    return vectors[:, ::-1][:, :dim].astype(np.float32)


def _describe(origin: str, base: Rows, kept: int, dim: int, num_rows: int) -> str:
    steps = [origin]
    if num_rows > kept:
        steps.append(f"stretched from {kept:,} rows")
    if dim < base.shape[1]:
        steps.append(f"projected from {base.shape[1]} to {dim} dimensions")
    return ", ".join(steps)


def _cached(key: str, base: Rows, build: Callable[[], tuple[Rows, ...]]) -> tuple[Rows, ...]:
    """Arrays from the cache folder, built on the first call for this key and base."""
    digest = hashlib.sha256(np.ascontiguousarray(base).data).hexdigest()[:12]
    folder = cache_folder() / f"{key}-{digest}-v{_LAYOUT_VERSION}"
    if not folder.exists():
        # What is built is dropped before it is loaded: a large corpus is in memory once.
        _save(folder, build())
    return tuple(np.load(folder / name) for name in _CACHED_NAMES)


def _save(folder: Path, arrays: tuple[Rows, ...]) -> None:
    """Write arrays as a folder that appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=cache_folder()) as workplace:
        partial = Path(workplace) / "vectors"
        partial.mkdir()
        for name, array in zip(_CACHED_NAMES, arrays, strict=True):
            np.save(partial / name, array)
        partial.rename(folder)
