# SPDX-License-Identifier: Apache-2.0
"""sentence-transformers' `mine_hard_negatives`, with a model that returns given embeddings.

Its texts are short made-up keys, which spares it the cost of handling real documents. The data
set is built beforehand; `verbose` is off; scores are not asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import sentence_transformers
import torch
from packing import PackTask, Rows
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.util import dot_score, mine_hard_negatives, pairwise_dot_score

from contestants import Answer, Task


class PrecomputedModel:
    """Answers `encode_*` with rows it was given; texts are ``q<row>`` and ``d<row>``."""

    device = torch.device("cpu")
    # The vectors have unit length: without cosine's normalising, the cheaper choice.
    similarity = staticmethod(dot_score)
    similarity_pairwise = staticmethod(pairwise_dot_score)

    def __init__(self, queries: Any, corpus: Any) -> None:
        self._queries = queries
        self._corpus = corpus

    def get_embedding_dimension(self) -> int:
        return int(self._corpus.shape[1])

    def encode_query(self, texts: list[str], **_options: Any) -> Any:
        return _rows_of(texts, self._queries)

    def encode_document(self, texts: list[str], **_options: Any) -> Any:
        return _rows_of(texts, self._corpus)


def _rows_of(texts: list[str], embeddings: Any) -> Any:
    if len(texts) != len(embeddings) or texts[-1][1:] != str(len(embeddings) - 1):
        raise AssertionError("sentence-transformers changed the order of the texts")
    return embeddings


def describe() -> dict[str, str]:
    return {"version": sentence_transformers.__version__, "datasets": datasets.__version__}


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def read(result: Any) -> Answer:
    """Rows of the queries it filled, at their places; the others stay empty.

    It gives no scores here, so those are nan.
    """
    mined, num_queries = result
    columns = [name for name in mined.column_names if name.startswith("negative_")]
    rows = np.full((num_queries, len(columns)), -1, dtype=np.int64)
    filled = [int(text[1:]) for text in mined["query"]]
    for column, name in enumerate(columns):
        rows[filled, column] = [int(text[1:]) for text in mined[name]]
    return Answer(np.full(rows.shape, np.nan, dtype=np.float32), rows)


def _mine(task: Task, use_faiss: bool) -> Callable[[], Any]:
    vectors = task.vectors
    if vectors.positives is None:
        raise ValueError("sentence-transformers needs positives")
    queries = [f"q{row}" for row in range(len(vectors.queries))]
    documents = [f"d{row}" for row in range(len(vectors.corpus))]
    pairs = datasets.Dataset.from_dict(
        {"query": queries, "answer": [documents[row] for row in vectors.positives]}
    )
    model = PrecomputedModel(vectors.queries, vectors.corpus)

    def run() -> Any:
        mined = mine_hard_negatives(
            pairs,
            model,
            corpus=documents,
            relative_margin=task.relative_margin,
            num_negatives=task.k,
            sampling_strategy="top",
            output_format="n-tuple",
            use_faiss=use_faiss,
            verbose=False,
        )
        return mined, len(queries)

    return run


def mine_rows(
    queries: Any, corpus: Any, positives: Any, num_negatives: int, relative_margin: float | None
) -> tuple[Any, Any]:
    """Its negatives as scores and corpus rows (n, k), nan and -1 where it found too few.

    As triplets, its default, of which a query that it cannot fill has fewer; n-tuples would leave
    that query out.
    """
    documents = [f"d{row}" for row in range(len(corpus))]
    pairs = {
        "query": [f"q{row}" for row in range(len(queries))],
        "answer": [documents[row] for row in positives],
    }
    mined = mine_hard_negatives(
        datasets.Dataset.from_dict(pairs),
        PrecomputedModel(queries, corpus),
        corpus=documents,
        relative_margin=relative_margin,
        num_negatives=num_negatives,
        output_scores=True,
        verbose=False,
    )
    shape = len(queries), num_negatives
    scores, rows = np.full(shape, np.nan, np.float32), np.full(shape, -1, np.int64)
    columns = np.zeros(len(queries), np.int64)
    found = zip(mined["query"], mined["negative"], mined["scores"], strict=True)
    for query, negative, (_, score) in found:
        line = int(query[1:])
        scores[line, columns[line]], rows[line, columns[line]] = score, int(negative[1:])
        columns[line] += 1
    return scores, rows


JOBS = {
    "mine-faiss": lambda task: _mine(task, use_faiss=True),
    "mine-torch": lambda task: _mine(task, use_faiss=False),
}


def _no_duplicates(task: PackTask, hashed: bool) -> Callable[[], list[Rows]]:
    """Its batch sampler over a data set in memory; hashes, where asked for, exist beforehand."""
    sampler = NoDuplicatesBatchSampler(
        task.dataset(),
        batch_size=task.batch_size,
        drop_last=False,
        generator=torch.Generator(),
        seed=0,
        precompute_hashes=hashed,
    )
    sampler.set_epoch(task.epoch)
    if hashed:
        next(iter(sampler))

    def run() -> list[Rows]:
        return [np.array(batch, dtype=np.int64) for batch in sampler]

    return run


PACKS = {
    "no-duplicates": lambda task: _no_duplicates(task, hashed=False),
    "no-duplicates-hashed": lambda task: _no_duplicates(task, hashed=True),
}
