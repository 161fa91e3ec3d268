# SPDX-License-Identifier: Apache-2.0
"""Collections with frozen embeddings: what is trained on, split by query, and what is only tested.

``docstrings``: a function's summary finds its explanation; all-MiniLM-L6-v2 embeddings.
``questions``: a patient's question finds its paraphrase among paraphrases and questions that
doctors wrote to look alike and mean something else; LSA embeddings (tf-idf, then SVD), made here
from the documents alone. The other collections are untouched by training and by any choice.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import nearmiss as nm
import numpy as np
import numpy.typing as npt
from data import data_folder, unit
from threadpoolctl import threadpool_limits

Rows: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int64]
Source: TypeAlias = Literal["docstrings", "questions"]

TRANSFER = ("cranfield", "cisi", "npl")
_SPLIT_SEED = 0
_LSA_DIM = 256
_SYNTHETIC_DIM = 32
_SYNTHETIC_TOPICS = 30


@dataclass(frozen=True)
class Retrieval:
    """Unit vectors of queries (n, d) and of a corpus (m, d), and which rows answer which query."""

    name: str
    queries: Rows
    corpus: Rows
    positives: nm.Positives

    def judged(self) -> Ids:
        """The queries that have an answer."""
        return np.unique(self.positives.query_rows)


@dataclass(frozen=True)
class Problem:
    """A collection to train on, one positive per query, its queries split in three; and others."""

    learned: Retrieval
    train: Ids
    validation: Ids
    test: Ids
    transfer: tuple[Retrieval, ...]
    origin: str

    def positive_rows(self, queries: Ids) -> Ids:
        """The one positive of each of these queries."""
        positives = np.empty(len(self.learned.queries), dtype=np.int64)
        positives[self.learned.positives.query_rows] = self.learned.positives.corpus_rows
        return positives[queries]


def load_problem(source: Source, num_train: int, synthetic: bool = False) -> Problem:
    """The real problem; a synthetic one if asked for, or where ``NEARMISS_DATA`` is unset.

    ``num_train`` queries are trained on. A quarter of the others is for validation, the rest is the
    test.
    """
    folder = data_folder()
    if synthetic or folder is None:
        learned, *transfer = (_make_up(name, seed) for seed, name in enumerate((source, *TRANSFER)))
        origin = "SYNTHETIC"
    elif source == "docstrings":
        learned, *transfer = (_load_beir(folder, name) for name in (source, *TRANSFER))
        origin = "real beir/docstrings, all-MiniLM-L6-v2"
    else:
        learned, *transfer = _embed_questions(folder)
        origin = f"real pairs_mqp, LSA of {_LSA_DIM} dimensions"
    num_queries = len(learned.queries)
    mixed = np.random.default_rng(_SPLIT_SEED).permutation(num_queries)
    held_out = num_queries - num_train
    if held_out < 4:
        raise ValueError(f"num_train: {num_train} of {num_queries} queries leave none to test")
    parts = np.split(mixed, [held_out // 4, held_out])
    validation, test, train = (np.sort(part) for part in parts)
    return Problem(learned, train, validation, test, tuple(transfer), origin)


def _load_beir(folder: Path, name: str) -> Retrieval:
    vectors = [unit(np.load(folder / "beir" / name / f"{side}.npy")) for side in _SIDES]
    return Retrieval(name, *vectors, _load_judgements(folder, name))


_SIDES = ("queries", "corpus")


def _load_judgements(folder: Path, name: str) -> nm.Positives:
    place = folder / "beir" / name
    ids = [[line["_id"] for line in _read_lines(place / f"{side}.jsonl")] for side in _SIDES]
    return nm.Positives.from_qrels(place / "qrels/test.tsv", query_ids=ids[0], corpus_ids=ids[1])


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class _Texts:
    """A collection before it has embeddings."""

    name: str
    queries: Sequence[str]
    corpus: Sequence[str]
    positives: nm.Positives


def _load_texts(folder: Path, name: str) -> _Texts:
    sides = [_read_lines(folder / "beir" / name / f"{side}.jsonl") for side in _SIDES]
    queries, corpus = ([line["text"] for line in side] for side in sides)
    return _Texts(name, queries, corpus, _load_judgements(folder, name))


def _load_questions(folder: Path) -> _Texts:
    """Each question with its paraphrase; what doctors wrote to mislead is only in the corpus."""
    with (folder / "pairs_mqp" / "mqp.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    row_of = {text: row for row, text in enumerate(dict.fromkeys(other for _, _, other, _ in rows))}
    pairs = {question: row_of[other] for _, question, other, similar in rows if similar == "1"}
    positives = nm.Positives.from_pairs(list(enumerate(pairs.values())))
    return _Texts("questions", list(pairs), list(row_of), positives)


def _embed_questions(folder: Path) -> list[Retrieval]:
    """LSA of all four collections, fitted on their documents."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    collections = [_load_questions(folder), *(_load_texts(folder, name) for name in TRANSFER)]
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english", dtype=np.float32)
    documents = [text for collection in collections for text in collection.corpus]
    with threadpool_limits(limits=1):  # the same sums, so the same embeddings, each time
        directions = TruncatedSVD(_LSA_DIM, random_state=0).fit(words.fit_transform(documents))

        def embed(texts: Sequence[str]) -> Rows:
            return _unit_or_even(directions.transform(words.transform(texts)))

        return [
            Retrieval(texts.name, embed(texts.queries), embed(texts.corpus), texts.positives)
            for texts in collections
        ]


def _unit_or_even(rows: npt.NDArray[Any]) -> Rows:
    """Unit vectors; a text without any known word, which has none, gets the same in all places."""
    empty = np.abs(rows).max(axis=1) < 1e-6
    return unit(np.where(empty[:, None], 1.0, rows))


def _make_up(name: str, seed: int) -> Retrieval:
    """Topics, and a common direction that hides them; queries are noisy copies of documents."""
    rng = np.random.default_rng([20, seed])
    num_rows = 600
    topics = np.random.default_rng(20).standard_normal((_SYNTHETIC_TOPICS, _SYNTHETIC_DIM))
    members = topics[rng.integers(_SYNTHETIC_TOPICS, size=num_rows)]
    corpus = members + rng.standard_normal((num_rows, _SYNTHETIC_DIM))
    # Half of the dimensions say nothing: a head can learn to leave them out.
    noise = rng.standard_normal((num_rows, _SYNTHETIC_DIM)) * ([0.6, 4.0] * (_SYNTHETIC_DIM // 2))
    pairs = [(row, row) for row in range(num_rows)]
    return Retrieval(name, unit(corpus + noise), unit(corpus), nm.Positives.from_pairs(pairs))
